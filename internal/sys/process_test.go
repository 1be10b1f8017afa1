package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"rt/tests/nofiles"

	"golang.org/x/sys/unix"
)

// firstThreadEnds makes the test binary a process whose first thread ends and whose others sleep.
const firstThreadEnds = "RT_TEST_FIRST_THREAD_ENDS"

func init() {
	if os.Getenv(firstThreadEnds) == "" {
		return
	}
	runtime.LockOSThread()   // in init that is the first thread
	go time.Sleep(time.Hour) // killed by the test
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
}

// start runs a program that ends with the test.
func start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestWait(t *testing.T) {
	for script, check := range map[string]func(unix.WaitStatus) bool{
		"exit 7":       func(ws unix.WaitStatus) bool { return ws.Exited() && ws.ExitStatus() == 7 },
		"kill -9 $$":   func(ws unix.WaitStatus) bool { return ws.Signaled() && ws.Signal() == unix.SIGKILL },
		"exec /bin/sh": func(ws unix.WaitStatus) bool { return ws.Exited() && ws.ExitStatus() == 0 },
	} {
		cmd := exec.Command("/bin/sh", "-c", script)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if ws, err := Wait(cmd.Process.Pid); err != nil || !check(ws) {
			t.Errorf("%s: %#x, %v", script, ws, err)
		}
		if _, err := Wait(cmd.Process.Pid); !errors.Is(err, unix.ECHILD) {
			t.Errorf("%s, waited for twice: %v", script, err)
		}
		_ = cmd.Process.Release()
	}
}

// TestStartTime: the command's name is in the middle of the line, and can look like the rest of it.
func TestStartTime(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	before := uptime(t)
	for _, name := range []string{"plain", "a) Z 1 2", "((", "))", "x y\nz", ") R 1 1 1 1 1"} {
		link := filepath.Join(t.TempDir(), name)
		if err := os.Symlink(sleep, link); err != nil {
			t.Fatal(err)
		}
		cmd := start(t, link, "60")
		awaitName(t, cmd.Process.Pid, name)
		got, dead, err := StartTime(cmd.Process.Pid)
		if err != nil || dead || got < before || got > uptime(t)+1 {
			t.Errorf("%q: %d, dead %v, %v; the machine is up since %d ticks", name, got, dead, err, before)
		}
		again, _, _ := StartTime(cmd.Process.Pid)
		if again != got {
			t.Errorf("%q: %d, then %d", name, got, again)
		}
	}
	if _, dead, err := StartTime(4194304); !errors.Is(err, os.ErrNotExist) || !dead {
		t.Errorf("no such process: dead %v, %v", dead, err)
	}
}

// uptime is in clock ticks, of which there are 100 a second for user space on every architecture of Linux.
func uptime(t *testing.T) uint64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		t.Fatal(err)
	}
	return uint64(ts.Nano()) / 10_000_000
}

// awaitName waits for execve, which gives the process its name.
func awaitName(t *testing.T, pid int, name string) {
	t.Helper()
	want := name[:min(len(name), 15)]
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.TrimSuffix(string(comm), "\n") == want {
			return
		}
	}
	t.Fatalf("process %d never became %q", pid, name)
}

// both names a process in the way of new kernels and of old ones.
func both(t *testing.T, pid int) map[string]Process {
	t.Helper()
	p, err := Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	old := p
	old.Inode = 0
	if p.Inode == 0 {
		return map[string]Process{"start time": old} // before Linux 6.9
	}
	p.Start++ // does not count
	return map[string]Process{"inode": p, "start time": old}
}

// is asks for a process in both ways.
func is(t *testing.T, p Process, want bool) {
	t.Helper()
	if got, err := p.Alive(); got != want || err != nil {
		t.Errorf("%+v: alive %v, %v; want %v", p, got, err, want)
	}
	f, err := p.Open()
	if want != (err == nil) || !want && !errors.Is(err, unix.ESRCH) {
		t.Errorf("%+v: open %v", p, err)
	}
	if err == nil {
		closeOnExec(t, f)
		f.Close()
	}
}

func TestProcess(t *testing.T) {
	cmd := start(t, "sleep", "60")
	ways := both(t, cmd.Process.Pid)
	for _, p := range ways {
		is(t, p, true)
		for _, by := range []uint64{1, ^uint64(0)} {
			other := p
			if other.Inode != 0 {
				other.Inode += by
			} else {
				other.Start += by
			}
			is(t, other, false)
		}
		for _, pid := range []int{0, -1, 4194304, os.Getpid()} {
			p.Pid = pid
			is(t, p, false)
		}
	}
	p, err := ways["start time"].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if ended, err := AwaitExit(p, 0); ended || err != nil {
		t.Errorf("before its end: %v, %v", ended, err)
	}
	if err := Signal(p, 0); err != nil {
		t.Error(err)
	}
	if err := Signal(p, unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if ended, err := AwaitExit(p, 10_000); !ended || err != nil {
		t.Errorf("killed: %v, %v", ended, err)
	}
	// A zombie has its pid, inode and start time still, and is gone all the same.
	if _, dead, err := StartTime(cmd.Process.Pid); !dead || err != nil {
		t.Errorf("zombie: dead %v, %v", dead, err)
	}
	for _, p := range ways {
		is(t, p, false)
	}
	_ = cmd.Wait()
	if err := Signal(p, unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal to a process that is reaped: %v", err)
	}
	for _, p := range ways {
		is(t, p, false)
	}
}

// TestThreadHasThePid: the number is a thread's by now.
func TestThreadHasThePid(t *testing.T) {
	tid := make(chan int)
	done := make(chan bool)
	defer close(done)
	n := os.Getpid()
	for n == os.Getpid() { // the first thread, which one goroutine then keeps
		go func() {
			runtime.LockOSThread()
			tid <- unix.Gettid()
			<-done
		}()
		n = <-tid
	}
	began, _, err := StartTime(n)
	if err != nil {
		t.Fatal(err)
	}
	is(t, Process{Pid: n, Start: began}, false)
	is(t, Process{Pid: n, Inode: 1}, false)
}

// TestFirstThreadEnds: a process lives as long as one of its threads.
func TestFirstThreadEnds(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), firstThreadEnds+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		state, _, err := stat(cmd.Process.Pid)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the first thread is %q, %v", state, err)
		}
		if state == "Z" {
			break
		}
	}
	ways := both(t, cmd.Process.Pid)
	for _, p := range ways {
		is(t, p, true)
	}
	_ = cmd.Process.Kill()
	_, _ = cmd.Process.Wait()
	for _, p := range ways {
		is(t, p, false)
	}
}

// TestProcessUnknown: what cannot be looked at is not said to have ended.
func TestProcessUnknown(t *testing.T) {
	ways := both(t, start(t, "sleep", "60").Process.Pid)
	errs := map[string]error{}
	nofiles.Run(t, func() {
		for name, p := range ways {
			_, errs[name] = p.Alive()
		}
	})
	for name, err := range errs {
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDir: a directory of /proc stays its process's. When that has ended there is nothing below it, whoever has the pid; and that of
// another process is not opened in the first place.
func TestDir(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := p.Dir()
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := NamespaceInode(int(dir.Fd()), "ns/mnt"); err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := NamespaceInode(int(dir.Fd()), "ns/mnt"); !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOENT) {
		t.Errorf("below the directory of a process that has ended: %v", err)
	}
	if _, err := OpenAt(int(dir.Fd()), "root", unix.O_PATH, 0); err == nil {
		t.Error("its root is there")
	}
	for _, other := range []Process{p, {Pid: os.Getpid(), Start: p.Start}, {Pid: os.Getpid(), Start: p.Start, Inode: p.Inode}} {
		if p.Inode == 0 && other.Inode != 0 {
			continue
		}
		if dir, err := other.Dir(); !errors.Is(err, unix.ESRCH) {
			dir.Close()
			t.Errorf("%+v: %v", other, err)
		}
	}
}

// TestMountNamespaceOf: an id, where the kernel has them, and each namespace has another.
func TestMountNamespaceOf(t *testing.T) {
	f, err := OpenKernelFile("/proc/self/ns/mnt", unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	own, err := MountNamespaceOf(f)
	if err != nil {
		t.Fatal(err)
	}
	if inode, err := NamespaceInode(unix.AT_FDCWD, "/proc/self/ns/mnt"); err != nil || inode != own.Inode || inode == 0 {
		t.Errorf("inode %d by path, %v; %d by descriptor", inode, err, own.Inode)
	}
	if again, err := MountNamespaceOf(f); err != nil || again != own {
		t.Errorf("%+v, then %+v, %v", own, again, err)
	}
}

// TestEndedAs: a process that has ended has no memory, and its last name.
func TestEndedAs(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if ended, err := EndedAs(pid, "sleep"); ended || err != nil {
		t.Errorf("it runs: %v, %v", ended, err)
	}
	_ = cmd.Process.Kill()
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if ended, err := EndedAs(pid, "sleep"); !ended || err != nil {
		t.Errorf("it has ended: %v, %v", ended, err)
	}
	if ended, err := EndedAs(pid, "rt:[stub]"); ended || err != nil {
		t.Errorf("with another name: %v, %v", ended, err)
	}
	_ = cmd.Wait()
	if _, err := EndedAs(pid, "sleep"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has been reaped: %v", err)
	}
}

// TestEndOf: how a process has ended is known until it is reaped.
func TestEndOf(t *testing.T) {
	for script, want := range map[string]unix.WaitStatus{"kill -SEGV $$": unix.WaitStatus(unix.SIGSEGV), "exit 3": 3 << 8} {
		cmd := exec.Command("sh", "-c", "read go; "+script)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p, err := Identify(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if ws, known := p.EndOf(0); known {
			t.Errorf("%s: it runs, and has ended with %v", script, ws)
		}
		in.Close()
		if ws, known := p.EndOf(120_000); !known || ws&^0x80 != want { // 0x80: with a core
			t.Errorf("%s: %v, %v", script, ws, known)
		}
		_ = cmd.Wait()
		if ws, known := p.EndOf(0); known {
			t.Errorf("%s: it has been reaped, and has ended with %v", script, ws)
		}
	}
}
