package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestBuilds: rt says which build it is, and it is that one: the patched Go (toolchain/README.md) starts no thread for a short
// command, and Go as it is starts some.
func TestBuilds(t *testing.T) {
	t.Parallel()
	rtOnly(t, "global --version")
	lines := strings.Split(strings.TrimSuffix(host(t, machine.rt, "--version"), "\n"), "\n")
	build, ok := strings.CutPrefix(lines[len(lines)-1], "build: ")
	if !ok || build != "stock" && build != "patched" {
		t.Fatalf("the last line of --version is %q", lines[len(lines)-1])
	}
	var features struct{ Annotations map[string]string }
	if err := json.Unmarshal([]byte(host(t, machine.rt, "features")), &features); err != nil || features.Annotations["rt.build"] != build {
		t.Errorf("--version says %s, features %q, %v", build, features.Annotations["rt.build"], err)
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace, as in a guest")
	}
	log := filepath.Join(t.TempDir(), "strace")
	host(t, strace, "-f", "-qq", "-o", log, "-e", "trace=clone,clone3", machine.rt, "--version")
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if threads := strings.Count(string(calls), "clone"); (threads > 0) != (build == "stock") {
		t.Errorf("a %s build starts %d threads for --version:\n%s", build, threads, calls)
	}
}

// TestPlainBuild: the binary of `make` is built with musl, the stub's image, and by default with a patched Go. What a plain
// `go build` gives says that it is stock, and makes the very same container.
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
	if text := host(t, plain, "--version"); !strings.HasSuffix(text, "\nbuild: stock\n") {
		t.Errorf("--version of a plain build: %q", text)
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
