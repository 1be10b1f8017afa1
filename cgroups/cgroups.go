// Package cgroups makes, limits, freezes, kills and removes the cgroups of a container, on cgroup v1,
// hybrid and v2 hosts. It runs outside the container, in the rt process.
//
// The translation of linux.resources into files and values (package translate) is pure; everything
// else works on directories below the hierarchies that Probe found.
package cgroups

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Cgroup is the cgroup of one container: one directory in each hierarchy of the host. Its directories
// need not exist; Create makes them.
type Cgroup struct {
	host    *Host
	members []member            // sorted by controller name, so that every order of work is the same each time
	claim   Claim               // SetClaim
	guarded bool                // cgroups of other containers below are left out: see Own
	turn    func(*member) error // see Locked
	given   *int                // how often the lock was given to others, see Locked
	only    func(pid int) bool  // see Only; nil: all processes
}

// A member is one hierarchy's part of a container's cgroup.
type member struct {
	dir         string
	mount       string   // mount point of the hierarchy, "" when it is not known (Load after a change of mounts)
	controllers []string // v1: names as in Host.V1, several when they are mounted together; nil for v2
	v2          bool
}

// New names the cgroup of container id for linux.cgroupsPath (config-linux.md, "Cgroups Path"), as runc's
// file driver does:
//
//   - an absolute path lies below the root of each hierarchy;
//   - a relative path lies below the caller's own cgroup in each v1 hierarchy, and below the parent of the
//     caller's own cgroup in v2, where a cgroup that holds processes cannot have controllers below it;
//   - "" is the relative path id.
//
// The path is cleaned as if it were absolute, so ".." never leads out of where it starts. A path that names
// no cgroup of its own ("/", ".") is an error: it would be the host's. Nothing is made.
func New(h *Host, cgroupsPath, id string) (*Cgroup, error) {
	inner := cgroupsPath
	if inner == "" {
		inner = id
	}
	absolute := strings.HasPrefix(inner, "/")
	inner = path.Join("/", inner)
	if inner == "/" {
		return nil, fmt.Errorf("cgroupsPath %q: it names no cgroup below the hierarchy's root", cgroupsPath)
	}
	if strings.ContainsAny(inner, "\x00\n") {
		// The kernel refuses a newline in a cgroup's name (EINVAL): it would break /proc/PID/cgroup.
		return nil, fmt.Errorf("cgroupsPath %q: %w", cgroupsPath, unix.EINVAL)
	}
	paths := make(map[string]string, len(h.V1)+1)
	base := func(name, mount string) (string, error) {
		if absolute {
			return mount, nil
		}
		return h.ownDir(name, mount)
	}
	for name, mount := range h.V1 {
		b, err := base(name, mount)
		if err != nil {
			return nil, err
		}
		paths[name] = b + inner
	}
	if h.Unified != "" {
		b, err := base("", h.Unified)
		if err != nil {
			return nil, err
		}
		if !absolute && b != h.Unified {
			b = path.Dir(b)
		}
		paths[""] = b + inner
	}
	if len(paths) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted")
	}
	return Load(h, paths), nil
}

// Load is the cgroup whose directories were recorded in a container's state: controller to directory, ""
// for v2. Directories that are not below a hierarchy of h are kept, but never removed.
func Load(h *Host, paths map[string]string) *Cgroup {
	c := &Cgroup{host: h}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		c.add(name, path.Clean(paths[name]))
	}
	return c
}

func (c *Cgroup) add(name, dir string) {
	if name == "" {
		c.members = append(c.members, member{dir: dir, mount: below(dir, c.host.Unified), v2: true})
		return
	}
	for i := range c.members {
		if m := &c.members[i]; !m.v2 && m.dir == dir {
			m.controllers = append(m.controllers, name)
			return
		}
	}
	c.members = append(c.members, member{dir: dir, mount: below(dir, c.host.V1[name]), controllers: []string{name}})
}

// below is mount if dir lies strictly below it, else "".
func below(dir, mount string) string {
	if mount != "" && strings.HasPrefix(dir, strings.TrimSuffix(mount, "/")+"/") {
		return mount
	}
	return ""
}

// Paths maps each controller (and "name=systemd") to its directory, "" to the v2 directory: what the
// container's state records and Load takes.
func (c *Cgroup) Paths() map[string]string {
	paths := make(map[string]string, len(c.members))
	for _, m := range c.members {
		if m.v2 {
			paths[""] = m.dir
		}
		for _, name := range m.controllers {
			paths[name] = m.dir
		}
	}
	return paths
}

// Dirs are the distinct directories, known before anything is made: what the journal records.
func (c *Cgroup) Dirs() []string {
	dirs := make([]string, len(c.members))
	for i, m := range c.members {
		dirs[i] = m.dir
	}
	return dirs
}

// BornDir is the v2 directory, for clone3's CLONE_INTO_CGROUP, or "" if there is none. On a hybrid host it
// is the one in the unified hierarchy. A v2 pids.max of 0 makes clone3 fail there with EAGAIN: the child
// counts at birth, where a process that moves in is not checked.
func (c *Cgroup) BornDir() string { return c.dirOf("") }

// TaskFiles are the v1 `tasks` files: a process with one thread joins by writing "0" to each. Unlike
// cgroup.procs, `tasks` takes no system-wide cgroup_threadgroup_rwsem, whose write side waits for an RCU
// grace period.
func (c *Cgroup) TaskFiles() []string {
	files := make([]string, 0, len(c.members))
	for _, m := range c.members {
		if !m.v2 {
			files = append(files, m.dir+"/tasks")
		}
	}
	return files
}

// Exists says whether any of the directories exists.
func (c *Cgroup) Exists() bool {
	return slices.ContainsFunc(c.members, func(m member) bool { return exists(m.dir) })
}

// dirOf is the directory of a v1 controller, or of v2 for ""; "" if the container has none.
func (c *Cgroup) dirOf(name string) string {
	if m := c.memberOf(name); m != nil {
		return m.dir
	}
	return ""
}

func (c *Cgroup) memberOf(name string) *member {
	for i := range c.members {
		m := &c.members[i]
		if m.v2 && name == "" || !m.v2 && slices.Contains(m.controllers, name) {
			return m
		}
	}
	return nil
}
