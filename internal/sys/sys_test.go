package sys

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRetry(t *testing.T) {
	calls := 0
	err := Retry(func() error {
		if calls++; calls < 4 {
			return unix.EINTR
		}
		return unix.EIO
	})
	if calls != 4 || err != unix.EIO {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := Retry(func() error { return nil }); err != nil {
		t.Error(err)
	}
}

func closeOnExec(t *testing.T, f *os.File) {
	t.Helper()
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("%s would go to other programs: %#x, %v", f.Name(), flags, err)
	}
}

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(unix.AT_FDCWD, file, Regular, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	closeOnExec(t, f)
	if text, err := io.ReadAll(f); err != nil || string(text) != "text" || f.Name() != file {
		t.Errorf("%s: %q, %v", f.Name(), text, err)
	}
	_, err = Open(file+"x", unix.O_PATH)
	var pe *os.PathError
	if !errors.Is(err, os.ErrNotExist) || !errors.As(err, &pe) || pe.Path != file+"x" || pe.Op != "open" {
		t.Errorf("%#v", err)
	}
	if _, err = Open(file, unix.O_RDONLY|unix.O_DIRECTORY); !errors.Is(err, unix.ENOTDIR) {
		t.Error(err)
	}
	if _, err := Open("a\x00b", unix.O_PATH); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
}

func TestOpenAt(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	for name, target := range map[string]string{"out": outside, "up": "../", "in": "/sub", "magic": "/proc/self/cwd"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, c := range []struct {
		path    string
		resolve uint64
		want    error
	}{
		{"sub", unix.RESOLVE_BENEATH, nil}, {"..", unix.RESOLVE_BENEATH, unix.EXDEV}, {"out", unix.RESOLVE_BENEATH, unix.EXDEV},
		{"/", unix.RESOLVE_BENEATH, unix.EXDEV}, {"in", unix.RESOLVE_IN_ROOT, nil}, {"out", unix.RESOLVE_IN_ROOT, unix.ENOENT},
		{"up", unix.RESOLVE_IN_ROOT, nil}, {"in", unix.RESOLVE_NO_SYMLINKS, unix.ELOOP}, {"magic", unix.RESOLVE_NO_MAGICLINKS, unix.ELOOP},
	} {
		f, err := OpenAt(int(d.Fd()), c.path, unix.O_PATH, c.resolve)
		if !errors.Is(err, c.want) {
			t.Errorf("%s with %#x: %v, want %v", c.path, c.resolve, err, c.want)
		}
		if err == nil {
			closeOnExec(t, f)
			f.Close()
		}
	}
}

func TestOpenTree(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("open_tree(2) with OPEN_TREE_CLONE needs CAP_SYS_ADMIN")
	}
	dir := t.TempDir()
	for _, recursive := range []bool{false, true} {
		f, err := OpenTree(dir, recursive)
		if err != nil {
			t.Fatal(err)
		}
		closeOnExec(t, f)
		var tree, there unix.Stat_t
		if unix.Fstat(int(f.Fd()), &tree) != nil || unix.Stat(dir, &there) != nil || tree.Ino != there.Ino {
			t.Errorf("recursive %v: another directory", recursive)
		}
		f.Close()
	}
	_, err := OpenTree(dir+"/x", false)
	var pe *os.PathError
	if !errors.Is(err, os.ErrNotExist) || !errors.As(err, &pe) || pe.Op != "open_tree" {
		t.Errorf("%#v", err)
	}
}

func TestOpenTreeBelow(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may clone mounts")
	}
	dir := t.TempDir()
	for name, target := range map[string]string{"in": "/d", "out": os.TempDir(), "up": "../../../../../../.." + os.TempDir()} {
		if err := os.Symlink(target, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(dir + "/d")
	if err != nil {
		t.Fatal(err)
	}
	f, err := OpenTreeBelow(dir, dir+"/in", true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := f.Stat(); err != nil || !os.SameFile(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for path, want := range map[string]error{dir + "/out": unix.ENOENT, dir + "/up": unix.ENOENT, dir: unix.EXDEV, dir + "x/d": unix.EXDEV, "/": unix.EXDEV} {
		if f, err := OpenTreeBelow(dir, path, false); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v, want %v", path, f, err, want)
		}
	}
}

func TestWriteFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(file, "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file was made")
	}
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(file, "ab"); err != nil {
		t.Fatal(err)
	}
	// As files of /proc and cgroupfs take it: written over, not truncated.
	if text, _ := os.ReadFile(file); string(text) != "ab345" {
		t.Errorf("%q", text)
	}
	if err := WriteFile("/proc/self/oom_score_adj", "nonsense"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("the kernel's refusal: %v", err)
	}
}

func TestUnseen(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, errors.New("garbage"): false, os.ErrNotExist: false, unix.ENOENT: false, unix.ENOTDIR: false, unix.EISDIR: false, unix.ESRCH: false, unix.EBUSY: false,
		unix.EMFILE: true, unix.ENOMEM: true, unix.EIO: true, &os.PathError{Op: "open", Path: "/x", Err: unix.EACCES}: true,
		&os.PathError{Op: "open", Path: "/x", Err: unix.ENOENT}: false,
	} {
		if got := Unseen(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// TestReadFile: files around the sizes of its buffers are read as a whole, up to the limit and not beyond.
func TestReadFile(t *testing.T) {
	path := t.TempDir() + "/file"
	for _, size := range []int{0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 20000} {
		want := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{size, size + 1, 1 << 20} {
			if got, err := ReadFile(path, limit); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, limit %d: got %d bytes, %v", size, limit, len(got), err)
			}
		}
		if got, err := ReadFile(path, size-1); !errors.Is(err, unix.EFBIG) {
			t.Errorf("%d bytes, limit %d: got %d bytes, %v", size, size-1, len(got), err)
		}
	}
}

func TestIsForbidden(t *testing.T) {
	for err, want := range map[error]bool{unix.EACCES: true, unix.EPERM: true, unix.EROFS: true, unix.ENOENT: false, unix.EIO: false, nil: false} {
		if got := IsForbidden(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
