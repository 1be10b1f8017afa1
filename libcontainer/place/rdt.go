package place

import (
	"errors"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/intelrdt"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Rdt is the container's resctrl group.
func (p *Place) Rdt() intelrdt.Group {
	return intelrdt.Group{Dir: p.RdtGroup, Mon: p.RdtMonitor, Own: p.RdtOwn, Taken: p.RdtTaken}
}

func (p *Place) setRdt(g intelrdt.Group) {
	p.RdtGroup, p.RdtMonitor, p.RdtOwn, p.RdtTaken = g.Dir, g.Mon, g.Own, g.Taken
}

// findRdt says which group it will be, so that the journal can know.
func (r *Reservation) findRdt() error {
	if r.Spec.Linux.IntelRdt == nil {
		return nil
	}
	root, err := intelrdt.Root()
	if err != nil {
		return err
	}
	g := intelrdt.For(root, r.ID, r.Spec.Linux.IntelRdt)
	g.Intend()
	r.setRdt(g)
	if !g.Own && !g.Exists() {
		r.RdtShared = g.Dir
	}
	return nil
}

func (r *Reservation) makeRdt() error {
	if r.RdtGroup == "" {
		return nil
	}
	made, err := r.Rdt().Create(r.Spec.Linux.IntelRdt)
	r.undo.Add(func() { r.undo.Result(made.Remove(nil)) })
	for _, dir := range []string{made.Dir, made.Mon} {
		if text := r.MarkText(); dir != "" && text != "" {
			sys.SetMark(dir, text)
		}
	}
	if err != nil {
		return err
	}
	g := r.Rdt()
	if err := g.Take(made); err != nil {
		return err
	}
	r.setRdt(g)
	return r.WriteJournal()
}

func (p *Place) removeRdt() error {
	if err := p.Rdt().Remove(p.isMarkedByOthers); err != nil || p.RdtShared == "" {
		return err
	}
	return intelrdt.RemoveUnused(p.RdtShared)
}

// isMarkedByOthers says whether a directory of resctrl carries the mark of another container.
func (p *Place) isMarkedByOthers(dir string) (bool, error) {
	text, trusted, err := sys.Mark(dir)
	m, ok := state.ParseMark(text, trusted)
	return ok && trusted && m.Dir != p.Dir, err
}

// rdtChange is what an update is to change of the container's resctrl group; nil if nothing.
func (p *Place) rdtChange(r *specs.LinuxIntelRdt) (*intelrdt.Change, error) {
	if r == nil {
		return nil, nil
	}
	if p.RdtGroup == "" {
		return nil, hint.With(errors.New("update schemata: the container is in no resctrl group"), "its configuration has no linux.intelRdt")
	}
	var lines []string
	for _, s := range []string{r.L3CacheSchema, r.MemBwSchema} {
		if s != "" {
			lines = append(lines, s)
		}
	}
	change, err := p.Rdt().Change(lines)
	return &change, err
}
