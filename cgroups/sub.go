package cgroups

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"rt/internal/hint"

	"golang.org/x/sys/unix"
)

// Sub is the cgroup that `exec --cgroup [controller[,controller]:]path` names, relative to the container's
// c. Without controllers the one path is for every hierarchy; with them it takes one or more specs, and
// controllers that are not named stay as they are in c. Controllers mounted together move together. The
// cgroup must exist, except that the v2 side of a hybrid host stays with c where it has no such directory:
// what limits there is v1.
func Sub(h *Host, c *Cgroup, specs []string) (*Cgroup, error) {
	wanted, err := parseSubs(specs)
	if err != nil {
		return nil, err
	}
	paths := c.Paths()
	if inner, ok := wanted[""]; ok {
		for name := range paths {
			wanted[name] = inner
		}
		if _, ok := paths[""]; !ok {
			delete(wanted, "")
		}
	}
	moved := make(map[string]string, len(paths)) // directory of c to that below it
	for name, inner := range wanted {
		base, ok := paths[name]
		if !ok {
			known := slices.DeleteFunc(slices.Sorted(maps.Keys(paths)), func(s string) bool { return s == "" })
			return nil, hint.With(fmt.Errorf("unknown controller %s in --cgroup", name), subHint(known))
		}
		dir := path.Join(base, inner)
		if dir != base && below(dir, base) == "" {
			return nil, hint.With(fmt.Errorf("bad sub cgroup path: %s", inner), "--cgroup is relative to the container's own cgroup and must not lead out of it")
		}
		if err := isCgroup(dir); err != nil {
			if name == "" && c.v1Count() > 0 && errors.Is(err, os.ErrNotExist) {
				continue
			}
			return nil, hint.With(err, "--cgroup names a cgroup below the container's own, which must exist")
		}
		if other, ok := moved[base]; ok && other != dir {
			return nil, fmt.Errorf("invalid --cgroup argument(s): multiple paths for controller %s?", name)
		}
		moved[base] = dir
	}
	for name, base := range paths {
		if dir, ok := moved[base]; ok {
			paths[name] = dir
		}
	}
	return Load(h, paths), nil
}

// subHint says which controllers can be named.
func subHint(known []string) string {
	if len(known) == 0 {
		return "with cgroup v2 give the path alone"
	}
	return "the container has " + strings.Join(known, ", ")
}

// isCgroup names cgroup.procs in its error, as a failed attempt to join would.
func isCgroup(dir string) error {
	if err := unix.Access(dir+"/cgroup.procs", unix.F_OK); err != nil {
		return &os.PathError{Op: "join", Path: dir + "/cgroup.procs", Err: err}
	}
	return nil
}

// parseSubs maps controllers, or "" for all, to paths.
func parseSubs(specs []string) (map[string]string, error) {
	wanted := make(map[string]string, len(specs))
	for _, spec := range specs {
		names, inner, ok := strings.Cut(spec, ":")
		if !ok {
			if len(specs) != 1 {
				return nil, fmt.Errorf("invalid --cgroup argument: %s (missing <controller>: prefix)", spec)
			}
			wanted[""] = spec
			continue
		}
		for name := range strings.SplitSeq(names, ",") {
			if name == "" {
				return nil, fmt.Errorf("invalid --cgroup argument: %s (empty <controller> prefix)", spec)
			}
			if _, ok := wanted[name]; ok {
				return nil, fmt.Errorf("invalid --cgroup argument(s): multiple paths for controller %s?", name)
			}
			wanted[name] = inner
		}
	}
	return wanted, nil
}
