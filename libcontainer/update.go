package libcontainer

import (
	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes the limits of a container that are given in resources, and no others: all of them, or none. Nothing of it
// is written down: the kernel holds the limits, and what depends on the present one asks it. rdt, which may be nil, has the
// schemata l3CacheSchema and memBwSchema of the container's resctrl group.
//
// Device rules are left as they are. Engines send those that they know with every update, and what was
// allowed since, by a hook that hands out a GPU for one, would be lost.
func (r *Runtime) Update(id string, resources *specs.LinuxResources, rdt *specs.LinuxIntelRdt) error {
	if problems := bundle.CheckRdt(rdt); len(problems) > 0 {
		return bundle.Join(problems)
	}
	c, err := r.open(id, true)
	if err != nil {
		return err
	}
	defer c.Release()
	if err := c.MustRun(); err != nil {
		return err
	}
	return c.Update(changes(resources), rdt)
}

// changes leaves out what update does not change: devices, and a realtime runtime of 0.
func changes(r *specs.LinuxResources) *specs.LinuxResources {
	one := *r
	one.Devices = nil
	if one.CPU != nil && one.CPU.RealtimeRuntime != nil && *one.CPU.RealtimeRuntime == 0 {
		cpu := *one.CPU
		cpu.RealtimeRuntime, one.CPU = nil, &cpu
	}
	return &one
}
