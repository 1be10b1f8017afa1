package notify

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A manager is the service manager's side: it listens as systemd would.
type manager struct{ fd int }

func listen(t *testing.T, address string) *manager {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: address}); err != nil {
		t.Fatal(err)
	}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	return &manager{fd}
}

// next returns the next message and the descriptors with it.
func (m *manager) next() (string, []int, error) {
	buf, oob := make([]byte, 4096), make([]byte, 128)
	n, oobn, _, _, err := unix.Recvmsg(m.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return "", nil, err
	}
	var fds []int
	controls, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for _, c := range controls {
		f, _ := unix.ParseUnixRights(&c)
		fds = append(fds, f...)
	}
	return string(buf[:n]), fds, nil
}

// silent fails the test if a message is there.
func (m *manager) silent(t *testing.T) {
	t.Helper()
	if n, _, err := unix.Recvfrom(m.fd, make([]byte, 100), unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("the manager got a message: %d bytes, %v", n, err)
	}
}

// serve takes the three messages and lets the barrier go; the transcript comes when all are in.
func (m *manager) serve() <-chan string {
	result := make(chan string, 1)
	go func() {
		var all []string
		for range 3 {
			text, fds, err := m.next()
			all = append(all, fmt.Sprintf("%q fds=%d err=%v", text, len(fds), err))
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
		result <- strings.Join(all, "\n")
	}()
	return result
}

func newProxy(t *testing.T, dir, host string) *Proxy {
	t.Helper()
	p, err := New(dir, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// say is what a container's process does with its NOTIFY_SOCKET.
func say(t *testing.T, dir, message string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, []byte(message), 0, &unix.SockaddrUnix{Name: dir + "/notify.sock"}); err != nil {
		t.Fatal(err)
	}
}

// process starts one that ends when the test does or end is called.
func process(t *testing.T) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command("/bin/cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	return cmd.Process.Pid, func() { stdin.Close() }
}

func TestReadyIsPassedOnWithPidAndBarrier(t *testing.T) {
	for _, kind := range []string{"path", "abstract"} {
		dir := t.TempDir()
		address := dir + "/host"
		if kind == "abstract" {
			address = fmt.Sprintf("@rt-test-notify-%d", os.Getpid())
		}
		m := listen(t, address)
		p := newProxy(t, dir+"/notify", address)
		pid, _ := process(t)
		transcript := m.serve()
		say(t, p.Dir(), "STATUS=starting\nMAINPID=1")
		say(t, p.Dir(), "READY=10")
		say(t, p.Dir(), "STATUS=up\nREADY=1\nMAINPID=1")
		if err := p.Forward(pid, nil); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("\"READY=1\\n\" fds=0 err=<nil>\n\"MAINPID=%d\\n\" fds=0 err=<nil>\n\"BARRIER=1\" fds=1 err=<nil>", pid)
		if got := <-transcript; got != want {
			t.Errorf("%s: the manager got\n%s\nwant\n%s", kind, got, want)
		}
		m.silent(t)
	}
}

func TestReadyAfterForwardHasBegun(t *testing.T) {
	dir := t.TempDir()
	m := listen(t, dir+"/host")
	p := newProxy(t, dir+"/notify", dir+"/host")
	pid, _ := process(t)
	transcript := m.serve()
	result := make(chan error, 1)
	go func() { result <- p.Forward(pid, nil) }()
	// Once Forward has taken the first message it waits for the next.
	say(t, p.Dir(), "STATUS=starting")
	awaitEmpty(t, p)
	say(t, p.Dir(), "READY=1")
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if got := <-transcript; !strings.HasPrefix(got, `"READY=1\n"`) {
		t.Errorf("the manager got %s", got)
	}
}

func awaitEmpty(t *testing.T, p *Proxy) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(p.sock), Events: unix.POLLIN}}, 0); n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nobody reads the container's socket")
		}
	}
}

func TestEndWithoutReady(t *testing.T) {
	dir := t.TempDir()
	m := listen(t, dir+"/host")
	for name, run := range map[string]func(p *Proxy, pid int, end func()) error{
		"done": func(p *Proxy, pid int, _ func()) error {
			done := make(chan struct{})
			close(done)
			return p.Forward(pid, done)
		},
		"dead": func(p *Proxy, pid int, end func()) error {
			end()
			return p.Forward(pid, nil)
		},
		"never there": func(p *Proxy, _ int, _ func()) error { return p.Forward(1<<22+1, nil) }, // PID_MAX_LIMIT
	} {
		p := newProxy(t, dir+"/notify", dir+"/host")
		pid, end := process(t)
		say(t, p.Dir(), "STATUS=starting")
		if err := run(p, pid, end); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		m.silent(t)
	}
}

// A short-lived process that was ready counts, even if it has ended when rt looks.
func TestReadyBeforeDeath(t *testing.T) {
	dir := t.TempDir()
	m := listen(t, dir+"/host")
	p := newProxy(t, dir+"/notify", dir+"/host")
	transcript := m.serve()
	say(t, p.Dir(), "READY=1")
	if err := p.Forward(1<<22+1, nil); err != nil {
		t.Fatal(err)
	}
	if got := <-transcript; !strings.HasPrefix(got, `"READY=1\n"`) {
		t.Errorf("the manager got %s", got)
	}
}

func TestBarrierHasALimit(t *testing.T) {
	dir := t.TempDir()
	listen(t, dir+"/host") // takes messages in but never handles them
	p := newProxy(t, dir+"/notify", dir+"/host")
	p.limit = 50 * time.Millisecond
	pid, _ := process(t)
	say(t, p.Dir(), "READY=1")
	if err := p.Forward(pid, nil); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("error = %v", err)
	}
}

// TestBarrierEndsWithTheProgram: a manager that never handles its messages is not waited for once the program has ended.
func TestBarrierEndsWithTheProgram(t *testing.T) {
	dir := t.TempDir()
	m := listen(t, dir+"/host")
	p := newProxy(t, dir+"/notify", dir+"/host")
	p.limit = time.Hour
	pid, _ := process(t)
	say(t, p.Dir(), "READY=1")
	done, result := make(chan struct{}), make(chan error, 1)
	go func() { result <- p.Forward(pid, done) }()
	for _, want := range []string{"READY=1\n", "MAINPID=", "BARRIER=1"} {
		got, fds, err := m.next()
		if err != nil || !strings.HasPrefix(got, want) {
			t.Fatalf("the manager got %q, %v, want %q", got, err, want)
		}
		for _, fd := range fds { // it keeps the barrier's until the test is over
			t.Cleanup(func() { unix.Close(fd) })
		}
	}
	close(done)
	select {
	case err := <-result:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the barrier is awaited after the program's end")
	}
}

// The container's own barrier: its descriptor is closed once rt has read the message.
func TestBarrierOfTheContainer(t *testing.T) {
	dir := t.TempDir()
	p := newProxy(t, dir+"/notify", dir+"/host")
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err = unix.Sendmsg(fd, []byte("BARRIER=1"), unix.UnixRights(pipe[1]), &unix.SockaddrUnix{Name: dir + "/notify/notify.sock"}, 0)
	unix.Close(pipe[1])
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	close(done)
	if err := p.Forward(os.Getpid(), done); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pipe[0])}}, 0); n != 1 {
		t.Errorf("the container still waits: %d, %v", n, err)
	}
}

func TestSocketIsReplacedAndOpenToAll(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40)) // longer than an address
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	dir += "/notify"
	if err := MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	first, err := New(dir, "/host")
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(first.sock) // as if rt had been killed
	p := newProxy(t, dir, "/host")
	for path, want := range map[string]os.FileMode{dir: os.ModeDir | 0o755, dir + "/notify.sock": os.ModeSocket | 0o777} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != want {
			t.Errorf("mode of %s = %v, want %v", path, fi.Mode(), want)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/notify.sock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestBadHostSockets(t *testing.T) {
	dir := t.TempDir()
	for _, host := range []string{"", "relative", "vsock:2:1234"} {
		if _, err := New(dir+"/notify", host); !errors.Is(err, unix.EAFNOSUPPORT) {
			t.Errorf("%q: %v", host, err)
		}
	}
	p := newProxy(t, dir+"/notify", dir+"/nobody")
	say(t, p.Dir(), "READY=1")
	if err := p.Forward(os.Getpid(), nil); !errors.Is(err, unix.ENOENT) {
		t.Errorf("error = %v", err)
	}
}

// TestMessagesTakeNoMemory: there may be any number of them.
func TestMessagesTakeNoMemory(t *testing.T) {
	message := []byte("STATUS=x\nX=READY=1\nREADY=10\n\nMAINPID=1")
	ready := 0
	if n := testing.AllocsPerRun(100, func() {
		if isReady(message) {
			ready++
		}
	}); n != 0 || ready != 0 {
		t.Errorf("%v allocations a message; ready %d times", n, ready)
	}
}
