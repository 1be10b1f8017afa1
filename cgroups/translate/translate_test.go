package translate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func parse(t testing.TB, text string) *specs.LinuxResources {
	t.Helper()
	var r specs.LinuxResources
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// lines shows settings as "controller file=value", with the marks that change how they are written.
func lines(list []Setting) []string {
	var out []string
	for _, s := range list {
		line := s.Controller + " " + s.File + "=" + s.Value
		if s.Optional {
			line += " optional"
		}
		if s.Alt != "" {
			line += " alt " + s.Alt + "=" + s.AltValue
		}
		if s.KeepFirst {
			line += " keepfirst"
		}
		if s.Memory > 0 || s.MemorySwap > 0 {
			line += fmt.Sprintf(" above used: %d %d", s.Memory, s.MemorySwap)
		}
		out = append(out, line)
	}
	return out
}

type translateCase struct {
	name, config string
	want         []string // settings in order
	warn         string   // part of the only warning
	err          string   // part of the error
}

func testTranslate(t *testing.T, f func(*specs.LinuxResources) ([]Setting, []string, error), cases []translateCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			list, warnings, err := f(parse(t, c.config))
			switch {
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Fatalf("error %v, want %q", err, c.err)
			case c.err == "" && err != nil:
				t.Fatal(err)
			case c.err != "":
				return
			}
			if got := lines(list); !slices.Equal(got, c.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
			for _, s := range list {
				if !strings.HasPrefix(s.Pointer, "/linux/resources/") {
					t.Errorf("%s: pointer %q", s.File, s.Pointer)
				}
			}
			if c.warn == "" && len(warnings) > 0 || c.warn != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], c.warn)) {
				t.Errorf("warnings %q, want %q", warnings, c.warn)
			}
		})
	}
}

func TestSettingsV1(t *testing.T) {
	testTranslate(t, V1, []translateCase{
		{name: "empty", config: `{}`},
		{name: "empty parts", config: `{"cpu":{},"memory":{},"pids":{},"blockIO":{},"network":{}}`},
		{name: "zero is not set", config: `{"cpu":{"shares":0,"quota":0,"period":0},"memory":{"limit":0,"swap":0,"reservation":0},"blockIO":{"weight":0}}`},
		{name: "cpu", config: `{"cpu":{"shares":512,"quota":50000,"period":100000,"burst":1000,"cpus":"0-1","mems":"0"}}`, want: []string{
			"cpuset cpuset.cpus=0-1", "cpuset cpuset.mems=0", "cpu cpu.shares=512",
			"cpu cpu.cfs_period_us=100000", "cpu cpu.cfs_quota_us=50000", "cpu cpu.cfs_burst_us=1000"}},
		{name: "cpu no quota, no burst", config: `{"cpu":{"quota":-1,"burst":0}}`, want: []string{
			"cpu cpu.cfs_quota_us=-1", "cpu cpu.cfs_burst_us=0 optional"}},
		{name: "cpu realtime: period first", config: `{"cpu":{"realtimeRuntime":950000,"realtimePeriod":1000000}}`, want: []string{
			"cpu cpu.rt_period_us=1000000", "cpu cpu.rt_runtime_us=950000"}},
		{name: "cpu idle before shares", config: `{"cpu":{"idle":0,"shares":100}}`, want: []string{
			"cpu cpu.idle=0 optional", "cpu cpu.shares=100"}},
		{name: "cpu idle makes shares moot", config: `{"cpu":{"idle":1,"shares":100}}`,
			want: []string{"cpu cpu.idle=1"}, warn: "/linux/resources/cpu/shares: no effect"},
		{name: "cpu shares too small", config: `{"cpu":{"shares":1}}`, err: "the minimum allowed cpu-shares is 2"},
		{name: "cpu shares too large", config: `{"cpu":{"shares":262145}}`, err: "the maximum allowed cpu-shares is 262144"},
		{name: "cpuset injection", config: `{"cpu":{"cpus":"0\u0000"}}`, err: "/linux/resources/cpu/cpus: invalid list"},
		{name: "memory", config: `{"memory":{"limit":1048576,"swap":2097152,"reservation":4096,"swappiness":0,"disableOOMKiller":false}}`, want: []string{
			"memory memory.limit_in_bytes=1048576", "memory memory.memsw.limit_in_bytes=2097152",
			"memory memory.soft_limit_in_bytes=4096", "memory memory.swappiness=0", "memory memory.oom_control=0"}},
		{name: "memory unlimited implies swap", config: `{"memory":{"limit":-1}}`, want: []string{
			"memory memory.memsw.limit_in_bytes=-1 optional", "memory memory.limit_in_bytes=-1"}},
		{name: "memory with unlimited swap", config: `{"memory":{"limit":4096,"swap":-1}}`, want: []string{
			"memory memory.memsw.limit_in_bytes=-1 optional", "memory memory.limit_in_bytes=4096"}},
		{name: "memory above swap", config: `{"memory":{"limit":4096,"swap":1024}}`, err: "/linux/resources/memory/swap: memory+swap limit 1024 is below"},
		{name: "memory oom killer", config: `{"memory":{"disableOOMKiller":true}}`, want: []string{"memory memory.oom_control=1"}},
		{name: "memory swappiness range", config: `{"memory":{"swappiness":101}}`, err: "/linux/resources/memory/swappiness"},
		{name: "memory swappiness -1", config: `{"memory":{"swappiness":18446744073709551615}}`},
		{name: "memory kernel", config: `{"memory":{"kernel":4096}}`, warn: "/linux/resources/memory/kernel: ignored"},
		{name: "memory kernelTCP", config: `{"memory":{"kernelTCP":4096}}`, warn: "kernelTCP"},
		{name: "memory useHierarchy", config: `{"memory":{"useHierarchy":false}}`, warn: "useHierarchy"},
		{name: "memory useHierarchy on", config: `{"memory":{"useHierarchy":true,"checkBeforeUpdate":true}}`},
		{name: "pids 0", config: `{"pids":{"limit":0}}`, want: []string{"pids pids.max=1"}},
		{name: "pids -1", config: `{"pids":{"limit":-1}}`, want: []string{"pids pids.max=max"}},
		{name: "pids -2", config: `{"pids":{"limit":-2}}`, want: []string{"pids pids.max=max"}},
		{name: "pids", config: `{"pids":{"limit":42}}`, want: []string{"pids pids.max=42"}},
		{name: "blkio", config: `{"blockIO":{"weight":500,"leafWeight":300,"weightDevice":[{"major":8,"minor":0,"weight":600}],
			"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1000}],"throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}`, want: []string{
			"blkio blkio.weight=500 alt blkio.bfq.weight=500", "blkio blkio.leaf_weight=300",
			"blkio blkio.weight_device=8:0 600 alt blkio.bfq.weight_device=8:0 600",
			"blkio blkio.throttle.read_bps_device=8:0 1000", "blkio blkio.throttle.write_iops_device=8:16 0"}},
		{name: "blkio weight range", config: `{"blockIO":{"weight":1001}}`, err: "/linux/resources/blockIO/weight"},
		{name: "blkio no weight", config: `{"blockIO":{"weightDevice":[{"major":8,"minor":0}]}}`, err: "/linux/resources/blockIO/weightDevice/0"},
		{name: "blkio device", config: `{"blockIO":{"throttleReadBpsDevice":[{"major":-1,"minor":0,"rate":1}]}}`, err: "invalid device -1:0"},
		{name: "hugetlb", config: `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`, want: []string{
			"hugetlb hugetlb.2MB.rsvd.limit_in_bytes=4194304 optional", "hugetlb hugetlb.2MB.limit_in_bytes=4194304"}},
		{name: "hugetlb path", config: `{"hugepageLimits":[{"pageSize":"../2MB","limit":1}]}`, err: "/linux/resources/hugepageLimits/0/pageSize: invalid"},
		{name: "hugetlb unit", config: `{"hugepageLimits":[{"pageSize":"2MBGB","limit":1}]}`, err: "invalid page size"},
		{name: "network", config: `{"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":5}]}}`, want: []string{
			"net_cls net_cls.classid=1048577", "net_prio net_prio.ifpriomap=eth0 5"}},
		{name: "network name", config: `{"network":{"priorities":[{"name":"eth0 1\nlo","priority":5}]}}`, err: "/linux/resources/network/priorities/0/name"},
		{name: "rdma", config: `{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10},"a/b":{"hcaObjects":1}}}`, want: []string{
			"rdma rdma.max=a/b hca_object=1", "rdma rdma.max=mlx5_1 hca_handle=3 hca_object=10"}},
		{name: "rdma nothing", config: `{"rdma":{"a/b":{}}}`, err: "/linux/resources/rdma/a~1b: one of"},
		{name: "unified", config: `{"unified":{"memory.max":"1"}}`, err: "/linux/resources/unified/memory.max: cannot be applied"},
	})
}

func TestSettingsV2(t *testing.T) {
	testTranslate(t, V2, []translateCase{
		{name: "empty", config: `{}`},
		{name: "zero is not set", config: `{"cpu":{"shares":0,"quota":0,"period":0,"realtimePeriod":0,"realtimeRuntime":0},"memory":{"limit":0,"swap":0}}`},
		{name: "cpu", config: `{"cpu":{"shares":1024,"quota":50000,"period":100000,"burst":1000,"cpus":"0","mems":"0"}}`, want: []string{
			"cpuset cpuset.cpus=0", "cpuset cpuset.mems=0", "cpu cpu.weight=100", "cpu cpu.max=50000 100000", "cpu cpu.max.burst=1000"}},
		{name: "cpu idle and shares", config: `{"cpu":{"idle":1,"shares":200}}`, err: "/linux/resources/cpu/shares: unable to apply both"},
		{name: "cpu idle off and shares", config: `{"cpu":{"idle":0,"shares":1024}}`, want: []string{"cpu cpu.idle=0 optional", "cpu cpu.weight=100"}},
		{name: "cpu.idle and cpu.weight", config: `{"unified":{"cpu.idle":"1","cpu.weight":"8"}}`, err: "/linux/resources/unified/cpu.weight: unable to apply both"},
		{name: "cpu quota alone", config: `{"cpu":{"quota":50000}}`, want: []string{"cpu cpu.max=50000"}},
		{name: "cpu no quota", config: `{"cpu":{"quota":-1,"period":1000}}`, want: []string{"cpu cpu.max=max 1000"}},
		{name: "cpu period alone", config: `{"cpu":{"period":1000}}`, want: []string{"cpu cpu.max=1000 keepfirst"}},
		{name: "cpu realtime", config: `{"cpu":{"realtimeRuntime":1}}`, err: "/linux/resources/cpu/realtimeRuntime: cannot be applied"},
		{name: "memory", config: `{"memory":{"limit":1000,"swap":3000,"reservation":500,"checkBeforeUpdate":true}}`, want: []string{
			"memory memory.max=1000 above used: 1000 3000", "memory memory.swap.max=2000 above used: 1000 3000", "memory memory.low=500"}},
		{name: "memory no swap", config: `{"memory":{"limit":1000,"swap":1000}}`, want: []string{
			"memory memory.max=1000", "memory memory.swap.max=0 optional"}},
		{name: "memory unlimited", config: `{"memory":{"limit":-1,"reservation":-1}}`, want: []string{
			"memory memory.max=max", "memory memory.swap.max=max optional", "memory memory.low=max"}},
		{name: "memory swap unlimited", config: `{"memory":{"swap":-1}}`, want: []string{"memory memory.swap.max=max optional"}},
		{name: "memory unlimited with swap", config: `{"memory":{"limit":-1,"swap":5}}`, want: []string{"memory memory.max=max", "memory memory.swap.max=5"}},
		{name: "memory swap alone", config: `{"memory":{"swap":5}}`, err: "unable to set swap limit without memory limit"},
		{name: "memory swap small", config: `{"memory":{"limit":6,"swap":5}}`, err: "/linux/resources/memory/swap"},
		{name: "memory swappiness", config: `{"memory":{"swappiness":5}}`, err: "cgroup v2 has no swappiness"},
		{name: "memory oom killer", config: `{"memory":{"disableOOMKiller":true}}`, err: "disableOOMKiller"},
		{name: "memory oom killer as is", config: `{"memory":{"disableOOMKiller":false}}`},
		{name: "pids", config: `{"pids":{"limit":0}}`, want: []string{"pids pids.max=1"}},
		{name: "io", config: `{"blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":0,"weight":1000}],
			"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1000}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":0}]}}`, want: []string{
			"io io.bfq.weight=10 alt io.weight=default 1", "io io.bfq.weight=8:0 1000 alt io.weight=8:0 10000",
			"io io.max=8:0 rbps=1000", "io io.max=8:0 wiops=max"}},
		{name: "io leaf weight", config: `{"blockIO":{"leafWeight":10}}`, err: "leafWeight"},
		{name: "hugetlb", config: `{"hugepageLimits":[{"pageSize":"1GB","limit":0}]}`, want: []string{
			"hugetlb hugetlb.1GB.rsvd.max=0 optional", "hugetlb hugetlb.1GB.max=0"}},
		{name: "net_cls", config: `{"network":{"classID":1}}`, err: "net_cls"},
		{name: "net_prio", config: `{"network":{"priorities":[{"name":"lo","priority":1}]}}`, err: "net_prio"},
		{name: "unified last, line by line", config: `{"unified":{"memory.high":"5\n","io.max":"8:0 rbps=1\n8:16 rbps=2","cgroup.max.depth":"3"},"pids":{"limit":7}}`, want: []string{
			"pids pids.max=7", " cgroup.max.depth=3", "io io.max=8:0 rbps=1", "io io.max=8:16 rbps=2", "memory memory.high=5"}},
		{name: "unified slash", config: `{"unified":{"../memory.high":"5"}}`, err: "/linux/resources/unified/..~1memory.high: it must be a file name (no slashes)"},
		{name: "unified procs", config: `{"unified":{"cgroup.procs":"1"}}`, err: "not a resource limit"},
		{name: "unified no controller", config: `{"unified":{"tasks":"1"}}`, err: "it must be a file name"},
	})
}

// The three fixed points of the conversion, and that it never falls.
func TestWeightOfShares(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 60: 10000, 512: 59, 4096: 303} {
		if got := weightOfShares(shares); got != want {
			t.Errorf("shares %d: weight %d, want %d", shares, got, want)
		}
	}
	last := uint64(1)
	for shares := uint64(2); shares <= 262144; shares += 7 {
		w := weightOfShares(shares)
		if w < last || w > 10000 {
			t.Fatalf("shares %d: weight %d after %d", shares, w, last)
		}
		last = w
	}
}

// Whatever the configuration says, no setting leaves its directory, and none has more than one line.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"unified":{"a.b":"c"},"hugepageLimits":[{"pageSize":"2MB","limit":1}],"rdma":{"x":{"hcaObjects":1}}}`))
	f.Add([]byte(`{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"access":"r"}],"cpu":{"cpus":"0"}}`))
	f.Add([]byte(`{"network":{"priorities":[{"name":"a","priority":1}]},"memory":{"limit":-1,"swap":2},"pids":{"limit":-9}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r specs.LinuxResources
		if json.Unmarshal(text, &r) != nil {
			t.Skip()
		}
		for _, translate := range []func(*specs.LinuxResources) ([]Setting, []string, error){V1, V2} {
			list, _, err := translate(&r)
			if err != nil && !strings.HasPrefix(err.Error(), "/linux/resources/") {
				t.Errorf("error without pointer: %v", err)
			}
			for _, s := range list {
				if s.File == "" || strings.ContainsAny(s.File+s.Alt, "/\x00") || strings.HasPrefix(s.File, "cgroup.procs") {
					t.Errorf("file %q", s.File)
				}
				if strings.Contains(s.Value, "\n") {
					t.Errorf("%s: value %q", s.File, s.Value)
				}
			}
		}
	})
}
