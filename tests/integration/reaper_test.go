package integration

import (
	"os/exec"
	"syscall"
	"testing"

	"rt/tests/reaper"
)

var orphans = reaper.New()

// reap waits for the end of an orphan and gives its exit status as a shell would.
func reap(t *testing.T, pid int) int {
	t.Helper()
	var ws syscall.WaitStatus
	orphans.Expect(pid)
	eventually(t, "end of process "+pidText(pid), func() (ended bool) {
		ws, ended = orphans.Take(pid)
		return ended
	})
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// host runs a command of the host and gives what it printed.
func host(t *testing.T, argv ...string) string {
	t.Helper()
	out := tempFile(t, machine.work, "host-")
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	err := orphans.Start(cmd)
	if err == nil {
		err = orphans.Wait(cmd)
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, readAll(t, out))
	}
	return readAll(t, out)
}

// TestNothingIsKilledByAnOldPid: a call that has ended is not killed, waited for or not, for its pid may be another process's by then.
func TestNothingIsKilledByAnOldPid(t *testing.T) {
	t.Parallel()
	r := begin(t, t.TempDir(), t.TempDir(), call{args: []string{"--version"}})
	r.ended <- <-r.ended
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if !over || r.timer.Stop() {
		t.Errorf("after its end: over is %v, or its timer still runs", over)
	}
	r.timeout()
	r.wait().ok()
}
