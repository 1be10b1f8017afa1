package output

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"rt/internal/sys"
	"rt/nsenter"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A screen is a terminal that shows one picture after the other. It uses the alternate screen, so that what
// was on the terminal before is there again in the end, and overwrites in place, so that nothing flickers
// (console_codes(4), and xterm's private modes 1049 and 25).
type screen struct {
	out  *os.File
	r, w int // pipe of the signals
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J" // alternate screen, no cursor, clear
	leaveScreen = "\x1b[?25h\x1b[?1049l"
)

var screenSignals = [...]unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH}

func screenMask() (mask uint64) {
	for _, s := range screenSignals {
		mask |= 1 << (s - 1)
	}
	return mask
}

// openScreen takes over the terminal out. Until close, SIGINT and the like end only what wait waits for.
func openScreen(out *os.File) (*screen, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make a pipe for signals: %w", err)
	}
	nsenter.CatchSignals(p[1], screenMask())
	s := &screen{out, p[0], p[1]}
	if _, err := out.WriteString(enterScreen); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// size is how many columns and rows a terminal has now; 80 and 24 if it does not tell.
func size(terminal *os.File) (columns, rows int) {
	size, err := unix.IoctlGetWinsize(int(terminal.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}

// draw shows lines, none of which may be wider than the screen, with one write.
func (s *screen) draw(lines []string) error {
	var b bytes.Buffer
	b.WriteString("\x1b[H") // to the corner
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + "\x1b[K") // and clear what was to the right of it
	}
	b.WriteString("\x1b[J") // and below
	_, err := s.out.Write(b.Bytes())
	return err
}

// wait waits for some time, or until the picture has to be drawn anew because the terminal has another size or rt
// was stopped by Ctrl-Z meanwhile, or until a signal says that it is over: 0 if none does. SIGHUP is also what
// a terminal says that has gone.
func (s *screen) wait(d time.Duration) (end unix.Signal, err error) {
	fds := []unix.PollFd{{Fd: int32(s.r), Events: unix.POLLIN}, {Fd: int32(s.out.Fd())}}
	left := unix.NsecToTimespec(d.Nanoseconds())
	if _, err := unix.Ppoll(fds, &left, nil); err != nil && err != unix.EINTR {
		return 0, os.NewSyscallError("poll", err)
	}
	if fds[1].Revents != 0 {
		return unix.SIGHUP, nil
	}
	var buf [64]byte
	n, err := unix.Read(s.r, buf[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, os.NewSyscallError("read signals", err)
	}
	for _, b := range buf[:n] {
		switch sig := unix.Signal(b); sig {
		case unix.SIGWINCH:
		case unix.SIGTSTP:
			if err := s.stop(); err != nil {
				return 0, err
			}
		default:
			return sig, nil
		}
	}
	return 0, nil
}

// stop gives the terminal back for as long as rt is stopped.
func (s *screen) stop() error {
	_, err := s.out.WriteString(leaveScreen)
	if err == nil {
		err = stopSelf()
	}
	if err == nil {
		_, err = s.out.WriteString(enterScreen)
	}
	return err
}

// stopSelf returns once rt is continued. The signal is for this very thread: one for the process may go to another, and
// this thread would take the terminal over again before that one has stopped them all.
func stopSelf() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return sys.Retry(func() error { return unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP) })
}

// close gives the terminal back.
func (s *screen) close() {
	_, _ = s.out.WriteString(leaveScreen)
	nsenter.CatchSignals(-1, screenMask())
	unix.Close(s.r)
	unix.Close(s.w)
}

// terminal is the output if it is one.
func terminal(w io.Writer) *os.File {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// width is how wide the output is; 0 if it is not a terminal: there nothing is cut off.
func width(w io.Writer) int {
	if t := terminal(w); t != nil {
		columns, _ := size(t)
		return columns
	}
	return 0
}
