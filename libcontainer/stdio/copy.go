package stdio

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"rt/internal/bug"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

const (
	outBuffer = 64 << 10 // what a pipe holds (pipe(7))
	inBuffer  = 64 << 10
	// inBackground is how often a terminal is looked at while rt is in its background, where it may not read.
	inBackground = 100 * time.Millisecond
	// inStuck is how long Ended waits for a read that does not return, as of a file on a server that is gone, or of a FIFO where
	// another process has taken what poll had announced.
	inStuck = time.Second
)

// An output is a pipe that is copied to the caller's stdout or stderr.
type output struct {
	name         string
	pipe, target *os.File
	err          error // the first that a write had; valid at the end
}

// copy copies until no process has the pipe open for writing. What cannot be written is lost: the program goes on, as it
// would have if it had looked at no error, and writes to a disk that is full now may succeed later. Only the end of all who
// read a FIFO or a socket is passed on: the program gets the EPIPE, as it would have without the copy, and no program writes for ever.
func (o *output) copy() {
	defer bug.Then(func(err error) { // the program must not wait for ever
		o.err = err
		o.pipe.Close()
	})
	buf := make([]byte, outBuffer)
	for {
		var n int
		err := sys.Retry(func() (err error) {
			n, err = unix.Read(int(o.pipe.Fd()), buf)
			return err
		})
		if n <= 0 || err != nil {
			return
		}
		err = writeAll(int(o.target.Fd()), buf[:n])
		if err == unix.EPIPE {
			o.pipe.Close()
			return
		}
		if err != nil && o.err == nil {
			o.err = fmt.Errorf("write to %s: %w", o.name, err)
		}
	}
}

// writeAll writes to a descriptor that may be non-blocking: its flags are shared with the caller's other programs.
func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		switch {
		case n > 0:
			p = p[n:]
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if err := poll(-1, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
	return nil
}

// An input is the caller's stdin, which is copied to a pipe.
type input struct {
	source, pipe *os.File
	regular      bool
	read         int64 // how much copy has read of the source
	terminal     bool
	ended        int      // pidfd of the program, or -1
	stop         *os.File // eventfd: readable once the program has ended
	reading      atomic.Bool
	done         chan struct{}
	bug          error // valid once done is closed
}

// prepare makes the pipe's end non-blocking, which no one else sees. A terminal's pipe gets the least size, one page, so that
// it has room only when it is empty: the next line is not read before the program has taken the last.
func (n *input) prepare() error {
	n.terminal = !n.regular && isTerminal(n.source)
	if err := unix.SetNonblock(int(n.pipe.Fd()), true); err != nil {
		return fmt.Errorf("make the pipe for stdin non-blocking: %w", err)
	}
	if !n.terminal {
		return nil
	}
	if _, err := unix.FcntlInt(n.pipe.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		return fmt.Errorf("set the size of the pipe for stdin: %w", err)
	}
	return nil
}

// copy copies until the end of the source, of the program, or of all who read the pipe.
func (n *input) copy() {
	defer close(n.done)
	defer func() { n.pipe.Close() }()
	defer bug.Catch(&n.bug)
	size := inBuffer
	if n.terminal {
		size = os.Getpagesize()
	}
	buf := make([]byte, size)
	for n.readable() {
		n.reading.Store(true)
		got, err := unix.Read(int(n.source.Fd()), buf)
		n.reading.Store(false)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if got <= 0 || err != nil {
			n.finish()
			return
		}
		n.read += int64(got)
		if left := n.write(buf[:got]); left > 0 {
			n.giveBack(left)
			return
		}
	}
	n.giveBack(0)
}

// finish tells the program that its input ends, by the end of all who write to the pipe. What it leaves of a file is known only
// when it has ended: until then the pipe is kept by its other end.
func (n *input) finish() {
	if !n.regular {
		return
	}
	reader, err := sys.Reopen(n.pipe, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return
	}
	defer func() { reader.Close() }()
	n.pipe.Close()
	n.wait(-1)
	pipe, err := sys.Reopen(reader, unix.O_WRONLY|unix.O_NONBLOCK)
	reader.Close() // who else can read is asked next
	if err != nil {
		return
	}
	n.pipe = pipe
	n.giveBack(0)
}

// readable waits until there is something to read and room for it. Nothing is read once the program has ended: what is typed from
// then on is for the caller's shell.
func (n *input) readable() bool {
	source := unix.PollFd{Fd: int32(n.source.Fd()), Events: unix.POLLIN}
	for {
		if !n.room() {
			return false
		}
		if n.regular {
			return true
		}
		if n.wait(-1, source) {
			return false
		}
		if !n.terminal || inForeground(n.source) {
			return true
		}
		if n.wait(inBackground) { // a read would stop rt by SIGTTIN
			return false
		}
	}
}

// inForeground says whether this process may read a terminal. What is not its controlling terminal it may always.
func inForeground(terminal *os.File) bool {
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// room waits for room in the pipe; false: nobody will read it any more.
func (n *input) room() bool {
	return !n.wait(-1, unix.PollFd{Fd: int32(n.pipe.Fd()), Events: unix.POLLOUT})
}

// write returns how much could not be written any more.
func (n *input) write(p []byte) (left int) {
	for len(p) > 0 {
		done, err := unix.Write(int(n.pipe.Fd()), p)
		switch {
		case done > 0:
			p = p[done:]
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if !n.room() {
				return len(p)
			}
		default: // EPIPE, of which Go makes no signal for descriptors above 2
			return len(p)
		}
	}
	return 0
}

// wait waits for one of fds, no longer than limit (negative: for ever), and says whether that is of no more use: the program has
// ended, or nobody has the pipe's other end open.
func (n *input) wait(limit time.Duration, fds ...unix.PollFd) (over bool) {
	all := append(fds, unix.PollFd{Fd: int32(n.stop.Fd()), Events: unix.POLLIN}, unix.PollFd{Fd: int32(n.ended), Events: unix.POLLIN},
		unix.PollFd{Fd: int32(n.pipe.Fd())}) // POLLERR; of a closed one -1, which poll(2) leaves out
	if err := poll(limit, all...); err != nil {
		return true
	}
	for _, p := range all[len(fds):] {
		if p.Revents != 0 {
			return true
		}
	}
	return false
}

// giveBack sets a file's offset back to what has been read of it in the container, so that the next program of a script finds
// the rest. left bytes were not even written to the pipe. While another process can read the pipe the rest is its. The container can
// write to the pipe as well (/proc/self/fd/0), and make more of it unread than there was to read: the offset is never set to before
// what was read.
func (n *input) giveBack(left int) {
	if !n.regular {
		return
	}
	fds := []unix.PollFd{{Fd: int32(n.pipe.Fd())}}
	if err := poll(0, fds...); err != nil || fds[0].Revents&unix.POLLERR == 0 {
		return
	}
	unread, err := unix.IoctlGetInt(int(n.pipe.Fd()), unix.TIOCINQ)
	if err != nil {
		return
	}
	if back := min(int64(unread+left), n.read); back > 0 {
		_, _ = unix.Seek(int(n.source.Fd()), -back, unix.SEEK_CUR)
	}
}

// poll is ppoll(2) that signals do not interrupt.
func poll(limit time.Duration, fds ...unix.PollFd) error {
	var ts *unix.Timespec
	if limit >= 0 {
		t := unix.NsecToTimespec(int64(limit))
		ts = &t
	}
	return sys.Retry(func() error {
		_, err := unix.Ppoll(fds, ts, nil)
		return err
	})
}

// Start begins to copy; the program runs, and pidfd (or -1) is its.
func (s *Streams) Start(pidfd int) error {
	s.Given()
	if !s.Copies() {
		return nil
	}
	end, err := newEvent()
	if err != nil {
		return err
	}
	if s.in != nil {
		if s.in.stop, err = newEvent(); err != nil {
			end.Close()
			return err
		}
		s.in.ended, s.in.done = pidfd, make(chan struct{})
		go s.in.copy()
	}
	s.end, s.over = end, make(chan struct{})
	var outs sync.WaitGroup
	for _, o := range s.outs {
		outs.Add(1)
		go func() {
			defer outs.Done()
			o.copy()
		}()
	}
	go func() {
		outs.Wait()
		close(s.over)
		set(end)
	}()
	return nil
}

// Ended is for when the program has ended: no more input is read.
func (s *Streams) Ended() {
	if s.over != nil && s.in != nil {
		set(s.in.stop)
		for stuck := false; !stuck; {
			select {
			case <-s.in.done:
				return
			case <-time.After(inStuck):
				stuck = s.in.reading.Load()
			}
		}
	}
}

// Output is a descriptor that is readable once all output is written: every process that had a pipe open has closed it or
// ended, or GiveUp was called. It is nil if no output is copied.
func (s *Streams) Output() *os.File {
	if s.over == nil || len(s.outs) == 0 {
		return nil
	}
	return s.end
}

// Over says whether Output is readable.
func (s *Streams) Over() bool {
	fds := []unix.PollFd{{Fd: int32(s.end.Fd()), Events: unix.POLLIN}}
	return poll(0, fds...) != nil || fds[0].Revents != 0
}

// GiveUp ends the wait for output, whoever still has a pipe open.
func (s *Streams) GiveUp() { set(s.end) }

// InErr is why no more input was copied, if that is a bug.
func (s *Streams) InErr() error {
	if s == nil || s.over == nil || s.in == nil {
		return nil
	}
	select {
	case <-s.in.done:
		return s.in.bug
	default:
		return nil
	}
}

// Err is why output was lost, if it was.
func (s *Streams) Err() error {
	if s == nil || s.over == nil {
		return nil
	}
	select {
	case <-s.over:
	default:
		return nil
	}
	var errs []error
	for _, o := range s.outs {
		errs = append(errs, o.err)
	}
	return errors.Join(errs...)
}

func newEvent() (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return os.NewFile(uintptr(fd), "eventfd"), nil
}

// set makes an eventfd readable for good. The number is not 0 in either byte order.
func set(event *os.File) { _, _ = unix.Write(int(event.Fd()), []byte{1, 0, 0, 0, 0, 0, 0, 1}) }
