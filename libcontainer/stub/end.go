package stub

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/internal/text"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// How a session ends: the process has become the program, or it has died and of what.

// ExitLimit is how long rt waits for the end of a process that has closed its end of the conversation, in milliseconds.
const ExitLimit = 1000

// killedAtBirth says whether the process was killed before it has run at all. It reaps a process that was killed and has reported
// nothing. One that has run has written to its stack, and so had a page fault: that one was killed by another process, as by
// `delete --force`, and must not come back.
//
// Since Linux 6.12 clone3(2) with CLONE_INTO_CGROUP compares how often the caller's cgroup was killed (cgroup.kill) with how often the
// new one was, and takes a difference for a kill of the child: where one of the two directories was killed once and is used again, no
// child survives. A process that is moved does.
func (s *Session) killedAtBirth() bool {
	inCgroup := slices.ContainsFunc(s.plan.Inputs, func(i plan.Input) bool { return i.Kind == plan.CgroupDir })
	if !inCgroup || s.pid == 0 || s.hasReported {
		return false
	}
	fd, err := unix.PidfdOpen(s.pid, 0) // it has not been reaped
	if err != nil {
		return false
	}
	p := os.NewFile(uintptr(fd), "pidfd")
	defer p.Close()
	if ended, err := sys.AwaitExit(p, ExitLimit); err != nil || !ended {
		return false
	}
	s.reapCloner()
	var usage unix.Rusage
	ws, err := sys.WaitUsage(s.pid, &usage)
	s.pid = 0
	return err == nil && ws.Signaled() && ws.Signal() == unix.SIGKILL && usage.Minflt == 0 && usage.Majflt == 0
}

// isExiting says whether a child has ended or is about to. On exit the kernel closes files first, then leaves namespaces, and then
// makes a zombie: once /proc/PID/ns is gone, all messages of the process are queued.
func isExiting(pid int) bool {
	if _, dead, err := sys.StartTime(pid); err != nil || dead {
		return err == nil
	}
	_, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	return errors.Is(err, fs.ErrNotExist)
}

// exitReason is why the container's process has ended, if it has: then what rt did to it has failed for that reason only.
// Otherwise it is err.
func (s *Session) exitReason(err error) error {
	if s.pid == 0 || !isExiting(s.pid) {
		return err
	}
	for {
		r, end := s.conv.Receive()
		switch {
		case end == io.EOF && errors.Is(err, unix.EPIPE): // killed while it waited
			s.reapCloner()
			return io.EOF
		case end != nil:
			return err
		case r.Type == nsenter.ReplyError:
			return s.stepError(r)
		case r.File != nil:
			r.File.Close()
		}
	}
}

// LateError is the error of a process that Continue has let go, and that has ended since: its execve has failed. nil: it has sent none.
func (s *Session) LateError() error {
	if r, err := s.conv.Receive(); err == nil && r.Type == nsenter.ReplyError {
		return s.explainDenied(s.stepError(r))
	}
	return nil
}

// stubName is what the stub calls itself (stub.c). execve gives a process another name.
const stubName = "rt:[stub]"

// checkProgram tells the program's beginning from the process's end by its filter: both end the conversation. A program that cannot be
// executed counts as one that has begun, and ended. If the process has been reaped already, the filter's verdict decides; where that is
// left to an agent, the program has begun, for most are allowed. Without a tracer SECCOMP_RET_TRACE denies (ENOSYS, seccomp(2)), and no
// tracer can have attached to a process that is not dumpable.
func (s *Session) checkProgram() error {
	if s.execFailed || s.filter == nil {
		return nil
	}
	ended, err := sys.EndedAs(s.program, stubName)
	gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
	if err != nil && !gone {
		return fmt.Errorf("look whether the program runs: %w", err)
	}
	if !ended && !gone {
		return nil
	}
	action := seccomp.Denies(s.filter, "execve")
	switch {
	case gone && (action == "" || action == string(specs.ActNotify)):
		return nil
	case action == "":
		return io.EOF
	}
	return fmt.Errorf("unable to start container process: "+deniesExec, action)
}

const deniesExec = "the seccomp filter denies execve (%s, /linux/seccomp)"

// explainDenied names the filter, if it was that which has kept the process from becoming the program. What an agent or a tracer allows
// can fail for other reasons; without them the kernel answers ENOSYS.
func (s *Session) explainDenied(err error) error {
	var step *StepError
	if !errors.As(err, &step) {
		return err
	}
	if _, ok := step.Item.Step.(nsenter.Exec); !ok {
		return err
	}
	action := seccomp.Denies(s.filter, "execve")
	if action == "" || seccomp.OthersDecide(action) && step.Errno != unix.ENOSYS {
		return err
	}
	return fmt.Errorf("unable to start container process: %v: "+deniesExec, err, action)
}

// ExecWarning says why the program could not be executed, where the filter has kept the process from writing that to its stderr; else "".
func (s *Session) ExecWarning(program string) string {
	if !s.execFailed {
		return ""
	}
	action := seccomp.Denies(s.filter, "write")
	if action == "" {
		return ""
	}
	return fmt.Sprintf("exec %s: %v; the container's stderr lacks this, for the seccomp filter denies write (%s, /linux/seccomp)",
		text.Short(program), s.execErrno, action)
}

// ExplainSilence adds to ErrDied that the process could not say why it died: it does so by sendmsg(2) or write(2), under the filter.
func (s *Session) ExplainSilence(err error) error {
	if !errors.Is(err, ErrDied) || seccomp.Denies(s.filter, "sendmsg") == "" || seccomp.Denies(s.filter, "write") == "" {
		return err
	}
	return hint.With(err, "the seccomp filter denies sendmsg and write (/linux/seccomp), by which the process says why: allow one of them, and see whether the program can be executed")
}

// AddSignal adds to ErrDied which signal has ended the process, a child of this one.
func (s *Session) AddSignal(err error) error {
	if !errors.Is(err, ErrDied) || s.pid == 0 {
		return err
	}
	_ = unix.Kill(s.pid, unix.SIGKILL) // it has ended, or is about to: nothing else is lost
	if ws, waitErr := s.Wait(); waitErr == nil && ws.Signaled() {
		err = fmt.Errorf("%w: %v", err, ws.Signal())
	}
	return err
}

// Wait reaps the container's process, a child of this one, once it has ended.
func (s *Session) Wait() (unix.WaitStatus, error) {
	ws, err := sys.Wait(s.pid)
	s.pid = 0 // the number may be another's from now on
	return ws, err
}

// Abandon ends the conversation, and whatever there is of the process.
func (s *Session) Abandon() {
	if s.abandoned {
		return // the pids may be others' by now
	}
	s.abandoned = true
	s.inputs.Close()
	s.closeFiles()
	if s.pid == 0 && s.conv.Pid != 0 {
		s.conv.Abandon()
		return
	}
	s.Close()
	if s.pid != 0 {
		_ = unix.Kill(s.pid, unix.SIGKILL) // a child that has not been reaped: the pid is its own
	}
	s.reapCloner() // which waits for its opener, and that for the container's process
	if s.pid != 0 {
		// A dead child that nobody knows, as a hook's stub was killed before it could report it, would keep the pid namespace
		// from ending.
		sys.ReapUntil(s.pid)
	}
}
