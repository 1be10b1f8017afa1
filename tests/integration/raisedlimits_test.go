package integration

import (
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestRaisedLimits: hard limits above those of rt's caller are set by the rights of the host's root, also for a container with a user
// namespace, whose root has none to raise them, and for exec.
func TestRaisedLimits(t *testing.T) {
	t.Parallel()
	needRoot(t, "hard limits are raised")
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	may := false
	if caps, err := strconv.ParseUint(value(string(status), "CapEff"), 16, 64); err == nil {
		may = caps>>unix.CAP_SYS_RESOURCE&1 != 0
	}
	for name, edits := range map[string][]func(*specs.Spec){
		"host's user namespace": nil, "user namespace": {mapped}, "user namespace, init": {mapped, annotation("io.rt.init", "true")},
		"user namespace, few files": {mapped, func(s *specs.Spec) { s.Process.Rlimits[0].Soft = 20 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, append([]func(*specs.Spec){func(s *specs.Spec) {
				s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 300, Hard: 400}, {Type: "RLIMIT_NPROC", Soft: 5000, Hard: 6000}}
			}}, edits...)...)
			c.prefix = []string{"/bin/busybox", "sh", "-c", `ulimit -n 200 && ulimit -u 4000 && exec "$@"`, "sh"}
			if !may {
				c.create().fails("operation not permitted").oneError()
				if left := c.leftovers(false); len(left) > 0 {
					t.Fatalf("left behind: %v", left)
				}
				return
			}
			c.up()
			files := strconv.FormatUint(c.spec.Process.Rlimits[0].Soft, 10)
			limits := c.proc("limits")
			for name, want := range map[string]string{"Max open files": files + " 400 files", "Max processes": "5000 6000 processes"} {
				if got := strings.Join(strings.Fields(value(limits, name)), " "); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
			if got := c.sh("ulimit -Sn; ulimit -Hn; ulimit -Hu"); got != files+"\n400\n6000" {
				t.Errorf("exec has limits %q", got)
			}
		})
	}
}
