package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// docs/stdio.md has what these tests claim.

// redirected is the runtime with what a shell makes of these redirections.
func (c *container) redirected(redirections string, args ...string) call {
	return call{prefix: []string{"/bin/sh", "-c", `exec "$@" ` + redirections, "sh"}, args: args}
}

// doCall is do for a call that has a prefix of its own, in the container's directory.
func (c *container) doCall(call call) result {
	c.t.Helper()
	call.dir = c.dir
	return invoke(c.t, c.dir, c.root, call)
}

// TestStdioOrder: stdout and stderr that are one file keep the order of what is written.
func TestStdioOrder(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stdio in the foreground")
	const text = "for i in 1 2 3 4 5 6 7 8; do echo out $i; echo err $i >&2; done"
	c := newContainer(t, script(text))
	d := c.sibling().up()
	want := ""
	for i := range 8 {
		want += "out " + strconv.Itoa(i+1) + "\nerr " + strconv.Itoa(i+1) + "\n"
	}
	for _, to := range []string{">both 2>&1", ">>both 2>>both"} {
		for _, args := range [][]string{c.with("run"), {"exec", d.id, "sh", "-c", text}} {
			_ = os.Remove(filepath.Join(c.dir, "both"))
			c.doCall(c.redirected(to, args...)).ok()
			if got := c.read("both"); got != want {
				t.Errorf("%s %s: %q", args[0], to, got)
			}
		}
	}
}

// TestStdioAmount: 100 MB come through, in both directions, to the last byte.
func TestStdioAmount(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("cat"))
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * i >> 3)
	}
	in, err := os.Create(filepath.Join(c.dir, "in"))
	c.must(err)
	defer in.Close()
	const blocks = 100
	for range blocks {
		_, err := in.Write(block)
		c.must(err)
	}
	c.doCall(c.redirected("<in >out", c.with("run")...)).ok()
	out, err := os.Open(filepath.Join(c.dir, "out"))
	c.must(err)
	defer out.Close()
	st, err := out.Stat()
	c.must(err)
	if st.Size() != blocks<<20 {
		t.Fatalf("%d bytes, want %d", st.Size(), blocks<<20)
	}
	got := make([]byte, len(block))
	for i := range blocks {
		_, err := out.ReadAt(got, int64(i)<<20)
		c.must(err)
		if !bytes.Equal(got, block) {
			t.Fatalf("megabyte %d has other bytes", i)
		}
	}
}

// TestStdioEnds: whichever side ends first, the exit status is the program's.
func TestStdioEnds(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	c.file("in", strings.Repeat("line\n", 100000), 0o644)
	run := func(redirections, script string) result {
		t.Helper()
		return c.doCall(c.redirected(redirections, "exec", c.id, "sh", "-c", script))
	}
	run("<in", "wc -l; exit 4").exits(4).prints("100000")
	run("<in", "head -n 1; exit 5").exits(5).prints("line")
	run("<in", "exit 6").exits(6)
	run("<in", "exec >&- 2>&-; exit 7").exits(7)
	run("</dev/zero", "head -c 5 | wc -c; exit 8").exits(8).prints("5")
	run("0>empty", "cat; exit 9").exits(9).prints("")
	if !differs(t, "stdio in the foreground") {
		run("<in", "exec <&-; i=0; while test $i -lt 2000; do i=$((i+1)); done; echo done; exit 10").exits(10).prints("done")
	}
}

// TestStdioWriteError: what cannot be written is lost, with a warning. The program does not notice, and its exit status counts.
func TestStdioWriteError(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	run := func(script string) result {
		t.Helper()
		return c.doCall(c.redirected(">/dev/full", "exec", c.id, "sh", "-c", script))
	}
	run("echo lost; exit 7").exits(7)
	if differs(t, "stdio in the foreground") {
		return
	}
	r := run("i=0; while test $i -lt 5000; do echo a line of some length, to fill the pipe more than once; i=$((i+1)); done; exit 7").exits(7)
	if r.says("warning: write to stdout: no space left on device").oneError(); strings.Contains(r.stderr, "broken pipe") {
		t.Error(r)
	}
}

// TestStdioBackground: a process that the program leaves behind can write as long as it has the pipe open, and exec waits for it.
func TestStdioBackground(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable).up()
	const left = "(until test -e /go; do usleep 1000; done; echo late) & echo now; exit 3"
	r := c.begin(call{args: []string{"exec", c.id, "sh", "-c", left}})
	eventually(t, "the first line", func() bool { return readAll(t, r.stdout) == "now\n" })
	c.must(os.WriteFile(filepath.Join(c.rootfs, "go"), nil, 0o644))
	r.wait().exits(3).prints("now\nlate")
}

// TestStdioBackgroundSignal: a signal ends the wait for what a program has left behind; the exit status is the program's.
func TestStdioBackgroundSignal(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stdio in the foreground")
	c := newContainer(t, writable).up()
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		c.must(os.RemoveAll(filepath.Join(c.rootfs, "pid")))
		r := c.begin(call{args: []string{"exec", c.id, "sh", "-c", "sleep 1000 & echo $$ >/pid; exit 3"}})
		// The program ignores what it gets before it has ended, if it gets it.
		var pid string
		eventually(t, "the program's end", func() bool {
			data, _ := os.ReadFile(filepath.Join(c.rootfs, "pid"))
			pid = strings.TrimSpace(string(data))
			return pid != "" && c.exec("test", "-e", "/proc/"+pid).code != 0
		})
		c.must(r.cmd.Process.Signal(sig))
		r.wait().exits(3)
	}
}

// TestStdioOffset: what the program has not read of a file is left for the next one.
func TestStdioOffset(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stdio in the foreground")
	c := newContainer(t).up()
	c.file("in", "1\n2\n3\n", 0o644)
	loop := call{prefix: []string{"/bin/sh", "-c", `while read line; do "$@" "$line"; done <in`, "sh"}, args: []string{"exec", c.id, "echo"}}
	c.doCall(loop).ok().prints("1\n2\n3")
	loop.args = []string{"exec", c.id, "sh", "-c", `usleep 100000; echo "$1"`, "sh"} // all has been copied before the program ends
	c.doCall(loop).ok().prints("1\n2\n3")
	c.file("big", strings.Repeat("0123456789abcde\n", 100000), 0o644)
	half := call{prefix: []string{"/bin/sh", "-c", `{ "$@" 2>/dev/null; wc -l; } <big`, "sh"}, args: []string{"exec", c.id, "dd", "bs=16", "count=30000", "of=/dev/null"}}
	c.doCall(half).ok().prints("70000")
}

// TestStdioOffsetShared: what another process in the container can still read of the pipe is its.
func TestStdioOffsetShared(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stdio in the foreground")
	c := newContainer(t, writable).up()
	c.file("in", strings.Repeat("0123456789abcde\n", 1000), 0o644)
	left := "exec 3<&0; (until test -e /go; do usleep 1000; done; exec cat <&3 >/rest) >/dev/null 2>&1 & head -c 16 >/dev/null; exit 0"
	r := c.doCall(call{prefix: []string{"/bin/sh", "-c", `{ "$@"; wc -c; } <in`, "sh"}, args: []string{"exec", c.id, "sh", "-c", left}})
	r.ok().prints("0")
	c.must(os.WriteFile(filepath.Join(c.rootfs, "go"), nil, 0o644))
	eventually(t, "the rest is read in the container", func() bool {
		st, err := os.Stat(filepath.Join(c.rootfs, "rest"))
		return err == nil && st.Size() > 0 && st.Size()%16 == 0
	})
}

// TestStdioPassed: pipes are passed on, the null device becomes the container's own, and nothing else is.
func TestStdioPassed(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stdio in the foreground")
	c := newContainer(t).up()
	r, w, err := os.Pipe()
	c.must(err)
	defer w.Close()
	defer r.Close()
	var st unix.Stat_t
	c.must(unix.Fstat(int(r.Fd()), &st))
	c.do(call{args: []string{"exec", c.id, "stat", "-L", "-c", "%i", "/proc/self/fd/0"}, stdin: r}).ok().prints(strconv.FormatUint(st.Ino, 10))
	c.exec("sh", "-c", `test "$(stat -L -c %d:%i /proc/self/fd/0)" = "$(stat -c %d:%i /dev/null)" && stat -L -c %F /proc/self/fd/1 /proc/self/fd/2`).ok().prints("fifo\nfifo")
}

// TestStdioOpenAgain: the user can open /dev/stderr again, with a user namespace too.
func TestStdioOpenAgain(t *testing.T) {
	t.Parallel()
	user := func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }
	const text = "echo out >/dev/stdout; echo err >/dev/stderr; cat </dev/stdin"
	for _, c := range []*container{newContainer(t, user, script(text)), newMapped(t, user, script(text))} {
		c.file("in", "in\n", 0o600)
		if r := c.doCall(c.redirected("<in", c.with("run")...)).ok().prints("out\nin"); r.stderr != "err\n" {
			t.Errorf("stderr: %s", r)
		}
		c.spec.Process.Args = []string{"sleep", "1000"}
		c.write()
		c.up()
		if r := c.doCall(c.redirected("<in", "exec", c.id, "sh", "-c", text)).ok().prints("out\nin"); r.stderr != "err\n" {
			t.Errorf("stderr of exec: %s", r)
		}
	}
}

// TestStdioTerminal: of the lines that are typed at a terminal that is not the container's, no more is read than the program
// takes, but for one.
func TestStdioTerminal(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stdio in the foreground")
	c := newContainer(t, writable).up()
	term := openPty(t)
	const lines = "1\n2\n3\n4\n5\n6\n"
	term.types(lines)
	c.do(call{args: []string{"exec", c.id, "sh", "-c", "read a; read b; echo $a $b >/tmp/read 2>&1 || echo $a $b"}, stdin: term.slave}).ok()
	left, err := unix.IoctlGetInt(int(term.slave.Fd()), unix.TIOCINQ)
	c.must(err)
	if left != len("3\n4\n5\n6\n") && left != len("4\n5\n6\n") {
		t.Errorf("of %q the program has read two lines, and %d bytes are left", lines, left)
	}
}

// TestStdioBackgroundJob: in the background of a terminal nothing is read from it, and rt is not stopped.
func TestStdioBackgroundJob(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stdio in the foreground")
	c := newContainer(t, writable).up()
	term := openPty(t)
	r := begin(t, c.dir, c.root, call{prefix: []string{"/bin/sh", "-mc", `"$@" & wait $!; echo status=$?`, "sh"}, tty: term.slave,
		args: []string{"exec", c.id, "sh", "-c", ": >/up; until test -e /go; do usleep 1000; done; echo out; exit 3"}})
	eventually(t, "the program", func() bool { _, err := os.Stat(filepath.Join(c.rootfs, "up")); return err == nil })
	const line = "for the shell\n"
	term.types(line)
	left := func() int {
		n, err := unix.IoctlGetInt(int(term.slave.Fd()), unix.TIOCINQ)
		c.must(err)
		return n
	}
	eventually(t, "the line has been typed", func() bool { return left() == len(line) })
	c.must(os.WriteFile(filepath.Join(c.rootfs, "go"), nil, 0o644))
	r.wait().ok()
	term.shows("out")
	term.shows("status=3")
	if n := left(); n != len(line) {
		t.Errorf("of %d bytes typed %d are left", len(line), n)
	}
}

// TestStdioDetached: a detached container keeps the caller's terminal, of which there is a warning.
func TestStdioDetached(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stdio of a detached container")
	c := newContainer(t)
	term := openPty(t)
	r := c.do(call{args: c.with("run", "--detach"), stdin: term.slave}).ok()
	r.says("warning: stdin: a detached container keeps the caller's terminal").oneError()
	if link, err := os.Readlink("/proc/" + pidText(c.pid()) + "/fd/0"); err != nil || !strings.Contains(link, "pts/") {
		t.Errorf("stdin is %q, %v", link, err)
	}
}
