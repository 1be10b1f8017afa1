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
