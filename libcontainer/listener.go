package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// listener takes a filter's listener from the stub, by its number there. What is not privileged over the stub cannot,
// and has it sent, which works unless the filter holds up sendmsg too.
func (in *inside) listener(number int) error {
	f, err := takeListener(in.pid, number)
	if errors.Is(err, unix.EPERM) {
		return in.stub.SendListener()
	}
	if err != nil {
		return fmt.Errorf("take the seccomp listener (/linux/seccomp): %w", err)
	}
	if in.onFilter == nil {
		f.Close()
		return errors.New("the stub has a listener that nobody asked for")
	}
	if err := in.onFilter(f); err != nil {
		return err
	}
	return in.stub.Go()
}

// takeListener copies descriptor number of a process, if it is a seccomp listener.
func takeListener(pid, number int) (*os.File, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, number, 0)
	if err != nil {
		return nil, err
	}
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err == nil && name != "anon_inode:seccomp notify" {
		err = fmt.Errorf("descriptor %d is %s", number, name)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
