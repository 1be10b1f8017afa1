package libcontainer

import (
	"errors"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/intelrdt"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rdt is the container's resctrl group.
func (c *container) rdt() intelrdt.Group {
	return intelrdt.Group{Dir: c.RdtGroup, Mon: c.RdtMonitor, Own: c.RdtOwn, Taken: c.RdtTaken}
}

func (c *container) setRdt(g intelrdt.Group) {
	c.RdtGroup, c.RdtMonitor, c.RdtOwn, c.RdtTaken = g.Dir, g.Mon, g.Own, g.Taken
}

// findRdt says which group it will be, so that the journal can know.
func (c *container) findRdt(spec *specs.Spec) error {
	if spec.Linux.IntelRdt == nil {
		return nil
	}
	root, err := intelrdt.Root()
	if err != nil {
		return err
	}
	g := intelrdt.For(root, c.ID, spec.Linux.IntelRdt)
	g.Intend()
	c.setRdt(g)
	if !g.Own && !g.Exists() {
		c.RdtShared = g.Dir
	}
	return nil
}

func (p *place) makeRdt() error {
	if p.c.RdtGroup == "" {
		return nil
	}
	made, err := p.c.rdt().Create(p.spec.Linux.IntelRdt)
	p.undo.add(func() { p.undo.result(made.Remove(nil)) })
	for _, dir := range []string{made.Dir, made.Mon} {
		if text := p.c.MarkText(); dir != "" && text != "" {
			sys.SetMark(dir, text)
		}
	}
	if err != nil {
		return err
	}
	g := p.c.rdt()
	if err := g.Take(made); err != nil {
		return err
	}
	p.c.setRdt(g)
	return p.c.WriteJournal()
}

// markedByOthers says whether a directory of resctrl carries the mark of another container.
func (c *container) markedByOthers(dir string) (bool, error) {
	text, trusted, err := sys.Mark(dir)
	m, ok := state.ParseMark(text, trusted)
	return ok && trusted && m.Dir != c.Dir, err
}

// rdtChange is what an update is to change of the container's resctrl group; nil if nothing.
func (c *container) rdtChange(r *specs.LinuxIntelRdt) (*intelrdt.Change, error) {
	if r == nil {
		return nil, nil
	}
	if c.RdtGroup == "" {
		return nil, hint.With(errors.New("update schemata: the container is in no resctrl group"), "its configuration has no linux.intelRdt")
	}
	var lines []string
	for _, s := range []string{r.L3CacheSchema, r.MemBwSchema} {
		if s != "" {
			lines = append(lines, s)
		}
	}
	change, err := c.rdt().Change(lines)
	return &change, err
}
