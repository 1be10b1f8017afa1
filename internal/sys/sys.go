// Package sys holds thin wrappers around system calls: descriptors are close-on-exec, EINTR is retried, and an
// error says the call and its object. It runs outside the container.
package sys

import (
	"bytes"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Retry calls f again for as long as a signal interrupts it.
func Retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// Cause is the kernel's reason alone, for who names the object by himself; err if there is none.
func Cause(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Unseen says that an error is the kernel's, and not about what there is at a path but that it cannot be looked at now:
// no descriptor or memory left, a broken disk, no permission. Nothing may be concluded from it.
func Unseen(err error) bool {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOSPC, unix.ENOBUFS, unix.EAGAIN, unix.EINTR, unix.EIO, unix.ESTALE, unix.ETIMEDOUT,
		unix.EACCES, unix.EPERM:
		return true
	}
	return false
}

// Open opens a path; flags are those of open(2).
func Open(path string, flags int) (*os.File, error) {
	return OpenAt(unix.AT_FDCWD, path, flags, 0)
}

// OpenAt opens a path below a directory; resolve holds RESOLVE_* flags of openat2(2). O_NONBLOCK is for the opening
// alone: a file that keeps it would have the Go runtime set up its poller.
func OpenAt(dir int, path string, flags int, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve}
	var fd int
	err := Retry(func() (err error) {
		for range 128 { // EAGAIN: a rename raced with the kernel's check (openat2(2))
			if fd, err = unix.Openat2(dir, path, &how); err != unix.EAGAIN {
				break
			}
		}
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if flags&unix.O_NONBLOCK != 0 {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags&^unix.O_NONBLOCK)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenTree makes a detached clone of the mount at path, and of those below it if recursive.
func OpenTree(path string, recursive bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// WriteFile writes a value to a file that exists, in one write(2).
func WriteFile(path, value string) error {
	f, err := Open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// ReadFile reads a whole file of at most limit bytes. Unlike os.ReadFile it leaves the runtime's poller alone, which
// costs a short-lived process a dozen system calls.
func ReadFile(path string, limit int) ([]byte, error) { return ReadFileAt(unix.AT_FDCWD, path, limit) }

// ReadFileAt is ReadFile from a directory on.
func ReadFileAt(dir int, path string, limit int) ([]byte, error) {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var room [1024]byte // stays on the stack: most files are shorter, and a list reads thousands
	n, err := readFull(fd, room[:])
	if err == nil && n < len(room) && n <= limit {
		return bytes.Clone(room[:n]), nil
	}
	for buf := append(make([]byte, 0, 4*len(room)), room[:n]...); err == nil; buf = append(buf, 0)[:len(buf)] {
		n, err = readFull(fd, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			err = unix.EFBIG
		case err == nil && len(buf) < cap(buf):
			return buf, nil
		}
	}
	return nil, &os.PathError{Op: "read", Path: path, Err: err}
}

// readFull reads until p is full or the file has ended.
func readFull(fd int, p []byte) (n int, err error) {
	for n < len(p) {
		var more int
		err := Retry(func() (err error) {
			more, err = unix.Read(fd, p[n:])
			return err
		})
		if err != nil || more == 0 {
			return n, err
		}
		n += more
	}
	return n, nil
}

// CreateFile makes or empties a file and writes data to it.
func CreateFile(path string, data []byte, mode uint32) error {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for len(data) > 0 {
		var n int
		err := Retry(func() (err error) {
			n, err = unix.Write(fd, data)
			return err
		})
		if err != nil {
			return &os.PathError{Op: "write", Path: path, Err: err}
		}
		data = data[n:]
	}
	return nil
}

// InFirstUserNamespace says whether this process is in the host's own user namespace, by the inode that the kernel
// gives it alone: PROC_USER_INIT_INO, since Linux 3.8. False if there is no /proc.
func InFirstUserNamespace() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino == 0xEFFFFFFD
}
