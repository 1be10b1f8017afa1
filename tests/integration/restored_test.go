package integration

import (
	"os"
	"strings"
	"testing"
)

// What joins a container that CRIU has restored, and what the next checkpoint makes of it.

// TestRestoredTimeNamespace: CRIU makes a time namespace, also for a container that had none. exec joins it, and what it has
// started is saved and restored with the rest.
func TestRestoredTimeNamespace(t *testing.T) {
	needsCriu(t)
	rtOnly(t, "runc 1.1 has no time namespaces")
	c := newContainer(t, counting, networked(t)).up()
	n := c.counts(1)
	for range 2 {
		c.save().ok()
		c.back().ok()
		n = c.goesOn(n)
		init := readlink(t, "/proc/"+pidText(c.pid())+"/ns/time")
		if got := strings.TrimSpace(c.sh("readlink /proc/self/ns/time")); got != init {
			t.Errorf("exec is in %s, init in %s", got, init)
		}
		c.execWith([]string{"-d"}, "sleep", "1000").ok()
		if own := readlink(t, "/proc/self/ns/time"); own == init {
			t.Log("this CRIU makes no time namespace")
		}
	}
}

// TestRestoredStdio: of a pipe that the container got, the next one is a pipe of restore's caller; a file stands for none, and
// /dev/null does.
func TestRestoredStdio(t *testing.T) {
	needsCriu(t)
	rtOnly(t, "runc takes anything")
	c := newContainer(t, counting, networked(t))
	r, w, err := os.Pipe()
	c.must(err)
	defer r.Close()
	defer w.Close()
	c.do(call{args: c.with("create"), stdin: r}).ok()
	c.start().ok()
	n := c.counts(1)
	c.save().ok()
	if text := c.read("images/descriptors-access.json"); !strings.HasPrefix(text, `["r",`) {
		t.Errorf("access: %s", text)
	}
	file, err := os.Open(c.file("input", "typed\n", 0o600))
	c.must(err)
	defer file.Close()
	restore := call{global: withCriu(), args: c.with("restore", "-d", "--image-path", c.images())}
	restore.stdin = file
	c.do(restore).fails("descriptor 0 of the container: it was a pipe, and stdin of rt is none", "hint: give rt a pipe as its stdin, or /dev/null")
	restore.stdin = r
	c.do(restore).ok()
	n = c.goesOn(n)
	if got, want := readlink(t, "/proc/"+pidText(c.pid())+"/fd/0"), readlink(t, "/proc/self/fd/"+pidText(int(r.Fd()))); got != want {
		t.Errorf("stdin is %s, want %s", got, want)
	}
	c.save().ok()
	restore.stdin = nil
	c.do(restore).ok()
	n = c.goesOn(n)
	c.save().ok() // with a null device that no mount of the container has
	c.do(restore).ok()
	c.goesOn(n)
}
