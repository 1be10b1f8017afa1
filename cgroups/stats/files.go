package stats

import (
	"math"
	"strconv"
	"strings"

	"rt/internal/names"
	"rt/internal/sys"
)

// nsPerTick: cpuacct.stat counts in units of 1/100 s on every architecture (USER_HZ, times(2)).
const nsPerTick = 10_000_000

func (rs *readings) cpu(s *CPUStats) {
	if r := rs.v1("cpuacct"); r != nil {
		r.cpuacct(s)
	}
	if r := rs.v1("cpu"); r != nil {
		stat := r.keyed("cpu.stat")
		s.Throttling.Periods, s.Throttling.ThrottledPeriods = stat["nr_periods"], stat["nr_throttled"]
		s.Throttling.ThrottledTime = stat["throttled_time"]
	}
	if rs.v1("cpuacct") != nil && rs.v1("cpu") != nil {
		return
	}
	stat := rs.v2().keyed("cpu.stat") // which every v2 cgroup has
	if rs.v1("cpuacct") == nil {
		s.Usage.Total, s.Usage.User, s.Usage.Kernel = stat["usage_usec"]*1000, stat["user_usec"]*1000, stat["system_usec"]*1000
	}
	if rs.v1("cpu") == nil {
		s.Throttling.Periods, s.Throttling.ThrottledPeriods = stat["nr_periods"], stat["nr_throttled"]
		s.Throttling.ThrottledTime = stat["throttled_usec"] * 1000
	}
}

func (r *reading) cpuacct(s *CPUStats) {
	s.Usage.Total = r.number("cpuacct.usage")
	stat := r.keyed("cpuacct.stat")
	s.Usage.User, s.Usage.Kernel = stat["user"]*nsPerTick, stat["system"]*nsPerTick
	s.Usage.PerCPU = r.list("cpuacct.usage_percpu")
	text, _ := r.text("cpuacct.usage_all")
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] == "cpu" { // the header: cpu user system
			continue
		}
		s.Usage.PerCPUUser = append(s.Usage.PerCPUUser, r.parse("cpuacct.usage_all", words[1]))
		s.Usage.PerCPUKernel = append(s.Usage.PerCPUKernel, r.parse("cpuacct.usage_all", words[2]))
	}
}

func (r *reading) cpuset(s *CPUSetStats) {
	if r == nil {
		return
	}
	s.CPUs, s.Mems = r.cpus("cpuset.cpus"), r.cpus("cpuset.mems")
	for _, f := range []struct {
		name string
		into *uint64
	}{
		{"cpu_exclusive", &s.CPUExclusive}, {"mem_hardwall", &s.MemHardwall}, {"mem_exclusive", &s.MemExclusive},
		{"memory_migrate", &s.MemoryMigrate}, {"memory_spread_page", &s.MemorySpreadPage},
		{"memory_spread_slab", &s.MemorySpreadSlab}, {"memory_pressure", &s.MemoryPressure},
		{"sched_load_balance", &s.SchedLoadBalance},
	} {
		*f.into = r.number("cpuset." + f.name)
	}
	if text, ok := r.text("cpuset.sched_relax_domain_level"); ok {
		n, err := names.Signed(strings.TrimSpace(text), 64)
		if err != nil {
			r.fail(err)
		}
		s.SchedRelaxDomainLevel = n
	}
}

func (r *reading) cpus(name string) []uint16 {
	text, _ := r.text(name)
	list, err := parseCPUs(text)
	if err != nil {
		r.fail(err)
	}
	return list
}

func (rs *readings) memory(s *MemoryStats) {
	if r := rs.v1("memory"); r != nil {
		s.Raw = r.keyed("memory.stat")
		s.Cache = s.Raw["cache"]
		s.Usage, s.Swap = r.usage("memory"), r.usage("memory.memsw")
		s.Kernel, s.KernelTCP = r.usage("memory.kmem"), r.usage("memory.kmem.tcp")
		return
	}
	r := rs.v2()
	if s.Raw = r.keyed("memory.stat"); s.Raw == nil {
		return
	}
	s.Cache = s.Raw["file"]
	s.Usage = MemoryUsage{Usage: r.number("memory.current"), Limit: r.number("memory.max"), Max: r.number("memory.peak")}
	s.Swap = withMemory(MemoryUsage{Usage: r.number("memory.swap.current"), Limit: r.number("memory.swap.max")}, s.Usage)
}

// withMemory makes memory+swap of v2's swap. Their peaks need not have been at the same time.
func withMemory(swap, memory MemoryUsage) MemoryUsage {
	swap.Usage += memory.Usage
	if swap.Limit > math.MaxUint64-memory.Limit {
		swap.Limit = math.MaxUint64
	} else {
		swap.Limit += memory.Limit
	}
	return swap
}

// usage is one of v1's four sets of files.
func (r *reading) usage(prefix string) MemoryUsage {
	return MemoryUsage{
		Usage: r.number(prefix + ".usage_in_bytes"), Max: r.number(prefix + ".max_usage_in_bytes"),
		Limit: r.number(prefix + ".limit_in_bytes"), Failcnt: r.number(prefix + ".failcnt"),
	}
}

func (r *reading) pids(s *PidsStats) {
	s.Current = r.number("pids.current")
	if n := r.number("pids.max"); n != math.MaxUint64 {
		s.Limit = n
	}
}

func (rs *readings) blockIO(s *BlockIOStats) {
	rs.blockIOBytes(s)
	r := rs.v1("blkio")
	if r == nil {
		return
	}
	if s.Serviced = r.blockIOTable("blkio.bfq.io_serviced_recursive"); s.Serviced == nil {
		s.Serviced = r.blockIOTable("blkio.throttle.io_serviced_recursive")
	}
	// BFQ has these if the kernel was built to debug it.
	for _, f := range []struct {
		name string
		into *[]BlockIOEntry
	}{
		{"io_queued", &s.Queued}, {"io_service_time", &s.ServiceTime}, {"io_wait_time", &s.WaitTime},
		{"io_merged", &s.Merged}, {"time", &s.Time}, {"sectors", &s.Sectors},
	} {
		*f.into = r.blockIOTable("blkio.bfq." + f.name + "_recursive")
	}
}

// blockIOBytes reads v1's table of bytes, or v2's only file. The throttle layer counts for every I/O
// scheduler; BFQ's counts are preferred, as in runc, when there are any.
func (rs *readings) blockIOBytes(s *BlockIOStats) {
	if r := rs.v1("blkio"); r != nil {
		if s.ServiceBytes = r.blockIOTable("blkio.bfq.io_service_bytes_recursive"); s.ServiceBytes == nil {
			s.ServiceBytes = r.blockIOTable("blkio.throttle.io_service_bytes_recursive")
		}
		return
	}
	rs.v2().nested("io.stat", func(device, key string, value uint64) {
		major, minor, ok := parseDevice(device)
		if !ok {
			return
		}
		switch key {
		case "rbytes":
			s.ServiceBytes = append(s.ServiceBytes, BlockIOEntry{major, minor, "Read", value})
		case "wbytes":
			s.ServiceBytes = append(s.ServiceBytes, BlockIOEntry{major, minor, "Write", value})
		case "rios":
			s.Serviced = append(s.Serviced, BlockIOEntry{major, minor, "Read", value})
		case "wios":
			s.Serviced = append(s.Serviced, BlockIOEntry{major, minor, "Write", value})
		}
	})
}

func (rs *readings) hugetlb(sizes map[string]HugetlbStat) {
	v1, v2 := rs.v1("hugetlb"), rs.v2()
	if v1 == nil && v2 == nil {
		return
	}
	entries, _ := sys.ReadDir("/sys/kernel/mm/hugepages") // none in a kernel without huge pages
	for _, e := range entries {
		size, ok := pageSize(e.Name())
		if !ok {
			continue
		}
		if stat, ok := v1.hugetlbV1("hugetlb." + size); ok {
			sizes[size] = stat
		} else if stat, ok := v2.hugetlbV2("hugetlb." + size); ok {
			sizes[size] = stat
		}
	}
}

// pageSize turns hugepages-2048kB into 2MB.
func pageSize(dir string) (string, bool) {
	digits, ok := strings.CutPrefix(dir, "hugepages-")
	digits, ok2 := strings.CutSuffix(digits, "kB")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || !ok2 || err != nil || n == 0 {
		return "", false
	}
	unit := "KB"
	for _, bigger := range []string{"MB", "GB"} {
		if n%1024 != 0 {
			break
		}
		n, unit = n/1024, bigger
	}
	return strconv.FormatUint(n, 10) + unit, true
}

// hugetlbV1 reads what is reserved where the kernel counts that (Linux 5.7), else what is used.
func (r *reading) hugetlbV1(prefix string) (HugetlbStat, bool) {
	for _, p := range []string{prefix + ".rsvd", prefix} {
		if text, ok := r.text(p + ".usage_in_bytes"); ok {
			return HugetlbStat{
				Usage: r.parse(p, text), Max: r.number(p + ".max_usage_in_bytes"), Failcnt: r.number(p + ".failcnt"),
			}, true
		}
	}
	return HugetlbStat{}, false
}

func (r *reading) hugetlbV2(prefix string) (HugetlbStat, bool) {
	for _, p := range []string{prefix + ".rsvd", prefix} {
		if text, ok := r.text(p + ".current"); ok {
			return HugetlbStat{Usage: r.parse(p, text), Failcnt: r.keyed(prefix + ".events")["max"]}, true
		}
	}
	return HugetlbStat{}, false
}

func (r *reading) rdma() map[string]RDMAStat {
	var devices map[string]RDMAStat
	set := func(name string, change func(*RDMAStat)) {
		if devices == nil {
			devices = map[string]RDMAStat{}
		}
		d := devices[name]
		change(&d)
		devices[name] = d
	}
	r.nested("rdma.current", func(name, key string, n uint64) {
		switch key {
		case "hca_handle":
			set(name, func(d *RDMAStat) { d.Handles = n })
		case "hca_object":
			set(name, func(d *RDMAStat) { d.Objects = n })
		}
	})
	r.nested("rdma.max", func(name, key string, n uint64) {
		switch key {
		case "hca_handle":
			set(name, func(d *RDMAStat) { d.HandleLimit = n })
		case "hca_object":
			set(name, func(d *RDMAStat) { d.ObjectLimit = n })
		}
	})
	return devices
}
