package sys

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRetry(t *testing.T) {
	calls := 0
	err := Retry(func() error {
		if calls++; calls < 4 {
			return unix.EINTR
		}
		return unix.EIO
	})
	if calls != 4 || err != unix.EIO {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := Retry(func() error { return nil }); err != nil {
		t.Error(err)
	}
}

func closeOnExec(t *testing.T, f *os.File) {
	t.Helper()
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("%s would go to other programs: %#x, %v", f.Name(), flags, err)
	}
}

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(file, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	closeOnExec(t, f)
	if text, err := io.ReadAll(f); err != nil || string(text) != "text" || f.Name() != file {
		t.Errorf("%s: %q, %v", f.Name(), text, err)
	}
	_, err = Open(file+"x", unix.O_RDONLY)
	var pe *os.PathError
	if !errors.Is(err, os.ErrNotExist) || !errors.As(err, &pe) || pe.Path != file+"x" || pe.Op != "open" {
		t.Errorf("%#v", err)
	}
	if _, err = Open(file, unix.O_RDONLY|unix.O_DIRECTORY); !errors.Is(err, unix.ENOTDIR) {
		t.Error(err)
	}
	if _, err := Open("a\x00b", unix.O_RDONLY); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
}

func TestOpenAt(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	for name, target := range map[string]string{"out": outside, "up": "../", "in": "/sub", "magic": "/proc/self/cwd"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, c := range []struct {
		path    string
		resolve uint64
		want    error
	}{
		{"sub", unix.RESOLVE_BENEATH, nil}, {"..", unix.RESOLVE_BENEATH, unix.EXDEV}, {"out", unix.RESOLVE_BENEATH, unix.EXDEV},
		{"/", unix.RESOLVE_BENEATH, unix.EXDEV}, {"in", unix.RESOLVE_IN_ROOT, nil}, {"out", unix.RESOLVE_IN_ROOT, unix.ENOENT},
		{"up", unix.RESOLVE_IN_ROOT, nil}, {"in", unix.RESOLVE_NO_SYMLINKS, unix.ELOOP}, {"magic", unix.RESOLVE_NO_MAGICLINKS, unix.ELOOP},
	} {
		f, err := OpenAt(int(d.Fd()), c.path, unix.O_PATH, c.resolve)
		if !errors.Is(err, c.want) {
			t.Errorf("%s with %#x: %v, want %v", c.path, c.resolve, err, c.want)
		}
		if err == nil {
			closeOnExec(t, f)
			f.Close()
		}
	}
}

func TestOpenTree(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("open_tree(2) with OPEN_TREE_CLONE needs CAP_SYS_ADMIN")
	}
	dir := t.TempDir()
	for _, recursive := range []bool{false, true} {
		f, err := OpenTree(dir, recursive)
		if err != nil {
			t.Fatal(err)
		}
		closeOnExec(t, f)
		var tree, there unix.Stat_t
		if unix.Fstat(int(f.Fd()), &tree) != nil || unix.Stat(dir, &there) != nil || tree.Ino != there.Ino {
			t.Errorf("recursive %v: another directory", recursive)
		}
		f.Close()
	}
	_, err := OpenTree(dir+"/x", false)
	var pe *os.PathError
	if !errors.Is(err, os.ErrNotExist) || !errors.As(err, &pe) || pe.Op != "open_tree" {
		t.Errorf("%#v", err)
	}
}

func TestWriteFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(file, "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file was made")
	}
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(file, "ab"); err != nil {
		t.Fatal(err)
	}
	// As files of /proc and cgroupfs take it: written over, not truncated.
	if text, _ := os.ReadFile(file); string(text) != "ab345" {
		t.Errorf("%q", text)
	}
	if err := WriteFile("/proc/self/oom_score_adj", "nonsense"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("the kernel's refusal: %v", err)
	}
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
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.TrimSuffix(string(comm), "\n") == want {
			return
		}
	}
	t.Fatalf("process %d never became %q", pid, name)
}

func TestOpenProcess(t *testing.T) {
	cmd := start(t, "sleep", "60")
	pid := cmd.Process.Pid
	began, _, err := StartTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []uint64{0, began - 1, began + 1} {
		if _, err := OpenProcess(pid, other); !errors.Is(err, unix.ESRCH) {
			t.Errorf("start time %d for %d: %v", other, began, err)
		}
	}
	for _, none := range []int{0, -1} {
		if _, err := OpenProcess(none, 0); !errors.Is(err, unix.ESRCH) {
			t.Errorf("pid %d: %v", none, err)
		}
	}
	p, err := OpenProcess(pid, began)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	closeOnExec(t, p)
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
	// A zombie has its pid and start time still, and is gone all the same.
	if _, dead, err := StartTime(pid); !dead || err != nil {
		t.Errorf("zombie: dead %v, %v", dead, err)
	}
	if _, err := OpenProcess(pid, began); !errors.Is(err, unix.ESRCH) {
		t.Errorf("zombie: %v", err)
	}
	_ = cmd.Wait()
	if err := Signal(p, unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal to a process that is reaped: %v", err)
	}
	if _, err := OpenProcess(pid, began); !errors.Is(err, unix.ESRCH) {
		t.Errorf("reaped: %v", err)
	}
}
