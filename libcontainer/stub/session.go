// Package stub is rt's side of the conversation with a stub: a plan is sent, rt does its part at sync points, and the stub becomes the
// program or says which step has failed.
package stub

import (
	"errors"
	"io"
	"os"
	"time"

	"rt/libcontainer/plan"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Session is the conversation with one stub, from the plan to execve.
type Session struct {
	conv   *nsenter.Stub
	plan   *plan.Plan
	inputs Inputs
	filter *specs.LinuxSeccomp // the program's, or nil
	events Events              // of the phase that is under way

	pid     int // of the container's process, a child of this one; 0 before it is known and after it was reaped
	program int // of the process that becomes the program: with an init it is not the container's first

	pidReported bool // the process that cloned the container's has sent ReplyPid
	hasReported bool // another process than that one has sent a message
	execIsNext  bool // execve is the stub's next call
	execFailed  bool // it has failed, and the process ends as the program would have: see nsenter.ReplyNoProgram
	execErrno   unix.Errno

	listener *os.File // of the filter, while the stub still makes calls under it: see allowCalls
	filtered int      // pid of the process that has the filter
	older    bool     // the stub is that of an older rt, and has waited for its start

	terminal  *os.File // its master
	abandoned bool

	mounts []uint64 // ids of the mounts that the plan has made, in its order
}

// Options are what a session needs besides the plan.
type Options struct {
	Open   Opener              // opens the inputs that only the caller knows, or nil
	MapIDs IDMapper            // for id-mapped mounts
	Filter *specs.LinuxSeccomp // the program's, or nil
}

// Enter sends a plan to a stub, with everything it refers to. On error the stub is gone.
func Enter(conv *nsenter.Stub, p *plan.Plan, o Options) (*Session, error) {
	s, err := Begin(conv, p, o)
	if err != nil {
		return nil, err
	}
	return s, s.SendInputs()
}

// Begin sends a plan with those of its inputs that the first steps want. SendInputs has to follow. On error the stub is gone.
func Begin(conv *nsenter.Stub, p *plan.Plan, o Options) (*Session, error) {
	s := &Session{conv: conv, plan: p, filter: o.Filter, inputs: Inputs{Own: o.Open, MapIDs: o.MapIDs}}
	s.inputs.expect(p.Inputs)
	err := s.inputs.with(p.Inputs[:p.Early()], func(fds []int) error {
		return conv.SendPlan(p.Steps(), len(p.Inputs), fds)
	})
	if errors.Is(err, unix.EPIPE) {
		err = ErrDiedInSetup
	}
	if err != nil {
		s.Abandon()
		return nil, err
	}
	return s, nil
}

// SendInputs opens and sends the other inputs. On error the stub is gone.
func (s *Session) SendInputs() error {
	err := s.inputs.with(s.plan.Inputs[s.plan.Early():], s.conv.SendInputs)
	s.inputs.Close()
	if errors.Is(err, unix.EPIPE) {
		return nil // the stub has ended in one of its first steps: its error is still to be received
	}
	if err != nil {
		s.Abandon()
	}
	return err
}

// Connect is the session with a stub that has carried out its plan up to the program, and has waited since, as another rt's child. The
// plan is what remains, pid the container's first process.
func Connect(conn *os.File, p *plan.Plan, pid int, filter *specs.LinuxSeccomp) *Session {
	return &Session{conv: nsenter.Connect(conn), plan: p, pid: pid, filter: filter}
}

// Pid is the container's process; 0 before it is known, and after Wait.
func (s *Session) Pid() int { return s.pid }

// LimitSilence bounds the time in which the stub sends nothing. Then Events.Stalled is called.
func (s *Session) LimitSilence(limit time.Duration) error { return s.conv.Limit(limit) }

// Continue lets the stub go on from the sync point at which Until has left it. io.EOF: its process has died.
func (s *Session) Continue() error {
	err := s.conv.Go()
	if err != nil {
		err = s.exitReason(err)
	}
	if errors.Is(err, unix.EPIPE) {
		return io.EOF
	}
	return err
}

// TakeTerminal returns the master of the process's terminal, or nil. The caller closes it.
func (s *Session) TakeTerminal() *os.File {
	master := s.terminal
	s.terminal = nil
	return master
}

// A Mount is one that the plan has made.
type Mount struct {
	Target string
	ID     uint64 // the kernel's; since Linux 6.8 it is never used again
}

// Mounts are those that the plan has made so far.
func (s *Session) Mounts() []Mount {
	targets := s.plan.Made()
	list := make([]Mount, min(len(s.mounts), len(targets)))
	for i := range list {
		list[i] = Mount{targets[i], s.mounts[i]}
	}
	return list
}

// Close ends the conversation. The program, once it runs, goes on.
func (s *Session) Close() { _ = s.conv.Close() }
