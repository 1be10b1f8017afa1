package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// LockWait bounds the wait for a container's lock. Its holder may wait itself, as for a hook or for the network of a checkpoint.
const LockWait = 60 * time.Second

// forceTimeout bounds what delete --force does before the poststop hooks.
const forceTimeout = 4500 * time.Millisecond

// SetDeadline bounds all that is waited for from now on by forceTimeout together.
func (r *Root) SetDeadline() { r.Deadline = time.Now().Add(forceTimeout) }

// Left is how much time is left of limit until the deadline, if there is one.
func (r *Root) Left(limit time.Duration) time.Duration {
	if r.Deadline.IsZero() {
		return limit
	}
	return min(limit, max(time.Until(r.Deadline), 50*time.Millisecond))
}

// Acquire takes the container's lock, an flock(2) on its directory. It waits for at most limit, and until the
// deadline; the error then is ETIMEDOUT.
func (c *Container) Acquire(limit time.Duration) error {
	if err := c.checkRoot(); err != nil {
		return err
	}
	d, err := sys.Open(c.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) { // rt makes no links
		return ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("lock container: %w", err)
	}
	if err := sys.Lock(d, c.Root.Left(limit)); err != nil {
		d.Close()
		return fmt.Errorf("lock container %s: %w", c.Dir, err)
	}
	if err := c.checkLocked(d); err != nil {
		d.Close()
		return err
	}
	c.lock = d
	return nil
}

// checkLocked compares the locked directory with the one that has its name: during the wait for the lock the container may have been
// deleted and another one created.
func (c *Container) checkLocked(d *os.File) error {
	var locked, there unix.Stat_t
	err := unix.Stat(c.Dir, &there)
	if err == unix.ENOENT {
		return ErrNotExist
	}
	if err == nil {
		err = unix.Fstat(int(d.Fd()), &locked)
	}
	if err != nil {
		return fmt.Errorf("lock container %s: %w", c.Dir, err)
	}
	if locked.Ino != there.Ino || locked.Dev != there.Dev {
		return ErrNotExist
	}
	return c.checkDir(&locked)
}

// Release gives the lock back, if the container has it.
func (c *Container) Release() {
	if c.lock != nil {
		c.removeRecord()
		c.lock.Close()
		c.lock = nil
	}
}

// IsLocked says whether this Container has the lock.
func (c *Container) IsLocked() bool { return c.lock != nil }

// IsHeld says whether another rt has the lock.
func (c *Container) IsHeld() bool {
	if c.Check() != nil {
		return false
	}
	d, err := sys.Open(c.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	defer d.Close()
	return unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK
}
