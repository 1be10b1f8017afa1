package cgroups

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// destroyTimeout bounds the wait for processes that are still dying: until the last has gone through exit,
// the cgroup is busy.
const destroyTimeout = 5 * time.Second

// Destroy removes the cgroup's directories with all that is below them. Processes must be dead; those that
// are dying are waited for, up to about five seconds. What is gone already is no error. The error wraps
// EBUSY when processes are left.
func (c *Cgroup) Destroy() error { return c.destroy(destroyTimeout) }

// Clear is Destroy without the condition: the processes that are found in the cgroup are killed. The usual case,
// that there are none, costs the removal only.
func (c *Cgroup) Clear() error {
	err := c.destroy(0)
	if !isErrno(err, unix.EBUSY, unix.ENOTEMPTY) {
		return err
	}
	if err := c.Kill(unix.SIGKILL); err != nil {
		return err
	}
	return c.Destroy()
}

func (c *Cgroup) destroy(timeout time.Duration) error {
	var err, other error // busy; something else, which keeps nobody from removing the rest
	left := c.members
	deadline := time.Now().Add(timeout)
	for wait := time.Millisecond; ; wait = min(wait*2, 250*time.Millisecond) {
		var busy []member
		var problems []error
		for _, m := range left {
			if err := m.remove(); isErrno(err, unix.EBUSY, unix.ENOTEMPTY) {
				busy = append(busy, m)
				problems = append(problems, err)
			} else if other == nil {
				other = err
			}
		}
		if left = busy; len(left) == 0 {
			return other
		}
		err = problems[0]
		if !time.Now().Before(deadline) {
			break
		}
		time.Sleep(wait)
	}
	rest := Cgroup{host: c.host, members: left}
	if pids, perr := rest.Procs(); perr == nil && len(pids) > 0 {
		err = fmt.Errorf("%w: %d process(es) left, the first is %d", err, len(pids), pids[0])
	}
	return err
}

// remove removes the member's tree. One that is not known to lie strictly below a hierarchy's root is
// refused if it is there: its children could be the host's.
func (m *member) remove() error {
	if m.mount == "" {
		if !exists(m.dir) {
			return nil
		}
		return fmt.Errorf("rmdir %s: not below a known cgroup hierarchy: %w", m.dir, unix.EINVAL)
	}
	err := rmdir(m.dir)
	if !isErrno(err, unix.EBUSY, unix.ENOTEMPTY) {
		return err
	}
	some := false
	below := eachChild(m.dir, nil, func(dir string) error { some = true; return rmdir(dir) })
	switch {
	case below != nil:
		return below
	case !some:
		return err
	}
	return rmdir(m.dir)
}

func rmdir(dir string) error {
	for {
		err := unix.Rmdir(dir)
		switch {
		case err == unix.EINTR:
			continue
		case err == nil, err == unix.ENOENT:
			return nil
		case !exists(dir):
			return nil // a read-only mount says EROFS also for what is not there
		}
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
}
