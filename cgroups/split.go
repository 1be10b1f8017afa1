package cgroups

import (
	"slices"

	"rt/cgroups/translate"
	"rt/internal/sys"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A translation is linux.resources for the hierarchies of one host.
type translation struct {
	v1, v2   []translate.Setting
	warnings []string
	enabling error                  // why not all v2 controllers could be enabled
	filter   *deviceFilter          // device rules for v2, or nil to leave them alone
	devices  *translate.DeviceState // device rules for v1, or nil; those of a new cgroup are among v1, too
}

// wanted are the controllers that the v2 settings need, or all.
func (t *translation) wanted(all bool) ([]string, bool) {
	var names []string
	for _, s := range t.v2 {
		if s.Controller != "" && !slices.Contains(names, s.Controller) {
			names = append(names, s.Controller)
		}
	}
	return names, all
}

// translate gives each part of r to the hierarchy that has its controller. create adds the default device
// rules.
func (c *Cgroup) translate(r *specs.LinuxResources, create bool) (t *translation, err error) {
	t = &translation{}
	r1, r2, err := c.split(r)
	if err != nil {
		return t, err
	}
	var more []string
	if r1 != nil {
		if t.v1, t.warnings, err = translate.V1(r1); err != nil {
			return t, err
		}
	}
	if r2 != nil {
		if t.v2, more, err = translate.V2(r2); err != nil {
			return t, err
		}
		t.warnings = append(t.warnings, more...)
	}
	if !create && len(r.Devices) == 0 {
		return t, nil
	}
	if c.dirOf("devices") == "" && c.dirOf("") != "" {
		var warning string
		if t.filter, warning, err = loadDevices(r.Devices); warning != "" {
			t.warnings = append(t.warnings, warning)
		}
		return t, err
	}
	if !translate.DeniesDevices(r.Devices) && !sys.InFirstUserNamespace() { // the kernel takes device rules from the first one only
		if len(r.Devices) > 0 {
			t.warnings = append(t.warnings, notEnforced+"a devices cgroup needs CAP_SYS_ADMIN on the host, file permissions apply")
		}
		return t, nil
	}
	// A v1 host without the devices controller gets its error when these are written: a container that
	// could open any device is not made.
	var list []translate.Setting
	t.devices, list, err = translate.Devices(r.Devices)
	if create {
		t.v1 = append(t.v1, list...)
	}
	return t, err
}

// Check says what of r cannot be applied to this cgroup whatever the kernel says, as Create would. Nothing is made.
func (c *Cgroup) Check(r *specs.LinuxResources) error {
	r1, r2, err := c.split(r)
	if err == nil && r1 != nil {
		_, _, err = translate.V1(r1)
	}
	if err == nil && r2 != nil {
		_, _, err = translate.V2(r2)
	}
	if err == nil {
		_, _, err = translate.Devices(r.Devices)
	}
	return err
}

// split divides r between v1 and v2; nil for a side that the host does not have. On a hybrid host a
// controller is bound to one side only: what v1 lacks is looked for in v2, what neither has stays with v1
// and is an error when it is written. Device rules go their own way.
func (c *Cgroup) split(r *specs.LinuxResources) (r1, r2 *specs.LinuxResources, err error) {
	one := *r
	one.Devices = nil
	unified := c.memberOf("")
	switch {
	case unified == nil:
		return &one, nil, nil
	case c.v1Count() == 0:
		return nil, &one, nil
	}
	two := specs.LinuxResources{Unified: r.Unified}
	one.Unified = nil
	var have []string
	read := false
	inV2 := func(v1, v2 string) bool {
		if c.dirOf(v1) != "" {
			return false
		}
		if !read {
			have, err = readFields(unified.mount + "/cgroup.controllers")
			read = true
		}
		return slices.Contains(have, v2)
	}
	if r.Memory != nil && inV2("memory", "memory") {
		one.Memory, two.Memory = nil, r.Memory
	}
	if r.Pids != nil && inV2("pids", "pids") {
		one.Pids, two.Pids = nil, r.Pids
	}
	if r.BlockIO != nil && inV2("blkio", "io") {
		one.BlockIO, two.BlockIO = nil, r.BlockIO
	}
	if r.HugepageLimits != nil && inV2("hugetlb", "hugetlb") {
		one.HugepageLimits, two.HugepageLimits = nil, r.HugepageLimits
	}
	if r.Rdma != nil && inV2("rdma", "rdma") {
		one.Rdma, two.Rdma = nil, r.Rdma
	}
	one.CPU, two.CPU = splitCPU(r.CPU, inV2)
	return &one, &two, notGone(err)
}

// splitCPU: linux.resources.cpu is two controllers.
func splitCPU(c *specs.LinuxCPU, inV2 func(v1, v2 string) bool) (one, two *specs.LinuxCPU) {
	if c == nil {
		return nil, nil
	}
	sets := specs.LinuxCPU{Cpus: c.Cpus, Mems: c.Mems}
	time := *c
	time.Cpus, time.Mems = "", ""
	one, two = &specs.LinuxCPU{}, &specs.LinuxCPU{}
	if inV2("cpu", "cpu") {
		*two = time
	} else {
		*one = time
	}
	side := one
	if (c.Cpus != "" || c.Mems != "") && inV2("cpuset", "cpuset") {
		side = two
	}
	side.Cpus, side.Mems = sets.Cpus, sets.Mems
	return one, two
}
