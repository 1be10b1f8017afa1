package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

// TestExecFormat: what only execve can find out is an error of start (and of run).
func TestExecFormat(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("/bin/rubbish"))
	c.file("b/rootfs/bin/rubbish", "\x7fELFrubbish", 0o755)
	c.create().ok()
	r := c.start()
	r.fails("exec format error").oneError()
	c.awaitStatus("stopped")
}

func TestMissingInterpreter(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("/bin/script"))
	c.file("b/rootfs/bin/script", "#!/no/such/interpreter\n", 0o755)
	r := c.run().exits(1)
	if !strings.Contains(r.stderr, "no such file or directory") {
		t.Errorf("got %s", r)
	}
}
