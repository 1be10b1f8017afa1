package hooks

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"rt/internal/bug"

	"golang.org/x/sys/unix"
)

// pipes are a hook's stdin, and its stdout and stderr in one: runc shows both in the error, and in one pipe
// they keep the order in which they were written.
type pipes struct {
	childIn, childOut *os.File // blocking, as programs expect their stdio
	in, out           *os.File // rt's ends, non-blocking, so that they can be given up
}

func openPipes() (*pipes, error) {
	var in, out [2]int
	if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe2: %w", err)
	}
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		unix.Close(in[0])
		unix.Close(in[1])
		return nil, fmt.Errorf("pipe2: %w", err)
	}
	if err := roomForPoller(in[0]); err != nil {
		for _, fd := range append(in[:], out[:]...) {
			unix.Close(fd)
		}
		return nil, err
	}
	return &pipes{
		childIn:  os.NewFile(uintptr(in[0]), "stdin"),
		childOut: os.NewFile(uintptr(out[1]), "stdout"),
		in:       pollable(in[1]),
		out:      pollable(out[0]),
	}, nil
}

// roomForPoller is an error where Go's poller would not find the two descriptors that it begins with, an epoll and an eventfd: that
// ends the process, in many lines. fd is any that is open.
func roomForPoller(fd int) error {
	var copies [2]int
	for i := range copies {
		var err error
		if copies[i], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return fmt.Errorf("start the poller: %w", err)
		}
		defer unix.Close(copies[i])
	}
	return nil
}

// pollable makes only this end non-blocking: the two ends of a pipe have separate file status flags.
func pollable(fd int) *os.File {
	unix.SetNonblock(fd, true) // cannot fail for an open descriptor
	return os.NewFile(uintptr(fd), "pipe")
}

func (p *pipes) closeChild() {
	p.childIn.Close()
	p.childOut.Close()
}

// close closes what is still open; closing twice does nothing.
func (p *pipes) close() {
	p.closeChild()
	p.in.Close()
	p.out.Close()
}

// serve writes state to the hook and keeps the end of what it prints. finish is for when the hook has ended: it
// takes what is left in the pipe and returns at once, whoever still holds the other ends.
func (p *pipes) serve(state []byte, output *tail) (finish func() error) {
	written, read, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	again := func(err error) bool { return errors.Is(err, unix.EAGAIN) && pause(over) }
	var writeErr, readErr error
	go func() {
		defer close(written)
		defer bug.Catch(&writeErr)
		for {
			n, err := p.in.Write(state) // a hook that does not read its stdin is no error (EPIPE; Go turns SIGPIPE into it)
			if !again(err) {
				break
			}
			state = state[n:]
		}
		p.in.Close()
	}()
	go func() {
		defer close(read)
		defer bug.Catch(&readErr)
		buf := make([]byte, 4096)
		for {
			n, err := p.out.Read(buf)
			output.add(buf[:n])
			if err != nil && !again(err) {
				return
			}
		}
	}()
	return func() error {
		close(over)
		p.in.Close()
		<-written
		p.out.SetReadDeadline(time.Unix(1, 0))
		<-read
		p.drain(output)
		return errors.Join(writeErr, readErr)
	}
}

// drain takes what the pipe holds now. A background process may write without end, so it is no more than the
// largest pipe an unprivileged process can make (/proc/sys/fs/pipe-max-size is 1 MiB).
func (p *pipes) drain(output *tail) {
	conn, err := p.out.SyscallConn()
	if err != nil {
		return
	}
	conn.Control(func(fd uintptr) {
		buf := make([]byte, 4096)
		for range 256 {
			n, err := unix.Read(int(fd), buf)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n <= 0 {
				return
			}
			output.add(buf[:n])
		}
	})
}

const tailSize = 4096

// tail keeps the last tailSize bytes of what is added.
type tail struct{ b []byte }

func (t *tail) add(p []byte) {
	t.b = append(t.b, p...)
	if over := len(t.b) - tailSize; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
}

// String is the text without surrounding space and without what is not UTF-8 (it ends up in a JSON log).
func (t *tail) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(t.b), "\uFFFD"))
}
