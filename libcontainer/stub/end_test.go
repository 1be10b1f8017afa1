package stub

import (
	"errors"
	"io"
	"os/exec"
	"testing"

	"rt/internal/sys"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestExitReason: what the container's process reported before it ended is why it ended, and not that rt found no process any more.
func TestExitReason(t *testing.T) {
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
			s, f := newFake(t)
			s.pid = child.Process.Pid
			if c.says {
				f.say(nsenter.ReplyError, 1, int(unix.ECHILD), "")
			}
			f.end()
			if err := s.exitReason(c.err); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestAddSignal: an exec whose process has died says of what, if that was a signal.
func TestAddSignal(t *testing.T) {
	for script, want := range map[string]string{"kill -SEGV $$": ErrDied.Error() + ": segmentation fault", "exit 1": ErrDied.Error()} {
		child := exec.Command("sh", "-c", script)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		awaitEnd(t, child.Process.Pid)
		s := &Session{pid: child.Process.Pid}
		if err := s.AddSignal(ErrDied); err.Error() != want || !errors.Is(err, ErrDied) || s.pid != 0 {
			t.Errorf("%s: %v, pid %d", script, err, s.pid)
		}
	}
	if err := (&Session{pid: 1}).AddSignal(unix.EINVAL); err != unix.EINVAL {
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
		s := &Session{program: child.Process.Pid, filter: filter}
		if err := s.checkProgram(); (err == nil) != runs {
			t.Errorf("%s: %v, want the program to have begun: %v", action, err, runs)
		}
	}
}
