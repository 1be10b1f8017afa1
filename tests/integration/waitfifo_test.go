package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// fifo makes a FIFO on the host.
func (c *container) fifo(name string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	c.must(unix.Mkfifo(path, 0o600))
	return path
}

// readFIFO reads a FIFO to its end: it begins when a process has it open, and ends when none has.
func (c *container) readFIFO(path string) string {
	c.t.Helper()
	f, err := os.Open(path)
	c.must(err)
	defer f.Close()
	c.must(f.SetReadDeadline(time.Now().Add(patience)))
	text := make([]byte, 0, 8)
	for {
		n, err := f.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if err != nil || len(text) == cap(text) {
			return string(text)
		}
	}
}

// held starts a detached exec that waits at a FIFO, and gives the FIFO and the pid.
func (c *container) held(flags []string, cmd ...string) (fifo string, pid int) {
	c.t.Helper()
	fifo, pidFile := filepath.Join(c.dir, "fifo"), filepath.Join(c.dir, "held.pid")
	_ = os.Remove(fifo)
	c.fifo("fifo")
	if c.prefix != nil {
		c.must(os.Chown(fifo, ordinary, ordinary))
	}
	c.execWith(append([]string{"--detach", "--pid-file", pidFile, "--exec-wait-fifo", fifo}, flags...), cmd...).ok()
	pid = mustAtoi(c.t, c.read("held.pid"))
	if comm := strings.TrimSpace(procFile(c.t, pid, "comm")); comm != "rt:[stub]" {
		c.t.Errorf("before the FIFO is read the process is %s", comm)
	}
	return fifo, pid
}

// TestExecWaitFIFO: the program comes when a byte of the FIFO has been read, not before and not without it.
func TestExecWaitFIFO(t *testing.T) {
	t.Parallel()
	rtOnly(t, "exec --exec-wait-fifo")
	for name, edit := range map[string]func(*specs.Spec){
		"plain":              func(*specs.Spec) {},
		"ordinary user":      func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} },
		"filter":             waitFilter(false),
		"filter, privileges": waitFilter(true),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, writable, edit)
			c.must(os.Chmod(c.rootfs, 0o777))
			c.up()
			fifo, pid := c.held(nil, "sh", "-c", "probe fds >/out; exit 7")
			f, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0) // to open it is not enough
			c.must(err)
			for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGCONT} { // nor is an interruption
				c.must(unix.Kill(pid, sig))
			}
			eventually(t, "the process to sleep again", func() bool { return strings.HasPrefix(value(procFile(t, pid, "status"), "State"), "S") })
			f.Close()
			if exists(filepath.Join(c.rootfs, "out")) || !strings.HasPrefix(procFile(t, pid, "comm"), "rt:[") {
				t.Fatal("the program runs before the FIFO is read")
			}
			if got := c.readFIFO(fifo); got != "\x00" {
				t.Errorf("read %q from the FIFO", got)
			}
			if code := reap(t, pid); code != 7 {
				t.Errorf("exit status %d", code)
			}
			if got := c.read("b/rootfs/out"); strings.TrimSpace(got) != "0\n1\n2" {
				t.Errorf("descriptors of the program: %q", got)
			}
		})
	}
}

// waitFilter kills what makes a call that nobody needs here; with no_new_privs it is loaded last of all.
func waitFilter(noNewPrivs bool) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Process.NoNewPrivileges = noNewPrivs
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
			Syscalls: []specs.LinuxSyscall{{Names: []string{"restart_syscall", "poll", "select", "pselect6", "sendmsg", "recvmsg", "sendto", "recvfrom"}, Action: specs.ActKillProcess}}}
	}
}

// TestExecWaitFIFOForeground: rt stays, passes on signals, and tells what went wrong behind the FIFO.
func TestExecWaitFIFOForeground(t *testing.T) {
	t.Parallel()
	rtOnly(t, "exec --exec-wait-fifo")
	c := newContainer(t).up()
	fifo, pidFile := c.fifo("fifo"), filepath.Join(c.dir, "pid")
	begin := func(cmd ...string) *running {
		_ = os.Remove(pidFile)
		r := c.begin(call{args: append([]string{"exec", "--pid-file", pidFile, "--exec-wait-fifo", fifo, c.id}, cmd...)})
		c.awaitFile("pid")
		return r
	}
	r := begin("sh", "-c", "echo ran; exit 9")
	c.readFIFO(fifo)
	r.wait().exits(9).prints("ran")

	c.file("b/rootfs/bin/rubbish", "\x7fELFrubbish", 0o755)
	r = begin("rubbish")
	c.readFIFO(fifo)
	wantLine(t, r.wait().exits(255).stderr, "/bin/rubbish", "exec format error")

	r = begin("sleep", "900")
	c.must(unix.Kill(r.cmd.Process.Pid, unix.SIGTERM))
	r.wait().exits(128 + 15).prints("")

	term := openPty(t)
	_ = os.Remove(pidFile)
	tty := c.begin(call{args: []string{"exec", "-t", "--pid-file", pidFile, "--exec-wait-fifo", fifo, c.id, "sh"}, tty: term.slave})
	c.awaitFile("pid")
	c.readFIFO(fifo)
	term.shows("/ # ")
	term.types("exit 3\n")
	tty.wait().exits(3)

	r = begin("sleep", "900") // what ends the container ends it
	c.stopped()
	r.wait().exits(128 + 9)
}

// TestExecWaitFIFOEnd: a process that ends while it waits is the end of the FIFO; a detached one whose program cannot be
// executed exits with 255.
func TestExecWaitFIFOEnd(t *testing.T) {
	t.Parallel()
	rtOnly(t, "exec --exec-wait-fifo")
	c := newContainer(t).up()
	c.file("b/rootfs/bin/rubbish", "\x7fELFrubbish", 0o755)
	fifo, pid := c.held(nil, "rubbish")
	c.readFIFO(fifo)
	if code := reap(t, pid); code != 255 {
		t.Errorf("exit status %d", code)
	}
	_, pid = c.held(nil, "sleep", "900")
	c.kill("KILL").ok()
	if code := reap(t, pid); code != 128+9 {
		t.Errorf("exit status %d", code)
	}
	c.awaitStatus("stopped")
	f, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	c.must(err)
	defer f.Close()
	if n, err := f.Read(make([]byte, 8)); n != 0 {
		t.Errorf("the FIFO of a dead process has %d bytes, %v", n, err)
	}
	c.delete().ok()
}

// TestExecWaitFIFOHandOver: terminal and pidfd are there while the process waits.
func TestExecWaitFIFOHandOver(t *testing.T) {
	t.Parallel()
	rtOnly(t, "exec --exec-wait-fifo")
	c := newContainer(t).up()
	socket := c.consoleSocket()
	fifo, pid := c.held([]string{"--tty", "--console-socket", socket.path}, "sh")
	term, _ := socket.receive()
	if got := c.readFIFO(fifo); got != "\x00" {
		t.Errorf("read %q from the FIFO", got)
	}
	term.shows("/ # ")
	term.types("exit 4\n")
	if code := reap(t, pid); code != 4 {
		t.Errorf("exit status %d", code)
	}
	socket.listener.Close()
	socket = c.consoleSocket()
	_, pid = c.held([]string{"--pidfd-socket", socket.path}, "true")
	fd, _ := socket.receive()
	c.must(unix.PidfdSendSignal(int(fd.master.Fd()), unix.SIGKILL, nil, 0))
	if code := reap(t, pid); code != 128+9 {
		t.Errorf("exit status %d", code)
	}
}

// TestExecWaitFIFOUserNamespace: the FIFO is the host's, whoever the process is.
func TestExecWaitFIFOUserNamespace(t *testing.T) {
	t.Parallel()
	rtOnly(t, "exec --exec-wait-fifo")
	for name, c := range map[string]*container{"mapped": newMapped(t), "rootless": newRootless(t)} {
		c.up()
		fifo, pid := c.held(nil, "sh", "-c", "exit 6")
		c.readFIFO(fifo)
		if code := reap(t, pid); code != 6 {
			t.Errorf("%s: exit status %d", name, code)
		}
	}
}

func TestExecWaitFIFOErrors(t *testing.T) {
	t.Parallel()
	rtOnly(t, "exec --exec-wait-fifo")
	c := newContainer(t).up()
	full := c.fifo("full")
	f, err := os.OpenFile(full, os.O_RDWR, 0)
	c.must(err)
	defer f.Close()
	if _, err := f.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		c.file("file", "", 0o600): "not a FIFO", "/dev/null": "not a FIFO", c.dir: "not a FIFO",
		filepath.Join(c.dir, "none"): "no such file or directory", full: "somebody has written 100 bytes into it",
	} {
		c.execWith([]string{"--exec-wait-fifo", path}, "true").exits(255).says(text).oneError()
	}
	c.execWith([]string{"--exec-wait-fifo", c.fifo("fifo")}, "no-such-program").exits(255).says("executable file not found in $PATH").oneError()
	if procs := c.processes(); len(procs) != 1 {
		t.Errorf("processes left: %v", procs)
	}
}
