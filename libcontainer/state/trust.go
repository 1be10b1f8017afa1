package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A state says which processes rt signals, which cgroups and resctrl groups it removes, which unit it stops and which hooks it executes:
// a user who could write it would act with the rights of rt. So --root, a container's directory and the files in it must belong to the
// caller and be writable by the caller alone, and every directory and link on the path to --root must belong to root or the caller.

// A trustError says why rt does not trust a directory.
type trustError struct {
	kind string // root or container
	dir  string
	err  error
}

func (e *trustError) Error() string {
	return "open " + e.kind + " directory " + e.dir + ": " + e.err.Error()
}
func (e *trustError) Unwrap() error { return e.err }

// Distrusted says whether an error is that rt does not trust a directory.
func Distrusted(err error) bool {
	var e *trustError
	return errors.As(err, &e)
}

// A rootCheck is the result of the check of one --root.
type rootCheck struct {
	owner uint32 // user ID
	own   bool   // it is that of this process
	err   error
}

// Check says whether rt trusts the directory.
func (r *Root) Check() error {
	return r.check(r.Dir, 0).err
}

// check judges a --root, once for each path. If mode is not 0, it creates what is missing of the path with that mode.
func (r *Root) check(root string, mode uint32) rootCheck {
	found, ok := r.checked[root]
	if ok {
		return found
	}
	user := uint32(os.Geteuid())
	w := wayToRoot{dir: root, owner: user, any: r.Reading && user == 0}
	err := sys.Along(root, mode, w.see)
	found = rootCheck{w.owner, w.owner == user, err}
	if errors.Is(err, fs.ErrNotExist) { // it may be there later
		return found
	}
	if r.checked == nil {
		r.checked = map[string]rootCheck{}
	}
	r.checked[root] = found
	return found
}

// A wayToRoot judges the directories and links on the path to a --root.
type wayToRoot struct {
	dir   string
	owner uint32 // of --root
	any   bool   // owner may become any user: the host's root only reads there
}

func (w *wayToRoot) see(path string, st *unix.Stat_t, last bool) error {
	err := w.judge(path, st, last)
	if err == nil {
		return nil
	}
	if path != w.dir {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if owner := new(sys.OwnerError); errors.As(err, &owner) && owner.UID != owner.Want && os.Geteuid() == 0 {
		err = hint.With(err, "give a --root that only root can change, such as /run/rt; list, state, ps and doctor may look at a user's own")
	}
	return &trustError{"root", w.dir, err}
}

func (w *wayToRoot) judge(path string, st *unix.Stat_t, last bool) error {
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if last {
		return w.judgeRoot(st)
	}
	roots, group := w.roots(st)
	if !roots && st.Uid != w.owner && (!w.any || w.owner != 0) {
		return &sys.OwnerError{UID: st.Uid, Want: w.owner, Link: link}
	}
	if !roots && w.any {
		w.owner = st.Uid
	}
	return sys.CheckWay(path, st, group)
}

// judgeRoot judges --root itself, which only its owner may write to.
func (w *wayToRoot) judgeRoot(st *unix.Stat_t) error {
	if w.any && w.owner == 0 && !w.unmapped(st) {
		w.owner = st.Uid
	}
	return sys.CheckOwner(st, w.owner)
}

// unmapped says whether the owner's user ID is the overflow ID: in a user namespace that does not map the host's root it stands for root
// and for every other user that is not mapped.
func (w *wayToRoot) unmapped(st *unix.Stat_t) bool {
	uid, _ := sys.HostRoot()
	return uid != 0 && st.Uid == uid
}

// roots says whether a directory belongs to root, and whether its group is that of root or of the caller.
func (w *wayToRoot) roots(st *unix.Stat_t) (owner, group bool) {
	owner, group = st.Uid == 0, st.Gid == 0 || int(st.Gid) == os.Getegid()
	if owner && (group || st.Mode&0o020 == 0) {
		return owner, group
	}
	uid, gid := sys.HostRoot()
	return owner || st.Uid == uid, group || st.Gid == gid
}

// checkRoot judges the --root that the container is in, and sets Owner.
func (c *Container) checkRoot() error {
	root := c.Root.check(filepath.Dir(c.Dir), 0)
	c.Owner, c.own = root.owner, root.own
	if errors.Is(root.err, fs.ErrNotExist) {
		return ErrNotExist
	}
	return root.err
}

// checkDir judges the container's directory.
func (c *Container) checkDir(st *unix.Stat_t) error {
	if err := sys.CheckOwner(st, c.Owner); err != nil {
		return &trustError{"container", c.Dir, err}
	}
	return nil
}

// Check judges --root and the container's directory. Acquire has done so for a locked container.
func (c *Container) Check() error {
	if c.lock != nil {
		return nil
	}
	if err := c.checkRoot(); err != nil {
		return err
	}
	return c.checkUnopened()
}

// checkUnopened is checkDir for a directory that is not open.
func (c *Container) checkUnopened() error {
	var st unix.Stat_t
	dirfd, path := c.at("")
	err := sys.Retry(func() error { return unix.Fstatat(dirfd, filepath.Clean(path), &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err == unix.ENOENT || err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR { // rt makes no links
		return ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("look at container directory %s: %w", c.Dir, err)
	}
	return c.checkDir(&st)
}

// checkState checks the ID, and in another user's state the paths of cgroups: root opens no other files that it names.
func (c *Container) checkState() error {
	id := filepath.Base(c.Dir)
	if c.ID == "" {
		c.ID = id
		return fmt.Errorf("read state %s: no id", filepath.Join(c.Dir, StateFile))
	}
	if c.ID != id {
		return &trustError{"container", c.Dir, fmt.Errorf("%s names %.*s", StateFile, MaxNamed, c.ID)}
	}
	if c.own || len(c.Cgroups) == 0 {
		return nil
	}
	host, err := cgroups.Probe()
	if err != nil {
		return err
	}
	for _, dir := range c.Cgroups {
		if !inHierarchy(host, dir) {
			return &trustError{"container", c.Dir, fmt.Errorf("%s: %.*s is no cgroup", StateFile, MaxNamed, dir)}
		}
	}
	return nil
}

// MaxNamed bounds what a message repeats of a state, in characters.
const MaxNamed = 256

// inHierarchy says whether a path is below a mount point of cgroups, a file system that has no links.
func inHierarchy(host *cgroups.Host, dir string) bool {
	if filepath.Clean(dir) != dir {
		return false
	}
	if host.Unified != "" && within(dir, host.Unified) {
		return true
	}
	for _, mount := range host.V1 {
		if within(dir, mount) {
			return true
		}
	}
	return false
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
