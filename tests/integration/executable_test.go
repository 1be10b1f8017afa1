package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestExecutableErrors are known when the container is created, and leave nothing.
func TestExecutableErrors(t *testing.T) {
	t.Parallel()
	for _, e := range []struct {
		name, path string
		texts      []string
	}{
		{"missing in PATH", "no-such-program", []string{`exec: "no-such-program": executable file not found in $PATH`}},
		{"missing path", "/no/such/program", []string{"/no/such/program", "no such file or directory"}},
		{"a directory", "/etc", []string{"/etc", "is a directory"}},
		{"not executable", "/etc/passwd", []string{"/etc/passwd", "permission denied"}},
		{"a directory in PATH", "dir", []string{`"dir": executable file not found in $PATH`}},
	} {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, args(e.path))
			c.must(os.Mkdir(filepath.Join(c.rootfs, "bin/dir"), 0o755))
			c.create().fails(e.texts...).oneError()
			c.run().fails(e.texts...)
			if left := c.leftovers(false); len(left) > 0 {
				t.Errorf("after a failed create: %v", left)
			}
		})
	}
}

// cannotBeExecuted are programs that exist, and of which only execve finds out that they are none. The machine of the ELF file is
// one that no kernel runs.
var cannotBeExecuted = []struct {
	name, text string
	want       string
}{
	{"no interpreter", "#!/no/such/interpreter\n", "no such file or directory"},
	{"an interpreter that is not executable", "#!/etc/passwd\n", "permission denied"},
	{"no line of an interpreter", "echo hello\n", "exec format error"},
	{"empty", "", "exec format error"},
	{"another machine", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xfe\xfe\x01\x00\x00\x00" + strings.Repeat("\x00", 100), "exec format error"},
	{"a part of an ELF file", "\x7fELF\x02\x01", "exec format error"},
}

// wantLine wants the first line of text to be the reason for which the program could not be executed.
func wantLine(t *testing.T, text, path, reason string) {
	t.Helper()
	if line, _, _ := strings.Cut(text, "\n"); line != "exec "+path+": "+reason {
		t.Errorf("stderr of the container: %q", text)
	}
}

// TestProgramThatCannotBeExecuted: its failure is its own end, as a program's that fails at once: start and exec succeed, the reason is
// on its stderr, the exit status is 255. What is not there, or may not be executed, is known at create (TestExecutableErrors).
func TestProgramThatCannotBeExecuted(t *testing.T) {
	t.Parallel()
	for _, e := range cannotBeExecuted {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, args("bad"))
			c.file("b/rootfs/bin/bad", e.text, 0o755)
			r := c.run().exits(255).prints("")
			wantLine(t, r.stderr, "/bin/bad", e.want)
			if left := c.leftovers(false); len(left) > 0 {
				t.Errorf("after run: %v", left)
			}
			detached := func(name string, verb ...string) (end func()) {
				pidFile := filepath.Join(c.dir, name+".pid")
				c.doCall(c.redirected("2>"+name+".err", slices.Concat(verb[:1], []string{"--pid-file", pidFile}, verb[1:])...)).ok()
				return func() {
					t.Helper()
					pid, err := strconv.Atoi(c.read(name + ".pid"))
					c.must(err)
					if status := reap(t, pid); status != 255 {
						t.Errorf("%s: exit status %d", name, status)
					}
					wantLine(t, c.read(name+".err"), "/bin/bad", e.want)
				}
			}
			end := detached("create", c.with("create")...)
			c.start().ok().prints("")
			end()
			c.awaitStatus("stopped")
			c.start().fails("cannot start a container that has stopped")
			c.delete().ok()
			detached("run", c.with("run", "--detach")...)()
			c.delete().ok()

			args("sleep", "900")(c.spec)
			c.write()
			c.up()
			r = c.exec("bad").exits(255).prints("")
			wantLine(t, r.stderr, "/bin/bad", e.want)
			detached("exec", "exec", "--detach", c.id, "bad")()
			if status := c.status(); status != "running" {
				t.Errorf("after exec the container is %s", status)
			}
		})
	}
}

// TestProgramThatCannotBeExecutedHooks: such a program counts as one that has begun, so its poststart hooks run.
func TestProgramThatCannotBeExecutedHooks(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("bad"))
	c.file("b/rootfs/bin/bad", "", 0o755)
	c.hooks(specs.Hooks{Poststart: c.logging("poststart"), Poststop: c.logging("poststop")})
	c.run().exits(255)
	if got := c.read("log"); got != "poststart\npoststop\n" {
		t.Errorf("hooks that ran: %q", got)
	}
}

// TestProgramThatCannotBeExecutedStderr: start does not wait until the reason can be written.
func TestProgramThatCannotBeExecutedStderr(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("bad"))
	c.file("b/rootfs/bin/bad", "", 0o755)
	fifo := c.fifo("full")
	f, err := os.OpenFile(fifo, os.O_RDWR|syscall.O_NONBLOCK, 0)
	c.must(err)
	defer f.Close()
	for _, size := range []int{4096, 1} {
		for err = nil; err == nil; _, err = syscall.Write(int(f.Fd()), make([]byte, size)) {
		}
	}
	c.doCall(c.redirected("2>"+fifo, c.with("create")...)).ok()
	c.start().ok()
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
}
