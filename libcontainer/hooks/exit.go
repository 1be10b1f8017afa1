package hooks

import (
	"context"
	"fmt"
	"os"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// awaitExit waits until the process has ended, without reaping it, so that pid is still its own when it must be
// killed. It returns nil, or why it did not wait any longer: ctx's cause, or a system error.
func awaitExit(ctx context.Context, pid int) error {
	// A non-blocking pidfd (Linux 5.10) waits in Go's poller, which has deadlines: no thread is held.
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if conn.Read(hasExited) == nil || hasExited(uintptr(fd)) { // it may have ended in time and rt be late
		return nil
	}
	for pause(ctx.Done()) { // the poller could not take it
		if hasExited(uintptr(fd)) {
			return nil
		}
	}
	return context.Cause(ctx)
}

// pause is for what Go's poller does not watch: epoll may have no memory for it, or no room (ENOMEM, ENOSPC in epoll_ctl(2);
// fs.epoll.max_user_watches). It waits a little, and returns false if it is over instead.
func pause(over <-chan struct{}) bool {
	select {
	case <-over: // also if the time is up as well
		return false
	default:
	}
	select {
	case <-over:
		return false
	case <-time.After(10 * time.Millisecond):
		return true
	}
}

// hasExited reports whether the process behind a pidfd has ended: pidfd_open(2), it is readable then. If it cannot be
// asked, the answer is yes: who reaps it waits for its end then.
func hasExited(pidfd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	err := sys.Retry(func() error { _, err := unix.Poll(fds, 0); return err })
	return fds[0].Revents != 0 || err != nil
}

// kill ends a process that has not been reaped, and its process group if it leads one.
func kill(pid int) {
	if pgid, err := unix.Getpgid(pid); err == nil && pgid == pid {
		unix.Kill(-pid, unix.SIGKILL) // fails only if all are gone
	}
	unix.Kill(pid, unix.SIGKILL)
}
