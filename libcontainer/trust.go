package libcontainer

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

// What rt believes. A state says which processes are signalled, which cgroups and groups of resctrl removed, which unit stopped,
// which hooks executed: whoever could write it acts with the rights of rt. So --root, a container's directory and the files in
// it must be the caller's own and writable by nobody else, and the way to --root must be laid out by root or the caller.

// A trustError says why a directory is not believed.
type trustError struct {
	kind string // root or container
	dir  string
	err  error
}

func (e *trustError) Error() string {
	return "open " + e.kind + " directory " + e.dir + ": " + e.err.Error()
}
func (e *trustError) Unwrap() error { return e.err }

// distrusted says that an error is about whom a directory belongs to.
func distrusted(err error) bool {
	var e *trustError
	return errors.As(err, &e)
}

// A rootCheck is what was found out about one --root.
type rootCheck struct {
	owner uint32 // whose containers are in it
	err   error
}

// checkRoot looks at a --root once. It makes what is missing of the way there with mode, if that is not 0.
func (r *Runtime) checkRoot(root string, mode uint32) (owner uint32, err error) {
	found, ok := r.checked[root]
	if !ok {
		w := wayToRoot{dir: root, owner: uint32(os.Geteuid()), any: r.reading && os.Geteuid() == 0}
		err := sys.Along(root, mode, w.see)
		found = rootCheck{w.owner, err}
		if errors.Is(err, fs.ErrNotExist) {
			return w.owner, err
		}
		if r.checked == nil {
			r.checked = map[string]rootCheck{}
		}
		r.checked[root] = found
	}
	return found.owner, found.err
}

// A wayToRoot judges the directories and links on the way to a --root.
type wayToRoot struct {
	dir   string
	owner uint32 // of --root
	any   bool   // which may be any user: root only reads there
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

// judgeRoot: what is in --root, only its owner may write.
func (w *wayToRoot) judgeRoot(st *unix.Stat_t) error {
	if w.any && w.owner == 0 && !w.unmapped(st) {
		w.owner = st.Uid
	}
	return sys.CheckOwner(st, w.owner)
}

// unmapped: in a user namespace without the host's root the overflow uid is his, and that of any user who is not mapped.
func (w *wayToRoot) unmapped(st *unix.Stat_t) bool {
	uid, _ := sys.HostRoot()
	return uid != 0 && st.Uid == uid
}

// roots says whether a directory belongs to root, and whether its group is root's or the caller's.
func (w *wayToRoot) roots(st *unix.Stat_t) (owner, group bool) {
	owner, group = st.Uid == 0, st.Gid == 0 || int(st.Gid) == os.Getegid()
	if owner && (group || st.Mode&0o020 == 0) {
		return owner, group
	}
	uid, gid := sys.HostRoot()
	return owner || st.Uid == uid, group || st.Gid == gid
}

// checkRoot looks at the --root that the container is in.
func (c *container) checkRoot() error {
	owner, err := c.rt.checkRoot(filepath.Dir(c.dir), 0)
	c.owner = owner
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotExist
	}
	return err
}

// checkDir judges the container's directory.
func (c *container) checkDir(st *unix.Stat_t) error {
	if err := sys.CheckOwner(st, c.owner); err != nil {
		return &trustError{"container", c.dir, err}
	}
	return nil
}

// check judges --root and the container's directory, once.
func (c *container) check() error {
	if c.lock != nil { // acquire has
		return nil
	}
	if err := c.checkRoot(); err != nil {
		return err
	}
	return c.lookAtDir()
}

// lookAtDir is checkDir for those who have not opened it.
func (c *container) lookAtDir() error {
	var st unix.Stat_t
	dirfd, path := c.at("")
	err := sys.Retry(func() error { return unix.Fstatat(dirfd, filepath.Clean(path), &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err == unix.ENOENT || err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR { // a link is none of rt's
		return ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("look at container directory %s: %w", c.dir, err)
	}
	return c.checkDir(&st)
}

// read reads a file of the container's directory, which has been checked.
func (c *container) read(name string) ([]byte, error) {
	dirfd, path := c.at(name)
	data, err := sys.ReadOwnAt(dirfd, path, c.owner, maxFile)
	if owner := new(sys.OwnerError); errors.As(err, &owner) {
		err = &trustError{"container", c.dir, fmt.Errorf("%s: %w", name, err)}
	}
	return data, err
}

// checkState compares what a state says with what it may say. What another user has written leads root to no file but those of
// cgroups.
func (c *container) checkState() error {
	id := filepath.Base(c.dir)
	if c.ID == "" {
		c.ID = id
		return fmt.Errorf("read state %s: no id", filepath.Join(c.dir, stateFile))
	}
	if c.ID != id {
		return &trustError{"container", c.dir, fmt.Errorf("%s names %.*s", stateFile, maxNamed, c.ID)}
	}
	if int(c.owner) == os.Geteuid() || len(c.Cgroups) == 0 {
		return nil
	}
	host, err := cgroups.Probe()
	if err != nil {
		return err
	}
	for _, dir := range c.Cgroups {
		if !inHierarchy(host, dir) {
			return &trustError{"container", c.dir, fmt.Errorf("%s: %.*s is no cgroup", stateFile, maxNamed, dir)}
		}
	}
	return nil
}

// maxNamed bounds what a message repeats of a state, in characters.
const maxNamed = 256

// inHierarchy says whether a path is below a mount of cgroups, in which nobody can make links.
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
