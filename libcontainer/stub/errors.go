package stub

import (
	"errors"
	"fmt"
	"strings"

	"rt/internal/text"
	"rt/libcontainer/plan"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

var (
	// ErrKilledAtBirth says that the kernel has killed the process when it was made in its cgroup: see RetryMoved.
	ErrKilledAtBirth = errors.New("the container's process was killed as soon as it was made")
	// ErrDiedInSetup says that the process has ended before it had reached the last sync point.
	ErrDiedInSetup = errors.New("unable to start container process: the container's process died while it was being set up")
	// ErrDied says that the process has ended between that and execve.
	ErrDied = errors.New("unable to start container process: the container's process died before it became the program")
)

// A StepError is a step of a plan that failed inside.
type StepError struct {
	Item  plan.Item
	Call  string // the system call or what it was for
	Errno unix.Errno
}

func (e *StepError) Error() string {
	switch s := e.Item.Step.(type) {
	case nsenter.FindExec:
		return findExecError(s, e.Errno)
	case nsenter.Exec:
		return fmt.Sprintf("exec %s: %v", s.Arg0(), e.Errno)
	case nsenter.ExecHost:
		return fmt.Sprintf("exec %s: %v", s.Args[0], e.Errno)
	}
	var b strings.Builder
	b.WriteString(text.Short(e.Item.Step.String()))
	b.WriteString(": ")
	if e.Call != "" {
		b.WriteString(e.Call + ": ")
	}
	b.WriteString(e.Errno.Error())
	if e.Item.Pointer != "" {
		b.WriteString(" (" + e.Item.Pointer + ")")
	}
	return b.String()
}

func (e *StepError) Unwrap() error { return e.Errno }

// findExecError has the words of os/exec, by which engines choose between exit status 126 and 127.
func findExecError(s nsenter.FindExec, errno unix.Errno) string {
	switch {
	case errno == unix.ENOENT && !strings.Contains(s.Arg, "/"):
		return fmt.Sprintf("exec: %q: executable file not found in $PATH", s.Arg)
	case errno == unix.ENOENT || errno == unix.ENOTDIR:
		return fmt.Sprintf("exec: %q: stat %s: %v", s.Arg, s.Arg, errno)
	case errno == unix.EISDIR:
		// Docker up to 20.10 and Podman give 126 for the second text only.
		return fmt.Sprintf("exec: %q: %v: %v", s.Arg, errno, unix.EACCES)
	default:
		return fmt.Sprintf("exec: %q: %v", s.Arg, errno)
	}
}

// stepError finds the step that a message is about. The stub counts from the plan's end.
func (s *Session) stepError(r *nsenter.Reply) error {
	i := len(s.plan.Items) - r.Left
	if i < 0 || r.Left <= 0 {
		return fmt.Errorf("the stub: %s: %w", r.Text, unix.Errno(r.Value))
	}
	return &StepError{Item: s.plan.Items[i], Call: r.Text, Errno: unix.Errno(r.Value)}
}
