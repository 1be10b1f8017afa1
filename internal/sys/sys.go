// Package sys holds thin wrappers around system calls: descriptors are close-on-exec, EINTR is retried, and an
// error says the call and its object. It runs outside the container.
package sys

import (
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

// InFirstUserNamespace says whether this process is in the host's own user namespace, by the inode that the kernel
// gives it alone: PROC_USER_INIT_INO, since Linux 3.8. False if there is no /proc.
func InFirstUserNamespace() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino == 0xEFFFFFFD
}
