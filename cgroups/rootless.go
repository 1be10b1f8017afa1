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
func (c *Cgroup) MayJoin(h *Host) error {
	m := c.memberOf("")
	if m == nil || below(m.dir, h.Unified) == "" {
		return nil
	}
	own, err := h.ownDir("", h.Unified)
	if err != nil {
		return err
	}
	for _, dir := range [...]string{m.dir, commonDir(own, m.dir)} {
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
