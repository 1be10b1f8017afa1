package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestLargeOutputIsComplete(t *testing.T) {
	master, slave := openPty(t)
	r, w := pipe(t)
	s := attach(t, master, null(t), w)
	got := collect(r)
	cmd := container(t, slave, "seq 300000")
	wait(t, cmd)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	w.Close()
	var want bytes.Buffer
	for i := 1; i <= 300000; i++ {
		fmt.Fprintln(&want, i)
	}
	if out := got(); !bytes.Equal(out, want.Bytes()) { // plain \n: stdout is no terminal
		t.Errorf("%d bytes, want %d", len(out), want.Len())
	}
}

// Truncated output of short processes: the last words come just before the end.
func TestLastWordsAreNotLost(t *testing.T) {
	for i := range 50 {
		master, slave := openPty(t)
		r, w := pipe(t)
		s := attach(t, master, null(t), w)
		wait(t, container(t, slave, "head -c 3000 /dev/zero | tr '\\0' x; echo last words"))
		s.Close() // what it says fits into the pipe
		w.Close()
		master.Close()
		if out := collect(r)(); len(out) != 3011 || !bytes.HasSuffix(out, []byte("xlast words\n")) {
			t.Fatalf("round %d: %d bytes, ending %q", i, len(out), out[max(0, len(out)-20):])
		}
	}
}

func TestSlowNonBlockingStdoutLosesNothing(t *testing.T) {
	master, slave := openPty(t)
	r, w := pipe(t)
	if err := unix.SetNonblock(int(w.Fd()), true); err != nil { // some other user of it has done so
		t.Fatal(err)
	}
	s := attach(t, master, null(t), w)
	cmd := container(t, slave, "head -c 400000 /dev/zero | tr '\\0' x")
	total := make(chan int, 1)
	go func() {
		buf, n := make([]byte, 4096), 0
		for n < 400000 {
			k, err := r.Read(buf)
			if err != nil {
				break
			}
			n += k
			time.Sleep(time.Millisecond) // slower than the writer
		}
		total <- n
	}()
	wait(t, cmd)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	w.Close()
	if n := <-total; n != 400000 {
		t.Errorf("%d bytes", n)
	}
}

func TestRawModeIsSetAndRestored(t *testing.T) {
	master, slave := openPty(t)
	user, tty := openPty(t)
	_, w := pipe(t)
	before := modes(t, tty)
	for _, c := range []struct {
		stdout *os.File
		opost  bool
	}{{tty, false}, {w, true}} {
		s := attach(t, master, tty, c.stdout)
		during := modes(t, tty)
		if during.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
			t.Error("stdin is not raw")
		}
		if got := during.Oflag&unix.OPOST != 0; got != c.opost {
			t.Errorf("output processing = %v, want %v", got, c.opost)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if after := modes(t, tty); after != before {
			t.Errorf("modes after Close = %+v, want %+v", after, before)
		}
		s.Close() // a second time: nothing
	}
	// Keys that are typed after Close belong to the shell.
	if _, err := user.WriteString("key\n"); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func() {
		buf := make([]byte, 10)
		if n, err := tty.Read(buf); string(buf[:n]) != "key\n" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
	})
	slave.Close()
}

func TestTerminalToTerminalIsTransparent(t *testing.T) {
	master, slave := openPty(t)
	user, tty := openPty(t)
	s := attach(t, master, tty, tty)
	cmd := container(t, slave, "read x; echo got $x")
	if _, err := user.WriteString("word\r"); err != nil { // what the Enter key sends
		t.Fatal(err)
	}
	wait(t, cmd)
	s.Close()
	tty.Close()
	want := "word\r\ngot word\r\n"
	got := make([]byte, len(want))
	within(t, patience, func() { io.ReadFull(user, got) })
	if string(got) != want {
		t.Errorf("on the screen: %q, want %q", got, want)
	}
}

func TestEndOfPipedStdin(t *testing.T) {
	for input, want := range map[string]string{"line\n": "line\nline\n", "open": "openopen", "": ""} {
		master, slave := openPty(t)
		r, w := pipe(t)
		in, typed := pipe(t)
		s := attach(t, master, in, w)
		got := collect(r)
		cmd := container(t, slave, "cat")
		if _, err := typed.WriteString(input); err != nil {
			t.Fatal(err)
		}
		typed.Close()
		wait(t, cmd) // cat ends only at end of file
		s.Close()
		w.Close()
		if out := strings.ReplaceAll(string(got()), "^D\b\b", ""); out != want { // the echo, and cat
			t.Errorf("%q: output %q, want %q", input, out, want)
		}
	}
}

func TestEndOfDeviceIsNotPassedOn(t *testing.T) {
	master, slave := openPty(t)
	r, w := pipe(t)
	s := attach(t, master, null(t), w)
	got := collect(r)
	<-s.inDone // the end has been seen
	cmd := container(t, slave, "read x && echo got $x || echo end of file")
	if _, err := master.WriteString("more\n"); err != nil {
		t.Fatal(err)
	}
	wait(t, cmd)
	s.Close()
	w.Close()
	if out := string(got()); out != "more\ngot more\n" {
		t.Errorf("output %q", out)
	}
}

func TestLargeInputIsComplete(t *testing.T) {
	master, slave := openPty(t)
	r, w := pipe(t)
	in, typed := pipe(t)
	s := attach(t, master, in, w)
	got := collect(r)
	cmd := container(t, slave, "stty -echo; echo ready; wc -c")
	line := strings.Repeat("x", 99) + "\n"
	go func() {
		for range 5000 {
			typed.WriteString(line)
		}
		typed.Close()
	}()
	wait(t, cmd)
	s.Close()
	w.Close()
	if out := string(got()); !strings.HasSuffix(out, "\n500000\n") {
		t.Errorf("output ends %q", out[max(0, len(out)-100):])
	}
}

func TestProcessLeftBehindDoesNotHang(t *testing.T) {
	for name, write := range map[string]bool{"silent": false, "endless": true} {
		master, slave := openPty(t)
		r, w := pipe(t)
		s := attach(t, master, null(t), w)
		got := collect(r)
		if _, err := slave.WriteString("before\n"); err != nil {
			t.Fatal(err)
		}
		quit := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for write {
				select {
				case <-quit:
					return
				default:
					if _, err := slave.WriteString("noise\n"); err != nil {
						return
					}
				}
			}
		}()
		within(t, patience, func() { s.Close() })
		close(quit)
		master.Close() // a writer that is blocked gets EIO
		<-ended
		w.Close()
		if out := got(); !bytes.HasPrefix(out, []byte("before\n")) {
			t.Errorf("%s: output %.20q", name, out)
		}
	}
}

func TestBrokenStdoutDoesNotStopTheContainer(t *testing.T) {
	master, slave := openPty(t)
	r, w := pipe(t)
	r.Close()
	s := attach(t, master, null(t), w)
	wait(t, container(t, slave, "seq 100000"))
	if err := s.Close(); !errors.Is(err, unix.EPIPE) {
		t.Errorf("error = %v", err)
	}
}

// systemd in a container closes and opens its console as it likes.
func TestTerminalMayBeReopened(t *testing.T) {
	master, slave := openPty(t)
	r, w := pipe(t)
	in, typed := pipe(t)
	s := attach(t, master, in, w)
	got := collect(r)
	slave.Close() // nobody has it open now
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(master.Fd())}}, 0); n != 1 {
		t.Fatalf("the terminal is not hung up: %d, %v", n, err)
	}
	typed.WriteString("typed\n")
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // until it is on its way
		if n, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ); n == 0 {
			break
		} else if err != nil || time.Now().After(end) {
			t.Fatalf("stdin is not read: %d, %v", n, err)
		}
	}
	slave = openSlave(t, master)
	cmd := container(t, slave, "stty -echo; read x; echo got $x")
	wait(t, cmd)
	s.Close()
	w.Close()
	if out := string(got()); !strings.HasSuffix(out, "got typed\n") {
		t.Errorf("output %q", out)
	}
}

// Nobody has the terminal open and it can take no more: poll reports POLLHUP all the time, rt must not spin.
func TestHungUpTerminalCostsNoTime(t *testing.T) {
	master, slave := openPty(t)
	r, w := pipe(t)
	go io.Copy(io.Discard, r) // the echo
	in, typed := pipe(t)
	s := attach(t, master, in, w)
	slave.Close()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		typed.Write(bytes.Repeat([]byte("x"), 1<<20)) // more than fits anywhere; ends with the reader
	}()
	calls := func() (n int) { // reads and writes of this process, proc_pid_io(5)
		var read, written int
		b, err := os.ReadFile("/proc/self/io")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			fmt.Sscanf(line, "syscr: %d", &read)
			fmt.Sscanf(line, "syscw: %d", &written)
		}
		return read + written
	}
	for full := 0; full < 20; { // the pipe has been full, 20 looks in a row
		if n, _ := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ); n > 60000 {
			full++
		} else {
			full = 0
		}
		time.Sleep(time.Millisecond)
	}
	before, began := calls(), time.Now()
	time.Sleep(300 * time.Millisecond) // in which a spinning pump makes 100,000
	n, looks := calls()-before, int(time.Since(began)/idle)
	if most := 5000 + 4*looks; n > most { // the rest of the echo, and a look of either pump every 20 ms
		t.Errorf("%d reads and writes, at most %d", n, most)
	}
	within(t, patience, func() { s.Close() })
	in.Close()
	<-fed
}

func TestFileStatusFlagsStay(t *testing.T) {
	master, slave := openPty(t)
	defer slave.Close()
	_, tty := openPty(t)
	before, err := unix.FcntlInt(tty.Fd(), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, master, tty, tty)
	if after, err := unix.FcntlInt(tty.Fd(), unix.F_GETFL, 0); after != before {
		t.Errorf("flags = %#x, want %#x (%v)", after, before, err)
	}
}

func TestAttachToNoTerminal(t *testing.T) {
	r, w := pipe(t)
	_, tty := openPty(t)
	before := modes(t, tty)
	if _, err := Attach(r, tty, w); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("error = %v", err)
	}
	if modes(t, tty) != before {
		t.Error("the caller's terminal was changed")
	}
}

func TestWindowSize(t *testing.T) {
	master, slave := openPty(t)
	_, tty := openPty(t)
	size := func(rows, cols uint16) {
		t.Helper()
		got, err := unix.IoctlGetWinsize(int(slave.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			t.Fatal(err)
		}
		if got.Row != rows || got.Col != cols {
			t.Errorf("size = %dx%d, want %dx%d", got.Col, got.Row, cols, rows)
		}
	}
	user := func(rows, cols uint16) {
		t.Helper()
		if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
			t.Fatal(err)
		}
	}
	set := func(box *specs.Box, callers ...*os.File) {
		t.Helper()
		if err := SetSize(master, box, callers...); err != nil {
			t.Error(err)
		}
	}
	user(24, 80)
	set(&specs.Box{Height: 10, Width: 110}, tty)
	size(10, 110)
	set(nil, null(t))
	size(10, 110)
	set(nil, null(t), tty)
	size(24, 80)
	set(&specs.Box{}, tty)
	size(24, 80)
	if err := SetSize(master, &specs.Box{Height: 1 << 16, Width: 1}); !errors.Is(err, unix.ERANGE) {
		t.Errorf("error = %v", err)
	}
	s := attach(t, master, null(t), tty)
	user(50, 132)
	if err := s.Resize(); err != nil {
		t.Error(err)
	}
	size(50, 132)
	s.Close()
	if err := s.Resize(); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// The terminal is restored although rt is in the background by then.
func TestRestoreFromTheBackground(t *testing.T) {
	user, tty := openPty(t)
	before := modes(t, tty)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "RT_CONSOLE_TEST=background")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	keep := openSlave(t, user)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, cmd)
	if stderr.Len() > 0 {
		t.Error(stderr.String())
	}
	_ = keep
	again := openSlave(t, user) // the end of the session's leader has hung up the others
	if after := modes(t, again); after != before {
		t.Errorf("modes = %+v, want %+v", after, before)
	}
}

// background attaches in the foreground, hands the foreground to another process group, and closes.
func background() error {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s, err := Attach(os.NewFile(uintptr(m), "master"), os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	if t, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil || t.Lflag&unix.ICANON != 0 {
		return fmt.Errorf("stdin is not raw: %w", err)
	}
	other := exec.Command("/bin/cat")
	in, err := other.StdinPipe()
	if err != nil {
		return err
	}
	other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: 0}
	if err := other.Start(); err != nil {
		return err
	}
	defer func() { in.Close(); other.Wait() }()
	if group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err != nil || group == unix.Getpgrp() {
		return fmt.Errorf("still in the foreground: %w", err)
	}
	return s.Close()
}
