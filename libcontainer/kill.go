package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// killTimeout is how long the end of a killed process is awaited, in milliseconds.
const killTimeout = 10_000

// maxSignal is SIGRTMAX (signal(7)).
const maxSignal = 64

// Kill sends a signal to the container's init. SIGKILL to a container without a pid namespace of its own, and any
// signal with all, goes to every process in its cgroup: there the end of init ends nothing else. What is left in the cgroup
// after the end of init is killed, too.
func (r *Runtime) Kill(id string, sig unix.Signal, all bool) error {
	c, err := r.open(id, false)
	if err != nil {
		return err
	}
	if sig < 0 || sig > maxSignal { // the kernel would cut the number to 32 bits
		if err := c.MustRun(); err != nil {
			return err
		}
		return fmt.Errorf("unable to signal init: %w: there is no signal %d", unix.EINVAL, sig)
	}
	if !all && (sig != unix.SIGKILL || c.PrivatePid) {
		return c.signal(sig)
	}
	if len(c.Cgroups) == 0 && sig == unix.SIGKILL && (c.PrivatePid || !all) {
		return c.signal(sig) // with which the rest of its pid namespace ends, if it has one
	}
	cg, err := c.MustHaveCgroup("signal all processes")
	if err != nil {
		return err
	}
	inside, ended, err := c.inside()
	if err != nil || ended {
		return err
	}
	there := false
	err = cg.Locked(func(own *cgroups.Cgroup) error {
		if inside != nil {
			own = own.Only(inside)
		}
		there = own.Exists()
		return own.Kill(sig)
	})
	if err != nil || all {
		return err
	}
	// Without a namespace of its own, init may have moved to a cgroup elsewhere.
	if err = c.MustRun(); err == nil {
		err = c.signal(sig)
	}
	if there && errors.Is(err, state.ErrNotRunning) {
		err = nil
	}
	return err
}

// inside selects the processes of a container with a pid namespace of its own; nil for one without, to which all in its cgroup
// belong. ended: there are none.
func (c *container) inside() (selected func(pid int) bool, ended bool, err error) {
	if !c.PrivatePid {
		return nil, false, nil
	}
	p, err := c.InitProcess().Open()
	if errors.Is(err, unix.ESRCH) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer p.Close()
	var st unix.Stat_t
	err = unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", c.Pid), &st)
	if err == nil {
		ended, err = sys.AwaitExit(p, 0)
	}
	switch {
	case err == unix.EACCES: // a user's rt may not look at a process that is not dumpable
		return nil, false, nil
	case err != nil && err != unix.ENOENT && err != unix.ESRCH:
		return nil, false, err
	}
	return func(pid int) bool { return inPidNamespace(pid, st.Ino) }, ended || err != nil, nil
}

// inPidNamespace says whether a process is in a pid namespace, or in one below it.
func inPidNamespace(pid int, ns uint64) bool {
	f, err := sys.OpenNamespace("/proc/" + strconv.Itoa(pid) + "/ns/pid")
	for err == nil {
		defer f.Close()
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) != nil {
			return false
		}
		if st.Ino == ns {
			return true
		}
		var up int
		if up, err = unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_PARENT); err == nil {
			f = os.NewFile(uintptr(up), "pid namespace")
		}
	}
	return false
}

// signal reaches init through a pidfd, so that a pid that was used again is never hit.
func (c *container) signal(sig unix.Signal) error {
	p, err := c.InitProcess().Open()
	if errors.Is(err, unix.ESRCH) {
		return state.ErrNotRunning
	}
	if err != nil {
		return err
	}
	defer p.Close()
	if err := sys.Signal(p, sig); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return state.ErrNotRunning
		}
		return fmt.Errorf("unable to signal init: %w (%v)", err, sig)
	}
	if sig != unix.SIGKILL {
		return nil
	}
	// So that `kill ID KILL` and then `delete ID` works as it reads; a process that takes longer is nobody's error. A pause
	// that comes between would keep it from its end until somebody resumes the container.
	release := (*cgroups.Cgroup).ReleaseAll
	if !c.PrivatePid { // the others live on, under their limits
		release = (*cgroups.Cgroup).Release
	}
	for i := range 4 {
		frozen, err := c.frozen()
		if err == nil && (frozen || i > 0) {
			err = c.LetEnd(release)
		}
		if err != nil {
			return err
		}
		if ended, err := sys.AwaitExit(p, 25); ended || err != nil {
			return err
		}
	}
	return nil
}

// Errors that engines know by their text.
var (
	ErrPaused      = errors.New("container paused")
	ErrNotPaused   = errors.New("container not paused")
	errPausedTwice = errors.New("container not running: it is paused")
)

// Pause freezes every process of a container.
func (r *Runtime) Pause(id string) error {
	return r.changeFreezer(id, (*cgroups.Cgroup).Freeze, func(status specs.ContainerState) error {
		switch status {
		case specs.StateRunning, specs.StateCreated:
			return nil
		case statePaused:
			return errPausedTwice
		}
		return state.ErrNotRunning
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
	defer c.Release()
	status, err := c.status()
	if err != nil {
		return err
	}
	if err := allowed(status); err != nil {
		return err
	}
	cg, err := c.MustHaveCgroup("pause")
	if err != nil {
		return err
	}
	return change(cg)
}
