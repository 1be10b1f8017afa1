package integration

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is the master side of a pty; what it prints is collected.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File // nil when it is the container's
	mu     sync.Mutex
	output bytes.Buffer
}

func newTerminal(t *testing.T, master, slave *os.File) *terminal {
	term := &terminal{t: t, master: master, slave: slave}
	t.Cleanup(func() { master.Close() })
	go func() { _, _ = io.Copy(term, master) }()
	return term
}

func (term *terminal) Write(p []byte) (int, error) {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.output.Write(p)
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.output.String()
}

// types writes to the terminal as somebody at a keyboard.
func (term *terminal) types(text string) {
	term.t.Helper()
	if _, err := term.master.WriteString(text); err != nil {
		term.t.Fatal(err)
	}
}

// shows waits until the terminal has printed this text.
func (term *terminal) shows(text string) {
	term.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(term.text(), text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			term.t.Fatalf("waited in vain for %q on the terminal, which shows: %q", text, term.text())
		}
	}
}

func (term *terminal) resize(rows, cols uint16) {
	term.t.Helper()
	if err := unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		term.t.Fatal(err)
	}
}

// openPty makes a pty of the host. The slave comes from TIOCGPTPEER: /dev/pts may be another instance's.
func openPty(t *testing.T) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, err := ptyPeer(fd)
	if err != nil {
		t.Fatal(err)
	}
	s := os.NewFile(uintptr(slave), "slave")
	t.Cleanup(func() { s.Close() })
	return newTerminal(t, os.NewFile(uintptr(fd), "master"), s)
}

func ptyPeer(master int) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// A consoleSocket receives terminals from the runtime, as conmon and containerd do.
type consoleSocket struct {
	t        *testing.T
	path     string
	listener *net.UnixListener
}

func (c *container) consoleSocket() *consoleSocket {
	c.t.Helper()
	path := filepath.Join(c.dir, "tty.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	c.must(err)
	c.t.Cleanup(func() { l.Close() })
	return &consoleSocket{c.t, path, l}
}

// receive takes one terminal: a message with the pty's path and the master's descriptor.
func (s *consoleSocket) receive() (term *terminal, name string) {
	s.t.Helper()
	if err := s.listener.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	conn, err := s.listener.AcceptUnix()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	data, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(16))
	n, oobn, _, _, err := conn.ReadMsgUnix(data, oob)
	if err != nil {
		s.t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		s.t.Fatalf("control messages %v: %v", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		s.t.Fatalf("descriptors %v: %v", fds, err)
	}
	unix.CloseOnExec(fds[0])
	return newTerminal(s.t, os.NewFile(uintptr(fds[0]), "master"), nil), string(data[:n])
}
