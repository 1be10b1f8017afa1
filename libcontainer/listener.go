package libcontainer

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// listener takes a filter's listener from the stub, by its number there. If rt may not, it has it sent.
//
// With an init the process that has it is not the container's first, but the one that has sent the message.
func (in *inside) listener(r *nsenter.Reply) error {
	if in.unsent != nil {
		return errors.New("the stub has a second listener")
	}
	in.filtered = cmp.Or(r.From, in.pid)
	in.older = r.Text != nsenter.ListenerClosed
	f, err := takeListener(in.filtered, r.Value)
	if errors.Is(err, unix.EPERM) {
		return in.stub.SendListener()
	}
	if err != nil {
		return fmt.Errorf("take the seccomp listener (/linux/seccomp): %w", err)
	}
	if !in.older {
		in.unsent = f
	} else if err := in.handOver(f); err != nil {
		return err
	}
	return in.stub.Go()
}

// handOver gives the listener, if there is one, to the agent. rt keeps none: the kernel then notices when the agent closes its own, and execve fails.
func (in *inside) handOver(listener *os.File) error {
	in.unsent = nil
	switch {
	case listener == nil:
		return nil
	case in.onFilter == nil:
		listener.Close()
		return errors.New("the stub has a listener that nobody asked for")
	}
	return in.onFilter(listener)
}

// allowCalls waits for a message of a stub whose filter's listener rt has, and allows each call that the filter holds up. They are the
// stub's, to end the conversation and to close its own descriptor of the listener, and no agent is to decide on them: while the stub
// has that descriptor, the kernel does not notice that an agent has closed its own. The time for execve is the agent's to choose.
// The stub of an older rt has its calls answered by the agent.
func (in *inside) allowCalls() error {
	if in.unsent == nil {
		return nil
	}
	for {
		there, err := in.stub.AwaitEither(in.unsent)
		if there || err != nil {
			return err
		}
		if err := sys.AllowCall(in.unsent); err != nil {
			return fmt.Errorf("answer the seccomp listener (/linux/seccomp): %w", err)
		}
	}
}

// maySendListener: an rt that may not take the listener has it sent by sendmsg(2). If the filter holds that up, no process has the
// listener to allow it.
func maySendListener(f *seccomp.Program, p privileges) error {
	if f != nil && f.Notify && !p.mayTrace() && f.Denies("sendmsg") == string(specs.ActNotify) {
		return errors.New("load seccomp filter: a rootless rt cannot have the listener of a filter with SCMP_ACT_NOTIFY for sendmsg: it is sent by that call (/linux/seccomp)")
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
