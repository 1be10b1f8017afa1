package libcontainer

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"rt/internal/sys"
	"rt/libcontainer/plan"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestBorn: who got hold of the stub names a process of the host; rt must not move, map or kill it.
func TestBorn(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	for _, pid := range []int{1, 0, -1, os.Getpid(), os.Getppid(), 1 << 22} {
		told := false
		in := &inside{onPid: func() error { told = true; return nil }}
		if err := in.born(pid); err == nil || in.pid != 0 || told {
			t.Errorf("%d is taken for the container's process: %v", pid, err)
		}
	}
	in := &inside{}
	if err := in.born(child.Process.Pid); err != nil || in.pid != child.Process.Pid {
		t.Error(err)
	}
	if err := in.born(child.Process.Pid); err == nil {
		t.Error("a second pid is taken")
	}
}

// TestOpenCgroupInPlace: where the container's cgroup is gone, the error is why the other one could not be opened, unless there is none.
func TestOpenCgroupInPlace(t *testing.T) {
	gone := plan.Input{Kind: plan.CgroupDir, Path: t.TempDir() + "/gone"}
	for _, reason := range []error{unix.EMFILE, unix.EIO, unix.EACCES, unix.ENOENT} {
		_, err := openInput(gone, func(plan.Input) (*os.File, error) { return nil, reason }, &idMaps{})
		if !errors.Is(err, reason) || reason == unix.ENOENT && !strings.Contains(err.Error(), gone.Path) {
			t.Errorf("%v: got %v", reason, err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if f, err := openInput(gone, func(plan.Input) (*os.File, error) { return r, nil }, &idMaps{}); err != nil || f != r {
		t.Errorf("the other one: %v, %v", f, err)
	}
}

// TestTakeListener: what is no seccomp listener is not handed on, whatever the stub says.
func TestTakeListener(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, fd := range []int{int(r.Fd()), 0, -1, 1 << 20} {
		if f, err := takeListener(os.Getpid(), fd); err == nil {
			f.Close()
			t.Errorf("descriptor %d is taken for a listener", fd)
		}
	}
}

// TestLastWords: what the container's process said before it ended is why it ended; that rt found no process any more is not.
func TestLastWords(t *testing.T) {
	for name, c := range map[string]struct {
		program string
		says    bool
		err     error
		want    error
	}{
		"an error that waits":        {"exit 1", true, unix.ENOENT, unix.ECHILD},
		"dead without a word":        {"exit 1", false, unix.ENOENT, unix.ENOENT},
		"killed while it waited":     {"exit 1", false, unix.EPIPE, io.EOF},
		"alive, and rt is to blame":  {"sleep 60", false, unix.ENOENT, unix.ENOENT},
		"alive, whatever was to say": {"sleep 60", true, unix.ENOENT, unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			child := exec.Command("sh", "-c", c.program)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
			for dead := c.program != "exit 1"; !dead; { // a zombie, as the test's is the only wait
				_, dead, _ = sys.StartTime(child.Process.Pid)
			}
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			in := &inside{stub: nsenter.Connect(os.NewFile(uintptr(pair[0]), "stub")), pid: child.Process.Pid}
			defer in.stub.Close()
			in.plan = &plan.Plan{Items: []plan.Item{{Step: nsenter.NoNewPrivs{}}}}
			if c.says {
				sayError(t, pair[1], 1, int(unix.ECHILD))
			}
			unix.Close(pair[1])
			if err := in.lastWords(c.err); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// sayError sends what a stub sends when a step has failed.
func sayError(t *testing.T, fd, left, errno int) {
	t.Helper()
	message := make([]byte, 256) // nsenter/wire.go
	for i, n := range []uint32{uint32(nsenter.ReplyError), uint32(left), uint32(errno), 0} {
		binary.NativeEndian.PutUint32(message[4*i:], n)
	}
	if err := unix.Send(fd, message, unix.MSG_NOSIGNAL); err != nil {
		t.Fatal(err)
	}
}

// TestKilledEarly: what ends a process on its way to the program is an exit status of run.
func TestKilledEarly(t *testing.T) {
	for _, signal := range []syscall.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGSEGV} {
		child := exec.Command("sleep", "60")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if err := child.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		k := &making{c: &container{state: state{Pid: child.Process.Pid}}, in: &inside{pid: child.Process.Pid}}
		status, killed := k.killedEarly(errDied)
		if !killed || status != 128+int(signal) || k.in.pid != 0 {
			t.Errorf("%v: %d, %v, pid %d", signal, status, killed, k.in.pid)
		}
	}
	if _, killed := (&making{detached: true}).killedEarly(errDied); killed {
		t.Error("nobody waits for the status of a detached container")
	}
	if _, killed := (&making{}).killedEarly(unix.EINVAL); killed {
		t.Error("any error is taken for a signal")
	}
}

// TestPostmortem: an exec whose process has died says of what, if that was a signal.
func TestPostmortem(t *testing.T) {
	for script, want := range map[string]string{"kill -SEGV $$": errDied.Error() + ": segmentation fault", "exit 1": errDied.Error()} {
		child := exec.Command("sh", "-c", script)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		awaitEnd(t, child.Process.Pid)
		in := &inside{pid: child.Process.Pid}
		if err := in.postmortem(errDied); err.Error() != want || !errors.Is(err, errDied) || in.pid != 0 {
			t.Errorf("%s: %v, pid %d", script, err, in.pid)
		}
	}
	if err := (&inside{pid: 1}).postmortem(unix.EINVAL); err != unix.EINVAL {
		t.Errorf("another error: %v", err)
	}
}

// awaitEnd waits until a child is a zombie.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	if err := sys.Retry(func() error { return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) }); err != nil {
		t.Fatal(err)
	}
}

// TestProgramReapedEarly: the conversation is over, and the process has ended and been reaped before rt looks. A filter that denies
// execve itself says that there was no program; an agent has most likely allowed it.
func TestProgramReapedEarly(t *testing.T) {
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	for action, runs := range map[specs.LinuxSeccompAction]bool{
		specs.ActLog: true, specs.ActNotify: true,
		specs.ActTrace: false, specs.ActErrno: false, specs.ActKillProcess: false, specs.ActTrap: false,
	} {
		filter := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/agent.sock",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"execve"}, Action: action}}}
		in := &inside{program: child.Process.Pid, spec: &specs.Spec{Linux: &specs.Linux{Seccomp: filter}}}
		if err := in.isProgram(); (err == nil) != runs {
			t.Errorf("%s: %v, want the program to have begun: %v", action, err, runs)
		}
	}
}
