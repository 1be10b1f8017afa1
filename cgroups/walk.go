package cgroups

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// longPath is where a path is cut off: a container with a cgroup mount can make a tree that is deeper than PATH_MAX.
const longPath = 2048

// mostBases is how many descriptors one walk has at a time. The limit of rt's caller may be 1,024, and a tree can have that many times
// longPath.
const mostBases = 32

// A walk visits the directories below one. Paths begin at a base, and what is too far below that gets a base of its own.
type walk struct {
	skip          func(dir string) bool
	before, after func(dir string) error
	open          []*base // those that have a descriptor, the uppermost first
}

// A base is a directory from which paths begin: the one where the walk began, by its path, or one that is open.
type base struct {
	dir   string // "/proc/self/fd/N", or the path where the walk began
	fd    int    // -1: closed, for there were too many, or none at all
	inode uint64
}

// errVanished: others have removed the directory that is being visited. What they have left above it is not visited any more.
var errVanished = errors.New("the cgroup was removed meanwhile")

// eachChild calls before for every directory below dir, parents first, and after for them, children first; either may be
// nil. Directories that skip (or nil) selects are left out, with all below them. The path that they are given is good until they return. What goes away meanwhile is passed over.
func eachChild(dir string, skip func(dir string) bool, before, after func(dir string) error) error {
	w := &walk{skip: skip, before: before, after: after}
	err := w.below(&base{dir: dir, fd: -1}, "")
	for _, b := range w.open { // after an error
		_ = unix.Close(b.fd)
	}
	if err == errVanished {
		return nil
	}
	return err
}

// below visits what is below a directory, whose path is rel below a base.
func (w *walk) below(from *base, rel string) error {
	children, err := childDirs(from.dir + rel)
	if err != nil || len(children) == 0 {
		return err
	}
	at := from
	if len(from.dir)+len(rel) > longPath {
		if at, err = w.enter(from.dir + rel); err != nil {
			if gone(err) {
				return nil
			}
			return err
		}
		if err = w.each(at, "", children); err != nil {
			return err
		}
		return w.leave(at, from, strings.Count(rel, "/"))
	}
	return w.each(from, rel, children)
}

func (w *walk) each(at *base, rel string, children []string) error {
	for _, name := range children {
		child := rel + "/" + name
		if w.skip != nil && w.skip(at.dir+child) {
			continue
		}
		if w.before != nil {
			if err := w.before(at.dir + child); err != nil {
				return err
			}
		}
		if err := w.below(at, child); err != nil {
			return err
		}
		if w.after != nil {
			if err := w.after(at.dir + child); err != nil {
				return err
			}
		}
	}
	return nil
}

// enter makes a base of a directory. If there are many, the uppermost is closed: it is needed last.
func (w *walk) enter(dir string) (*base, error) {
	if len(w.open) == mostBases {
		_ = unix.Close(w.open[0].fd)
		w.open[0].fd = -1
		w.open = append(w.open[:0], w.open[1:]...)
	}
	b := new(base)
	if err := b.take(unix.AT_FDCWD, dir); err != nil {
		return nil, err
	}
	w.open = append(w.open, b)
	return b, nil
}

// leave closes a base. The one that it is below, by so many levels, is opened again if it was closed. A cgroup's parent is always the
// same one.
func (w *walk) leave(b, above *base, levels int) (err error) {
	if closed := above.fd < 0 && above.inode != 0; closed {
		inode := above.inode
		switch err = above.take(b.fd, strings.Repeat("../", levels)); {
		case gone(err), err == nil && above.inode != inode:
			err = errVanished
		}
		if above.fd >= 0 {
			w.open = append([]*base{above}, w.open...)
		}
	}
	if i := len(w.open) - 1; w.open[i] == b {
		w.open = w.open[:i]
	}
	_ = unix.Close(b.fd)
	return err
}

func (b *base) take(at int, path string) error {
	fd, err := sys.OpenKernelFd(at, path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: path[:min(len(path), longPath)] + " ...", Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return &os.PathError{Op: "stat", Path: path[:min(len(path), longPath)] + " ...", Err: err}
	}
	b.fd, b.inode, b.dir = fd, st.Ino, "/proc/self/fd/"+strconv.Itoa(fd)
	return nil
}
