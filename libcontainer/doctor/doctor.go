// Package doctor finds and removes what containers that are gone have left on the host.
package doctor

import (
	"fmt"
	"slices"

	"rt/cgroups"
	"rt/libcontainer/place"
	"rt/libcontainer/state"
	"rt/nsenter"
)

// A Finding is something that a container that is gone has left on the host.
type Finding struct {
	Kind  string   `json:"kind"`  // container, cgroup, resctrl or mount
	Paths []string `json:"paths"` // directories, or the mount point
	Pids  []int    `json:"pids,omitempty"`
	Why   string   `json:"why"` // it is thought to be left over
	Fix   string   `json:"fix"` // what --fix does, or what keeps it from that
	Fixed bool     `json:"fixed"`
	Error string   `json:"error,omitempty"` // why it could not be fixed

	fix func() error // nil: it is left alone
}

// Options are the flags of doctor.
type Options struct {
	Fix     bool
	Kill    bool // with Fix: programs that still run in a container that cannot be reached any more
	Stopped bool // also containers that have ended and were not deleted
}

// A search is one run of doctor.
type search struct {
	*state.Root
	remove func(*place.Place) error // a container, and all that its state or journal names
	Options
}

// Find looks for what containers have left: among the mounts, below the root, in the hierarchies of cgroups and in resctrl. With
// Fix it removes what it finds, but only what is certainly rt's: directories that hold nothing but rt's files, and cgroups with rt's mark,
// which on the host needs CAP_SYS_ADMIN. remove removes a container.
func Find(root *state.Root, remove func(*place.Place) error, o Options) (found []Finding, err error) {
	root.Reading = !o.Fix
	s := &search{root, remove, o}
	for _, look := range []func() ([]Finding, error){s.mounts, s.directories, s.cgroups, s.rdtGroups} {
		list, err := look()
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	for i := range found {
		if f := &found[i]; o.Fix && f.fix != nil {
			if err := f.fix(); err != nil {
				f.Error = err.Error()
			} else {
				f.Fixed = true
			}
		}
	}
	return found, nil
}

// spare keeps a fix from ending programs, unless --kill asks for that. The stub is no program: what it waits for cannot come any more.
func (s *search) spare(f *Finding, cg *cgroups.Cgroup, err error) {
	others := false
	if err == nil {
		f.Pids, others, err = cg.Everybody()
	}
	if err != nil || others {
		f.Fix, f.fix = "do nothing, as processes may run there that cannot be seen from here", nil
		return
	}
	programs := slices.DeleteFunc(slices.Clone(f.Pids), nsenter.IsOwnStub)
	switch {
	case len(programs) == 0:
	case s.Kill:
		f.Fix += fmt.Sprintf(", and kill %d process(es)", len(programs))
	default:
		f.Fix = fmt.Sprintf("do nothing, as %d process(es) run there, which --kill ends", len(programs))
		f.fix = nil
	}
}

// whyMarked is why a directory with a mark is a finding.
func whyMarked(m state.Mark) string {
	return "it is marked as that of the container " + m.Dir + ", which does not exist"
}
