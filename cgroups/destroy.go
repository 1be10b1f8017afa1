package cgroups

import (
	"fmt"
	"os"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// destroyTimeout bounds the wait for processes that are still dying: until the last has gone through exit,
// the cgroup is busy.
const destroyTimeout = 5 * time.Second

// Destroy removes the cgroup's directories with all that is below them. Processes must be dead; those that
// are dying are waited for, up to about five seconds. What is gone already is no error. The error wraps
// EBUSY when processes are left.
func (c *Cgroup) Destroy() error { return c.destroy(destroyTimeout) }

// removeTimeout bounds Remove: what is killed may take time to end, as long as kill says. othersTimeout is for what is nobody's to kill.
const (
	removeTimeout = 90 * time.Second
	othersTimeout = 250 * time.Millisecond
)

// A container can have made any number of cgroups, so deep that each takes long. After so many, or so long, the lock is given to
// others for a moment: they wait for it no longer than some seconds.
const (
	seenAtOnce = 1 << 13
	heldAtOnce = 200 * time.Millisecond
	othersTurn = 20 * time.Millisecond
)

// Remove removes what is the container's of the cgroup's directories. If processes are there, kill ends those that are the
// container's, and says whether the directories may be free soon, and are to be waited for. The error is a LeftError where others are there. The usual
// case, that there are no processes, costs the removal only.
func (c *Cgroup) Remove(kill func(own *Cgroup) (ending bool, err error)) error {
	start := time.Now()
	for wait := time.Millisecond; ; wait = min(wait*2, 100*time.Millisecond) {
		left, ending, err := c.removeOnce(kill)
		if err != nil || len(left) == 0 {
			return err
		}
		if took := time.Since(start); took > removeTimeout || took > othersTimeout && !ending {
			return &LeftError{(&Cgroup{host: c.host, members: left}).Paths()}
		}
		time.Sleep(wait)
	}
}

func (c *Cgroup) removeOnce(kill func(own *Cgroup) (ending bool, err error)) (left []member, ending bool, err error) {
	unlock, err := c.claim.lock()
	if err != nil {
		return nil, false, err
	}
	defer func() { unlock() }()
	own := &Cgroup{host: c.host, claim: c.claim, guarded: true}
	own.turn, own.given = c.turns(&unlock)
	for _, m := range c.members {
		has, err := c.hold(&m)
		if err != nil {
			return nil, false, err
		}
		switch has {
		case full:
			own.members = append(own.members, m)
		case lost:
			pids, err := readNumbers(nil, m.dir, true)
			if err != nil {
				return nil, false, err
			}
			if len(pids) > 0 {
				left = append(left, m)
			}
		case intended:
			if err := m.removeEmpty(); err != nil {
				return nil, false, err
			}
		}
	}
	busy, err := own.removeMembers()
	if len(busy) == 0 || err != nil {
		return left, false, err
	}
	ending, err = kill(&Cgroup{host: c.host, claim: c.claim, guarded: true, turn: own.turn, given: own.given, members: busy})
	return append(left, busy...), ending, err
}

// removeEmpty removes the directory if nothing is in it.
func (m *member) removeEmpty() error {
	if m.mount == "" {
		return m.remove()
	}
	if err := rmdir(m.dir); !isErrno(err, unix.EBUSY, unix.ENOTEMPTY) {
		return err
	}
	return nil
}

// removeMembers removes the members' trees. Those where somebody is are returned. Something else keeps nobody from removing
// the rest.
func (c *Cgroup) removeMembers() (busy []member, err error) {
	for _, m := range c.members {
		switch e := m.removeBut(c.livesIn, func() error { return c.next(&m) }); {
		case e == errLost:
		case isErrno(e, unix.EBUSY, unix.ENOTEMPTY):
			busy = append(busy, m)
		case err == nil:
			err = e
		}
	}
	return busy, err
}

// livesIn says whether a directory is, or may be, that of another container that runs or is being made. Of one that has ended an
// empty cgroup may go. So may one that was made elsewhere, as in a container that runs containers: whether its container has ended
// cannot always be told, and while it runs it has a process there, for which the kernel keeps the directory.
func (c *Cgroup) livesIn(dir string) bool {
	if !c.guarded {
		return false
	}
	_, lives, err := c.claim.other(dir)
	return err != nil || lives && !c.claim.isElsewhere(dir)
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
	return m.removeBut(func(string) bool { return false }, func() error { return nil })
}

// removeBut is remove without the directories below that skip selects. next is called between two: others may have taken one then.
func (m *member) removeBut(skip func(dir string) bool, next func() error) error {
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
	below := eachChild(m.dir, skip, func(string) error { return next() }, func(dir string) error {
		some = true
		if err := next(); err != nil || skip(dir) {
			return err
		}
		return rmdir(dir)
	})
	switch {
	case below != nil:
		return below
	case !some:
		return err
	}
	return rmdir(m.dir)
}

func rmdir(dir string) error {
	err := sys.Retry(func() error { return unix.Rmdir(dir) })
	if err == nil || err == unix.ENOENT || !exists(dir) { // a read-only mount says EROFS also for what is not there
		return nil
	}
	return &os.PathError{Op: "rmdir", Path: dir, Err: err}
}
