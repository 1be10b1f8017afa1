package cgroups

import (
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"rt/cgroups/stats"

	"golang.org/x/sys/unix"
)

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestStatsV2 reads a directory of plain files as if it were a v2 cgroup, and compares the whole layout.
func TestStatsV2(t *testing.T) {
	c := fakeV2(t, map[string]string{
		"cpu.stat":     "usage_usec 2000\nuser_usec 1500\nsystem_usec 500\nnr_periods 10\nnr_throttled 3\nthrottled_usec 77\nnr_bursts 0\n",
		"cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"memory.stat":  "anon 4096\nfile 8192\n", "memory.current": "16384\n", "memory.max": "67108864\n", "memory.peak": "20480\n",
		"memory.swap.current": "4096\n", "memory.swap.max": "1048576\n",
		"pids.current": "3\n", "pids.max": "max\n",
		"io.stat":      "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \nx y=1\n",
		"rdma.current": "mlx4_0 hca_handle=2 hca_object=2000\n", "rdma.max": "mlx4_0 hca_handle=3 hca_object=max\n",
	})
	s, err := c.Stats()
	want := `{"cpu":{"usage":{"total":2000000,"kernel":500000,"user":1500000},"throttling":{"periods":10,"throttledPeriods":3,"throttledTime":77000},` +
		`"psi":{"some":{"avg10":1.5,"avg60":0,"avg300":0,"total":9},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},` +
		`"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},` +
		`"memory":{"cache":8192,"usage":{"limit":67108864,"usage":16384,"max":20480,"failcnt":0},"swap":{"limit":68157440,"usage":20480,"failcnt":0},` +
		`"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{"anon":4096,"file":8192}},` +
		`"pids":{"current":3},"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write","value":2}],` +
		`"ioServicedRecursive":[{"major":8,"op":"Read","value":3},{"major":8,"op":"Write","value":4}]},"hugetlb":{},` +
		`"rdma":{"mlx4_0":{"hca_handle":2,"hca_object":2000,"hca_handle_max":3,"hca_object_max":18446744073709551615}}}`
	if got := marshal(t, s); got != want || err != nil {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	u, err := c.Usage()
	if err != nil || *u != (stats.Usage{CPU: 2000000, Memory: 16384, MemoryLimit: 67108864, Pids: 3, Read: 1, Written: 2, PressureCPU: 1.5, HasPressure: true, HasMemory: true}) {
		t.Errorf("usage %+v %v", u, err)
	}
	if limit, err := stats.MemoryLimitV2(c.dirOf, readFile); err != nil || limit == nil || *limit != 64<<20 {
		t.Errorf("memory limit %v %v", limit, err)
	}
	writeTestFile(t, c.BornDir()+"/memory.max", "max\n")
	if limit, err := stats.MemoryLimitV2(c.dirOf, readFile); err != nil || limit != nil {
		t.Errorf("no memory limit: %v %v", limit, err)
	}
}

// TestStatsOfNothing: a cgroup that is gone is all zeros and no error.
func TestStatsOfNothing(t *testing.T) {
	c := fakeV2(t, nil)
	if err := os.Remove(c.BornDir()); err != nil {
		t.Fatal(err)
	}
	s, err := c.Stats()
	if err != nil || !reflect.DeepEqual(s, &stats.Stats{Hugetlb: map[string]stats.HugetlbStat{}}) {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := (&Cgroup{host: &Host{}}).Stats(); err != nil {
		t.Errorf("no hierarchy: %v", err)
	}
}

// TestStatsLive reads the files of this machine's kernel.
func TestStatsLive(t *testing.T) {
	c := cgroupFor(t, liveHost(t))
	create(t, c, `{"pids":{"limit":17}}`)
	cmd := sh(t, c, "echo ready; while :; do :; done")
	s, err := c.Stats()
	for deadline := time.Now().Add(2 * time.Minute); err == nil && s.CPU.Usage.Total == 0 && time.Now().Before(deadline); {
		s, err = c.Stats() // what runs is accounted for at the next tick
	}
	if err != nil || s.Pids.Limit != 17 || s.Pids.Current == 0 || s.CPU.Usage.Total == 0 {
		t.Errorf("%+v %v", s, err)
	}
	u, err := c.Usage()
	if err != nil || u.Pids != s.Pids.Current || u.PidsLimit != 17 || u.CPU < s.CPU.Usage.Total || u.HasMemory && u.Memory == 0 {
		t.Errorf("%+v %v", u, err)
	}
	if err := c.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	died(t, cmd)
}

func BenchmarkUsage(b *testing.B) {
	h, err := Probe()
	if err != nil {
		b.Fatal(err)
	}
	c, err := New(h, "/rt-bench-"+strconv.Itoa(os.Getpid()), "x")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Create(nil); err != nil {
		b.Skip(err)
	}
	defer func() { _ = c.Destroy() }()
	for b.Loop() {
		if _, err := c.Usage(); err != nil {
			b.Fatal(err)
		}
	}
}
