// Package place is what a container takes on the host: its directory, its cgroup or systemd unit, and its resctrl group. A Reservation
// takes a place for a new container; Clear gives back what a container has.
package place

import (
	"errors"
	"fmt"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/libcontainer/state"
)

// A Place is what a container has on the host.
type Place struct {
	*state.Container
	cgroup *cgroups.Cgroup // see Cgroup
}

// Of is the place of a container.
func Of(c *state.Container) *Place { return &Place{Container: c} }

// With is the place of a container whose cgroup the caller has found, and claimed.
func With(c *state.Container, cg *cgroups.Cgroup) *Place { return &Place{c, cg} }

// Cgroup is the container's cgroup, with what of it is the container's own.
func (p *Place) Cgroup() (*cgroups.Cgroup, error) {
	if p.cgroup == nil && len(p.Cgroups) == 0 {
		p.cgroup = cgroups.Load(&cgroups.Host{}, nil) // rootless: there is none
	}
	if p.cgroup == nil {
		host, err := p.Root.Hierarchies()
		if err != nil {
			return nil, err
		}
		p.cgroup = cgroups.Load(host, p.Cgroups)
		p.setClaim(p.cgroup)
	}
	return p.cgroup, nil
}

// Recorded is the container's cgroup for a caller that only uses its directories: it does not probe where the host has other hierarchies.
func (p *Place) Recorded() *cgroups.Cgroup {
	if p.cgroup != nil {
		return p.cgroup
	}
	return cgroups.Load(&cgroups.Host{}, p.Cgroups)
}

// MustHaveCgroup is Cgroup for what cannot be done without one.
func (p *Place) MustHaveCgroup(doing string) (*cgroups.Cgroup, error) {
	if p.Gone {
		return nil, state.ErrNotRunning
	}
	if len(p.Cgroups) == 0 {
		return nil, hint.With(fmt.Errorf("%s: container has no cgroup", doing),
			"it was created where rt could make none; in one that is delegated it gets one: systemd-run --user --scope -p Delegate=yes rt ...")
	}
	return p.Cgroup()
}

// setClaim tells the cgroup what of it is the container's own. Others may have put processes there, or cgroups below it; another
// container may have the same path; a directory of this name may have been made again. None of that is killed or removed.
func (p *Place) setClaim(cg *cgroups.Cgroup) {
	claim := cgroups.Claim{Mark: p.Mark, Taken: p.Taken, Other: p.Root.MarkedContainer, Elsewhere: state.IsForeignMark, Lock: p.Root.LockCgroups, Record: p.recordTaken}
	if p.Taken == nil { // an older rt's
		claim.IsOwn = func(text string) bool {
			m, ok := state.ParseMark(text, false)
			return ok && m.Dir == p.Dir && m.Unit == p.Unit
		}
	}
	cg.SetClaim(claim)
}

// recordTaken writes down which directories have become the container's.
func (p *Place) recordTaken(taken map[string]string) error {
	p.Taken = taken
	return p.WriteJournal()
}

// Clear ends the unit, and removes the cgroup and the resctrl groups with those of the container's processes that are still there. If
// others are in the cgroup, left is a cgroups.LeftError, and the rest is removed all the same.
func (p *Place) Clear() (left, err error) {
	if err := p.stopUnit(false); err != nil {
		return nil, err
	}
	left = p.RemoveCgroup()
	var others *cgroups.LeftError
	if left != nil && !errors.As(left, &others) {
		return nil, left
	}
	if left != nil {
		if who := p.StuckHelper(); who != "" { // rt's own, not another's: the record stays until it has ended
			return nil, fmt.Errorf("%w%s", left, who)
		}
	}
	return left, p.removeRdt()
}

// RemoveCgroup removes the container's cgroup, and kills those of its processes that are still there.
func (p *Place) RemoveCgroup() error {
	cg, err := p.Cgroup()
	if err != nil {
		return err
	}
	if p.Taken == nil && len(p.Cgroups) > 0 && cg.Exists() {
		p.Root.Warn("an older rt has made container %s: of its cgroups, those with its mark are taken for its own", p.ID)
	}
	return cg.Remove(p.killPatiently())
}
