package cgroups

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"rt/internal/bug"
	"rt/internal/sys"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Create makes the cgroup and applies r, which may be nil. Directories of an earlier container may be left
// over, but no process may be in them and they must not be frozen. A new container gets the default device
// rules even if r has none. On error, what Create made is removed again; controllers that it enabled in
// v2 ancestors stay enabled.
func (c *Cgroup) Create(r *specs.LinuxResources) (warnings []string, err error) {
	return c.establish(r, 0)
}

// Adopt makes of a cgroup that systemd has made the container's: it makes the directories in the v1 hierarchies that
// systemd does not know, and applies r, as Create does. pid is the one process that may be in it.
func (c *Cgroup) Adopt(r *specs.LinuxResources, pid int) (warnings []string, err error) {
	return c.establish(r, pid)
}

// establish is Create, or Adopt of the process.
func (c *Cgroup) establish(r *specs.LinuxResources, adopted int) (warnings []string, err error) {
	if r == nil {
		r = &specs.LinuxResources{}
	}
	t, err := c.translate(r, true)
	if err != nil {
		return t.warnings, err
	}
	defer t.filter.close()
	made, err := c.take(adopted)
	if err != nil {
		return t.warnings, err
	}
	if err = c.fill(t, r, made, adopted != 0); err != nil {
		c.giveBack(made)
	}
	return t.warnings, err
}

// take makes the directories and the container's claim to them, if they are free. On error, what it made is removed again.
func (c *Cgroup) take(adopted int) (made []string, err error) {
	unlock, err := c.claim.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	defer func() {
		if err != nil {
			removeAll(made)
		}
	}()
	defer bug.Catch(&err)
	check := adopted != 0
	for i := range c.members {
		existed, err := c.members[i].make(&made)
		if err != nil {
			return made, err
		}
		check = check || existed
	}
	if check {
		if err := c.checkUnused(adopted); err != nil {
			return made, err
		}
		if err := c.checkFree(); err != nil {
			return made, err
		}
	} else if c.nested() {
		if err := c.checkThawed(); err != nil {
			return made, err
		}
	}
	c.setMarks()
	if c.claim.Taken, err = c.inodes(); err != nil {
		return made, err
	}
	if c.claim.Record == nil {
		return made, nil
	}
	return made, c.claim.Record(c.claim.Taken)
}

// giveBack removes what take made.
func (c *Cgroup) giveBack(made []string) {
	if unlock, err := c.claim.lock(); err == nil {
		removeAll(made)
		unlock()
	}
}

func removeAll(made []string) {
	for _, dir := range slices.Backward(made) {
		_ = unix.Rmdir(dir) // one that another container uses meanwhile stays: EBUSY
	}
}

// fill gives the directories, some of which were made now, what t and r say. All controllers that can be had are enabled
// before a container is there that could make a directory with the name of a controller's file (hugetlb.2MB.max), which would keep
// the controller from its neighbours. In a cgroup that is adopted there is no device program of rt's.
func (c *Cgroup) fill(t *translation, r *specs.LinuxResources, made []string, adopted bool) (err error) {
	defer bug.Catch(&err)
	if m := c.memberOf("cpuset"); m != nil {
		if err := m.inheritCpuset(made, r.CPU); err != nil {
			return err
		}
	}
	if m := c.memberOf(""); m != nil {
		t.enabling = m.enable(t.wanted(c.v1Count() == 0))
		if err := t.filter.attach(m.dir, adopted || slices.Contains(made, m.dir)); err != nil {
			return err
		}
	}
	return c.write(t, nil)
}

// make makes the member's directory and its missing parents.
func (m *member) make(made *[]string) (existed bool, err error) {
	// A parent can go away again: another container's Create that failed takes back what it made.
	for range 100 {
		existed, err = false, mkdir(m.dir)
		switch {
		case err == nil:
			*made = append(*made, m.dir)
			return false, nil
		case isErrno(err, unix.EEXIST):
			return true, nil
		case !isErrno(err, unix.ENOENT) || m.mount == "" || !exists(m.mount):
			return false, err
		}
		if err := m.makeParents(made); err != nil {
			return false, err
		}
	}
	return false, err
}

func (m *member) makeParents(made *[]string) error {
	for dir := range m.ancestors() {
		if dir == m.mount {
			continue
		}
		switch err := mkdir(dir); {
		case err == nil:
			*made = append(*made, dir)
		case isErrno(err, unix.ENOENT): // raced with a removal: from the top again
			return nil
		case !isErrno(err, unix.EEXIST):
			return err
		}
	}
	return nil
}

// ancestors yields the directories from the mount point down to the parent of the member's directory.
func (m *member) ancestors() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if m.mount == "" {
			return
		}
		dir := m.mount
		rest := strings.TrimPrefix(strings.TrimPrefix(m.dir, m.mount), "/")
		for {
			if !yield(dir) {
				return
			}
			first, more, deeper := strings.Cut(rest, "/")
			if !deeper {
				return
			}
			dir, rest = path.Join(dir, first), more
		}
	}
}

func mkdir(dir string) error {
	return sys.MakeDir(dir, 0o755)
}

// Unused is an error if the cgroup exists and has processes, or is frozen. It is what Create and Adopt find, too, before
// another runtime is asked to make it.
func (c *Cgroup) Unused() error { return c.checkUnused(0) }

// checkUnused refuses a cgroup that already existed and is in use: limits, signals and the removal of one
// container would hit another. except is a process that may be there, or 0. v2 lists processes outside of our pid namespace, too,
// as 0.
func (c *Cgroup) checkUnused(except int) error {
	pids, others, err := c.Everybody()
	if err != nil {
		return err
	}
	pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == except })
	if len(pids) > 0 {
		return fmt.Errorf("container's cgroup is not empty: %d process(es) found", len(pids))
	}
	if others && except == 0 {
		return errors.New("container's cgroup is not empty: processes of another pid namespace found")
	}
	return c.checkThawed()
}

// checkThawed refuses a cgroup that is frozen, by itself or from above.
func (c *Cgroup) checkThawed() error {
	for _, m := range c.members {
		frozen, err := m.frozen()
		if err != nil {
			return err
		}
		if frozen {
			return ErrFrozen
		}
	}
	return nil
}

// nested says that there may be others above the cgroup, who can have frozen it before it is made: what is put into it would
// never do anything.
func (c *Cgroup) nested() bool {
	return slices.ContainsFunc(c.members, func(m member) bool { return path.Dir(m.dir) != m.mount })
}

func (c *Cgroup) v1Count() int {
	n := 0
	for _, m := range c.members {
		if !m.v2 {
			n++
		}
	}
	return n
}
