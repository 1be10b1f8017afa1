// Package sys holds thin wrappers around system calls: descriptors are close-on-exec, EINTR is retried, and an
// error says the call and its object. It runs outside the container.
package sys

import (
	"errors"
	"os"
	"strings"

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

// IsForbidden says whether an error is that this user may not do something: no permission, or a read-only file system.
func IsForbidden(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
}

// OpenTree makes a detached clone of the mount at path, and of those below it if recursive.
func OpenTree(path string, recursive bool) (*os.File, error) {
	fd, err := OpenTreeBare(path, recursive)
	return newFile(fd, path, err)
}

// OpenTreeBare is OpenTree, without a file of Go's.
func OpenTreeBare(path string, recursive bool) (int, error) {
	return openTree(unix.AT_FDCWD, path, path, 0, recursive)
}

// OpenTreeBelow is OpenTree for a path below a directory whose content others choose, the rootfs of a container. Its links are
// followed as the container would: none leads out of the directory.
func OpenTreeBelow(dir, path string, recursive bool) (*os.File, error) {
	fd, err := OpenTreeBelowBare(dir, path, recursive)
	return newFile(fd, path, err)
}

// newFile is a file of Go's with a descriptor, if that could be opened.
func newFile(fd int, path string, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenTreeBelowBare is OpenTreeBelow, without a file of Go's.
func OpenTreeBelowBare(dir, path string, recursive bool) (int, error) {
	rest, ok := strings.CutPrefix(path, dir+"/")
	if !ok {
		return -1, &os.PathError{Op: "open below " + dir, Path: path, Err: unix.EXDEV}
	}
	root, err := openat2(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(root)
	at, err := openat2(root, rest, unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(at)
	return openTree(at, "", path, unix.AT_EMPTY_PATH, recursive)
}

// OpenSubmount makes a detached clone of the mount whose root is at path, where others may change directories: a link, or a path that
// is not the root of a mount any more, is an error.
func OpenSubmount(path string) (*os.File, error) {
	f, err := OpenAt(unix.AT_FDCWD, path, unix.O_PATH, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, 0, &st); err != nil {
		return nil, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil, &os.PathError{Op: "look for the mount at", Path: path, Err: unix.ESTALE}
	}
	fd, err := openTree(int(f.Fd()), "", path, unix.AT_EMPTY_PATH, false)
	return newFile(fd, path, err)
}

func openTree(dir int, at, path string, flags uint, recursive bool) (int, error) {
	flags |= unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, at, flags)
	if err != nil {
		return -1, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	return fd, nil
}

// A hostNamespace is one that the kernel makes at boot.
type hostNamespace struct {
	file  string // below /proc/PID/ns
	inode uint64 // of the one of the machine; network and mount namespaces have a fixed one since Linux 6.18
}

func hostNamespaceOf(kind uint64) (ns hostNamespace, known bool) {
	switch kind {
	case unix.CLONE_NEWNET:
		return hostNamespace{"net", 0xEFFFFFF9}, true
	case unix.CLONE_NEWNS:
		return hostNamespace{"mnt", 0xEFFFFFF8}, true
	case unix.CLONE_NEWIPC:
		return hostNamespace{"ipc", 0xEFFFFFFF}, true
	case unix.CLONE_NEWUTS:
		return hostNamespace{"uts", 0xEFFFFFFE}, true
	}
	return hostNamespace{}, false
}

// IsHostNamespace says whether an open namespace of this kind (CLONE_NEW*) is the host's: rt's own, which is what the host is to
// rt's caller, that of the first process in sight, or the machine's. It compares inodes, which the namespace's file keeps under
// every name.
func IsHostNamespace(f *os.File, kind uint64) (bool, error) {
	ns, known := hostNamespaceOf(kind)
	if !known {
		return false, &os.PathError{Op: "compare namespace", Path: f.Name(), Err: unix.EINVAL}
	}
	var it, own, first unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &it); err != nil {
		return false, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	path := "/proc/self/ns/" + ns.file
	if err := unix.Stat(path, &own); err != nil {
		return false, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if it.Ino == ns.inode || sameInode(&it, &own) {
		return true, nil
	}
	// An ordinary user may not look at it, and may not write to it either.
	return unix.Stat("/proc/1/ns/"+ns.file, &first) == nil && sameInode(&it, &first), nil
}

func sameInode(a, b *unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// InFirstUserNamespace says whether this process is in the host's own user namespace, by the inode that the kernel
// gives it alone: PROC_USER_INIT_INO, since Linux 3.8. False if there is no /proc.
func InFirstUserNamespace() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino == 0xEFFFFFFD
}

// Duplicate opens another descriptor of what is open.
func Duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "dup", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
