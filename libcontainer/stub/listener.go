package stub

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"

	"rt/internal/sys"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// takeListener takes the filter's listener from the stub, by its number there. If rt may not, the stub sends it.
//
// With an init the process that has it is not the container's first, but the one that has sent the message.
func (s *Session) takeListener(r *nsenter.Reply) error {
	if s.listener != nil {
		return errors.New("the stub has a second listener")
	}
	s.filtered = cmp.Or(r.From, s.pid)
	s.older = r.Text != nsenter.ListenerClosed
	f, err := copyListener(s.filtered, r.Value)
	if errors.Is(err, unix.EPERM) {
		return s.conv.SendListener()
	}
	if err != nil {
		return fmt.Errorf("take the seccomp listener (/linux/seccomp): %w", err)
	}
	if !s.older {
		s.listener = f
	} else if err := s.handOver(f); err != nil {
		return err
	}
	return s.conv.Go()
}

// handOver gives the listener, if there is one, to the agent. rt keeps none: the kernel then notices when the agent closes its own, and
// execve fails.
func (s *Session) handOver(listener *os.File) error {
	if s.listener = nil; listener == nil {
		return nil
	}
	return s.events.Filter(listener, s.filtered)
}

// allowCalls waits for a message of a stub whose filter's listener rt has, and allows each call that the filter holds up. The stub makes
// them to end the conversation and to close its own descriptor of the listener. No agent may decide on them: while the stub has that
// descriptor, the kernel does not notice that an agent has closed its own. The agent decides when execve happens. The calls of an older
// rt's stub are answered by the agent.
func (s *Session) allowCalls() error {
	if s.listener == nil {
		return nil
	}
	for {
		there, err := s.conv.AwaitEither(s.listener)
		if there || err != nil {
			return err
		}
		if err := sys.AllowCall(s.listener); err != nil {
			return fmt.Errorf("answer the seccomp listener (/linux/seccomp): %w", err)
		}
	}
}

// copyListener copies descriptor number of a process, if it is a seccomp listener.
func copyListener(pid, number int) (*os.File, error) {
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
