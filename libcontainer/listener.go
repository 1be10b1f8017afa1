package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"rt/internal/sys"
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

// agentTimeout bounds how long an agent may leave a call of the stub unanswered that is not execve.
const agentTimeout = 10 * time.Second

// awaitAgent waits until a process whose filter has a listener has something to say. The process keeps a descriptor of the listener
// until it has closed it, so the kernel does not notice that the agent has closed its own: read and close would wait for ever. The
// time for execve is the agent's to choose. An rt without CAP_SYS_PTRACE (rootless) cannot tell them apart (proc_pid_syscall(5) takes the right to trace the
// process, which is not dumpable), and waits until the container is deleted by force.
func (in *inside) awaitAgent() error {
	for in.filtered != 0 {
		there, err := in.stub.Await(agentTimeout)
		if there || err != nil {
			return err
		}
		call, err := sys.SystemCall(in.filtered)
		if err != nil || call < 0 || call == unix.SYS_EXECVE {
			continue
		}
		return fmt.Errorf("unable to start container process: the seccomp agent does not answer: system call %d waits for it (/linux/seccomp/listenerPath)", call)
	}
	return nil
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
