package console

import (
	"fmt"
	"io"
	"time"

	"rt/internal/bug"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

const (
	// drainWait is how long, in all, Close waits for output that is not there yet. What the process wrote before
	// it ended is there (poll flushes the kernel's buffers); more can only come from processes that outlive it.
	drainWait = 100 * time.Millisecond
	// drainBytes is more than a terminal buffers (64 KiB and a page), and ends the output of those processes.
	drainBytes = 1 << 20
	// idle is how often a terminal that no process has open is looked at: poll always says POLLHUP then.
	idle = 20 * time.Millisecond
)

// quit ends both pumps, and with them closes the master: the container's program is hung up on, and does not wait for ever.
func (s *Session) quit() {
	unix.Write(s.stop, []byte{1, 0, 0, 0, 0, 0, 0, 1}) // not 0 in either byte order; never read: stays readable for both pumps
}

// pumpOut copies master to stdout. When stdout fails, it goes on without it, so that the container is not stuck.
func (s *Session) pumpOut() {
	defer close(s.outDone)
	defer bug.Then(func(err error) { s.outErr = err; s.quit() })
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Read(s.master, buf)
		switch {
		case err == unix.EINTR:
		case n > 0:
			s.writeOut(buf[:n])
			if !s.stopping() {
				continue
			}
			s.drain(buf)
			return
		case err == unix.EAGAIN:
			if ready(s.master, unix.POLLIN, s.stop, -1) {
				s.drain(buf)
				return
			}
		default: // EIO: no process has it open now, but until the container has ended one may open it again
			if ready(-1, 0, s.stop, idle) {
				s.drain(buf)
				return
			}
		}
	}
}

// drain copies what is left, until the terminal is hung up or a limit is reached.
func (s *Session) drain(buf []byte) {
	left := drainWait
	for total := 0; total < drainBytes; {
		n, err := unix.Read(s.master, buf)
		switch {
		case err == unix.EINTR:
		case n > 0:
			s.writeOut(buf[:n])
			total += n
		case err == unix.EAGAIN && left > 0:
			begin := time.Now()
			ready(s.master, unix.POLLIN, -1, left)
			left -= time.Since(begin)
		default: // EIO, or time is over
			return
		}
	}
}

func (s *Session) writeOut(p []byte) {
	if s.outErr != nil {
		return
	}
	// No os.File.Write: a broken pipe on descriptor 1 would kill rt with SIGPIPE, the terminal still raw.
	if err := writeAll(int(s.stdout.Fd()), p, -1); err != nil {
		s.outErr = fmt.Errorf("write terminal's output to stdout: %w", err)
	}
}

// pumpIn copies stdin to master until its end or Close.
func (s *Session) pumpIn() {
	defer close(s.inDone)
	defer bug.Then(func(err error) { s.inErr = err; s.quit() })
	in := int(s.stdin.Fd())
	buf := make([]byte, 4096)
	last := byte('\n')
	for {
		// Reading only what is there: a read that blocks could not be stopped, and would take a key from the shell.
		if ready(in, unix.POLLIN, s.stop, -1) {
			return
		}
		n, err := unix.Read(in, buf)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
		case err != nil:
			return
		case n == 0:
			s.endInput(in, last)
			return
		default:
			if writeAll(s.master, buf[:n], s.stop) != nil {
				return
			}
			last = buf[n-1]
		}
	}
}

// endInput types the end-of-file character, if the terminal has one now: twice after an unfinished line, since
// the first only delivers the line (termios(3), VEOF).
func (s *Session) endInput(in int, last byte) {
	var st unix.Stat_t
	if unix.Fstat(in, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFCHR {
		return
	}
	t, err := unix.IoctlGetTermios(s.master, unix.TCGETS)
	if err != nil || t.Lflag&unix.ICANON == 0 || t.Cc[unix.VEOF] == 0 {
		return
	}
	eof := []byte{t.Cc[unix.VEOF]}
	if last != '\n' {
		eof = append(eof, eof[0])
	}
	writeAll(s.master, eof, s.stop)
}

func (s *Session) stopping() bool { return ready(-1, 0, s.stop, 0) }

// writeAll writes all of p to a blocking or non-blocking fd, and gives up when stop (if not -1) is readable.
func writeAll(fd int, p []byte, stop int) error {
	waited := false
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		switch {
		case n > 0:
			p, waited = p[n:], false
		case err == unix.EINTR:
		case err != unix.EAGAIN && err != nil:
			return err
		case waited: // poll said it is ready because of POLLHUP, yet it is full: see idle
			if ready(-1, 0, stop, idle) {
				return io.ErrClosedPipe
			}
		default:
			if ready(fd, unix.POLLOUT, stop, -1) {
				return io.ErrClosedPipe
			}
			waited = true
		}
	}
	return nil
}

// ready waits until fd is ready or has failed or stop is readable (-1: not looked at), no longer than limit
// (negative: for ever). It reports whether it is time to stop.
func ready(fd int, events int16, stop int, limit time.Duration) (stopped bool) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}, {Fd: int32(stop), Events: unix.POLLIN}}
	var ts *unix.Timespec
	if limit >= 0 {
		t := unix.NsecToTimespec(int64(limit))
		ts = &t
	}
	// ppoll(2): the caller's timeout is unchanged by a signal, a little longer does no harm
	err := sys.Retry(func() error { _, err := unix.Ppoll(fds, ts, nil); return err })
	return err != nil || fds[1].Revents != 0
}
