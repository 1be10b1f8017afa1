package integration

import (
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A reaper takes the exit status of the orphans that come to this process, a subreaper. It must: a dead process of
// a container that nobody waits for keeps the container's init from ending (zap_pid_ns_processes waits for it).
// What the tests start themselves is left to os/exec.
type reaper struct {
	mu     sync.Mutex
	ours   map[int]bool
	status map[int]syscall.WaitStatus
}

var orphans = reaper{ours: map[int]bool{}, status: map[int]syscall.WaitStatus{}}

// start starts a command that is waited for by r.wait.
func (r *reaper) start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	r.ours[cmd.Process.Pid] = true
	return nil
}

func (r *reaper) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ours, cmd.Process.Pid)
	return err
}

// loop reaps for as long as the process lives.
func (r *reaper) loop() {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			time.Sleep(2 * time.Millisecond) // ECHILD: nothing to wait for yet
			continue
		}
		if !r.takeOne() {
			time.Sleep(time.Millisecond) // os/exec is about to reap its own
		}
	}
}

// takeOne reaps an orphan that has ended, unless the first dead child is one of ours.
func (r *reaper) takeOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	// si_pid is the first field after three ints and padding (sigaction(2)); x/sys has no name for it.
	pid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
	if err != nil || pid == 0 || r.ours[pid] {
		return false
	}
	var ws syscall.WaitStatus
	if got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil); err != nil || got != pid {
		return false
	}
	r.status[pid] = ws
	return true
}

// reap waits for the end of an orphan and gives its exit status as a shell would.
func reap(t *testing.T, pid int) int {
	t.Helper()
	var ws syscall.WaitStatus
	eventually(t, "end of process "+pidText(pid), func() bool {
		orphans.mu.Lock()
		defer orphans.mu.Unlock()
		var ended bool
		ws, ended = orphans.status[pid]
		delete(orphans.status, pid)
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
	err := orphans.start(cmd)
	if err == nil {
		err = orphans.wait(cmd)
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, readAll(t, out))
	}
	return readAll(t, out)
}
