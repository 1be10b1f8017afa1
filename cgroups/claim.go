package cgroups

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A Claim tells a container's cgroup from what others have there: two containers may name one cgroup, or one below the
// other's, and a directory that was removed may have been made again.
type Claim struct {
	// Mark is what Create and Adopt write on the directories (sys.SetMark).
	Mark string
	// Taken has, for each controller as in Paths, how far the directory is the container's: Missing or Existed, or the inode of
	// one that was taken. nil: it was not recorded, and the mark alone decides.
	Taken map[string]string
	// IsOwn says whether a mark is the container's. nil: it equals Mark.
	IsOwn func(mark string) bool
	// Other says which other container a mark on a directory with this inode names, "" if there is none; lives: it runs, or
	// is being made. nil: there are no others.
	Other func(mark string, trusted bool, inode uint64) (name string, lives bool)
	// Elsewhere says whether a mark was made where other files are seen. nil: none was.
	Elsewhere func(mark string) bool
	// Lock keeps other runtimes from taking a cgroup. nil: there are no others.
	Lock func() (unlock func(), err error)
	// Record is called by Create and Adopt, under the lock, with the new Taken, before a process of the container is there.
	Record func(taken map[string]string) error
}

// States of a directory that was not taken.
const (
	Missing = "missing" // was not there before Create
	Existed = "existed" // was there
)

// SetClaim sets what tells the cgroup from what others have there.
func (c *Cgroup) SetClaim(claim Claim) { c.claim = claim }

// Intended is Claim.Taken before Create: whether each directory is there.
func (c *Cgroup) Intended() map[string]string {
	return c.eachName(func(m *member) string {
		if exists(m.dir) {
			return Existed
		}
		return Missing
	})
}

func (c *Cgroup) inodes() (taken map[string]string, err error) {
	taken = c.eachName(func(m *member) string {
		is, e := inode(m.dir)
		err = errors.Join(err, e)
		return strconv.FormatUint(is, 10)
	})
	return taken, err
}

func (c *Cgroup) eachName(value func(*member) string) map[string]string {
	all := make(map[string]string, len(c.members))
	for i := range c.members {
		m := &c.members[i]
		text := value(m)
		for _, name := range m.names() {
			all[name] = text
		}
	}
	return all
}

// names are the member's keys in Paths.
func (m *member) names() []string {
	if m.v2 {
		return []string{""}
	}
	return m.controllers
}

// inode is 0 if there is no such directory. A cgroup's is not used again before the machine is restarted, for 64-bit kernels
// count them up.
func inode(dir string) (uint64, error) {
	var st unix.Stat_t
	switch err := unix.Lstat(dir, &st); err {
	case nil:
		return st.Ino, nil
	case unix.ENOENT, unix.ENOTDIR:
		return 0, nil
	default:
		return 0, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
}

func (k *Claim) lock() (unlock func(), err error) {
	if k.Lock == nil {
		return func() {}, nil
	}
	return k.Lock()
}

func (k *Claim) isOwn(mark string) bool {
	if k.IsOwn != nil {
		return k.IsOwn(mark)
	}
	return mark == k.Mark
}

// other is the container that a directory's mark names, if it is another one.
func (k *Claim) other(dir string) (name string, lives bool, err error) {
	if k.Other == nil {
		return "", false, nil
	}
	mark, trusted, err := sys.Mark(dir)
	if err != nil || mark == "" || k.isOwn(mark) {
		return "", false, err
	}
	is, err := inode(dir)
	if err != nil {
		return "", false, err
	}
	name, lives = k.Other(mark, trusted, is)
	return name, lives, nil
}

func (k *Claim) isElsewhere(dir string) bool {
	if k.Elsewhere == nil {
		return false
	}
	mark, _, err := sys.Mark(dir)
	return err == nil && k.Elsewhere(mark)
}

// A hold is what a container has of a directory.
type hold int

const (
	noHold   hold = iota // it is gone, or another one has its name
	intended             // it is removed if nobody is in it
	lost                 // another container has taken it over
	full                 // it is the container's
)

// hold: a mark counts against the record only if a container cannot have written it (trusted), or if its container's record
// names the directory.
func (c *Cgroup) hold(m *member) (hold, error) {
	is, err := inode(m.dir)
	if err != nil || is == 0 {
		return noHold, err
	}
	recorded := c.claim.Taken[m.names()[0]]
	switch recorded {
	case Existed:
		return noHold, nil
	case Missing:
		if _, lives, err := c.claim.other(m.dir); err != nil || lives {
			return noHold, err
		}
		return intended, nil
	case strconv.FormatUint(is, 10):
	case "":
		if c.claim.Taken != nil {
			return noHold, nil
		}
	default:
		return noHold, nil
	}
	mark, trusted, err := sys.Mark(m.dir)
	switch {
	case err != nil:
		return noHold, err
	case mark != "" && c.claim.isOwn(mark):
		return full, nil
	case mark == "" && recorded != "", mark == "" && !sys.MarksAreTrusted():
		return full, nil
	case mark == "":
		return intended, nil
	case trusted:
		return lost, nil
	}
	if name, _, err := c.claim.other(m.dir); err != nil || name != "" {
		return lost, err
	}
	return full, nil
}

// Own is the part of the cgroup that is still the container's, without the cgroups of other containers below it. What it does
// is certain only while Locked keeps others away.
func (c *Cgroup) Own() (*Cgroup, error) {
	own := &Cgroup{host: c.host, claim: c.claim, guarded: true}
	for _, m := range c.members {
		has, err := c.hold(&m)
		if err != nil {
			return nil, err
		}
		if has == full {
			own.members = append(own.members, m)
		}
	}
	return own, nil
}

// IsUnit says whether the directory that systemd keeps the unit's processes in is part of the cgroup.
func (c *Cgroup) IsUnit() bool {
	return c.memberOf("name=systemd") != nil || c.memberOf("") != nil && c.v1Count() == 0
}

// IsTaken says whether the record has the inodes of the directories: Create or Adopt came that far.
func (c *Cgroup) IsTaken() bool {
	for _, taken := range c.claim.Taken {
		if taken != Missing && taken != Existed {
			return true
		}
	}
	return false
}

// Only is the cgroup with those processes alone that a function selects.
func (c *Cgroup) Only(selected func(pid int) bool) *Cgroup {
	one := *c
	one.only = selected
	return &one
}

// Locked calls f with the part that is the container's, and lets no other runtime take a cgroup meanwhile, but between two
// directories (next) where there are thousands below.
func (c *Cgroup) Locked(f func(own *Cgroup) error) error {
	unlock, err := c.claim.lock()
	if err != nil {
		return err
	}
	defer func() { unlock() }()
	own, err := c.Own()
	if err != nil {
		return err
	}
	own.turn, own.given = c.turns(&unlock)
	return f(own)
}

// errLost: another container has taken a directory while the lock was given away.
var errLost = errors.New("another container has taken the cgroup meanwhile")

// turns returns what Cgroup.turn is for as long as the lock is held: it gives that away for a moment if it was held for long. The
// rest of a walk goes on only in what is the container's still.
func (c *Cgroup) turns(unlock *func()) (turn func(*member) error, given *int) {
	seen, since, given := 0, time.Now(), new(int)
	return func(m *member) error {
		if seen++; seen < seenAtOnce && time.Since(since) < heldAtOnce {
			return nil
		}
		(*unlock)()
		*given++
		*unlock = func() {}
		time.Sleep(othersTurn)
		again, err := c.claim.lock()
		if err != nil {
			return err
		}
		*unlock = again
		seen, since = 0, time.Now()
		has, err := c.hold(m)
		if err == nil && has != full {
			err = errLost
		}
		return err
	}, given
}

// next is called between two directories below a member's: from one to the next, nothing is known of who else has taken what.
func (c *Cgroup) next(m *member) error {
	if c.turn == nil {
		return nil
	}
	return c.turn(m)
}

// isOthers says whether a directory below the cgroup's is that of another container, or may be.
func (c *Cgroup) isOthers(dir string) bool {
	if !c.guarded {
		return false
	}
	name, _, err := c.claim.other(dir)
	return err != nil || name != ""
}

// Shared says whether other containers have cgroups below this one, or may have. It stays so while the lock is held.
func (c *Cgroup) Shared() bool { return c.shared(func(*member) error { return nil }) }

func (c *Cgroup) shared(next func(*member) error) bool {
	found := errors.New("found")
	for i := range c.members {
		m := &c.members[i]
		err := eachChild(m.dir, nil, func(dir string) error {
			if c.isOthers(dir) {
				return found
			}
			return next(m)
		}, nil)
		if err != nil && !gone(err) {
			return true
		}
	}
	return false
}

// checkFree refuses a directory that another container has taken, and has no process in yet.
func (c *Cgroup) checkFree() error {
	for _, m := range c.members {
		name, lives, err := c.claim.other(m.dir)
		if err != nil {
			return err
		}
		if lives {
			return fmt.Errorf("container's cgroup is not empty: %s is that of container %s", m.dir, name)
		}
	}
	return nil
}

// A LeftError is about directories of a container's cgroup that hold processes of others, or cgroups. The words are runc's.
type LeftError struct {
	Paths map[string]string // as in Cgroup.Paths
}

func (e *LeftError) Error() string {
	text := "Failed to remove paths: map["
	for i, name := range slices.Sorted(maps.Keys(e.Paths)) {
		if i > 0 {
			text += " "
		}
		text += name + ":" + e.Paths[name]
	}
	return text + "]"
}

func (e *LeftError) Unwrap() error { return unix.EBUSY }
