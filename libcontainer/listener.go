package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// listener takes a filter's listener from the stub, by its number there. What is not privileged over the stub cannot,
// and has it sent, which works unless the filter holds up sendmsg too.
//
// With an init the process that has it is not the container's first, but the one that has sent the message.
func (in *inside) listener(r *nsenter.Reply) error {
	in.filtered = in.pid
	if r.From != 0 {
		in.filtered = r.From
	}
	f, err := takeListener(in.filtered, r.Value)
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
