package stub

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"rt/libcontainer/plan"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// A recorder is rt's part, written down.
type recorder struct {
	None
	calls []string
	err   error // of each
}

func (r *recorder) note(format string, args ...any) error {
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
	return r.err
}

func (r *recorder) Born(int) error          { return r.note("born") }
func (r *recorder) Join(int) error          { return r.note("join") }
func (r *recorder) Sync(point, _ int) error { return r.note("sync %d", point) }
func (r *recorder) Stalled(int) error       { return r.note("stalled") }

// A fake is the stub's end of the conversation.
type fake struct {
	t  *testing.T
	fd int
}

// newFake returns a session of a plan with two steps, and a stub that does nothing by itself.
func newFake(t *testing.T) (*Session, *fake) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &plan.Plan{Items: []plan.Item{{Step: nsenter.Setsid{}}, {Step: nsenter.Sync{Point: nsenter.SyncReady}}}}
	s, f := Connect(os.NewFile(uintptr(pair[0]), "stub"), p, 0, nil), &fake{t, pair[1]}
	t.Cleanup(s.Close)
	t.Cleanup(f.end)
	return s, f
}

// end closes the stub's end, as execve and death do.
func (f *fake) end() {
	if f.fd >= 0 {
		unix.Close(f.fd)
		f.fd = -1
	}
}

// say sends a message (nsenter/wire.go).
func (f *fake) say(kind nsenter.ReplyType, left, value int, text string, files ...*os.File) {
	f.t.Helper()
	message := make([]byte, 256)
	for i, n := range []uint32{uint32(kind), uint32(left), uint32(value), uint32(len(text))} {
		binary.NativeEndian.PutUint32(message[4*i:], n)
	}
	copy(message[16:], text)
	var rights []byte
	for _, file := range files {
		rights = unix.UnixRights(int(file.Fd()))
	}
	if err := unix.Sendmsg(f.fd, message, rights, nil, unix.MSG_NOSIGNAL); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) sync(point int) { f.say(nsenter.ReplySync, 1, point, "") }

// answers counts what rt has sent since.
func (f *fake) answers() (n int) {
	for buf := make([]byte, 256); ; n++ {
		if _, _, err := unix.Recvfrom(f.fd, buf, unix.MSG_DONTWAIT); err != nil {
			return n
		}
	}
}

// startChild starts a process that can be the container's.
func startChild(t *testing.T) *exec.Cmd {
	t.Helper()
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	return child
}

// TestUntil: rt does its part at each point on the way and lets the stub go on; at the last one the stub waits.
func TestUntil(t *testing.T) {
	s, f := newFake(t)
	events := &recorder{}
	pid := startChild(t).Process.Pid
	f.say(nsenter.ReplyPid, 2, pid, "")
	f.sync(nsenter.SyncMapIDs)
	f.sync(nsenter.SyncCgroup)
	f.sync(nsenter.SyncReady)
	if err := s.Until(nsenter.SyncReady, events); err != nil {
		t.Fatal(err)
	}
	want := []string{"born", fmt.Sprintf("sync %d", nsenter.SyncMapIDs), "join"}
	if !slices.Equal(events.calls, want) || s.Pid() != pid {
		t.Errorf("%q, want %q; pid %d, want %d", events.calls, want, s.Pid(), pid)
	}
	if n := f.answers(); n != 2 {
		t.Errorf("rt has let the stub go on %d times, want 2", n)
	}
	if err := s.Continue(); err != nil || f.answers() != 1 {
		t.Errorf("let the stub go on: %v", err)
	}
}

// TestEventFails: an error of rt's part is the session's, and the stub does not go on.
func TestEventFails(t *testing.T) {
	s, f := newFake(t)
	f.sync(nsenter.SyncMapIDs)
	if err := s.Until(nsenter.SyncReady, &recorder{err: unix.EPERM}); err != unix.EPERM || f.answers() != 0 {
		t.Errorf("got %v, want %v", err, unix.EPERM)
	}
}

// TestNone: what a plan should not ask for is an error.
func TestNone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for want, say := range map[string]func(*fake){
		"waits at sync point":    func(f *fake) { f.sync(nsenter.SyncHooks) },
		"moved into its cgroup":  func(f *fake) { f.sync(nsenter.SyncCgroup) },
		"that nobody asked for":  func(f *fake) { f.say(nsenter.ReplyFd, 1, 1, "", r); f.sync(nsenter.SyncFiltered) },
		"a second listener":      func(f *fake) { f.say(nsenter.ReplyFd, 1, 1, "", r); f.say(nsenter.ReplyFd, 1, 1, "", r) },
		"sent no descriptor":     func(f *fake) { f.say(nsenter.ReplyFd, 1, 0, "") },
		"is not the pid":         func(f *fake) { f.say(nsenter.ReplyPid, 1, os.Getpid(), "") },
		"start a session: c: no": func(f *fake) { f.say(nsenter.ReplyError, 2, int(unix.ENOENT), "c") },
	} {
		s, f := newFake(t)
		say(f)
		if err := s.Until(nsenter.SyncReady, None{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		s.Abandon()
	}
}

// TestTakeTerminal: the terminal's master has one owner.
func TestTakeTerminal(t *testing.T) {
	s, f := newFake(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f.say(nsenter.ReplyFd, 1, 0, "/dev/pts/0", r)
	r.Close()
	f.sync(nsenter.SyncReady)
	if err := s.Until(nsenter.SyncReady, None{}); err != nil {
		t.Fatal(err)
	}
	master := s.TakeTerminal()
	if master == nil || master.Name() != "/dev/pts/0" || s.TakeTerminal() != nil {
		t.Fatalf("got %v", master)
	}
	s.Abandon()
	if err := master.Close(); err != nil {
		t.Errorf("the session has closed the caller's terminal: %v", err)
	}
}

// TestExecute: the end of the conversation is the program's beginning, if the stub has announced it.
func TestExecute(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(*fake)
		want error
	}{
		"announced":         {func(f *fake) { f.sync(nsenter.SyncExec) }, nil},
		"dead":              {func(*fake) {}, io.EOF},
		"execve has failed": {func(f *fake) { f.sync(nsenter.SyncExec); f.say(nsenter.ReplyNoProgram, 0, int(unix.ENOEXEC), "") }, nil},
		"a step has failed": {func(f *fake) { f.say(nsenter.ReplyError, 2, int(unix.EPERM), "") }, unix.EPERM},
	} {
		s, f := newFake(t)
		c.say(f)
		f.end()
		if err := s.Execute(None{}); err != c.want && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestContinueAfterDeath: a process that has died cannot go on.
func TestContinueAfterDeath(t *testing.T) {
	s, f := newFake(t)
	f.end()
	if err := s.Continue(); err != io.EOF {
		t.Errorf("got %v, want the end of the conversation", err)
	}
}

// TestStalled: rt is asked about a stub that is silent, and its error ends the wait.
func TestStalled(t *testing.T) {
	s, _ := newFake(t)
	if err := s.LimitSilence(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	events := &recorder{err: unix.EBUSY}
	if err := s.Until(nsenter.SyncReady, events); err != unix.EBUSY || !slices.Equal(events.calls, []string{"stalled"}) {
		t.Errorf("%v after %q", err, events.calls)
	}
}

// TestMounts: ids and targets belong together, as far as there are both.
func TestMounts(t *testing.T) {
	s := &Session{plan: &plan.Plan{}, mounts: []uint64{7}}
	if list := s.Mounts(); len(list) != 0 {
		t.Errorf("%v of a plan without mounts", list)
	}
}

// TestRetryMoved: only a process that was killed at its birth is made again, and once.
func TestRetryMoved(t *testing.T) {
	for name, c := range map[string]struct {
		moved   bool
		results []error
		want    error
	}{
		"works":           {false, []error{nil}, nil},
		"fails":           {false, []error{unix.EPERM}, unix.EPERM},
		"killed":          {false, []error{ErrKilledAtBirth, nil}, nil},
		"killed, fails":   {false, []error{ErrKilledAtBirth, unix.EPERM}, unix.EPERM},
		"killed twice":    {false, []error{ErrKilledAtBirth, ErrKilledAtBirth}, ErrKilledAtBirth},
		"moved, and dead": {true, []error{ErrKilledAtBirth}, ErrKilledAtBirth},
	} {
		calls, moved := 0, c.moved
		err := RetryMoved(&moved, func() error { calls++; return c.results[calls-1] })
		if err != c.want || calls != len(c.results) || moved != (c.moved || calls == 2) {
			t.Errorf("%s: %v after %d calls, moved %v", name, err, calls, moved)
		}
	}
}

// TestRecordPid: an attacker who controls the stub names a process of the host; rt must not move, map or kill it.
func TestRecordPid(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	for _, pid := range []int{1, 0, -1, os.Getpid(), os.Getppid(), 1 << 22} {
		events := &recorder{}
		s := &Session{events: events}
		if err := s.recordPid(pid); err == nil || s.pid != 0 || len(events.calls) > 0 {
			t.Errorf("%d is taken for the container's process: %v", pid, err)
		}
	}
	s := &Session{events: None{}}
	if err := s.recordPid(child.Process.Pid); err != nil || s.pid != child.Process.Pid {
		t.Error(err)
	}
	if err := s.recordPid(child.Process.Pid); err == nil {
		t.Error("a second pid is taken")
	}
}
