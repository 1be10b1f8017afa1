package sys

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Opening a file can do something: the driver of a device is called, a FIFO waits for its other side, a lease is broken. Of
// the files that rt opens, only the kernel's own are known beforehand (procfs, sysfs, cgroups, resctrl, namespaces of a
// process): for those are OpenKernelFile and its like. Everything else, an image's, a volume's, a bundle's, a state
// directory's, is found first without being opened (O_PATH), looked at, and then opened by that descriptor, so that what was
// looked at is what is opened. tests/arch keeps other packages from opening, making and changing files by path themselves.

// Kinds are the kinds of files that a caller takes.
type Kinds uint8

// Directories and sockets are not among them: the first are opened with O_DIRECTORY, the second connected to.
const (
	Regular Kinds = 1 << iota
	FIFO
)

// errKind says what a file should have been.
func (k Kinds) errKind() error {
	switch k {
	case Regular:
		return errors.New("not a regular file")
	case FIFO:
		return errors.New("not a FIFO")
	}
	return errors.New("not a regular file or a pipe")
}

func (k Kinds) has(mode uint32) bool {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return k&Regular != 0
	case unix.S_IFIFO:
		return k&FIFO != 0
	}
	return false
}

// Open opens a path with O_PATH, or a directory with O_DIRECTORY: neither does anything to what is there.
func Open(path string, flags int) (*os.File, error) {
	return OpenAt(unix.AT_FDCWD, path, flags, 0)
}

// OpenAt is Open below a directory; resolve holds RESOLVE_* flags of openat2(2).
func OpenAt(dir int, path string, flags int, resolve uint64) (*os.File, error) {
	if flags&(unix.O_PATH|unix.O_DIRECTORY) == 0 {
		return nil, &os.PathError{Op: "open without a look at", Path: path, Err: unix.EINVAL}
	}
	fd, err := openat2(dir, path, flags, resolve)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func openat2(dir int, path string, flags int, resolve uint64) (fd int, err error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve}
	err = Retry(func() (err error) {
		for range 128 { // EAGAIN: a rename raced with the kernel's check (openat2(2))
			if fd, err = unix.Openat2(dir, path, &how); err != unix.EAGAIN {
				break
			}
		}
		return err
	})
	return fd, err
}

// OpenFile opens a file of one of these kinds. flags are those of open(2), O_NOFOLLOW among them where the last name must not
// be a link. It waits for nothing but, without O_NONBLOCK, for the other side of a FIFO. The file does not keep O_NONBLOCK.
func OpenFile(dir int, path string, kinds Kinds, flags int, resolve uint64) (*os.File, error) {
	fd, st, err := openFile(dir, path, kinds, flags, resolve)
	if err != nil {
		return nil, err
	}
	if flags&unix.O_NONBLOCK != 0 || Regular.has(st.Mode) { // a file that kept it would have the Go runtime set up its poller
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags&^unix.O_NONBLOCK)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openFile is OpenFile, and what was seen of the file. The descriptor of a regular file has O_NONBLOCK.
func openFile(dir int, path string, kinds Kinds, flags int, resolve uint64) (fd int, st unix.Stat_t, err error) {
	at, err := openat2(dir, path, unix.O_PATH|flags&unix.O_NOFOLLOW, resolve)
	if err != nil {
		return -1, st, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(at)
	if err := unix.Fstat(at, &st); err != nil {
		return -1, st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if !kinds.has(st.Mode) {
		return -1, st, &os.PathError{Op: "open", Path: path, Err: kinds.errKind()}
	}
	flags &^= unix.O_NOFOLLOW
	if Regular.has(st.Mode) {
		flags |= unix.O_NONBLOCK // else the holder of a lease could make the open wait (fcntl(2))
	}
	if fd, err = reopen(at, flags); err != nil {
		return -1, st, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, st, nil
}

// openOwn opens a regular file, which is no link, for reading, and says what was seen of it. In a directory that only rt's own user may
// write to a name leads to the same kind of file when it is looked at and when it is opened: that saves openFile's way by a descriptor.
func openOwn(dir int, path string) (fd int, st unix.Stat_t, err error) {
	kinds := Regular
	if err := Retry(func() error { return unix.Fstatat(dir, path, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return -1, st, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if !kinds.has(st.Mode) {
		return -1, st, &os.PathError{Op: "open", Path: path, Err: kinds.errKind()}
	}
	if fd, err = openat2(dir, path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err != nil {
		return -1, st, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.Fstat(fd, &st); err != nil { // another rt may have replaced it
		unix.Close(fd)
		return -1, st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return fd, st, nil
}

// reopen opens the file that a descriptor with O_PATH refers to, whatever has its name by now.
func reopen(at, flags int) (fd int, err error) {
	err = Retry(func() (err error) {
		fd, err = unix.Open(selfFd(at), flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		return err
	})
	return fd, err
}

// Reopen opens what f is of once more, as it may be opened with flags: the other end of a pipe, too.
func Reopen(f *os.File, flags int) (*os.File, error) {
	fd, err := reopen(int(f.Fd()), flags)
	if err != nil {
		return nil, &os.PathError{Op: "reopen", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// selfFd is a path to what a descriptor refers to.
func selfFd(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// OpenKernelFile opens a file of procfs, sysfs, a cgroup or resctrl. There is no device and no FIFO among them, so that
// it is not looked at beforehand.
func OpenKernelFile(path string, flags int) (*os.File, error) {
	fd, err := OpenKernelBare(path, flags)
	return newFile(fd, path, err)
}

// OpenKernelBare is OpenKernelFile, without a file of Go's.
func OpenKernelBare(path string, flags int) (int, error) {
	fd, err := OpenKernelFd(unix.AT_FDCWD, path, flags)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// CloseAll closes descriptors that are of no file of Go's. Those whose numbers follow each other, as when they were opened one after the
// other, take one call.
func CloseAll(fds []int) {
	for len(fds) > 0 {
		n := 1
		for n < len(fds) && fds[n] == fds[n-1]+1 {
			n++
		}
		_ = unix.CloseRange(uint(fds[0]), uint(fds[n-1]), 0)
		fds = fds[n:]
	}
}

// OpenKernelFd is OpenKernelFile below a directory, without a file of Go's, and with the kernel's error alone. O_NONBLOCK would
// mean something: a cgroup's memory.max is then set without waiting for memory to be freed (Linux 6.16).
func OpenKernelFd(dir int, path string, flags int) (fd int, err error) {
	err = Retry(func() (err error) {
		fd, err = unix.Openat(dir, path, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// OpenNamespace opens the namespace at a path that somebody else has named. What is no namespace is not opened.
func OpenNamespace(path string) (*os.File, error) {
	at, err := openat2(unix.AT_FDCWD, path, unix.O_PATH, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(at)
	var st unix.Statfs_t
	if err := unix.Fstatfs(at, &st); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if st.Type != unix.NSFS_MAGIC {
		return nil, &os.PathError{Op: "join namespace", Path: path, Err: errors.New("it is not a namespace")}
	}
	fd, err := reopen(at, unix.O_RDONLY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenNull opens /dev/null, if it is that: character device 1:3.
func OpenNull() (*os.File, error) {
	at, err := openat2(unix.AT_FDCWD, os.DevNull, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: os.DevNull, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return nil, &os.PathError{Op: "open", Path: os.DevNull, Err: errors.New("not the null device")}
	}
	fd, err := reopen(at, unix.O_RDWR)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	return os.NewFile(uintptr(fd), os.DevNull), nil
}

// ReadDir lists a directory, in the order of the names.
func ReadDir(path string) ([]os.DirEntry, error) { return os.ReadDir(path) }
