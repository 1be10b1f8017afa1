package cgroups

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// enable makes v2 controllers available in the member's directory: each ancestor must have them in its
// cgroup.subtree_control. all means all that the hierarchy has. Not every controller can always be
// had (delegation, a parent that has processes of its own): the error is of the first in want that cannot, matters
// only when a setting needs the controller, and is then part of that setting's error.
func (m *member) enable(want []string, all bool) (first error) {
	missing, err := m.missing(want, all)
	if err != nil || len(missing) == 0 {
		return err
	}
	for dir := range m.ancestors() {
		// What an ancestor has given already need not be asked for; it may be none of ours to ask.
		given, _ := readFields(dir + "/cgroup.subtree_control")
		need := slices.DeleteFunc(slices.Clone(missing), func(name string) bool { return slices.Contains(given, name) })
		refused := enableIn(dir, need)
		for _, name := range need {
			if first == nil && slices.Contains(want, name) {
				first = refused[name]
			}
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return refused[name] != nil })
	}
	return first
}

// missing are the controllers in want, or all that there are, that the member's directory does not have.
func (m *member) missing(want []string, all bool) ([]string, error) {
	if m.mount == "" || !all && len(want) == 0 {
		return nil, nil
	}
	have, err := readFields(m.dir + "/cgroup.controllers")
	if err != nil {
		return nil, err
	}
	if !all && !slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(have, name) }) {
		return nil, nil
	}
	// What the hierarchy does not have (on a hybrid host, what v1 has) cannot be enabled.
	top, err := readFields(m.mount + "/cgroup.controllers")
	return slices.DeleteFunc(top, func(name string) bool {
		return slices.Contains(have, name) || !all && !slices.Contains(want, name)
	}), err
}

// enableIn enables controllers for the children of a cgroup, and says which it does not give them, and why.
func enableIn(dir string, names []string) (refused map[string]error) {
	if len(names) == 0 {
		return nil
	}
	path := dir + "/cgroup.subtree_control"
	refused = make(map[string]error)
	busy, err := populated(dir)
	if busy {
		err = &os.PathError{Op: "write", Path: path, Err: unix.EBUSY}
	}
	if err != nil {
		for _, name := range names {
			refused[name] = err
		}
		return refused
	}
	if writeFile(path, "+"+strings.Join(names, " +")) == nil {
		return nil
	}
	// All or nothing is the kernel's rule for one write: take what can be had.
	for _, name := range names {
		if err := writeFile(path, "+"+name); err != nil {
			refused[name] = err
		}
	}
	return refused
}

// populated says that a cgroup other than the real root (which has no cgroup.type) has processes of its
// own. Domain controllers cannot be enabled there (EBUSY); thread controllers such as cpu and pids can, but
// that would make it a threaded domain and its children invalid: no process could join the container
// (EOPNOTSUPP).
func populated(dir string) (bool, error) {
	if !exists(dir + "/cgroup.type") {
		return false, nil
	}
	pids, err := readProcs(nil, dir, false)
	return len(pids) > 0, err
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
