package libcontainer

import (
	"errors"
	"fmt"

	"rt/cgroups"
	"rt/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// killTimeout is how long the end of a killed process is awaited, in milliseconds.
const killTimeout = 10_000

// Kill sends a signal to the container's init. SIGKILL to a container without a pid namespace of its own, and any
// signal with all, goes to every process in its cgroup: there the end of init ends nothing else.
func (r *Runtime) Kill(id string, sig unix.Signal, all bool) error {
	c, err := r.open(id, false)
	if err != nil {
		return err
	}
	if !all && (sig != unix.SIGKILL || c.PrivatePid) {
		return c.signal(sig)
	}
	if len(c.Cgroups) == 0 && sig == unix.SIGKILL && (c.PrivatePid || !all) {
		return c.signal(sig) // with which the rest of its pid namespace ends, if it has one
	}
	cg, err := c.mustHaveCgroup("signal all processes")
	if err != nil {
		return err
	}
	if !all {
		if err := c.mustRun(); err != nil {
			return err
		}
	}
	return cg.Kill(sig)
}

// signal reaches init through a pidfd, so that a pid that was used again is never hit.
func (c *container) signal(sig unix.Signal) error {
	p, err := c.init().Open()
	if errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	}
	if err != nil {
		return err
	}
	defer p.Close()
	if err := sys.Signal(p, sig); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return ErrNotRunning
		}
		return fmt.Errorf("send %v to the container's process: %w", sig, err)
	}
	if sig != unix.SIGKILL {
		return nil
	}
	// So that `kill ID KILL` and then `delete ID` works as it reads; a process that takes longer is nobody's error. A pause
	// that comes between would keep it from its end until somebody resumes the container.
	for range 4 {
		if err := c.thaw(); err != nil {
			return err
		}
		if ended, err := sys.AwaitExit(p, 25); ended || err != nil {
			return err
		}
	}
	return nil
}

// thaw: a process in a frozen v1 cgroup does not die before it is thawed.
func (c *container) thaw() error {
	cg, err := c.cgroup()
	if err != nil {
		return err
	}
	if frozen, err := cg.Frozen(); err != nil || !frozen {
		return err
	}
	return cg.Thaw()
}

// Pause freezes every process of a container.
func (r *Runtime) Pause(id string) error {
	return r.changeFreezer(id, (*cgroups.Cgroup).Freeze, func(status specs.ContainerState) error {
		switch status {
		case specs.StateRunning, specs.StateCreated:
			return nil
		case statePaused:
			return ErrPaused
		}
		return ErrNotRunning
	})
}

// Resume thaws a paused container.
func (r *Runtime) Resume(id string) error {
	return r.changeFreezer(id, (*cgroups.Cgroup).Thaw, func(status specs.ContainerState) error {
		if status != statePaused {
			return ErrNotPaused
		}
		return nil
	})
}

// changeFreezer does something to the freezer of a container whose status allows it.
func (r *Runtime) changeFreezer(id string, change func(*cgroups.Cgroup) error, allowed func(specs.ContainerState) error) error {
	c, err := r.open(id, true)
	if err != nil {
		return err
	}
	defer c.release()
	status, err := c.status()
	if err != nil {
		return err
	}
	if err := allowed(status); err != nil {
		return err
	}
	cg, err := c.mustHaveCgroup("pause")
	if err != nil {
		return err
	}
	return change(cg)
}

// Processes are the pids, on the host, of a container's processes.
func (r *Runtime) Processes(id string) ([]int, error) {
	_, pids, err := r.processes(id)
	return pids, err
}

func (r *Runtime) processes(id string) (*cgroups.Cgroup, []int, error) {
	c, err := r.open(id, false)
	if err != nil {
		return nil, nil, err
	}
	cg, err := c.mustHaveCgroup("list processes")
	if err != nil {
		return nil, nil, err
	}
	pids, err := cg.Procs()
	return cg, pids, err
}
