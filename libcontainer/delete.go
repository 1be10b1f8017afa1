package libcontainer

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/netdev"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Delete removes a container that is stopped, or created and never started. With force it kills it first, and
// removes whatever a create that was killed has left; a container that is not there is then no error.
func (r *Runtime) Delete(id string, force bool) error {
	if err := bundle.CheckID(id); err != nil {
		return err
	}
	c := r.newContainer(id)
	if err := r.lockToDelete(c, force); err != nil {
		if force && errors.Is(err, state.ErrNotExist) {
			return nil
		}
		return err
	}
	defer c.Release()
	err := c.Load()
	switch {
	case err == nil:
		return c.delete(force)
	case sys.Unseen(err), state.Distrusted(err), !force && !errors.Is(err, state.ErrNotExist):
		return err
	}
	// Create was killed before there was a state, or the state is garbage.
	if err := c.ReadJournal(); err != nil {
		return err
	}
	if cleanErr := r.remove(c); cleanErr != nil {
		return cleanErr
	}
	if force {
		return nil
	}
	return err
}

// grace is the time for a holder of the lock that has only waited for what was killed: it undoes or finishes its work itself.
const grace = 500 * time.Millisecond

// lockToDelete gets the container's lock; with force in spite of who has it.
func (r *Runtime) lockToDelete(c *container, force bool) (err error) {
	if force {
		r.SetDeadline()
	}
	if force && c.IsHeld() {
		err = r.takeOver(c)
	} else {
		err = c.Acquire(state.LockWait)
	}
	if err == nil && force {
		c.EndHelper()
	}
	if err == nil {
		c.RecordHolder()
	}
	return err
}

// takeOver gets the lock from another rt: by the end of the container's processes that it may wait for, or by its own end.
func (r *Runtime) takeOver(c *container) error {
	r.killHeld(c.ID)
	err := c.Acquire(grace)
	if !errors.Is(err, unix.ETIMEDOUT) {
		return err
	}
	who, endErr := c.EndHolder(r.Left(grace))
	if err = c.Acquire(state.LockWait); errors.Is(err, unix.ETIMEDOUT) {
		if endErr != nil {
			return fmt.Errorf("%w; %w", err, endErr)
		}
		if len(who) > 0 {
			return fmt.Errorf("%w%s", err, state.Stuck(who))
		}
	}
	return err
}

// killHeld kills the container's processes without the lock: who holds that may be a start that waits for an init which somebody
// in its pid namespace has stopped, a mounts add whose stub the container has frozen with itself, or a create that waits for a
// process that somebody has stopped. It gets the lock back only by their end.
func (r *Runtime) killHeld(id string) {
	c, err := r.open(id, false)
	if err != nil {
		c = r.newContainer(id)
		if c.ReadJournal() != nil {
			return
		}
	}
	if err := c.EndInit(); err != nil {
		r.Warn("%v", err)
	}
	_ = c.Kill()
}

func (c *container) delete(force bool) error {
	status, err := c.status()
	if err != nil && !force {
		return err
	}
	switch {
	case status == specs.StateStopped, status == specs.StateCreated, force:
	default:
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", c.ID, status)
	}
	return c.rt.remove(c)
}

// remove ends every process of a container and undoes what create made: cgroup, directory; then come poststop hooks. If others are
// in the cgroup, the error is a cgroups.LeftError and the container is removed all the same.
func (r *Runtime) remove(c *container) error {
	if _, err := c.Cgroup(); err != nil {
		return err
	}
	if err := c.EndInit(); err != nil {
		return err
	}
	left, err := c.Clear()
	if err != nil {
		return err
	}
	if err := c.returnNetDevices(); err != nil {
		return err
	}
	spec, err := c.poststopSpec()
	if err != nil {
		return err
	}
	if err := c.RemoveDir(); err != nil {
		return fmt.Errorf("remove container directory: %w", err)
	}
	c.poststop(spec)
	return left
}

// returnNetDevices brings back what a create that was killed has moved. As long as that fails, it is still written down.
func (c *container) returnNetDevices() error {
	var r netdev.Record
	if found, err := c.ReadDevices(&r); err != nil || !found {
		return err
	}
	if now := c.rt.BootID(); r.Boot != "" && now != "" && r.Boot != now {
		return nil // the namespace has ended with that boot
	}
	err := r.Back()
	if err != nil && netdev.OnlyStay(err) {
		c.rt.Warn("%v", err)
		return nil
	}
	return err
}

// poststopSpec is the configuration if it has poststop hooks, else nil: decoding is worth it for them only.
func (c *container) poststopSpec() (*specs.Spec, error) {
	raw, err := c.ReadFile(state.ConfigFile)
	if sys.Unseen(err) || state.Distrusted(err) {
		return nil, fmt.Errorf("look for poststop hooks: %w", err)
	}
	if err != nil || !bytes.Contains(raw, []byte("poststop")) {
		return nil, nil
	}
	spec, err := bundle.Decode(raw)
	if err != nil {
		c.rt.Warn("poststop hooks: %v", err)
		return nil, nil
	}
	return spec, nil
}
