package reaper

import (
	"os/exec"
	"syscall"
	"testing"
)

// TestExpectDropsEarlierOrphan: a pid is used again, and what an earlier process with it has left is not the end of a later one.
func TestExpectDropsEarlierOrphan(t *testing.T) {
	r := New()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(cmd); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	r.status[pid] = syscall.WaitStatus(syscall.SIGKILL)
	r.Expect(pid)
	if ws, ended := r.Take(pid); ended {
		t.Errorf("process %d runs, and has ended with %v", pid, ws)
	}
	in.Close()
	if err := r.Wait(cmd); err != nil {
		t.Fatal(err)
	}
	r.status[pid] = syscall.WaitStatus(7 << 8) // reaped as an orphan
	r.Expect(pid)
	if ws, ended := r.Take(pid); !ended || ws.ExitStatus() != 7 {
		t.Errorf("after its end: %v, %v", ws, ended)
	}
}
