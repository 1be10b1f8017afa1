package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// What there is for a caller who may not make cgroups where New puts them.

// Own is the caller's own cgroup in each hierarchy.
func Own(h *Host) (*Cgroup, error) {
	paths := make(map[string]string, len(h.V1)+1)
	for name, mount := range h.V1 {
		dir, err := h.ownDir(name, mount)
		if err != nil {
			return nil, err
		}
		paths[name] = dir
	}
	if h.Unified != "" {
		dir, err := h.ownDir("", h.Unified)
		if err != nil {
			return nil, err
		}
		paths[""] = dir
	}
	return Load(h, paths), nil
}

// Below names a cgroup below the caller's own, on a host with v2 only. A cgroup with processes of its own has no
// controllers below it: nothing can be limited there, but processes are found, frozen and killed together.
func Below(h *Host, id string) (*Cgroup, error) {
	if h.Mode != V2 {
		return nil, errors.New("no v2 hierarchy alone")
	}
	own, err := h.ownDir("", h.Unified)
	if err != nil {
		return nil, err
	}
	return Load(h, map[string]string{"": path.Join(own, id)}), nil
}

// MayJoin asks whether the caller may move a process from its own v2 cgroup on host h to c: that takes write access to its
// cgroup.procs and to that of the nearest cgroup above both (cgroup-v2.rst, "Delegation Containment").
func (c *Cgroup) MayJoin(h *Host) error { return c.mayMove(h, true) }

// MayCreate asks whether the caller may make what is missing of c, and then join it.
func (c *Cgroup) MayCreate(h *Host) error {
	for _, m := range c.members {
		dir, err := m.dir, error(unix.ENOENT)
		for err != nil {
			if err = unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); !errors.Is(err, unix.ENOENT) || dir == "/" {
				break
			}
			dir = path.Dir(dir)
		}
		if err != nil {
			return &os.PathError{Op: "mkdir", Path: m.dir, Err: err}
		}
	}
	return c.MayReach(h)
}

// MayReach is MayJoin of a cgroup that does not exist yet, and whose cgroup.procs will be the caller's.
func (c *Cgroup) MayReach(h *Host) error { return c.mayMove(h, false) }

func (c *Cgroup) mayMove(h *Host, exists bool) error {
	m := c.memberOf("")
	if m == nil || below(m.dir, h.Unified) == "" {
		return nil
	}
	own, err := h.ownDir("", h.Unified)
	if err != nil {
		return err
	}
	dirs := []string{m.dir, commonDir(own, m.dir)}
	if !exists {
		dirs = dirs[1:]
	}
	for _, dir := range dirs {
		file := dir + "/cgroup.procs"
		if err := unix.Faccessat(unix.AT_FDCWD, file, unix.W_OK, unix.AT_EACCESS); err != nil {
			return fmt.Errorf("move a process from cgroup %s to %s: %w", own, m.dir, &os.PathError{Op: "write", Path: file, Err: err})
		}
	}
	return nil
}

// commonDir is the nearest directory that is, or is above, both.
func commonDir(a, b string) string {
	for a != b && !strings.HasPrefix(b, strings.TrimSuffix(a, "/")+"/") {
		a = path.Dir(a)
	}
	return a
}
