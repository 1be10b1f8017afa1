package sys

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLock: a lock that is held is not waited for longer than is said, and the error names the holder.
func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first, second := open(), open()
	if err := Lock(first, 0); err != nil {
		t.Fatal(err)
	}
	err := Lock(second, 10*time.Millisecond)
	if !errors.Is(err, unix.ETIMEDOUT) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())+" (") {
		t.Errorf("got %v, want a timeout that names process %d", err, os.Getpid())
	}
	first.Close()
	if err := Lock(second, time.Minute); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

// TestLockOfStopped: of a holder that a signal has stopped the error says so.
func TestLockOfStopped(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	cmd := exec.Command("flock", name, "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL); _ = cmd.Wait() })
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	held := "process " + strconv.Itoa(cmd.Process.Pid) + " (flock)"
	for deadline := time.Now().Add(2 * time.Minute); LockHolder(f) != held; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("flock has not taken the lock: %s", LockHolder(f))
		}
	}
	if err := unix.Kill(cmd.Process.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); !Halted(cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not stop")
		}
	}
	err = Lock(f, 0)
	if !errors.Is(err, unix.ETIMEDOUT) || !strings.Contains(err.Error(), held+", which a signal has stopped") {
		t.Errorf("got %v, want a timeout that says that the holder is stopped", err)
	}
}
