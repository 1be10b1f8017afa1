package integration

import (
	"os/exec"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestPlainBuild: what `make` builds replaces files of Go's runtime (scripts/gobuild), so that rt starts faster. Without that,
// as anybody builds it with a plain `go build`, rt makes the very same container.
func TestPlainBuild(t *testing.T) {
	t.Parallel()
	rtOnly(t, "a build with the C library")
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go to build with, as in a guest")
	}
	const look = "grep -E '^(Cap|NoNewPrivs|Seccomp|Sig[BICP]|Cpus|Groups)' /proc/self/status; cut -d' ' -f5-6 /proc/self/mountinfo; ulimit -a; env;" +
		" cat /proc/self/timerslack_ns /proc/self/oom_score_adj; id; pwd; ls -l /proc/self/fd | wc -l; ls -l /dev"
	c := newContainer(t, script(look), func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/proc/acpi", "/proc/keys"} })
	plain := filepath.Join(c.dir, "rt-plain")
	build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs netgo osusergo", "-o", plain, ".")
	build.Dir = "../.."
	log := tempFile(t, c.dir, "build-")
	defer log.Close()
	build.Stdout, build.Stderr = log, log
	c.must(orphans.Start(build))
	if err := orphans.Wait(build); err != nil {
		t.Fatalf("go build: %v\n%s", err, readAll(t, log))
	}
	want := c.run().ok().stdout
	c.prefix = []string{"sh", "-c", `shift; exec "$0" "$@"`, plain}
	if got := c.run().ok().stdout; got != want {
		t.Errorf("a plain build gives\n%s\nthe other\n%s", got, want)
	}
	c.spec.Process.Args = []string{"sleep", "1000"}
	c.write()
	c.up()
	c.exec("true").ok()
	c.stopped()
	c.delete().ok()
}
