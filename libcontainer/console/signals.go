package console

import (
	"fmt"

	"rt/internal/sys"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// Signals are those that a foreground rt gets: passed on to the container's process, while SIGCHLD, which is about
// that process, is acted upon.
//
// SIGURG (Go's own scheduler sends it), SIGPIPE, SIGTTIN and SIGTTOU (they are about rt's own use of its terminal:
// caught, a background rt would retry for ever instead of being stopped by the shell) and those that a fault in rt
// raises are left alone.
type Signals struct{ r, w int }

// CatchSignals catches the signals from now on and keeps them until Serve. A SIGHUP that is ignored when rt starts
// stays ignored (nohup).
func CatchSignals() (*Signals, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil { // a handler must not wait, and Serve reads what poll has seen
		return nil, fmt.Errorf("make a pipe for signals: %w", err)
	}
	nsenter.CatchSignals(p[1], caught())
	return &Signals{p[0], p[1]}, nil
}

// lastSignal is SIGRTMAX. The real-time signals matter: systemd as a container's init is told to halt by SIGRTMIN+3.
const lastSignal = 64

func caught() uint64 {
	var mask uint64
	for s := unix.Signal(1); s <= lastSignal; s++ {
		switch s {
		case unix.SIGKILL, unix.SIGSTOP: // cannot be caught
		case unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU:
		case unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS:
		case unix.SIGPROF, 32, 33, 34: // the Go profiler's; the C library's, for threads
		default:
			mask |= 1 << (s - 1)
		}
	}
	return mask
}

// Serve calls child at once, for every SIGCHLD and when the process of the pidfd (or -1) ends, until it says that the process
// has ended; every other signal goes to forward, whose error is ignored: the process may have ended, which child is about to
// find out. The pidfd is for a SIGCHLD that was lost: the pipe was full, or the kernel had no memory for it.
func (s *Signals) Serve(pidfd int, child func() (ended bool, err error), forward func(unix.Signal) error) error {
	fds := []unix.PollFd{{Fd: int32(s.r), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		if ended, err := child(); ended || err != nil {
			return err
		}
		if fds[1].Revents != 0 {
			fds[1] = unix.PollFd{Fd: -1} // a debugger has its end first, and then there is a SIGCHLD
		}
		for look := false; !look; {
			if err := sys.Retry(func() error { _, err := unix.Poll(fds, -1); return err }); err != nil {
				return fmt.Errorf("wait for signals: %w", err)
			}
			look = fds[1].Revents != 0
			if fds[0].Revents != 0 {
				chld, err := s.read(forward)
				if err != nil {
					return err
				}
				look = look || chld
			}
		}
	}
}

// read takes the signals that have come.
func (s *Signals) read(forward func(unix.Signal) error) (chld bool, err error) {
	var n int
	var buf [64]byte
	err = sys.Retry(func() (err error) {
		n, err = unix.Read(s.r, buf[:])
		return err
	})
	if err != nil {
		return false, fmt.Errorf("wait for signals: %w", err)
	}
	for _, b := range buf[:n] {
		if sig := unix.Signal(b); sig == unix.SIGCHLD {
			chld = true
		} else {
			_ = forward(sig)
		}
	}
	return chld, nil
}

// Stop gives the signals their default action back. A second Stop does nothing. Close the Session first, or a
// signal may end rt with the caller's terminal still raw.
func (s *Signals) Stop() {
	if s == nil || s.w < 0 {
		return
	}
	nsenter.CatchSignals(-1, caught())
	unix.Close(s.r)
	unix.Close(s.w)
	s.r, s.w = -1, -1
}
