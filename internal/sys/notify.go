package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// struct seccomp_notif and struct seccomp_notif_resp of linux/seccomp.h. Their sizes are part of the numbers of the ioctls.
type (
	notification struct {
		id    uint64
		pid   uint32
		flags uint32
		data  [64]byte
	}
	verdict struct {
		id    uint64
		val   int64
		err   int32
		flags uint32
	}
)

// continueCall is SECCOMP_USER_NOTIF_FLAG_CONTINUE.
const continueCall = 1

// AllowCall takes a notification from a seccomp listener that poll(2) says has one, and has the kernel go on with the call. That the
// process has ended meanwhile is no error (ENOENT).
func AllowCall(listener *os.File) error {
	var n notification
	err := Retry(func() error { return notifyIoctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) })
	if err == nil {
		v := verdict{id: n.id, flags: continueCall}
		err = Retry(func() error { return notifyIoctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&v)) })
	}
	if err == unix.ENOENT {
		return nil
	}
	return err
}

func notifyIoctl(listener *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listener.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
