package bundle

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// How much of one thing a configuration may have. Each is far above what engines write (Kubernetes' largest pods have some hundred
// mounts, Docker's privileged containers each device of the host), and low enough that create takes a second or two. What is not here is
// bounded by the kernel (environment, ids), or by the size of the file.
const (
	maxMounts       = 4096
	maxDevices      = 16384
	maxDeviceRules  = 8192 // each is checked against all others, and eight instructions on cgroup v2
	maxPaths        = 16384
	maxCapabilities = 256
	maxHooks        = 256
	maxLimits       = 4096
	maxShort        = 64 // of what there are a dozen kinds
)

// count records an error if there are more than allowed, and says whether that is so: then the list is not looked at.
func (c *checker) count(pointer, what string, n, most int) (many bool) {
	if n > most {
		c.fail(pointer, "%d %s are more than the %d that rt takes", n, what, most)
	}
	return n > most
}

// counts checks the length of every list that costs something for each entry.
func (c *checker) counts(s *specs.Spec) {
	c.count("/mounts", "mounts", len(s.Mounts), maxMounts)
	c.processCounts(s.Process, "/process")
	h := s.Hooks
	for _, l := range []struct {
		field string
		list  []specs.Hook
	}{
		//lint:ignore SA1019 deprecated for those who write a config.json, not for a runtime
		{"prestart", h.Prestart},
		{"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer}, {"startContainer", h.StartContainer},
		{"poststart", h.Poststart}, {"poststop", h.Poststop},
	} {
		c.count("/hooks/"+l.field, "hooks", len(l.list), maxHooks)
	}
	c.linuxCounts(s.Linux)
}

func (c *checker) processCounts(p *specs.Process, ptr string) {
	if p == nil {
		return
	}
	if caps := p.Capabilities; caps != nil {
		for _, l := range []struct {
			field string
			list  []string
		}{
			{"bounding", caps.Bounding}, {"permitted", caps.Permitted}, {"inheritable", caps.Inheritable}, {"effective", caps.Effective}, {"ambient", caps.Ambient},
		} {
			c.count(ptr+"/capabilities/"+l.field, "capabilities", len(l.list), maxCapabilities)
		}
	}
	c.count(ptr+"/rlimits", "limits", len(p.Rlimits), maxShort)
}

func (c *checker) linuxCounts(l *specs.Linux) {
	c.count("/linux/namespaces", "namespaces", len(l.Namespaces), maxShort)
	c.count("/linux/devices", "devices", len(l.Devices), maxDevices)
	c.count("/linux/maskedPaths", "paths", len(l.MaskedPaths), maxPaths)
	c.count("/linux/readonlyPaths", "paths", len(l.ReadonlyPaths), maxPaths)
	c.count("/linux/sysctl", "sysctls", len(l.Sysctl), maxLimits)
	c.count("/linux/netDevices", "network devices", len(l.NetDevices), maxLimits)
	c.resourceCounts(l.Resources)
}

func (c *checker) resourceCounts(r *specs.LinuxResources) {
	const ptr = "/linux/resources"
	c.count(ptr+"/devices", "device rules", len(r.Devices), maxDeviceRules)
	c.count(ptr+"/hugepageLimits", "limits", len(r.HugepageLimits), maxLimits)
	c.count(ptr+"/rdma", "limits", len(r.Rdma), maxLimits)
	c.count(ptr+"/unified", "files", len(r.Unified), maxLimits)
	if n := r.Network; n != nil {
		c.count(ptr+"/network/priorities", "priorities", len(n.Priorities), maxLimits)
	}
	if b := r.BlockIO; b != nil {
		c.count(ptr+"/blockIO", "limits", len(b.WeightDevice)+len(b.ThrottleReadBpsDevice)+len(b.ThrottleWriteBpsDevice)+
			len(b.ThrottleReadIOPSDevice)+len(b.ThrottleWriteIOPSDevice), maxLimits)
	}
}
