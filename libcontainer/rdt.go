package libcontainer

import (
	"rt/libcontainer/intelrdt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rdt is the container's resctrl group.
func (s *state) rdt() intelrdt.Group {
	return intelrdt.Group{Dir: s.RdtGroup, Mon: s.RdtMonitor, Own: s.RdtOwn}
}

func (s *state) setRdt(g intelrdt.Group) { s.RdtGroup, s.RdtMonitor, s.RdtOwn = g.Dir, g.Mon, g.Own }

// findRdt says which group it will be, so that the journal can know.
func (c *container) findRdt(spec *specs.Spec) error {
	if spec.Linux.IntelRdt == nil {
		return nil
	}
	root, err := intelrdt.Root()
	if err != nil {
		return err
	}
	c.setRdt(intelrdt.For(root, c.ID, spec.Linux.IntelRdt))
	return nil
}

func (k *making) makeRdt() error {
	if k.c.RdtGroup == "" {
		return nil
	}
	made, err := k.c.rdt().Create(k.spec.Linux.IntelRdt)
	k.undo = append(k.undo, func() {
		if err := made.Remove(); err != nil {
			k.c.rt.Warn("%v", err)
		}
	})
	return err
}
