package libcontainer

import (
	"os"
	"os/exec"
	"testing"
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
