// Package reaper lets a test's process reap the orphans that come to it as a subreaper. It must: a dead process of a
// container that nobody waits for keeps the container's init from ending (zap_pid_ns_processes waits for it). What the tests
// start themselves is left to os/exec.
package reaper

import (
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Reaper knows who is an orphan. There can be one in a process.
type Reaper struct {
	mu     sync.Mutex
	ours   map[int]bool
	status map[int]syscall.WaitStatus
}

// New is a reaper that does nothing before Begin.
func New() *Reaper { return &Reaper{ours: map[int]bool{}, status: map[int]syscall.WaitStatus{}} }

// Begin makes this process a subreaper, which reaps for as long as it lives.
func (r *Reaper) Begin() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	go r.loop()
	return nil
}

// Start starts a command, for Wait to wait for.
func (r *Reaper) Start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	r.ours[cmd.Process.Pid] = true
	return nil
}

// Wait waits for a command.
func (r *Reaper) Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ours, cmd.Process.Pid)
	return err
}

// Expect says that the end of a process will be asked for. While that process is there, what is known of its pid is of an earlier
// orphan, whose end was never asked for: it is dropped.
func (r *Reaper) Expect(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if unix.Kill(pid, 0) != unix.ESRCH {
		delete(r.status, pid)
	}
}

// Take gives the exit status of an orphan, once, when it has ended.
func (r *Reaper) Take(pid int) (ws syscall.WaitStatus, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ws, ended = r.status[pid]
	delete(r.status, pid)
	return ws, ended
}

// Hold keeps the reaper from its work, Start and Wait too, until release is called.
func (r *Reaper) Hold() (release func()) {
	r.mu.Lock()
	return r.mu.Unlock
}

func (r *Reaper) loop() {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil || !r.takeOne() {
			time.Sleep(time.Millisecond) // nothing to wait for yet, or os/exec is about to reap its own
		}
	}
}

// takeOne reaps an orphan that has ended, unless the first dead child is one of ours.
func (r *Reaper) takeOne() bool {
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
