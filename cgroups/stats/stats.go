// Package stats reads what a cgroup uses: the files of the kernel, as numbers.
package stats

import "math"

// Stats is what a cgroup and all below it use. The names in JSON, and what is left out when it is zero, are
// those of runc's events, which engines read. Times are nanoseconds, sizes bytes. On v2 the values are
// mapped onto the v1 fields: swap is memory and swap together, no limit is the largest number.
type Stats struct {
	CPU     CPUStats               `json:"cpu"`
	CPUSet  CPUSetStats            `json:"cpuset"` // v1 only
	Memory  MemoryStats            `json:"memory"`
	Pids    PidsStats              `json:"pids"`
	BlockIO BlockIOStats           `json:"blkio"`
	Hugetlb map[string]HugetlbStat `json:"hugetlb"` // by page size: 2MB
	RDMA    map[string]RDMAStat    `json:"rdma,omitempty"`
}

// CPUStats are of the controllers cpu and cpuacct.
type CPUStats struct {
	Usage struct {
		Total        uint64   `json:"total,omitempty"`
		PerCPU       []uint64 `json:"percpu,omitempty"` // v1 only, as the next two
		PerCPUKernel []uint64 `json:"percpu_kernel,omitempty"`
		PerCPUUser   []uint64 `json:"percpu_user,omitempty"`
		Kernel       uint64   `json:"kernel"`
		User         uint64   `json:"user"`
	} `json:"usage"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling"`
	PSI *PSI `json:"psi,omitempty"`
}

// PSI is pressure stall information (Documentation/accounting/psi.rst).
type PSI struct {
	Some Pressure `json:"some"`
	Full Pressure `json:"full"`
}

// Pressure is the share of time in percent, over the last 10, 60 and 300 seconds, in which some or all
// tasks waited, and the time in microseconds since the cgroup was made.
type Pressure struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"`
}

// CPUSetStats are the files of the v1 controller cpuset (cpuset(7)).
type CPUSetStats struct {
	CPUs                  []uint16 `json:"cpus,omitempty"`
	CPUExclusive          uint64   `json:"cpu_exclusive"`
	Mems                  []uint16 `json:"mems,omitempty"`
	MemHardwall           uint64   `json:"mem_hardwall"`
	MemExclusive          uint64   `json:"mem_exclusive"`
	MemoryMigrate         uint64   `json:"memory_migrate"`
	MemorySpreadPage      uint64   `json:"memory_spread_page"`
	MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
	MemoryPressure        uint64   `json:"memory_pressure"`
	SchedLoadBalance      uint64   `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
}

// MemoryStats are of the controller memory; Raw is memory.stat.
type MemoryStats struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryUsage       `json:"usage"`
	Swap      MemoryUsage       `json:"swap"`
	Kernel    MemoryUsage       `json:"kernel"`    // v1 only
	KernelTCP MemoryUsage       `json:"kernelTCP"` // v1 only
	Raw       map[string]uint64 `json:"raw,omitempty"`
	PSI       *PSI              `json:"psi,omitempty"`
}

// MemoryUsage is one kind of memory; Failcnt is how often its limit was hit.
type MemoryUsage struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// PidsStats: a limit of 0 is none.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlockIOStats are of the controller blkio, or io.
type BlockIOStats struct {
	ServiceBytes []BlockIOEntry `json:"ioServiceBytesRecursive,omitempty"`
	Serviced     []BlockIOEntry `json:"ioServicedRecursive,omitempty"`
	Queued       []BlockIOEntry `json:"ioQueueRecursive,omitempty"`
	ServiceTime  []BlockIOEntry `json:"ioServiceTimeRecursive,omitempty"`
	WaitTime     []BlockIOEntry `json:"ioWaitTimeRecursive,omitempty"`
	Merged       []BlockIOEntry `json:"ioMergedRecursive,omitempty"`
	Time         []BlockIOEntry `json:"ioTimeRecursive,omitempty"`
	Sectors      []BlockIOEntry `json:"sectorsRecursive,omitempty"`
	PSI          *PSI           `json:"psi,omitempty"`
}

// A BlockIOEntry is a value of one device and one kind of operation: Read, Write, Sync, Async, Discard, Total.
type BlockIOEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// HugetlbStat is of one page size.
type HugetlbStat struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// RDMAStat is of one device. A limit of none is the largest number.
type RDMAStat struct {
	Handles     uint64 `json:"hca_handle"`
	Objects     uint64 `json:"hca_object"`
	HandleLimit uint64 `json:"hca_handle_max"`
	ObjectLimit uint64 `json:"hca_object_max"`
}

// Read reads the usage of a cgroup, of which dir is the directory by controller: "" if there is none, and for "" that of v2. read reads a file. What a host does not have is zero, and so is what vanishes while it
// is read. On a hybrid host each part comes from the hierarchy that has it, and pressure from v2.
func Read(dir func(controller string) string, read func(path string) (string, error)) (*Stats, error) {
	rs := &readings{dir: dir, read: read}
	s := &Stats{Hugetlb: map[string]HugetlbStat{}}
	rs.cpu(&s.CPU)
	rs.v1("cpuset").cpuset(&s.CPUSet)
	rs.memory(&s.Memory)
	rs.either("pids").pids(&s.Pids)
	rs.blockIO(&s.BlockIO)
	rs.hugetlb(s.Hugetlb)
	s.RDMA = rs.either("rdma").rdma()
	s.CPU.PSI, s.Memory.PSI, s.BlockIO.PSI = rs.v2().psi("cpu.pressure"), rs.v2().psi("memory.pressure"), rs.v2().psi("io.pressure")
	return s, rs.err
}

// A Usage is the few numbers of Stats that tell how a cgroup is doing, for a look at many cgroups.
type Usage struct {
	CPU                                     uint64  // nanoseconds
	Memory, MemoryLimit                     uint64  // bytes; the largest number is no limit
	Pids, PidsLimit                         uint64  // a limit of 0 is none
	Read, Written                           uint64  // bytes
	PressureCPU, PressureMemory, PressureIO float64 // some, over the last ten seconds, in percent
	HasPressure, HasMemory                  bool    // whether there is such a controller
}

// ReadUsage is Read for those: eight or nine small files, none of which makes the kernel sum up all processors' counters
// of memory, as memory.stat does.
func ReadUsage(dir func(controller string) string, read func(path string) (string, error)) (*Usage, error) {
	rs := &readings{dir: dir, read: read}
	u := &Usage{}
	if r := rs.v1("cpuacct"); r != nil {
		u.CPU = r.number("cpuacct.usage")
	} else {
		u.CPU = rs.v2().keyed("cpu.stat")["usage_usec"] * 1000
	}
	if r := rs.v1("memory"); r != nil {
		u.Memory, u.MemoryLimit = r.number("memory.usage_in_bytes"), r.number("memory.limit_in_bytes")
		u.HasMemory = true
	} else if text, ok := rs.v2().text("memory.current"); ok {
		u.Memory, u.MemoryLimit = rs.v2().parse("memory.current", text), rs.v2().number("memory.max")
		u.HasMemory = true
	}
	var pids PidsStats
	rs.either("pids").pids(&pids)
	u.Pids, u.PidsLimit = pids.Current, pids.Limit
	var io BlockIOStats
	rs.blockIOBytes(&io)
	for _, e := range io.ServiceBytes {
		switch e.Op {
		case "Read":
			u.Read += e.Value
		case "Write":
			u.Written += e.Value
		}
	}
	if psi := rs.v2().psi("cpu.pressure"); psi != nil {
		u.HasPressure, u.PressureCPU = true, psi.Some.Avg10
		if psi := rs.v2().psi("memory.pressure"); psi != nil {
			u.PressureMemory = psi.Some.Avg10
		}
		if psi := rs.v2().psi("io.pressure"); psi != nil {
			u.PressureIO = psi.Some.Avg10
		}
	}
	return u, rs.err
}

// MemoryLimitV2 is memory.max; nil if there is no limit, or memory is not v2's here.
func MemoryLimitV2(dir func(controller string) string, read func(path string) (string, error)) (*int64, error) {
	rs := &readings{dir: dir, read: read}
	if rs.v1("memory") != nil {
		return nil, nil
	}
	text, ok := rs.v2().text("memory.max")
	if !ok {
		return nil, rs.err
	}
	n := rs.v2().parse("memory.max", text)
	if n > math.MaxInt64 {
		return nil, nil
	}
	limit := int64(n)
	return &limit, rs.err
}
