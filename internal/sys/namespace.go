package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Namespace names one. The kernel gives an inode's number to another namespace once this one is gone; an id never.
type Namespace struct {
	Inode uint64
	ID    uint64 // of a mount namespace, since Linux 6.11; 0 if it is not known
}

// nsGetMountID is NS_GET_MNTNS_ID (linux/nsfs.h).
const nsGetMountID = 0x8008b705

// NamespaceOf names the namespace whose file is open.
func NamespaceOf(file *os.File) (Namespace, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return Namespace{}, &os.PathError{Op: "stat", Path: file.Name(), Err: err}
	}
	return Namespace{Inode: st.Ino}, nil
}

// MountNamespaceOf is NamespaceOf a mount namespace.
func MountNamespaceOf(file *os.File) (Namespace, error) {
	ns, err := NamespaceOf(file)
	if err != nil {
		return ns, err
	}
	var id uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), nsGetMountID, uintptr(unsafe.Pointer(&id)))
	switch errno {
	case 0:
		ns.ID = id
	case unix.ENOTTY, unix.EINVAL: // an older kernel
	default:
		return ns, &os.PathError{Op: "ioctl", Path: file.Name(), Err: errno}
	}
	return ns, nil
}

// NamespaceInode is the inode of a namespace by a path, from a directory on.
func NamespaceInode(dir int, path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, path, &st, 0); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}
