package nsenter

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// image/stub is the stub as a program of its own, some 75 KB; `make` puts it there.
//
//go:embed image
var image embed.FS

// MFD_EXEC asks for a memfd that may be executed even where vm.memfd_noexec is 1; Linux 6.3.
const mfdExec = 0x10

// allSeals keep a memfd as it is for good, its seals included.
const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Image returns a sealed, private, in-memory copy of the stub, ready to be executed. Nothing that a container does
// to the file it runs from can reach a file of the host, by writing (CVE-2019-5736) or through shared page cache
// (CVE-2022-0847): no page is shared with one. Without an embedded image it is a copy of rt itself.
func Image() (*os.File, error) {
	fd, err := unix.MemfdCreate("rt-stub", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|mfdExec)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("rt-stub", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("create memfd for the stub: %w", err)
	}
	f := os.NewFile(uintptr(fd), "rt-stub")
	if err := fill(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("copy the stub: %w", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, allSeals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal the stub: %w", err)
	}
	return f, nil
}

func fill(f *os.File) error {
	if data, err := image.ReadFile("image/stub"); err == nil {
		_, err = f.Write(data)
		return err
	}
	self, err := sys.OpenKernelFile("/proc/self/exe", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer self.Close()
	_, err = io.Copy(f, self)
	return err
}

// IsImage says whether a file, opened with O_PATH, is such a copy: it can no longer be written to, and it holds the stub.
func IsImage(file *os.File) bool {
	var fs unix.Statfs_t
	if unix.Fstatfs(int(file.Fd()), &fs) != nil || fs.Type != unix.TMPFS_MAGIC { // where memfds are: to open a file there never waits
		return false
	}
	copied, err := sys.OpenFile(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", file.Fd()), sys.Regular, unix.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer copied.Close()
	if seals, err := unix.FcntlInt(copied.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&allSeals != allSeals {
		return false
	}
	data, err := image.ReadFile("image/stub")
	if err == nil {
		return sameBytes(copied, bytes.NewReader(data))
	}
	self, err := sys.OpenKernelFile("/proc/self/exe", unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer self.Close()
	return sameBytes(copied, self)
}

// sameBytes compares to the end of both.
func sameBytes(a, b io.Reader) bool {
	var x, y [32 << 10]byte
	for {
		n, errA := io.ReadFull(a, x[:])
		m, errB := io.ReadFull(b, y[:])
		if n != m || !bytes.Equal(x[:n], y[:m]) || errA != errB {
			return false
		}
		if errA != nil {
			return errA == io.EOF || errA == io.ErrUnexpectedEOF
		}
	}
}

// IsStub says whether a process executes a stub, by the name of its program, which any program can give itself.
func IsStub(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(exe, "/memfd:rt-stub")
}

// IsOwnStub says whether a process executes the stub of this rt, byte for byte.
func IsOwnStub(pid int) bool {
	if !IsStub(pid) {
		return false
	}
	exe, err := sys.Open(fmt.Sprintf("/proc/%d/exe", pid), unix.O_PATH)
	if err != nil {
		return false
	}
	defer exe.Close()
	return IsImage(exe)
}
