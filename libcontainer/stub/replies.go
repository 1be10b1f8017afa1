package stub

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"rt/internal/sys"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// Until serves the stub until it waits at a sync point, which is left unanswered: see Continue. ErrKilledAtBirth: see RetryMoved.
// io.EOF: the process has died.
func (s *Session) Until(point int, e Events) error {
	err := s.serve(point, e)
	if err == io.EOF && s.killedAtBirth() {
		return ErrKilledAtBirth
	}
	return err
}

// Execute serves the stub until it has become the program. ErrKilledAtBirth: see RetryMoved. io.EOF: it has died before.
func (s *Session) Execute(e Events) error {
	err := s.serve(0, e)
	switch {
	case err == io.EOF && s.execIsNext:
		return s.checkProgram()
	case err == io.EOF && s.killedAtBirth():
		return ErrKilledAtBirth
	}
	return s.explainDenied(err)
}

// serve receives messages and does rt's part, up to a sync point or to the end of the conversation.
func (s *Session) serve(point int, e Events) error {
	s.events = e
	for {
		if err := s.allowCalls(); err != nil {
			return err
		}
		r, err := s.receive()
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		if r.Type == nsenter.ReplySync && r.Value == point {
			s.reapCloner()
			return nil
		}
		if err := s.handle(r); err != nil {
			return err
		}
	}
}

// receive returns the next message; nil if the stub has been silent for too long, and rt is to wait on. What has not ended with an
// error is for Abandon.
func (s *Session) receive() (*nsenter.Reply, error) {
	r, err := s.conv.Receive()
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil, s.events.Stalled(s.pid)
	case err == io.EOF:
		s.reapCloner()
		return nil, err
	case err != nil:
		return nil, err
	}
	if err := s.identify(r); err != nil {
		return nil, s.exitReason(err)
	}
	return r, nil
}

func (s *Session) handle(r *nsenter.Reply) error {
	switch r.Type {
	case nsenter.ReplyFd:
		return s.takeFile(r)
	case nsenter.ReplyMounts:
		s.mounts = append(s.mounts, r.MountIDs()...)
	case nsenter.ReplyListener:
		return s.takeListener(r)
	case nsenter.ReplyError:
		return s.stepError(r)
	case nsenter.ReplyNoProgram:
		s.reapCloner()
		s.execFailed, s.execErrno = true, unix.Errno(r.Value)
		return io.EOF
	case nsenter.ReplySync:
		return s.sync(r)
	}
	return nil
}

// sync does rt's part at a sync point on the way. Two are notices: the stub does not wait there.
func (s *Session) sync(r *nsenter.Reply) (err error) {
	switch r.Value {
	case nsenter.SyncExec:
		s.execIsNext, s.program = true, cmp.Or(r.From, s.pid)
		return nil
	case nsenter.SyncFiltered:
		return s.handOver(s.listener)
	case nsenter.SyncCgroup:
		err = s.events.Join(s.pid)
	default:
		err = s.events.Sync(r.Value, s.pid)
	}
	if err != nil {
		return err
	}
	if err := s.conv.Go(); err != nil {
		return s.exitReason(err)
	}
	return nil
}

// identify learns from a message who the container's process is. Two processes send on one socket: the one that clones reports the
// pid and ends; but its message may come second, or it may be killed before. So any message of another process identifies the
// container's as well: the kernel says who has sent it.
func (s *Session) identify(r *nsenter.Reply) error {
	pid := 0
	s.hasReported = s.hasReported || r.From != s.conv.Pid
	switch {
	case r.Type == nsenter.ReplyPid:
		pid, s.pidReported = r.Value, true
	case s.pid == 0 && r.From != s.conv.Pid:
		pid = r.From
	}
	if pid == 0 || pid == s.pid {
		return nil
	}
	if r.Type == nsenter.ReplyError { // nothing is to be done for a process that ends, but to reap it: it keeps its pid namespace
		if sys.OwnChild(pid) {
			s.pid = pid
		}
		return nil
	}
	return s.recordPid(pid)
}

// recordPid notes the pid of the container's process. It must be a child of this process, and the only one: rt moves it, maps its ids
// and kills it, and an attacker who controls the stub could name a process of the host.
func (s *Session) recordPid(pid int) error {
	if s.pid != 0 || !sys.OwnChild(pid) {
		return fmt.Errorf("the stub: %d is not the pid of the container's process", pid)
	}
	s.pid = pid
	return s.events.Born(pid)
}

// takeFile keeps the terminal's master or the filter's listener.
func (s *Session) takeFile(r *nsenter.Reply) error {
	switch {
	case r.File == nil:
		return errors.New("the stub sent no descriptor")
	case r.Value == 0:
		s.terminal = r.File
		return nil
	case s.listener != nil:
		r.File.Close()
		return errors.New("the stub sent a second listener")
	}
	s.filtered = cmp.Or(r.From, s.pid)
	if s.older {
		return s.handOver(r.File)
	}
	s.listener = r.File
	return nil
}

// reapCloner reaps the process that has cloned the container's. It is not waited for while that one is at work. Its message is read
// first: closing a socket with unread data resets the connection and drops rt's "continue" (unix(7)).
func (s *Session) reapCloner() {
	if s.pid == 0 || s.conv.Pid == 0 {
		return
	}
	_, _ = sys.Wait(s.conv.Pid)
	s.conv.Pid = 0
	if !s.pidReported {
		s.conv.Drop()
	}
}

// closeFiles closes what the stub has sent and nobody has taken.
func (s *Session) closeFiles() {
	for _, f := range []*os.File{s.terminal, s.listener} {
		f.Close() // or nothing, of a nil one
	}
}
