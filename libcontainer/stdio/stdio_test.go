package stdio

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func open(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o600)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func file(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return open(t, path, os.O_RDWR)
}

// openpty makes a terminal that is nobody's controlling one.
func openpty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master = open(t, "/dev/ptmx", os.O_RDWR|unix.O_NOCTTY)
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	slave = os.NewFile(fd, "slave")
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestOpenDecides: what of each kind of descriptor the process gets.
func TestOpenDecides(t *testing.T) {
	r, w := pipe(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	socket := os.NewFile(uintptr(pair[0]), "socket")
	defer unix.Close(pair[1])
	defer socket.Close()
	_, slave := openpty(t)
	event, err := newEvent()
	must(t, err)
	defer event.Close()
	tcp, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	network := os.NewFile(uintptr(tcp), "network")
	defer network.Close()
	path := filepath.Join(t.TempDir(), "fifo")
	must(t, unix.Mkfifo(path, 0o600))
	for _, c := range []struct {
		name   string
		f      *os.File
		copied bool
	}{
		{"a pipe to read", r, false}, {"a pipe to write", w, false}, {"a socket", socket, true}, {"a socket of a network", network, true},
		{"a FIFO", open(t, path, os.O_RDWR), true}, {"null", open(t, os.DevNull, os.O_RDWR), false},
		{"zero", open(t, "/dev/zero", os.O_RDWR), true}, {"a file", file(t, ""), true}, {"a terminal", slave, true}, {"an eventfd", event, true},
	} {
		for i := range 3 {
			caller := [3]*os.File{r, w, w}
			caller[i] = c.f
			s, err := Open(caller, true)
			must(t, err)
			if got := s.Child[i] != c.f; got != c.copied || s.Copies() != c.copied {
				t.Errorf("%s as %s is copied: %v, want %v", c.name, names[i], got, c.copied)
			}
			s.Close()
			if s, err = Open(caller, false); err != nil || s.Child != caller || s.Copies() {
				t.Errorf("detached, %s as %s: %+v, %v", c.name, names[i], s, err)
			}
			if want := c.f == slave; (len(s.Terminals) == 1 && s.Terminals[0] == names[i]) != want {
				t.Errorf("detached, %s as %s: terminals %q", c.name, names[i], s.Terminals)
			}
			if want := c.f == network; (len(s.Sockets) == 1 && s.Sockets[0] == names[i]) != want {
				t.Errorf("detached, %s as %s: sockets %q", c.name, names[i], s.Sockets)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	r, w := pipe(t)
	for i := range 3 {
		for _, foreground := range []bool{true, false} {
			caller := [3]*os.File{r, w, w}
			caller[i] = open(t, t.TempDir(), os.O_RDONLY)
			if _, err := Open(caller, foreground); err == nil || !strings.Contains(err.Error(), names[i]+" is a directory") {
				t.Errorf("a directory as %s: %v", names[i], err)
			}
		}
	}
	if refuse("stdin", unix.S_IFBLK) == nil {
		t.Error("a block device is not refused")
	}
}

// TestOneOpenFile: stdout and stderr share a pipe if they share an offset or need none.
func TestOneOpenFile(t *testing.T) {
	null := open(t, os.DevNull, os.O_RDWR)
	f := file(t, "")
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	must(t, err)
	dup := os.NewFile(uintptr(fd), "dup")
	defer dup.Close()
	_, slave := openpty(t)
	for _, c := range []struct {
		name string
		a, b *os.File
		want bool
	}{
		{"one file", f, f, true}, {"a duplicate", f, dup, true}, {"opened twice", f, open(t, f.Name(), os.O_RDWR), false},
		{"appended twice", open(t, f.Name(), os.O_WRONLY|os.O_APPEND), open(t, f.Name(), os.O_WRONLY|os.O_APPEND), true},
		{"appended once", f, open(t, f.Name(), os.O_RDWR|os.O_APPEND), false}, {"two files", f, file(t, ""), false}, {"a terminal", slave, slave, true},
	} {
		s, err := Open([3]*os.File{null, c.a, c.b}, true)
		must(t, err)
		if got := s.Child[1] == s.Child[2]; got != c.want {
			t.Errorf("%s: one pipe: %v, want %v", c.name, got, c.want)
		}
		s.Close()
	}
}

// child takes the process's side of the streams.
func child(t *testing.T, s *Streams) (in, out *os.File) {
	t.Helper()
	dup := func(f *os.File) *os.File {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		must(t, err)
		d := os.NewFile(uintptr(fd), f.Name())
		t.Cleanup(func() { d.Close() })
		return d
	}
	in, out = dup(s.Child[0]), dup(s.Child[1])
	must(t, s.Start(-1))
	return in, out
}

func TestCopy(t *testing.T) {
	text := strings.Repeat("0123456789abcde\n", 100000)
	source, target := file(t, text), file(t, "")
	s, err := Open([3]*os.File{source, target, target}, true)
	must(t, err)
	in, out := child(t, s)
	go func() {
		_, _ = io.Copy(out, in)
		out.Close()
		in.Close()
	}()
	must(t, poll(-1, unix.PollFd{Fd: int32(s.Output().Fd()), Events: unix.POLLIN}))
	s.Ended()
	if got, err := os.ReadFile(target.Name()); err != nil || string(got) != text || !s.Over() || s.Err() != nil {
		t.Errorf("%d bytes of %d, %v, over %v, %v", len(got), len(text), err, s.Over(), s.Err())
	}
	s.Close() // does nothing
}

// TestNotRead: of a file what nobody has read is given back, also where all of it was copied and the pipe closed for the program to see
// the end; while the pipe is open for reading it is not.
func TestNotRead(t *testing.T) {
	for _, size := range []int{1500, 300000} {
		for _, held := range []bool{false, true} {
			source := file(t, strings.Repeat("x", size))
			s, err := Open([3]*os.File{source, devNull(t), devNull(t)}, true)
			must(t, err)
			in, _ := child(t, s)
			if _, err := io.ReadFull(in, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if size < inBuffer {
				must(t, poll(-1, unix.PollFd{Fd: int32(in.Fd())})) // POLLHUP
			}
			if !held {
				in.Close()
			}
			s.Ended()
			at, err := source.Seek(0, io.SeekCurrent)
			must(t, err)
			if (at == 1000) == held {
				t.Errorf("%d bytes, open for reading: %v; the offset is %d after 1000 bytes were read", size, held, at)
			}
		}
	}
}

func devNull(t *testing.T) *os.File { return open(t, os.DevNull, os.O_RDWR) }

// TestTerminalAhead: a line is read only when the one before has been taken.
func TestTerminalAhead(t *testing.T) {
	master, slave := openpty(t)
	s, err := Open([3]*os.File{slave, devNull(t), devNull(t)}, true)
	must(t, err)
	_, err = master.WriteString("one\ntwo\nthree\n")
	must(t, err)
	in, _ := child(t, s)
	buf := make([]byte, 100)
	for _, want := range []string{"one\n", "two\n"} {
		n, err := in.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("read %q, %v; want %q", buf[:n], err, want)
		}
	}
	s.Ended()
	_, err = master.WriteString("four\n")
	must(t, err)
	n, err := slave.Read(buf)
	if got := string(buf[:n]); err != nil || got != "three\n" && got != "four\n" {
		t.Errorf("after the end the terminal has %q, %v", got, err)
	}
}

// TestLostOutput: an error of writing is told once, and what comes later is tried again.
func TestLostOutput(t *testing.T) {
	target := open(t, "/dev/full", os.O_WRONLY)
	s, err := Open([3]*os.File{devNull(t), target, target}, true)
	must(t, err)
	_, out := child(t, s)
	_, err = out.Write(bytes.Repeat([]byte("x"), 200000))
	must(t, err)
	out.Close()
	must(t, poll(-1, unix.PollFd{Fd: int32(s.Output().Fd()), Events: unix.POLLIN}))
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "write to stdout: no space left on device") {
		t.Errorf("%v", err)
	}
}

func socketpair(t *testing.T) (a, b *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	a, b = os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "peer")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestSocket: one socket as all three is copied both ways, and its peer's shutdown is the end of input.
func TestSocket(t *testing.T) {
	ours, peer := socketpair(t)
	s, err := Open([3]*os.File{ours, ours, ours}, true)
	must(t, err)
	in, out := child(t, s)
	text := strings.Repeat("0123456789abcde\n", 50000)
	go func() {
		_, _ = io.Copy(out, in)
		out.Close()
		in.Close()
	}()
	go func() {
		_, _ = peer.WriteString(text)
		_ = unix.Shutdown(int(peer.Fd()), unix.SHUT_WR)
	}()
	got := make([]byte, len(text))
	_, err = io.ReadFull(peer, got)
	must(t, err)
	must(t, poll(-1, unix.PollFd{Fd: int32(s.Output().Fd()), Events: unix.POLLIN}))
	s.Ended()
	if string(got) != text || s.Err() != nil {
		t.Errorf("the text is not what was sent, or %v", s.Err())
	}
}

// TestReaderGone: a program that writes to a socket or FIFO that nobody reads learns it, as without the copy.
func TestReaderGone(t *testing.T) {
	ours, peer := socketpair(t)
	s, err := Open([3]*os.File{devNull(t), ours, ours}, true)
	must(t, err)
	_, out := child(t, s)
	peer.Close()
	for err == nil {
		_, err = out.Write(bytes.Repeat([]byte("x"), 4096))
	}
	if !errors.Is(err, unix.EPIPE) {
		t.Error(err)
	}
	must(t, poll(-1, unix.PollFd{Fd: int32(s.Output().Fd()), Events: unix.POLLIN}))
	must(t, s.Err())
}

// TestForeignBytes: what a container writes into the pipe for its stdin does not set the file's offset to before what was read.
func TestForeignBytes(t *testing.T) {
	for _, size := range []int{1000, 1 << 20} {
		source := file(t, strings.Repeat("x", size))
		_, err := source.Seek(500, io.SeekStart)
		must(t, err)
		s, err := Open([3]*os.File{source, devNull(t), devNull(t)}, true)
		must(t, err)
		foreign := open(t, "/proc/self/fd/"+strconv.Itoa(int(s.Child[0].Fd())), os.O_WRONLY)
		_, err = foreign.WriteString(strings.Repeat("y", 100))
		must(t, err)
		in, _ := child(t, s)
		foreign.Close()
		in.Close()
		s.Ended()
		if at, err := source.Seek(0, io.SeekCurrent); err != nil || at != 500 && at != int64(size) {
			t.Errorf("the offset was 500, and is %d, %v", at, err)
		}
	}
}

func TestGiveUp(t *testing.T) {
	target := file(t, "")
	s, err := Open([3]*os.File{devNull(t), target, target}, true)
	must(t, err)
	_, out := child(t, s)
	defer out.Close()
	s.Ended()
	if s.Over() {
		t.Error("it is over while the pipe is open")
	}
	s.GiveUp()
	if !s.Over() || s.Err() != nil {
		t.Errorf("over %v, %v", s.Over(), s.Err())
	}
}
