package console

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listen makes a console socket; receive takes one connection's message.
func listen(t *testing.T, path string) (receive func() (payload string, fds []int)) {
	t.Helper()
	// The path may be too long for an address: a short one through the working directory's descriptor.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Chdir(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Base(path))
	if err := os.Chdir(wd); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func() (string, []int) {
		t.Helper()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		buf, oob := make([]byte, 8192), make([]byte, 256)
		n, oobn, _, _, err := c.(*net.UnixConn).ReadMsgUnix(buf, oob)
		if err != nil {
			t.Fatal(err)
		}
		controls, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(controls) != 1 {
			t.Fatalf("%d control messages, %v", len(controls), err)
		}
		fds, err := unix.ParseUnixRights(&controls[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n]), fds
	}
}

func TestSendHandsOverTheTerminal(t *testing.T) {
	master, _ := openPty(t)
	want, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 150))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "s"), long + "/s", long + "/" + strings.Repeat("s", 100)} {
		receive := listen(t, path)
		if err := Send(path, master, "/dev/pts/7"); err != nil {
			t.Fatal(err)
		}
		name, fds := receive()
		if name != "/dev/pts/7" || len(fds) != 1 {
			t.Fatalf("received %q and %d descriptors", name, len(fds))
		}
		got, err := unix.IoctlGetInt(fds[0], unix.TIOCGPTN)
		unix.Close(fds[0])
		if err != nil || got != want {
			t.Errorf("received terminal %d, %v; want %d", got, err, want)
		}
	}
}

func TestSendErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		dir + "/none": unix.ENOENT, file: unix.ECONNREFUSED, dir + "/" + strings.Repeat("x", 200): unix.ENOENT,
	} {
		err := SendFd(path, os.Stdin, "x")
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if err := SendFd(dir+"/none", os.Stdin, ""); !errors.Is(err, unix.EINVAL) {
		t.Errorf("an empty payload: %v", err)
	}
	if err := Send(dir+"/none", os.Stdin, strings.Repeat("x", 4097)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a name of 4097 bytes: %v", err)
	}
}

// TestLook: what a connection would fail for is found without one.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/stream", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := Look(dir + "/stream"); err != nil {
		t.Error(err)
	}
	if err := l.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if conn, err := l.Accept(); err == nil {
		conn.Close()
		t.Error("the listener has a connection")
	}
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/datagram", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"none": unix.ENOENT, "file": unix.ECONNREFUSED, "datagram": unix.EPROTOTYPE, strings.Repeat("x", 200): unix.ENOENT} {
		if err := Look(dir + "/" + name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}
