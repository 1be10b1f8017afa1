package nsenter_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// The tests of the steps start the real stub, let it run a plan, and look at what it did: through /proc/PID while
// it waits at a sync point, or by what a program says that it then executes (busybox).

type (
	step  = nsenter.Step
	steps = []nsenter.Step
)

// sandbox is what most tests need new: nothing they do is seen outside.
const sandbox = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// stop is where a test looks at the process.
var stop = nsenter.Sync{Point: nsenter.SyncReady}

// A box is a started stub and the process that it becomes.
type box struct {
	t      *testing.T
	stub   *nsenter.Stub
	pid    int // of the container's process; 0 before it is known
	output *os.File
	total  int                     // steps
	late   []*nsenter.Reply        // heard while waiting for the pid
	status map[int]unix.WaitStatus // of those reaped
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces and mounts are made")
	}
}

// start starts a stub with a plan. What is still there of it when the test ends is killed.
func start(t *testing.T, plan steps, files ...*os.File) *box {
	t.Helper()
	needRoot(t)
	return startExtra(t, 0, plan, files...)
}

func startExtra(t *testing.T, extra int, plan steps, files ...*os.File) *box {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	output, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	b := startStdio(t, nsenter.Stdio{null, output, output}, extra, plan, files...)
	b.output = output
	return b
}

func startStdio(t *testing.T, stdio nsenter.Stdio, extra int, plan steps, files ...*os.File) *box {
	t.Helper()
	needRoot(t)
	stub, err := nsenter.Start(stdio, extra)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, stub: stub, total: len(plan), status: map[int]unix.WaitStatus{}}
	t.Cleanup(b.end)
	plan, files = openRootfs(t, plan, files)
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = -1
		if f != nil {
			fds[i] = int(f.Fd())
		}
	}
	if err := stub.SendPlan(plan, len(files), fds); err != nil {
		t.Fatal(err)
	}
	return b
}

// end ends the processes of a box. One that crashed fails the test.
func (b *box) end() {
	b.t.Helper()
	b.stub.Close()
	b.output.Close()
	for _, pid := range []int{b.stub.Pid, b.pid} {
		if pid == 0 {
			continue
		}
		if ws := b.reap(pid, true); ws.Signaled() && ws.Signal() != unix.SIGKILL {
			b.t.Errorf("process %d was ended by %v", pid, ws.Signal())
		}
	}
}

// reap waits for a child, once; kill ends it first.
func (b *box) reap(pid int, kill bool) unix.WaitStatus {
	b.t.Helper()
	if ws, ok := b.status[pid]; ok {
		return ws
	}
	if kill { // its own end is at hand when the conversation is over; only who waits for something else is killed
		deadline := time.AfterFunc(2*time.Second, func() { _ = unix.Kill(pid, unix.SIGKILL) })
		defer deadline.Stop()
	}
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &ws, 0, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			b.t.Errorf("wait for %d: %v", pid, err)
			break
		}
	}
	b.status[pid] = ws
	return ws
}

// next is the next reply that is not about a pid, which is kept. nil: the conversation is over.
func (b *box) next() *nsenter.Reply {
	b.t.Helper()
	if len(b.late) > 0 {
		r := b.late[0]
		b.late = b.late[1:]
		return r
	}
	for {
		r := b.receive()
		if r == nil || r.Type != nsenter.ReplyPid {
			return r
		}
		b.pid = r.Value
	}
}

func (b *box) receive() *nsenter.Reply {
	b.t.Helper()
	hung := time.AfterFunc(2*time.Minute, func() {
		for _, pid := range []int{b.stub.Pid, b.pid} {
			if pid != 0 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	})
	defer hung.Stop()
	r, err := b.stub.Receive()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// sync goes on to a sync point, which is left unanswered. The pid may be told after it: two processes talk.
func (b *box) sync(point int) *box {
	b.t.Helper()
	r := b.next()
	if r == nil {
		b.t.Fatalf("the stub ended before sync point %d\n%s", point, b.text())
	}
	if r.Type != nsenter.ReplySync || r.Value != point {
		b.t.Fatalf("wanted sync point %d, got %+v: %v", point, r, unix.Errno(r.Value))
	}
	if point != nsenter.SyncTime { // which comes before the clone
		b.proc("")
	}
	return b
}

// at is a path of the process's root, seen from outside.
func (b *box) at(path string) string { return b.proc("root/" + strings.TrimPrefix(path, "/")) }

func (b *box) proc(name string) string {
	b.t.Helper()
	for b.pid == 0 {
		r := b.receive()
		switch {
		case r == nil:
			b.t.Fatal("the stub ended and never told the pid")
		case r.Type == nsenter.ReplyPid:
			b.pid = r.Value
		default:
			b.late = append(b.late, r)
		}
	}
	return "/proc/" + strconv.Itoa(b.pid) + "/" + name
}

func (b *box) goOn() *box {
	b.t.Helper()
	if err := b.stub.Go(); err != nil {
		b.t.Fatal(err)
	}
	return b
}

// fails wants the step at index to be the one that fails, with this errno, in the call or for the reason text.
func (b *box) fails(index int, errno unix.Errno, text string) {
	b.t.Helper()
	r := b.next()
	if r == nil {
		b.t.Fatalf("no error, the stub ended\n%s", b.text())
	}
	if r.Type != nsenter.ReplyError || unix.Errno(r.Value) != errno || r.Text != text || r.Left != b.total-index {
		b.t.Errorf("got type %d, %v %q in step %d; wanted %v %q in step %d", r.Type, unix.Errno(r.Value), r.Text,
			b.total-r.Left, errno, text, index)
	}
	if r := b.next(); r != nil {
		b.t.Errorf("after the error there is more: %+v", r)
	}
	last := b.pid
	if last == 0 {
		last = b.stub.Pid
	}
	if ws := b.reap(last, false); !ws.Exited() || ws.ExitStatus() != 1 {
		b.t.Errorf("a stub that failed: status %#x", ws)
	}
}

// ends wants the plan's program to be executed and to end well, and returns what it wrote.
func (b *box) ends() string {
	b.t.Helper()
	for r := b.next(); r != nil; r = b.next() {
		if r.Type != nsenter.ReplySync {
			b.t.Fatalf("wanted the program, got %+v: %v", r, unix.Errno(r.Value))
		}
	}
	last := b.pid
	if last == 0 {
		last = b.stub.Pid
	}
	if ws := b.reap(last, false); ws != 0 {
		b.t.Errorf("the program: status %#x", ws)
	}
	return b.text()
}

func (b *box) text() string {
	data, err := os.ReadFile(b.output.Name())
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

// field is the rest of the line of /proc/PID/FILE that begins with name.
func (b *box) field(file, name string) string {
	b.t.Helper()
	for _, line := range strings.Split(read(b.t, b.proc(file)), "\n") {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	b.t.Errorf("no %q in %s", name, file)
	return ""
}

// rootfs makes a directory to be a container's root, with busybox and what args name: "d/" a directory, "f" an
// empty file, "l -> t" a symbolic link.
func rootfs(t *testing.T, args ...string) string {
	t.Helper()
	needRoot(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"bin", "proc", "dev", "tmp"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // for who is root in a user namespace only
	must(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), program, 0o755))
	for _, a := range args {
		path, target, isLink := strings.Cut(a, " -> ")
		full := filepath.Join(dir, path)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		switch {
		case isLink:
			must(t, os.Symlink(target, full))
		case strings.HasSuffix(path, "/"):
			must(t, os.MkdirAll(full, 0o755))
		default:
			must(t, os.WriteFile(full, nil, 0o644))
		}
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// open opens a file that goes with a plan.
func open(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// openRootfs opens the rootfs of a plan that has no slot for it, as rt does.
func openRootfs(t *testing.T, plan steps, files []*os.File) (steps, []*os.File) {
	t.Helper()
	plan, files = slices.Clone(plan), slices.Clone(files)
	for i, s := range plan {
		if attach, ok := s.(nsenter.AttachRoot); ok && attach.Tree == nsenter.NoSlot {
			attach.Tree = nsenter.Slot(len(files))
			plan[i], files = attach, append(files, openTree(t, attach.Path))
		}
	}
	return plan, files
}

// within is a plan up to the point where root is attached in namespaces of its own; that many steps are before more.
func within(root string, more ...step) steps {
	return append(steps{
		nsenter.Clone{Flags: sandbox, Cgroup: nsenter.NoSlot},
		nsenter.Propagation{Flags: unix.MS_REC | unix.MS_PRIVATE},
		nsenter.AttachRoot{Tree: nsenter.NoSlot, Propagation: unix.MS_PRIVATE, Path: root},
	}, more...)
}

const (
	before  = 3 // steps of within
	pivoted = before + 2
)

// inside is within, and root has become the root, with a procfs.
func inside(root string, more ...step) steps {
	return append(within(root,
		nsenter.MountFS{Type: "proc", Target: "/proc", Source: "proc"},
		nsenter.Pivot{},
	), more...)
}

// shell ends a plan in a shell command.
func shell(command string) step {
	return nsenter.ExecHost{Args: []string{"/bin/busybox", "sh", "-c", command}, Env: []string{"PATH=/bin"}}
}

// sh runs a shell command at the end of a plan, with busybox's commands as such, and returns its output.
func sh(t *testing.T, plan steps, command string, files ...*os.File) string {
	t.Helper()
	return strings.TrimSpace(start(t, append(plan, shell(command)), files...).ends())
}

func stat(t *testing.T, path string) *syscall.Stat_t {
	t.Helper()
	st := new(syscall.Stat_t)
	if err := syscall.Lstat(path, st); err != nil {
		t.Errorf("stat %s: %v", path, err)
	}
	return st
}
