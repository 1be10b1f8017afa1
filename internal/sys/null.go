package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// MakeNull makes a null device on a file system that is mounted nowhere, and opens it for both directions. Whoever has it can
// change the mode and the owner of no other process's. Only root of the first user namespace may make one.
func MakeNull() (*os.File, error) {
	fs, err := NewFS("tmpfs", nil, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, err
	}
	defer fs.Close()
	const name = "null"
	if err := unix.Mknodat(int(fs.Fd()), name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return nil, &os.PathError{Op: "mknod", Path: name, Err: err}
	}
	at, err := openat2(int(fs.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(at)
	if err := unix.Chmod(selfFd(at), 0o666); err != nil { // whatever the umask is
		return nil, &os.PathError{Op: "chmod", Path: name, Err: err}
	}
	fd, err := reopen(at, unix.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open a null device: %w", err)
	}
	return os.NewFile(uintptr(fd), os.DevNull), nil
}
