package libcontainer

import (
	"errors"
	"fmt"
	"io"

	"rt/libcontainer/hooks"
	"rt/libcontainer/stub"
	"rt/nsenter"
)

// Errors that engines know by their text.
var (
	ErrPaused      = errors.New("container paused")
	ErrNotPaused   = errors.New("container not paused")
	errPausedTwice = errors.New("container not running: it is paused")
	errExecStopped = errors.New("cannot exec in a stopped container")
	errExecPaused  = errors.New("cannot exec in a paused container (use --ignore-paused to override)")
)

// IsStartHook says whether err is the failure of a startContainer hook.
func IsStartHook(err error) bool {
	var failed *hooks.Error
	return errors.As(err, &failed) && failed.Kind == "startContainer"
}

// startError says why the process did not become the program, or why a step of its way there has failed.
func startError(c *container, err error) error {
	if err == io.EOF {
		if cg, cgErr := c.cgroup(); cgErr == nil {
			if oom, _ := cg.OOMKilled(); oom {
				return errors.New("container init was OOM-killed (memory limit too low?)")
			}
		}
		return stub.ErrDied
	}
	var step *stub.StepError
	if errors.As(err, &step) {
		return fmt.Errorf("unable to start container process: %w", err)
	}
	return err
}

// execError explains why the process did not become the program. That the kernel has killed something in the container for
// want of memory is a guess at the reason: it may have been another process.
func execError(c *container, err error) error {
	if err != io.EOF {
		return startError(c, err)
	}
	if cg, cgErr := c.cgroup(); cgErr == nil {
		if oom, _ := cg.OOMKilled(); oom {
			return fmt.Errorf("%w (possibly OOM-killed)", stub.ErrDied)
		}
	}
	return stub.ErrDied
}

// notAdded says in runc's words, which engines and scripts look for, that a process could not enter its cgroup.
func notAdded(pid int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("error adding pid %d to cgroups: %w", pid, err)
}

// joinError is notAdded for a step of the plan that enters a cgroup.
func joinError(pid int, err error) error {
	var step *stub.StepError
	if errors.As(err, &step) {
		if _, ok := step.Item.Step.(nsenter.CgroupJoin); ok {
			return notAdded(pid, err)
		}
	}
	return err
}
