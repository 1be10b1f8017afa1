package translate

import (
	"maps"
	"slices"
	"strconv"

	"rt/internal/text"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// V1 translates linux.resources for the v1 controllers, in the order in which the files are to be
// written. Which controllers the host has is not its matter. Device rules are translated only
// if r has any; see Devices for what a new container gets.
func V1(r *specs.LinuxResources) ([]Setting, []string, error) {
	var s settings
	if r == nil {
		return nil, nil, nil
	}
	if c := r.CPU; c != nil {
		s.cpuset(c)
		s.cpuV1(c)
	}
	s.memoryV1(r.Memory)
	s.pids(r.Pids)
	s.blkioV1(r.BlockIO)
	s.hugetlbV1(r.HugepageLimits)
	s.network(r.Network)
	s.rdma(r.Rdma)
	if len(r.Devices) > 0 {
		s.devices(r.Devices)
	}
	for _, key := range sortedKeys(r.Unified) {
		s.fail(Resources+"/unified/"+text.PointerToken(key), "cannot be applied: there is no cgroup v2 hierarchy")
	}
	return s.result()
}

func (s *settings) cpuV1(c *specs.LinuxCPU) {
	const at = Resources + "/cpu"
	s.cpuShares(c, false, func(shares uint64) {
		// The kernel would silently take the nearest value of its range.
		if shares < 2 {
			s.fail(at+"/shares", "the minimum allowed cpu-shares is 2")
		} else if shares > 262144 {
			s.fail(at+"/shares", "the maximum allowed cpu-shares is 262144")
		}
		s.add("cpu", "cpu.shares", at+"/shares", utoa(shares)).Group = "cpu weight"
	})
	if given(c.Period) {
		s.add("cpu", "cpu.cfs_period_us", at+"/period", utoa(*c.Period)).Group = "cpu bandwidth"
	}
	if given(c.Quota) {
		s.add("cpu", "cpu.cfs_quota_us", at+"/quota", itoa(max(*c.Quota, -1))).Group = "cpu bandwidth"
	}
	if c.Burst != nil {
		f := s.add("cpu", "cpu.cfs_burst_us", at+"/burst", utoa(*c.Burst))
		f.Group, f.Optional = "cpu bandwidth", *c.Burst == 0
	}
	// The runtime is checked against the period (EINVAL when larger), and a new cgroup's runtime is 0.
	if given(c.RealtimePeriod) {
		s.add("cpu", "cpu.rt_period_us", at+"/realtimePeriod", utoa(*c.RealtimePeriod)).Group = "cpu realtime"
	}
	if c.RealtimeRuntime != nil {
		f := s.add("cpu", "cpu.rt_runtime_us", at+"/realtimeRuntime", itoa(*c.RealtimeRuntime))
		f.Group, f.Optional = "cpu realtime", *c.RealtimeRuntime == 0
	}
}

// cpuShares orders cpu.idle and the weight, which the kernel refuses (EINVAL) while idle is 1. Where both are given, v1 has
// cpu.idle only, as with runc, which writes it last; v2 neither, for runc writes it first, and fails with the weight.
func (s *settings) cpuShares(c *specs.LinuxCPU, v2 bool, weight func(shares uint64)) {
	idle := c.Idle != nil && *c.Idle != 0
	if c.Idle != nil {
		f := s.add("cpu", "cpu.idle", Resources+"/cpu/idle", itoa(*c.Idle))
		f.Group, f.Optional = "cpu weight", !idle // cpu.idle is Linux 5.15
	}
	switch {
	case !given(c.Shares):
	case idle && v2:
		s.fail(Resources+"/cpu/shares", bothIdleAndWeight)
	case idle:
		s.warn(Resources+"/cpu/shares", "no effect while cpu.idle is set")
	default:
		weight(*c.Shares)
	}
}

func (s *settings) memoryV1(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	const at = Resources + "/memory"
	s.memoryIgnored(m)
	// memory.limit_in_bytes <= memory.memsw.limit_in_bytes holds always: growing, the second goes first;
	// shrinking, the first (the group's retry). Both at -1 need no look: memsw first.
	addSwap := func(pointer string, n int64) {
		f := s.add("memory", "memory.memsw.limit_in_bytes", pointer, itoa(max(n, -1)))
		f.Group, f.Optional = "memory limits", n < 0 // swap accounting can be off
	}
	unlimited := given(m.Limit) && *m.Limit < 0
	if given(m.Swap) && *m.Swap < 0 {
		addSwap(at+"/swap", -1)
	} else if unlimited && !given(m.Swap) {
		addSwap(at+"/limit", -1) // else the old memory+swap limit would forbid it
	}
	if given(m.Limit) {
		s.add("memory", "memory.limit_in_bytes", at+"/limit", itoa(max(*m.Limit, -1))).Group = "memory limits"
	}
	if given(m.Swap) && *m.Swap > 0 {
		if given(m.Limit) && (*m.Limit > *m.Swap || unlimited) {
			s.fail(at+"/swap", "memory+swap limit %d is below the memory limit %d", *m.Swap, *m.Limit)
		}
		addSwap(at+"/swap", *m.Swap)
	}
	if given(m.Reservation) {
		s.add("memory", "memory.soft_limit_in_bytes", at+"/reservation", itoa(max(*m.Reservation, -1)))
	}
	if swappinessGiven(m) {
		if *m.Swappiness > 100 {
			s.fail(at+"/swappiness", "invalid value %d (0 to 100)", *m.Swappiness)
		}
		s.add("memory", "memory.swappiness", at+"/swappiness", utoa(*m.Swappiness))
	}
	if m.DisableOOMKiller != nil {
		value := "0"
		if *m.DisableOOMKiller {
			value = "1"
		}
		s.add("memory", "memory.oom_control", at+"/disableOOMKiller", value)
	}
	// checkBeforeUpdate is what the kernel does by itself on v1: EBUSY.
}

// memoryIgnored warns of the fields that no supported kernel acts on.
func (s *settings) memoryIgnored(m *specs.LinuxMemory) {
	const at = Resources + "/memory"
	//lint:ignore SA1019 read only to say that it is ignored
	if given(m.Kernel) {
		s.warn(at+"/kernel", "ignored: the kernel has no separate limit of kernel memory any more")
	}
	if given(m.KernelTCP) {
		s.warn(at+"/kernelTCP", "ignored: not supported (config-linux.md: not recommended)")
	}
	if m.UseHierarchy != nil && !*m.UseHierarchy {
		s.warn(at+"/useHierarchy", "ignored: accounting is always hierarchical since Linux 5.11")
	}
}

// hugetlbV1 limits reservations and page faults alike: pages without a reservation count only as faults.
func (s *settings) hugetlbV1(limits []specs.LinuxHugepageLimit) {
	for i, l := range limits {
		prefix, pointer := s.hugepagePrefix(i, l.Pagesize)
		s.add("hugetlb", prefix+"rsvd.limit_in_bytes", pointer, utoa(l.Limit)).Optional = true
		s.add("hugetlb", prefix+"limit_in_bytes", pointer, utoa(l.Limit))
	}
}

func (s *settings) network(n *specs.LinuxNetwork) {
	if n == nil {
		return
	}
	if n.ClassID != nil {
		s.add("net_cls", "net_cls.classid", Resources+"/network/classID", utoa(uint64(*n.ClassID)))
	}
	for i, p := range n.Priorities {
		pointer := Resources + "/network/priorities/" + strconv.Itoa(i)
		if !oneWord(p.Name) {
			s.fail(pointer+"/name", "invalid interface name %q", p.Name)
		}
		s.add("net_prio", "net_prio.ifpriomap", pointer, p.Name+" "+utoa(uint64(p.Priority)))
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
