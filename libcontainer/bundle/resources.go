package bundle

import (
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The kernel's dev_t has 12 bits for the major and 20 for the minor number: a larger one would come out
// as another device.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// devices checks linux.devices (config-linux.md, "Devices").
func (c *checker) devices(list []specs.LinuxDevice) {
	if len(list) == 0 {
		return
	}
	seen := make(map[string]int, len(list))
	for i := range list {
		d := &list[i]
		switch d.Type {
		case "c", "u", "b":
			c.deviceNumber(d, i)
		case "p":
		default:
			c.fail(at("/linux/devices", i, "type"), "unknown device type %s: must be c, b, u or p", quote(d.Type))
		}
		clean := path.Clean(d.Path)
		if !path.IsAbs(d.Path) || clean == "/" {
			c.fail(at("/linux/devices", i, "path"), "%s must be the absolute path of a file", quote(d.Path))
			continue
		}
		if other, twice := seen[clean]; twice {
			c.fail(at("/linux/devices", i, "path"), "%s is also the path of device %d", quote(d.Path), other)
		}
		seen[clean] = i
	}
}

func (c *checker) deviceNumber(d *specs.LinuxDevice, i int) {
	if d.Major < 0 || d.Major > maxMajor {
		c.fail(at("/linux/devices", i, "major"), "%d is not from 0 to %d", d.Major, maxMajor)
	}
	if d.Minor < 0 || d.Minor > maxMinor {
		c.fail(at("/linux/devices", i, "minor"), "%d is not from 0 to %d", d.Minor, maxMinor)
	}
}

// resources checks what is wrong on every host. Limits that only some kernels refuse are left to them.
func (c *checker) resources(r *specs.LinuxResources) {
	for i := range r.Devices {
		c.deviceRule(&r.Devices[i], i)
	}
	for i, h := range r.HugepageLimits {
		if !isPageSize(h.Pagesize) { // it becomes part of a file's name
			c.fail(at("/linux/resources/hugepageLimits", i, "pageSize"), "%s is not a page size like 64KB, 2MB or 1GB", quote(h.Pagesize))
		}
	}
	for _, name := range sorted(r.Unified) {
		if !isUnified(name) {
			c.fail(at("/linux/resources/unified", name), "%s is not the name of a cgroup v2 file, CONTROLLER.PARAMETER", quote(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Rdma)) {
		if l := r.Rdma[name]; l.HcaHandles == nil && l.HcaObjects == nil {
			c.fail(at("/linux/resources/rdma", name), "neither hcaHandles nor hcaObjects is given")
		}
	}
	if b := r.BlockIO; b != nil {
		for i := range b.WeightDevice {
			if d := &b.WeightDevice[i]; d.Weight == nil && d.LeafWeight == nil {
				c.fail(at("/linux/resources/blockIO/weightDevice", i), "neither weight nor leafWeight is given")
			}
		}
	}
	c.memory(r.Memory)
	c.cpu(r.CPU)
}

func (c *checker) deviceRule(d *specs.LinuxDeviceCgroup, i int) {
	switch d.Type {
	case "", "a", "b", "c":
	default:
		c.fail(at("/linux/resources/devices", i, "type"), "unknown device type %s: must be a, c or b", quote(d.Type))
	}
	switch {
	case !strings.ContainsAny(d.Access, "rwm"):
		c.fail(at("/linux/resources/devices", i, "access"), "invalid device access %s: none of r, w and m is in it", quote(d.Access))
	case strings.Trim(d.Access, "rwm") != "": // runc ignores it and says nothing
		c.warn(at("/linux/resources/devices", i, "access"), "what is not r, w or m in %s is ignored", quote(d.Access))
	}
	if n := d.Major; n != nil && (*n < -1 || *n > math.MaxUint32) { // -1 is "all", as in the kernel's "*"
		c.fail(at("/linux/resources/devices", i, "major"), "%d is not a device number, or -1 for all", *n)
	}
	if n := d.Minor; n != nil && (*n < -1 || *n > math.MaxUint32) {
		c.fail(at("/linux/resources/devices", i, "minor"), "%d is not a device number, or -1 for all", *n)
	}
}

func isPageSize(s string) bool {
	number, ok := strings.CutSuffix(s, "B")
	if !ok || len(number) < 2 || !strings.Contains("KMG", number[len(number)-1:]) {
		return false
	}
	return strings.Trim(number[:len(number)-1], "0123456789") == ""
}

// isUnified keeps the file in the container's cgroup.
func isUnified(name string) bool {
	controller, parameter, ok := strings.Cut(name, ".")
	return ok && controller != "" && parameter != "" && !strings.Contains(name, "/")
}

func (c *checker) memory(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	for _, v := range [...]struct {
		field string
		value *int64
	}{
		{"limit", m.Limit}, {"reservation", m.Reservation}, {"swap", m.Swap}, {"kernelTCP", m.KernelTCP},
		//lint:ignore SA1019 deprecated for those who write a config.json, not for a runtime
		{"kernel", m.Kernel},
	} {
		if v.value != nil && *v.value < -1 {
			c.fail("/linux/resources/memory/"+v.field, "%d is neither a number of bytes nor -1 for no limit", *v.value)
		}
	}
	if s := m.Swappiness; s != nil && *s > 100 {
		c.fail("/linux/resources/memory/swappiness", "%d is not from 0 to 100", *s)
	}
}

func (c *checker) cpu(p *specs.LinuxCPU) {
	if p == nil {
		return
	}
	if p.Burst != nil && p.Quota != nil && *p.Quota > 0 && *p.Burst > uint64(*p.Quota) {
		c.fail("/linux/resources/cpu/burst", "%d is larger than the quota, %d", *p.Burst, *p.Quota)
	}
	if p.Idle != nil && *p.Idle != 0 && *p.Idle != 1 {
		c.fail("/linux/resources/cpu/idle", "%d is neither 0 nor 1", *p.Idle)
	}
	c.cpuList("cpus", p.Cpus)
	c.cpuList("mems", p.Mems)
}

// cpuList allows what the kernel's list format has (cpuset(7), "List format", and its range:used/group form).
func (c *checker) cpuList(field, list string) {
	if strings.Trim(list, "0123456789,-:/ \n") != "" {
		c.fail("/linux/resources/cpu/"+field, "%s is not a list like 0-3,7", quote(list))
	}
}
