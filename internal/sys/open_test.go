package sys

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// kindsIn makes one file of each kind that an ordinary user can make.
func kindsIn(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	t.Chdir(dir) // a socket's path may have 107 bytes only
	err = errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"}), os.WriteFile("file", []byte("text"), 0o600), unix.Mkfifo("fifo", 0o600),
		os.Mkdir("dir", 0o700), os.Symlink("file", "link"), os.Symlink("fifo", "fifolink"), os.Symlink("/dev/null", "null"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestOpenFileKinds: only what is asked for is opened, and nothing waits.
func TestOpenFileKinds(t *testing.T) {
	dir := kindsIn(t)
	for _, c := range []struct {
		name  string
		kinds Kinds
		flags int
		ok    bool
	}{
		{"file", Regular, 0, true}, {"file", Regular | FIFO, 0, true}, {"file", FIFO, 0, false}, {"file", 0, 0, false},
		{"link", Regular, 0, true}, {"link", Regular, unix.O_NOFOLLOW, false},
		{"fifo", Regular, 0, false}, {"fifo", FIFO, unix.O_NONBLOCK, true}, {"fifolink", Regular, 0, false},
		{"fifolink", FIFO, unix.O_NONBLOCK | unix.O_NOFOLLOW, false},
		{"socket", Regular | FIFO, 0, false}, {"dir", Regular | FIFO, 0, false}, {"null", Regular | FIFO, 0, false},
		{"/dev/null", Regular | FIFO, 0, false}, {"none", Regular, 0, false},
	} {
		path := c.name
		if path[0] != '/' {
			path = filepath.Join(dir, c.name)
		}
		f, err := OpenFile(unix.AT_FDCWD, path, c.kinds, unix.O_RDONLY|c.flags, 0)
		if (err == nil) != c.ok {
			t.Errorf("%s as %b, flags %#x: %v", c.name, c.kinds, c.flags, err)
		}
		if err != nil {
			continue
		}
		closeOnExec(t, f)
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("%s keeps O_NONBLOCK: %#x, %v", c.name, flags, err)
		}
		f.Close()
	}
	if _, err := Open(filepath.Join(dir, "file"), unix.O_RDONLY); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a file without a look: %v", err)
	}
}

// TestOpenFileLooksFirst: what is not taken is not opened, seen by a watch on it, and what was looked at is what is opened.
func TestOpenFileLooksFirst(t *testing.T) {
	dir := kindsIn(t)
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	for _, name := range []string{"fifo", "file"} {
		if _, err := unix.InotifyAddWatch(watch, filepath.Join(dir, name), unix.IN_OPEN); err != nil {
			t.Fatal(err)
		}
	}
	var buf [4096]byte
	if _, err := OpenFile(unix.AT_FDCWD, filepath.Join(dir, "fifo"), Regular, unix.O_RDONLY, 0); err == nil {
		t.Error("a FIFO passes for a file")
	}
	if n, err := unix.Read(watch, buf[:]); err != unix.EAGAIN {
		t.Errorf("it was opened: %d, %v", n, err)
	}
	f, err := OpenFile(unix.AT_FDCWD, filepath.Join(dir, "file"), Regular, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := unix.Read(watch, buf[:]); err != nil || n == 0 {
		t.Errorf("the watch sees nothing: %d, %v", n, err)
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestOpenNamespace(t *testing.T) {
	f, err := OpenNamespace("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	closeOnExec(t, f)
	f.Close()
	dir := kindsIn(t)
	for _, path := range []string{dir + "/file", dir + "/fifo", dir, "/dev/null", "/proc/self/stat", dir + "/none"} {
		if _, err := OpenNamespace(path); err == nil {
			t.Errorf("%s passes for a namespace", path)
		}
	}
}

func TestOpenNull(t *testing.T) {
	f, err := OpenNull()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	closeOnExec(t, f)
	if _, err := f.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestNewFiles: what is there already is neither written to nor opened, under the file's own name or the one of before.
func TestNewFiles(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"nothing":     func(string) error { return nil },
		"a file":      func(path string) error { return os.WriteFile(path, []byte("old"), 0o400) },
		"a FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a link":      func(path string) error { return os.Symlink("victim", path) },
		"a hard link": func(path string) error { return os.Link(filepath.Dir(path)+"/victim", path) },
		"a dead link": func(path string) error { return os.Symlink("none", path) },
	} {
		dir := t.TempDir()
		victim := filepath.Join(dir, "victim")
		if err := errors.Join(os.WriteFile(victim, []byte("victim"), 0o600), put(filepath.Join(dir, ".f")), put(filepath.Join(dir, "f"))); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "f")
		if err := CreateFile(file, []byte("new"), 0o600); (err == nil) != (name == "nothing") || err != nil && !errors.Is(err, unix.EEXIST) {
			t.Errorf("%s: create: %v", name, err)
		}
		if err := ReplaceFile(file, []byte("newer"), 0o640); err != nil {
			t.Errorf("%s: replace: %v", name, err)
		}
		st, err := os.Lstat(file)
		if err != nil || !st.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", name, st, err)
			continue
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != "newer" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if text, err := os.ReadFile(victim); err != nil || string(text) != "victim" {
			t.Errorf("%s: the victim has %q, %v", name, text, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "none")); err == nil {
			t.Errorf("%s: a file was made through a dead link", name)
		}
		if _, err := os.Lstat(filepath.Join(dir, ".f")); err == nil {
			t.Errorf("%s: the name of before is left", name)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".f"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceFile(filepath.Join(dir, "f"), nil, 0o600); err == nil {
		t.Error("a directory under the name of before is no error")
	}
	if err := ReplaceFile(filepath.Join(dir, "none/f"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestChmodSocket(t *testing.T) {
	dir := kindsIn(t)
	d, err := Open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := ChmodSocket(int(d.Fd()), "socket", 0o757); err != nil {
		t.Error(err)
	}
	if st, err := os.Lstat(dir + "/socket"); err != nil || st.Mode().Perm() != 0o757 {
		t.Errorf("%v, %v", st, err)
	}
	if err := os.Symlink("socket", dir+"/socketlink"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link", "socketlink", "none", "../" + filepath.Base(dir) + "/socket"} {
		if err := ChmodSocket(int(d.Fd()), name, 0o777); err == nil {
			t.Errorf("%s passes for a socket", name)
		}
	}
	if err := ChmodDir(dir+"/dir", 0o711); err != nil {
		t.Error(err)
	}
	if err := ChmodDir(dir+"/link", 0o711); err == nil {
		t.Error("a link passes for a directory")
	}
}

// TestReadNamedPipe: process.json of a shell's <(...) is a pipe, whose other side may have ended.
func TestReadNamedPipe(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	if _, err := unix.Write(p[1], []byte("text")); err != nil {
		t.Fatal(err)
	}
	unix.Close(p[1])
	text, err := ReadNamed(selfFd(p[0]), Regular|FIFO, 100)
	if err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := ReadKernelFile("/proc/self/comm", 100); err != nil || len(text) == 0 {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := ReadFile("/proc/self/status", 1<<20); err != nil || len(text) < 500 { // its size says nothing
		t.Errorf("%q, %v", text, err)
	}
}
