package translate

import (
	"math"
	"strings"

	"rt/internal/text"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// V2 translates linux.resources for cgroup v2, in the order in which the files are to be written.
// What has no counterpart in v2 is an error, as config-linux.md ("Unified") demands. Device rules are not
// files in v2 and are left out here. linux.resources.unified comes last: it overrides.
func V2(r *specs.LinuxResources) ([]Setting, []string, error) {
	var s settings
	if r == nil {
		return nil, nil, nil
	}
	if c := r.CPU; c != nil {
		s.cpuset(c)
		s.cpuV2(c)
	}
	s.memoryV2(r.Memory)
	s.pids(r.Pids)
	s.ioV2(r.BlockIO)
	s.hugetlbV2(r.HugepageLimits)
	if n := r.Network; n != nil && n.ClassID != nil {
		s.fail(Resources+"/network/classID", "cannot be applied: cgroup v2 has no net_cls")
	} else if n != nil && len(n.Priorities) > 0 {
		s.fail(Resources+"/network/priorities", "cannot be applied: cgroup v2 has no net_prio")
	}
	s.rdma(r.Rdma)
	s.unified(r.Unified)
	return s.result()
}

// The words are runc's.
const bothIdleAndWeight = "unable to apply both cpu.idle and a weight: the kernel refuses a weight while cpu.idle is 1"

func (s *settings) cpuV2(c *specs.LinuxCPU) {
	const at = Resources + "/cpu"
	s.cpuShares(c, true, func(shares uint64) {
		s.add("cpu", "cpu.weight", at+"/shares", utoa(weightOfShares(shares))).Group = "cpu weight"
	})
	switch {
	case given(c.Quota):
		value := limit(*c.Quota)
		if given(c.Period) {
			value += " " + utoa(*c.Period)
		}
		s.add("cpu", "cpu.max", at+"/quota", value).Group = "cpu bandwidth"
	case given(c.Period):
		f := s.add("cpu", "cpu.max", at+"/period", utoa(*c.Period))
		f.Group, f.KeepFirst = "cpu bandwidth", true
	}
	if c.Burst != nil {
		f := s.add("cpu", "cpu.max.burst", at+"/burst", utoa(*c.Burst))
		f.Group, f.Optional = "cpu bandwidth", *c.Burst == 0
	}
	if given(c.RealtimePeriod) {
		s.fail(at+"/realtimePeriod", "cannot be applied: cgroup v2 has no realtime limits")
	}
	if given(c.RealtimeRuntime) {
		s.fail(at+"/realtimeRuntime", "cannot be applied: cgroup v2 has no realtime limits")
	}
}

// weightOfShares maps the v1 range of cpu.shares, 2 to 262144 with 1024 as its default, onto the v2 range of
// cpu.weight, 1 to 10000 with 100 as its default: a parabola in log space through these three points.
func weightOfShares(shares uint64) uint64 {
	if shares <= 2 {
		return 1
	}
	if shares >= 262144 {
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

func (s *settings) memoryV2(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	const at = Resources + "/memory"
	s.memoryIgnored(m)
	if given(m.Limit) {
		f := s.add("memory", "memory.max", at+"/limit", limit(*m.Limit))
		f.checkUsed(m)
	}
	s.swapV2(m)
	if given(m.Reservation) {
		s.add("memory", "memory.low", at+"/reservation", limit(*m.Reservation))
	}
	if swappinessGiven(m) {
		s.fail(at+"/swappiness", "cannot be applied: cgroup v2 has no swappiness")
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		s.fail(at+"/disableOOMKiller", "cannot be applied: the OOM killer cannot be disabled on cgroup v2")
	}
}

// swapV2 turns memory+swap into swap. The file is missing when the kernel has no swap accounting; no limit
// and no swap at all hold there by themselves.
func (s *settings) swapV2(m *specs.LinuxMemory) {
	const at = Resources + "/memory"
	add := func(pointer, value string) {
		f := s.add("memory", "memory.swap.max", pointer, value)
		f.Optional = value == "max" || value == "0"
		f.checkUsed(m)
	}
	switch {
	case !given(m.Swap) && given(m.Limit) && *m.Limit < 0:
		add(at+"/limit", "max") // as on v1: no limit of memory implies none of swap
	case !given(m.Swap):
	case *m.Swap < 0:
		add(at+"/swap", "max")
	case !given(m.Limit):
		s.fail(at+"/swap", "unable to set swap limit without memory limit")
	case *m.Limit < 0:
		add(at+"/swap", itoa(*m.Swap))
	case *m.Swap < *m.Limit:
		s.fail(at+"/swap", "memory+swap limit %d is below the memory limit %d", *m.Swap, *m.Limit)
	default:
		add(at+"/swap", itoa(*m.Swap-*m.Limit))
	}
}

// checkUsed: with checkBeforeUpdate the limits must be above what is in use.
func (s *Setting) checkUsed(m *specs.LinuxMemory) {
	if m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate {
		return
	}
	if given(m.Limit) {
		s.Memory = max(*m.Limit, 0)
	}
	if given(m.Swap) {
		s.MemorySwap = max(*m.Swap, 0)
	}
}

func (s *settings) hugetlbV2(limits []specs.LinuxHugepageLimit) {
	for i, l := range limits {
		prefix, pointer := s.hugepagePrefix(i, l.Pagesize)
		s.add("hugetlb", prefix+"rsvd.max", pointer, utoa(l.Limit)).Optional = true
		s.add("hugetlb", prefix+"max", pointer, utoa(l.Limit))
	}
}

// unified passes files through. A key is a file's name and nothing else, and not one of those that would
// move, freeze or kill processes or give controllers away: they are not resources.
func (s *settings) unified(files map[string]string) {
	if _, weight := files["cpu.weight"]; weight && strings.TrimSpace(files["cpu.idle"]) == "1" {
		s.fail(Resources+"/unified/cpu.weight", bothIdleAndWeight)
	}
	for _, name := range sortedKeys(files) {
		pointer := Resources + "/unified/" + text.PointerToken(name)
		controller, rest, _ := strings.Cut(name, ".")
		switch {
		case controller == "" || rest == "" || strings.ContainsAny(name, "/\x00"):
			s.fail(pointer, "it must be a file name (no slashes) of the form controller.name")
		case controller == "cgroup" && !strings.HasPrefix(rest, "max."):
			s.fail(pointer, "cannot be applied: %s is not a resource limit", name)
		case controller == "cgroup":
			controller = ""
		}
		s.unifiedLines(controller, name, pointer, files[name])
	}
}

// unifiedLines writes each line by itself: files with one key per line, such as io.max, take one line a write.
func (s *settings) unifiedLines(controller, name, pointer, value string) {
	for line := range strings.SplitSeq(strings.TrimRight(value, "\n"), "\n") {
		s.add(controller, name, pointer, line)
	}
}
