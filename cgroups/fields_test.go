package cgroups

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rt/cgroups/translate"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A fieldCase is one field of linux.resources: what the kernel's files hold after a container's cgroup was made with
// it. v1 is keyed by controller/file, v2 by file. "error: " is the beginning of what is said after the pointer where
// it cannot be had, "warning: " where it is left out, "nothing" where it changes nothing.
type fieldCase struct {
	field, config string
	v1, v2        map[string]string
	mount         []string // v1 controllers to mount for the test
	needs         string   // file that shows, on v1 and v2, that the kernel has the feature
}

func only(text string) map[string]string { return map[string]string{"": text} }

func fieldCases(disk string) []fieldCase {
	major, minor, _ := strings.Cut(disk, ":")
	device := `[{"major":` + major + `,"minor":` + minor
	return []fieldCase{
		{field: "memory/limit", config: `{"memory":{"limit":67108864}}`, v1: map[string]string{"memory/memory.limit_in_bytes": "67108864"}, v2: map[string]string{"memory.max": "67108864"}},
		{field: "memory/limit", config: `{"memory":{"limit":-1}}`, v1: map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.memsw.limit_in_bytes": "9223372036854771712"}, v2: map[string]string{"memory.max": "max", "memory.swap.max": "max"}},
		{field: "memory/swap", config: `{"memory":{"limit":67108864,"swap":100663296}}`, v1: map[string]string{"memory/memory.memsw.limit_in_bytes": "100663296"}, v2: map[string]string{"memory.max": "67108864", "memory.swap.max": "33554432"}},
		{field: "memory/swap", config: `{"memory":{"limit":67108864,"swap":67108864}}`, v1: map[string]string{"memory/memory.memsw.limit_in_bytes": "67108864"}, v2: map[string]string{"memory.swap.max": "0"}},
		{field: "memory/swap", config: `{"memory":{"limit":67108864,"swap":-1}}`, v1: map[string]string{"memory/memory.memsw.limit_in_bytes": "9223372036854771712"}, v2: map[string]string{"memory.swap.max": "max"}},
		{field: "memory/reservation", config: `{"memory":{"reservation":33554432}}`, v1: map[string]string{"memory/memory.soft_limit_in_bytes": "33554432"}, v2: map[string]string{"memory.low": "33554432"}},
		{field: "memory/swappiness", config: `{"memory":{"swappiness":17}}`, v1: map[string]string{"memory/memory.swappiness": "17"}, v2: only("error: cannot be applied")},
		{field: "memory/disableOOMKiller", config: `{"memory":{"disableOOMKiller":true}}`, v1: map[string]string{"memory/memory.oom_control": "oom_kill_disable 1\nunder_oom 0\noom_kill 0"}, v2: only("error: cannot be applied")},
		{field: "memory/disableOOMKiller", config: `{"memory":{"disableOOMKiller":false}}`, v1: map[string]string{"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0"}, v2: only("nothing")},
		{field: "memory/kernel", config: `{"memory":{"kernel":1048576}}`, v1: only("warning: ignored"), v2: only("warning: ignored")},
		{field: "memory/kernelTCP", config: `{"memory":{"kernelTCP":1048576}}`, v1: only("warning: ignored"), v2: only("warning: ignored")},
		{field: "memory/useHierarchy", config: `{"memory":{"useHierarchy":false}}`, v1: only("warning: ignored"), v2: only("warning: ignored")},
		{field: "memory/useHierarchy", config: `{"memory":{"useHierarchy":true}}`, v1: map[string]string{"memory/memory.use_hierarchy": "1"}, v2: only("nothing")},
		{field: "memory/checkBeforeUpdate", config: `{"memory":{"limit":67108864,"checkBeforeUpdate":true}}`, v1: map[string]string{"memory/memory.limit_in_bytes": "67108864"}, v2: map[string]string{"memory.max": "67108864"}},
		{field: "cpu/shares", config: `{"cpu":{"shares":1024}}`, v1: map[string]string{"cpu/cpu.shares": "1024"}, v2: map[string]string{"cpu.weight": "100"}},
		{field: "cpu/shares", config: `{"cpu":{"shares":2}}`, v1: map[string]string{"cpu/cpu.shares": "2"}, v2: map[string]string{"cpu.weight": "1"}},
		{field: "cpu/shares", config: `{"cpu":{"shares":262144}}`, v1: map[string]string{"cpu/cpu.shares": "262144"}, v2: map[string]string{"cpu.weight": "10000"}},
		{field: "cpu/quota", config: `{"cpu":{"quota":25000}}`, v1: map[string]string{"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "100000"}, v2: map[string]string{"cpu.max": "25000 100000"}},
		{field: "cpu/quota", config: `{"cpu":{"quota":-1}}`, v1: map[string]string{"cpu/cpu.cfs_quota_us": "-1"}, v2: map[string]string{"cpu.max": "max 100000"}},
		{field: "cpu/period", config: `{"cpu":{"period":50000}}`, v1: map[string]string{"cpu/cpu.cfs_period_us": "50000"}, v2: map[string]string{"cpu.max": "max 50000"}},
		{field: "cpu/burst", config: `{"cpu":{"quota":25000,"burst":5000}}`, v1: map[string]string{"cpu/cpu.cfs_burst_us": "5000"}, v2: map[string]string{"cpu.max.burst": "5000"}},
		{field: "cpu/idle", config: `{"cpu":{"idle":1}}`, v1: map[string]string{"cpu/cpu.idle": "1"}, v2: map[string]string{"cpu.idle": "1"}},
		{field: "cpu/cpus", config: `{"cpu":{"cpus":"0"}}`, v1: map[string]string{"cpuset/cpuset.cpus": "0"}, v2: map[string]string{"cpuset.cpus": "0"}},
		{field: "cpu/mems", config: `{"cpu":{"mems":"0"}}`, v1: map[string]string{"cpuset/cpuset.mems": "0"}, v2: map[string]string{"cpuset.mems": "0"}},
		{field: "cpu/realtimePeriod", config: `{"cpu":{"realtimePeriod":900000}}`, v1: map[string]string{"cpu/cpu.rt_period_us": "900000"}, v2: only("error: cannot be applied"), needs: "cpu/cpu.rt_period_us"},
		{field: "cpu/realtimeRuntime", config: `{"cpu":{"realtimeRuntime":1000}}`, v1: map[string]string{"cpu/cpu.rt_runtime_us": "1000"}, v2: only("error: cannot be applied"), needs: "cpu/cpu.rt_runtime_us"},
		{field: "pids/limit", config: `{"pids":{"limit":33}}`, v1: map[string]string{"pids/pids.max": "33"}, v2: map[string]string{"pids.max": "33"}},
		{field: "pids/limit", config: `{"pids":{"limit":0}}`, v1: map[string]string{"pids/pids.max": "1"}, v2: map[string]string{"pids.max": "1"}},
		{field: "pids/limit", config: `{"pids":{"limit":-1}}`, v1: map[string]string{"pids/pids.max": "max"}, v2: map[string]string{"pids.max": "max"}},
		{field: "blockIO/weight", config: `{"blockIO":{"weight":300}}`, v1: map[string]string{"blkio/blkio.bfq.weight": "300"}, v2: map[string]string{"io.bfq.weight": "default 300"}, needs: "blkio/blkio.bfq.weight io.bfq.weight"},
		{field: "blockIO/leafWeight", config: `{"blockIO":{"leafWeight":300}}`, v1: only("error: no such file"), v2: only("error: cannot be applied")},
		{field: "blockIO/weightDevice", config: `{"blockIO":{"weightDevice":` + device + `,"weight":400}]}}`, v1: map[string]string{"blkio/blkio.bfq.weight_device": "default 100\n" + disk + " 400"}, v2: map[string]string{"io.bfq.weight": "default 100\n" + disk + " 400"}, needs: "blkio/blkio.bfq.weight_device io.bfq.weight"},
		{field: "blockIO/throttleReadBpsDevice", config: `{"blockIO":{"throttleReadBpsDevice":` + device + `,"rate":1000}]}}`, v1: map[string]string{"blkio/blkio.throttle.read_bps_device": disk + " 1000"}, v2: map[string]string{"io.max": disk + " rbps=1000 wbps=max riops=max wiops=max"}},
		{field: "blockIO/throttleWriteBpsDevice", config: `{"blockIO":{"throttleWriteBpsDevice":` + device + `,"rate":1001}]}}`, v1: map[string]string{"blkio/blkio.throttle.write_bps_device": disk + " 1001"}, v2: map[string]string{"io.max": disk + " rbps=max wbps=1001 riops=max wiops=max"}},
		{field: "blockIO/throttleReadIOPSDevice", config: `{"blockIO":{"throttleReadIOPSDevice":` + device + `,"rate":1002}]}}`, v1: map[string]string{"blkio/blkio.throttle.read_iops_device": disk + " 1002"}, v2: map[string]string{"io.max": disk + " rbps=max wbps=max riops=1002 wiops=max"}},
		{field: "blockIO/throttleWriteIOPSDevice", config: `{"blockIO":{"throttleWriteIOPSDevice":` + device + `,"rate":1003}]}}`, v1: map[string]string{"blkio/blkio.throttle.write_iops_device": disk + " 1003"}, v2: map[string]string{"io.max": disk + " rbps=max wbps=max riops=max wiops=1003"}},
		{field: "hugepageLimits", config: `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`, mount: []string{"hugetlb"},
			v1: map[string]string{"hugetlb/hugetlb.2MB.limit_in_bytes": "4194304", "hugetlb/hugetlb.2MB.rsvd.limit_in_bytes": "4194304"},
			v2: map[string]string{"hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "4194304"}},
		{field: "network/classID", config: `{"network":{"classID":1048577}}`, mount: []string{"net_cls"}, v1: map[string]string{"net_cls/net_cls.classid": "1048577"}, v2: only("error: cannot be applied")},
		{field: "network/priorities", config: `{"network":{"priorities":[{"name":"lo","priority":7}]}}`, mount: []string{"net_prio"}, v1: map[string]string{"net_prio/net_prio.ifpriomap": "lo 7\n"}, v2: only("error: cannot be applied")},
		// No machine of the tests has an RDMA device: that the kernel does not know this one shows that it was asked.
		{field: "rdma", config: `{"rdma":{"rt_none":{"hcaHandles":2,"hcaObjects":3}}}`, v1: only("error: not available"), v2: only("error: no such device"), needs: "rdma.max"},
		{field: "unified", config: `{"unified":{"memory.oom.group":"1"}}`, v1: only("error: cannot be applied"), v2: map[string]string{"memory.oom.group": "1"}},
		{field: "unified", config: `{"unified":{"memory.high":"50331648","memory.max":"67108864","cpu.max":"30000 60000","cgroup.max.depth":"3"},"memory":{"limit":4194304}}`, v1: only("error: cannot be applied"),
			v2: map[string]string{"memory.high": "50331648", "memory.max": "67108864", "cpu.max": "30000 60000", "cgroup.max.depth": "3"}},
		{field: "devices", config: `{"devices":[{"allow":false,"access":"rwm"}]}`, v1: map[string]string{"devices/devices.list": "c 136:* rwm\n"}, v2: only("nothing")},
	}
}

// Every field of linux.resources, through to the kernel. What it does there is for tests/integration.
func TestEveryField(t *testing.T) {
	liveHost(t)
	disk := bfqDisk(t)
	covered := map[string]bool{}
	for _, c := range fieldCases(disk) {
		covered[c.field] = true
		t.Run("v1/"+strings.ReplaceAll(c.field, "/", "."), func(t *testing.T) {
			h := onlyV1(t)
			if len(c.mount) > 0 && h.V1[c.mount[0]] == "" {
				devices := h.V1["devices"]
				h = mounted(t, c.mount...)
				h.V1["devices"] = devices
			}
			c.test(t, h, c.v1)
		})
		t.Run("v2/"+strings.ReplaceAll(c.field, "/", "."), func(t *testing.T) { c.test(t, pureV2(t), c.v2) })
	}
	for _, field := range resourceFields() {
		if !covered[field] {
			t.Errorf("%s has no test", field)
		}
	}
}

func (c *fieldCase) test(t *testing.T, h *Host, want map[string]string) {
	if strings.Contains(c.config, `"major":,`) {
		t.Skip("no block device on this host")
	}
	cg := cgroupFor(t, h)
	create(t, cg, `{}`)
	has := c.needs == ""
	for _, file := range strings.Fields(c.needs) {
		controller, name, v1 := strings.Cut(file, "/")
		if !v1 {
			controller, name = "", file
		}
		dir := cg.dirOf(controller)
		has = has || dir != "" && exists(dir+"/"+name)
	}
	if !has && !strings.HasPrefix(want[""], "error: ") {
		t.Skip("this kernel has no " + c.needs)
	}
	before := contents(t, cg)
	warnings, err := cg.Create(parse(t, c.config))
	at := translate.Resources + "/" + c.field
	if text, ok := strings.CutPrefix(want[""], "error: "); ok {
		if err == nil || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), text) && has {
			t.Errorf("error %v, want %s", err, text)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := strings.CutPrefix(want[""], "warning: "); ok {
		if len(warnings) != 1 || !strings.HasPrefix(warnings[0], at+": "+text) {
			t.Errorf("warnings %q, want %s", warnings, text)
		}
	} else if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	if _, ok := want[""]; ok {
		compareContents(t, before, contents(t, cg))
		return
	}
	for file, value := range want {
		controller, name, v1 := strings.Cut(file, "/")
		if !v1 {
			controller, name = "", file
		}
		got := read(t, cg.dirOf(controller)+"/"+name)
		if line, part := strings.CutSuffix(value, "\n"); part && slices.Contains(strings.Split(got, "\n"), line) || got == value {
			continue
		}
		t.Errorf("%s: %q, want %q", file, got, value)
	}
}

// resourceFields are the fields of specs.LinuxResources, as pointers without what a list's elements have.
func resourceFields() []string {
	var fields []string
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			kind := f.Type
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			if kind.Kind() == reflect.Struct {
				walk(prefix+name+"/", kind)
			} else {
				fields = append(fields, prefix+name)
			}
		}
	}
	walk("", reflect.TypeFor[specs.LinuxResources]())
	return fields
}

// bfqDisk is the number of a disk, with the scheduler that has weights if that can be had.
func bfqDisk(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 8<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", image).Output()
	loop := strings.TrimSpace(string(out))
	if err != nil || loop == "" {
		return blockDevice(t)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", loop).CombinedOutput(); err != nil {
			t.Errorf("losetup -d: %v: %s", err, out)
		}
	})
	sys := "/sys/block/" + filepath.Base(loop)
	scheduler := sys + "/queue/scheduler"
	text := read(t, scheduler)
	if _, rest, ok := strings.Cut(text, "["); ok && strings.Contains(text, "bfq") {
		old, _, _ := strings.Cut(rest, "]")
		if err := os.WriteFile(scheduler, []byte("bfq"), 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.WriteFile(scheduler, []byte(old), 0) })
	}
	return read(t, sys+"/dev")
}
