package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rt/cgroups"
	"rt/cgroups/systemd"
	"rt/internal/sys"
	"rt/libcontainer/place"
	"rt/libcontainer/state"
	"rt/nsenter"
)

// cgroups are cgroups that carry rt's mark and whose container does not exist.
func (s *search) cgroups() (found []Finding, err error) {
	host, err := cgroups.Probe()
	if sys.Unseen(err) {
		return nil, fmt.Errorf("look at the cgroups: %w", err)
	}
	if err != nil {
		return nil, nil // none are mounted: there is none
	}
	marked, err := host.FindMarked()
	if err != nil {
		return nil, fmt.Errorf("look at the cgroups: %w", err)
	}
	// One mark may be on several cgroups: those of containers of one ID after another, at different paths.
	type cgroup struct {
		mark state.Mark
		name string
	}
	dirs := map[cgroup][]string{}
	var order []cgroup
	for _, m := range marked {
		mark, ok := state.ParseMark(m.Text, m.Trusted)
		if !ok || !m.Trusted && os.Geteuid() == 0 {
			continue // any user can have written it
		}
		cg := cgroup{mark, m.Name}
		if dirs[cg] == nil {
			order = append(order, cg)
		}
		dirs[cg] = append(dirs[cg], m.Dir)
	}
	for _, cg := range order {
		if s.MayLive(cg.mark, dirs[cg]) {
			continue
		}
		found = append(found, s.cgroup(host, cg.mark, dirs[cg]))
	}
	return found, nil
}

// cgroup is the finding of a marked cgroup, whose directories are those of its hierarchies.
func (s *search) cgroup(host *cgroups.Host, mark state.Mark, dirs []string) Finding {
	f := Finding{Kind: "cgroup", Paths: dirs, Why: whyMarked(mark), Fix: "remove it"}
	cg := cgroups.LoadDirs(host, dirs)
	cg.SetClaim(cgroups.Claim{Other: s.MarkedContainer, Lock: s.LockCgroups, IsOwn: func(text string) bool {
		m, ok := state.ParseMark(text, mark.Trusted)
		return ok && m == mark
	}})
	c := s.ContainerAt(mark.Dir)
	c.Unit = unitOf(mark, host, dirs)
	remove := func() error {
		left, err := place.With(c, cg).Clear()
		return cmp.Or(err, left)
	}
	f.fix = func() error {
		if s.MayLive(mark, dirs) {
			return errAlive
		}
		now := Finding{fix: remove}
		own, err := cg.Own()
		if s.spareMarked(mark, &now, own, err); now.fix == nil {
			return errors.New(now.Fix)
		}
		return remove()
	}
	if c.Unit != "" {
		f.Fix = "stop the unit " + c.Unit + " and remove it"
	}
	own, err := cg.Own()
	s.spareMarked(mark, &f, own, err)
	return f
}

// spareMarked is spare for a marked cgroup: if it is in doubt whose it is, only an empty one is removed.
func (s *search) spareMarked(m state.Mark, f *Finding, cg *cgroups.Cgroup, err error) {
	s.spare(f, cg, err)
	if len(f.Pids) > 0 && (m.IsForeign() || !m.Trusted && !allStubs(f.Pids)) {
		f.Fix, f.fix = "do nothing, as processes run there and it is not certain whose they are", nil
	}
}

func allStubs(pids []int) bool {
	return !slices.ContainsFunc(pids, func(pid int) bool { return !nsenter.IsOwnStub(pid) })
}

// unitOf is the systemd unit that rt has made for a marked container, if its cgroup is still this one; "" if there is none.
func unitOf(m state.Mark, host *cgroups.Host, dirs []string) string {
	name := filepath.Base(dirs[0])
	if !m.Trusted || m.Unit != name || !strings.HasSuffix(name, ".scope") {
		return ""
	}
	manager, err := systemd.Connect(systemd.IsUsers())
	if err != nil {
		return ""
	}
	defer manager.Close()
	at, err := manager.ControlGroup(name)
	if err != nil || at == "" || at == "/" || !isCgroup(host, dirs[0], at) {
		return ""
	}
	return name
}

// isCgroup says whether a directory is a cgroup by its path in the hierarchy, as systemd and /proc/PID/cgroup have it.
func isCgroup(host *cgroups.Host, dir, path string) bool {
	if host.Unified != "" && dir == filepath.Join(host.Unified, path) {
		return true
	}
	for _, mount := range host.V1 {
		if dir == filepath.Join(mount, path) {
			return true
		}
	}
	return false
}
