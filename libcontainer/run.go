package libcontainer

import (
	"errors"
	"fmt"

	"rt/cgroups"
	"rt/internal/bug"
	"rt/libcontainer/console"
	"rt/libcontainer/notify"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"

	"golang.org/x/sys/unix"
)

// RunOptions are the flags of run.
type RunOptions struct {
	CreateOptions
	Detach      bool
	Keep        bool // do not delete the container when it exits
	NoSubreaper bool
}

// Run creates and starts a container. Detached it returns once the program runs; else it waits for the program,
// deletes the container unless told to keep it, and returns the program's exit status.
func (r *Runtime) Run(id string, o RunOptions) (status int, err error) {
	fg := &foreground{}
	var signals *console.Signals
	k := &creation{setup: newSetup(r, id, o.CreateOptions), fg: fg}
	k.detached = o.Detach
	if !o.Detach {
		k.interlude = func() (err error) {
			if signals == nil { // else the creation is tried again
				signals, err = console.CatchSignals()
			}
			return err
		}
		if !o.NoSubreaper {
			if err := becomeSubreaper(); err != nil {
				return -1, err
			}
		}
	}
	defer func() {
		if err != nil { // else rt is about to end: see execution.close
			signals.Stop()
		}
	}()
	defer fg.close() // before the signals have their default actions back, and when the process has ended
	defer bug.Then(func(broken error) { status, err = -1, k.broken(broken) })
	if err := k.create(); err != nil {
		return -1, err
	}
	defer k.c.Release()
	proxy, err := k.c.begin(k.spec, k.session)
	if err != nil {
		fg.close()
		status, killed := k.killedEarly(err)
		if !killed {
			return -1, k.fail(err)
		}
		k.c.Release()
		return r.ended(k.c, o, status)
	}
	defer proxy.Close()
	k.session.Close()
	if err := k.keepNetDevices(); err != nil { // kept open, the network namespace would outlive the container for as long as rt is there
		return -1, k.fail(err)
	}
	if err := k.out.writePidFile(k.c.Pid); err != nil {
		return -1, k.fail(err)
	}
	k.c.Release()
	if o.Detach {
		if err := k.c.forward(proxy, nil); err != nil {
			k.session.Abandon()
			return -1, errors.Join(err, r.removeOwn(k.c))
		}
		return 0, nil
	}
	forwarded := r.forwardMeanwhile(k.c, proxy)
	status, err = fg.wait(k.c.Pid, signals, !o.NoSubreaper)
	forwarded()
	if err != nil {
		k.session.Abandon()
		return -1, errors.Join(err, r.removeOwn(k.c))
	}
	defer fg.finish(r, signals) // without a pid namespace what is left of the container has the pipes open until it is removed
	return r.ended(k.c, o, status)
}

// broken is fail for a panic: the container may have been without a lock since it runs.
func (s *setup) broken(err error) error {
	if s.c == nil || s.c.IsLocked() || s.c.Pid == 0 {
		return s.fail(err)
	}
	if s.undo.Process != nil {
		s.undo.Process()
	}
	return errors.Join(err, s.rt.removeOwn(s.c))
}

// forwardMeanwhile tells the service manager when the container is ready, while this process serves its terminal and its signals. end
// is to be called when the program has ended.
func (r *Runtime) forwardMeanwhile(c *container, proxy *notify.Proxy) (end func()) {
	if proxy == nil {
		return func() {}
	}
	done, result := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		defer func() { result <- err }()
		defer bug.Catch(&err)
		err = c.forward(proxy, done)
	}()
	return func() {
		close(done)
		if err := <-result; err != nil {
			r.Warn("%v", err)
		}
	}
}

// becomeSubreaper makes this process the one to which a container's orphans come.
func becomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	return nil
}

func (r *Runtime) ended(c *container, o RunOptions, status int) (int, error) {
	if !o.Keep {
		err := r.removeOwn(c)
		var others *cgroups.LeftError
		if errors.As(err, &others) { // the container is gone, and how its program has ended is known
			r.Warn("%v", err)
		} else if err != nil {
			return -1, err
		}
	}
	return status, nil
}

// removeOwn removes a container that has been without a lock for some time. It may have been deleted by somebody else,
// and its id, with its cgroup, may be another container's by now.
func (r *Runtime) removeOwn(c *container) error {
	now, err := r.open(c.ID, true)
	if errors.Is(err, state.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer now.Release()
	if now.InitProcess() != c.InitProcess() {
		return nil
	}
	now.hookDir = c.hookDir
	return r.remove(now)
}

// killedEarly: on its way from the word to its program the process was ended by a signal. To the caller of a foreground rt that
// is an exit status, as it would be a moment later. A filter's SIGSYS does not come here: it counts as the program's.
func (k *creation) killedEarly(err error) (status int, killed bool) {
	if k.detached || !errors.Is(err, stub.ErrDied) {
		return -1, false
	}
	ws, err := k.session.Wait()
	if err != nil || !ws.Signaled() {
		return -1, false
	}
	return 128 + int(ws.Signal()), true
}
