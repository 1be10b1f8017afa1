package libcontainer

import (
	"os/exec"
	"syscall"
	"testing"

	"rt/libcontainer/stub"

	"golang.org/x/sys/unix"
)

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
		k := &creation{session: stub.Connect(nil, nil, child.Process.Pid, nil)}
		status, killed := k.killedEarly(stub.ErrDied)
		if !killed || status != 128+int(signal) || k.session.Pid() != 0 {
			t.Errorf("%v: %d, %v, pid %d", signal, status, killed, k.session.Pid())
		}
	}
	if _, killed := (&creation{setup: setup{detached: true}}).killedEarly(stub.ErrDied); killed {
		t.Error("nobody waits for the status of a detached container")
	}
	if _, killed := (&creation{}).killedEarly(unix.EINVAL); killed {
		t.Error("any error is taken for a signal")
	}
}
