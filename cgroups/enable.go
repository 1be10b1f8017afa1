package cgroups

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// enable makes v2 controllers available in the member's directory: each ancestor must have them in its
// cgroup.subtree_control. all means all that the hierarchy has. Not every controller can always be
// had (delegation, a parent that has processes of its own): the error matters only when a setting needs
// the controller, and is then part of that setting's error.
func (m *member) enable(want []string, all bool) error {
	if m.mount == "" || !all && len(want) == 0 {
		return nil
	}
	have, err := readFields(m.dir + "/cgroup.controllers")
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(want), func(name string) bool { return slices.Contains(have, name) })
	if len(missing) == 0 && !all {
		return nil
	}
	top, err := readFields(m.mount + "/cgroup.controllers")
	if err != nil {
		return err
	}
	// What the hierarchy does not have (on a hybrid host, what v1 has) cannot be enabled.
	missing = slices.DeleteFunc(top, func(name string) bool {
		return slices.Contains(have, name) || !all && !slices.Contains(want, name)
	})
	if len(missing) == 0 {
		return nil
	}
	var first error
	for dir := range m.ancestors() {
		path := dir + "/cgroup.subtree_control"
		// What an ancestor has given already need not be asked for; it may be none of ours to ask.
		given, _ := readFields(path)
		need := slices.DeleteFunc(slices.Clone(missing), func(name string) bool { return slices.Contains(given, name) })
		if len(need) == 0 {
			continue
		}
		if populated(dir) {
			return cmp.Or(first, error(&os.PathError{Op: "write", Path: path, Err: unix.EBUSY}))
		}
		err := writeFile(path, "+"+strings.Join(need, " +"))
		if err == nil {
			continue
		}
		// All or nothing is the kernel's rule for one write: take what can be had.
		for _, name := range need {
			if err := writeFile(path, "+"+name); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

// populated says that a cgroup other than the real root (which has no cgroup.type) has processes of its
// own. Domain controllers cannot be enabled there (EBUSY); thread controllers such as cpu and pids can, but
// that would make it a threaded domain and its children invalid: no process could join the container
// (EOPNOTSUPP).
func populated(dir string) bool {
	if !exists(dir + "/cgroup.type") {
		return false
	}
	pids, err := readProcs(nil, dir, false)
	return err == nil && len(pids) > 0
}

// lacks explains the ENOENT of a v2 file: is it the whole controller that is not enabled?
func (m *member) lacks(controller string) bool {
	if controller == "" {
		return false
	}
	have, err := readFields(m.dir + "/cgroup.controllers")
	return err == nil && !slices.Contains(have, controller)
}

// enableHint is the next step for the ways in which a controller cannot be enabled.
func enableHint(err error) string {
	switch {
	case isErrno(err, unix.EBUSY):
		return "a cgroup with processes of its own cannot have controllers below it; choose another linux.cgroupsPath"
	case isErrno(err, unix.EOPNOTSUPP):
		return "the cgroup is in a threaded subtree, which has no such controllers; choose another linux.cgroupsPath"
	case isErrno(err, unix.EACCES, unix.EPERM, unix.EROFS):
		return "the controller must be delegated to this user"
	}
	return ""
}

func readFields(path string) ([]string, error) {
	text, err := readFile(path)
	return strings.Fields(text), err
}
