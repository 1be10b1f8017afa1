package console

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A Session connects the caller's stdin and stdout with the terminal of a process in the foreground. Its
// terminal must be given back with Close on every path, so the signals that would end rt must be caught before
// Attach (CatchSignals does that) and until after Close.
type Session struct {
	master        int // a duplicate of its own
	stop          int // eventfd, readable from Close on
	stdin, stdout *os.File
	saved         *term.State // of stdin; nil: nothing to restore
	inDone        chan struct{}
	outDone       chan struct{}
	outErr        error // of the output pump; valid after outDone
	inErr         error // of the input pump; valid after inDone
	closed        bool
	mu            sync.Mutex // held to close master, and to use it outside of the pumps
}

// Attach puts stdin into raw mode if it is a terminal and starts to copy both ways: stdin to master until its
// end, master to stdout until Close. Call it before the process runs. stdin and stdout keep their file status
// flags, which rt shares with the shell; master becomes non-blocking and stays the caller's to close.
//
// If stdout is not a terminal, the container's terminal no longer turns \n into \r\n (as with runc, so that
// scripts see plain lines). The end of a stdin that is a pipe, a socket or a file is passed on as the terminal's
// end-of-file character; that of a device (/dev/null: nobody is there) is not, as with runc.
//
// Attach does not change the window size: see SetSize.
func Attach(master *os.File, stdin, stdout *os.File) (*Session, error) {
	s := &Session{stdin: stdin, stdout: stdout, inDone: make(chan struct{}), outDone: make(chan struct{})}
	var err error
	if s.master, err = unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return nil, fmt.Errorf("attach terminal: duplicate master: %w", err)
	}
	if s.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(s.master)
		return nil, fmt.Errorf("attach terminal: eventfd: %w", err)
	}
	if err = s.setModes(); err != nil {
		unix.Close(s.master)
		unix.Close(s.stop)
		return nil, fmt.Errorf("attach terminal: %w", err)
	}
	go s.pumpIn()
	go s.pumpOut()
	go func() { // a pump that is stuck must not lose its descriptors to somebody else's open
		<-s.inDone
		<-s.outDone
		s.mu.Lock()
		defer s.mu.Unlock()
		unix.Close(s.master)
		unix.Close(s.stop)
		s.master = -1
	}()
	return s, nil
}

func (s *Session) setModes() error {
	if err := unix.SetNonblock(s.master, true); err != nil {
		return fmt.Errorf("make master non-blocking: %w", err)
	}
	toTerminal := term.IsTerminal(int(s.stdout.Fd()))
	if !toTerminal {
		if err := setOutputFlags(s.master, 0, unix.ONLCR); err != nil {
			return fmt.Errorf("set modes of master: %w", err)
		}
	}
	in := int(s.stdin.Fd())
	if !term.IsTerminal(in) {
		return nil
	}
	saved, err := term.MakeRaw(in)
	if err != nil {
		return fmt.Errorf("make stdin raw: %w", err)
	}
	s.saved = saved
	if toTerminal {
		return nil
	}
	// Somebody else, down the pipe, writes plain lines to the terminal that stdin is.
	if err := setOutputFlags(in, unix.OPOST, 0); err != nil {
		return errors.Join(fmt.Errorf("set modes of stdin: %w", err), s.restore())
	}
	return nil
}

func setOutputFlags(fd int, set, unset uint32) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Oflag = t.Oflag&^unset | set
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// SetSize gives the terminal its window size: box (process.consoleSize) if it is not nil and not empty, else
// that of the first of callers that is a terminal. Without any, the size stays as it is.
func SetSize(master *os.File, box *specs.Box, callers ...*os.File) error {
	return setSize(int(master.Fd()), box, callers...)
}

func setSize(master int, box *specs.Box, callers ...*os.File) error {
	size := &unix.Winsize{}
	if box != nil && (box.Height != 0 || box.Width != 0) {
		if box.Height > 0xffff || box.Width > 0xffff { // struct winsize
			return fmt.Errorf("set window size %dx%d: %w", box.Width, box.Height, unix.ERANGE)
		}
		size.Row, size.Col = uint16(box.Height), uint16(box.Width)
	} else if size = sizeOf(callers); size == nil {
		return nil
	}
	if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("set window size %dx%d: %w", size.Col, size.Row, err)
	}
	return nil
}

// sizeOf returns the size of the first terminal among files, nil if there is none.
func sizeOf(files []*os.File) *unix.Winsize {
	for _, f := range files {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return size
		}
	}
	return nil
}

// Resize gives the container's terminal the size that the caller's has now. During and after Close it does no harm.
func (s *Session) Resize() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master < 0 {
		return nil
	}
	return setSize(s.master, nil, s.stdin, s.stdout)
}

// Close is for when the process has ended. It copies what the terminal still holds, waiting for more only while
// that can come (drainWait, drainBytes in pump.go) but for a slow stdout as long as it takes; then it restores
// the caller's terminal. It returns the error of writing to stdout, if any. A second Close does nothing.
func (s *Session) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	s.quit()
	<-s.outDone
	var inErr error
	select { // so that no key typed from now on is taken from the shell
	case <-s.inDone:
		inErr = s.inErr
	case <-time.After(100 * time.Millisecond): // another process took the byte that poll had announced
	}
	return errors.Join(inErr, s.outErr, s.restore())
}

// restore gives the caller's terminal its modes back, even from the background: with SIGTTOU blocked the kernel
// lets a background process set them (tcsetattr(3p)) instead of stopping it.
func (s *Session) restore() error {
	if s.saved == nil {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var ttou, old unix.Sigset_t
	ttou.Val[0] = 1 << (unix.SIGTTOU - 1) // 22: in the first word, 32 bits or 64
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &ttou, &old); err != nil {
		return fmt.Errorf("block SIGTTOU: %w", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	err := term.Restore(int(s.stdin.Fd()), s.saved)
	if err != nil && err != unix.EIO { // EIO: the terminal was hung up, nobody looks at it any more
		return fmt.Errorf("restore modes of stdin: %w", err)
	}
	return nil
}
