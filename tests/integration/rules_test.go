package integration

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestRelativeDestination: a relative destination starts at the container's root.
func TestRelativeDestination(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("some/where", "tmpfs", "tmpfs"), args("grep", "-c", " /some/where tmpfs ", "/proc/self/mounts"))
	c.run().ok().prints("1")
}

// TestConsoleSizeWithoutTerminal: whatever it is, it is not looked at.
func TestConsoleSizeWithoutTerminal(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("true"), func(s *specs.Spec) { s.Process.ConsoleSize = &specs.Box{Height: 1 << 40, Width: 0} })
	c.run().ok()
}

func TestDuplicateRlimit(t *testing.T) {
	t.Parallel()
	rtOnly(t, "process.rlimits: a type twice")
	c := newContainer(t, func(s *specs.Spec) { s.Process.Rlimits = append(s.Process.Rlimits, s.Process.Rlimits[0]) })
	c.create().fails("/process/rlimits/1/type", "RLIMIT_NOFILE is given more than once").oneError()
}

// TestOOMScoreAdjUnset: the container has what rt has.
func TestOOMScoreAdjUnset(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.prefix = []string{"sh", "-c", `echo 123 >/proc/self/oom_score_adj; exec "$@"`, "-"}
	c.up()
	if got := strings.TrimSpace(c.proc("oom_score_adj")); got != "123" {
		t.Errorf("oom_score_adj %s, that of rt is 123", got)
	}
}
