package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// readBack compares files of the cgroup; want maps controller/file to content.
func readBack(t *testing.T, c *Cgroup, want map[string]string) {
	t.Helper()
	for at, value := range want {
		controller, name, _ := strings.Cut(at, "/")
		if controller == "v2" {
			controller = ""
		}
		if got := read(t, c.dirOf(controller)+"/"+name); got != value {
			t.Errorf("%s: %q, want %q", at, got, value)
		}
	}
}

func TestLimitsV1(t *testing.T) {
	c := cgroupFor(t, onlyV1(t))
	dev := blockDevice(t)
	major, minor, _ := strings.Cut(dev, ":")
	create(t, c, `{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432,"swappiness":10},
		"cpu":{"shares":512,"quota":20000,"period":50000,"burst":1000,"cpus":"0","mems":"0"},"pids":{"limit":17},
		"blockIO":{"weight":200,"throttleReadBpsDevice":[{"major":`+major+`,"minor":`+minor+`,"rate":1048576}]},
		"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]}`)
	readBack(t, c, map[string]string{
		"memory/memory.limit_in_bytes": "67108864", "memory/memory.memsw.limit_in_bytes": "134217728",
		"memory/memory.soft_limit_in_bytes": "33554432", "memory/memory.swappiness": "10",
		"cpu/cpu.shares": "512", "cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "50000", "cpu/cpu.cfs_burst_us": "1000",
		"cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": "0", "pids/pids.max": "17",
		"blkio/blkio.throttle.read_bps_device": dev + " 1048576",
	})
	if list := read(t, c.dirOf("devices")+"/devices.list"); !strings.Contains(list, "c 10:229 rw") || strings.Contains(list, "a *:*") {
		t.Errorf("devices.list:\n%s", list)
	}
	// Orders that only work one way round, growing and shrinking, and settings alone keep the others.
	for _, step := range []struct {
		config string
		want   map[string]string
	}{
		{`{"memory":{"limit":268435456,"swap":536870912}}`, map[string]string{"memory/memory.limit_in_bytes": "268435456", "memory/memory.memsw.limit_in_bytes": "536870912"}},
		{`{"memory":{"limit":8388608,"swap":16777216}}`, map[string]string{"memory/memory.limit_in_bytes": "8388608", "memory/memory.memsw.limit_in_bytes": "16777216"}},
		{`{"memory":{"limit":-1}}`, map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.memsw.limit_in_bytes": "9223372036854771712"}},
		{`{"memory":{"limit":8388608,"swap":-1}}`, map[string]string{"memory/memory.limit_in_bytes": "8388608", "memory/memory.memsw.limit_in_bytes": "9223372036854771712"}},
		{`{"cpu":{"quota":2000,"burst":500}}`, map[string]string{"cpu/cpu.cfs_quota_us": "2000", "cpu/cpu.cfs_burst_us": "500"}},
		{`{"cpu":{"quota":40000,"burst":30000}}`, map[string]string{"cpu/cpu.cfs_quota_us": "40000", "cpu/cpu.cfs_burst_us": "30000"}},
		{`{"cpu":{"period":100000}}`, map[string]string{"cpu/cpu.cfs_quota_us": "40000", "cpu/cpu.cfs_period_us": "100000"}},
		{`{"cpu":{"idle":1}}`, map[string]string{"cpu/cpu.idle": "1"}},
		{`{"cpu":{"idle":0,"shares":300}}`, map[string]string{"cpu/cpu.idle": "0", "cpu/cpu.shares": "300"}},
		{`{"pids":{"limit":0}}`, map[string]string{"pids/pids.max": "1"}},
		{`{"pids":{"limit":-1}}`, map[string]string{"pids/pids.max": "max"}},
	} {
		if _, err := c.Apply(parse(t, step.config)); err != nil {
			t.Errorf("%s: %v", step.config, err)
		}
		readBack(t, c, step.want)
	}
	_, err := c.Apply(parse(t, `{"cpu":{"quota":1000,"burst":2000}}`))
	if want := `write cpu.cfs_quota_us "1000" (/linux/resources/cpu/quota): invalid argument`; err == nil || err.Error() != want || !errors.Is(err, unix.EINVAL) {
		t.Errorf("burst above quota: %v, want %s", err, want)
	}
}

// blockDevice is the number of some disk of the host, "" if it has none.
func blockDevice(t *testing.T) string {
	t.Helper()
	list, err := filepath.Glob("/sys/block/*/dev")
	if err != nil || len(list) == 0 {
		return ""
	}
	return read(t, list[len(list)-1])
}

// A quota below one that a parent allows makes the kernel refuse a shorter period before the new quota.
func TestPeriodAndQuotaBelowParent(t *testing.T) {
	h := onlyV1(t)
	parent := cgroupFor(t, h)
	create(t, parent, `{"cpu":{"quota":10000,"period":100000}}`)
	child := Load(h, map[string]string{"cpu": parent.dirOf("cpu") + "/child"})
	if err := os.Mkdir(child.dirOf("cpu"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, config := range []string{`{"cpu":{"quota":10000,"period":100000}}`, `{"cpu":{"quota":1000,"period":10000}}`, `{"cpu":{"quota":10000,"period":100000}}`} {
		if _, err := child.Apply(parse(t, config)); err != nil {
			t.Errorf("%s: %v", config, err)
		}
	}
}

func TestMemoryInUse(t *testing.T) {
	c := cgroupFor(t, onlyV1(t))
	create(t, c, `{}`)
	sh(t, c, `x=$(head -c 3000000 /dev/zero | tr '\0' x); echo ready; exec 3<&0; while :; do sleep 300; done`)
	_, err := c.Apply(parse(t, `{"memory":{"limit":4096}}`))
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), `write memory.limit_in_bytes "4096" (/linux/resources/memory/limit): unable to set memory limit to 4096 (current usage: `) {
		t.Errorf("limit below usage: %v", err)
	}
}

// mounted is a host that has only the given v1 controllers, mounted in a mount namespace of the calling
// goroutine, so that nobody else on the machine comes to see the mounts.
func mounted(t *testing.T, controllers ...string) *Host {
	t.Helper()
	unified := liveHost(t).Unified
	root := t.TempDir()
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	h := &Host{Mode: V1, Root: root, V1: map[string]string{}}
	for _, name := range controllers {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		bound := isBound(t, name)
		inUse, _ := readFields(unified + "/cgroup.subtree_control")
		err := unix.Mount("cgroup", dir, "cgroup", 0, name)
		// Another test on this machine may have the controller for a moment; an engine's cgroups may have it for long.
		inV2, patience := slices.Contains(inUse, name), 2*time.Minute
		if inV2 {
			patience = time.Second
		}
		for deadline := time.Now().Add(patience); err == unix.EBUSY && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			err = unix.Mount("cgroup", dir, "cgroup", 0, name)
		}
		if inV2 && err == unix.EBUSY {
			t.Skipf("%s is at work in cgroups of v2 on this host, so v1 cannot have it", name)
		}
		if err != nil {
			t.Fatalf("mount %s: %v", name, err)
		}
		t.Cleanup(func() {
			unmount(t, name, dir, bound)
			if inV2 {
				giveBack(t, unified, name)
			}
		})
		h.V1[name] = dir
	}
	return h
}

// giveBack makes v2's root hand down a controller again: it stops when a v1 hierarchy takes the controller, which it can
// as long as no cgroup of v2 has it.
func giveBack(t *testing.T, unified, controller string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = writeFile(unified+"/cgroup.subtree_control", "+"+controller); err == nil {
			return
		}
	}
	t.Errorf("v2's root handed down %s before: %v", controller, err)
}

// TestControllerIsGivenBack: on a machine that has been used v2's root may hand hugetlb down, and does so after the tests.
func TestControllerIsGivenBack(t *testing.T) {
	h := liveHost(t)
	if have, err := readFields(h.Unified + "/cgroup.controllers"); err != nil || !slices.Contains(have, "hugetlb") {
		t.Skip("hugetlb is not in cgroup v2 here")
	}
	given := h.Unified + "/cgroup.subtree_control"
	if before, err := readFields(given); err != nil {
		t.Fatal(err)
	} else if !slices.Contains(before, "hugetlb") {
		giveBack(t, h.Unified, "hugetlb")
		t.Cleanup(func() {
			if err := writeFile(given, "-hugetlb"); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("taken", func(t *testing.T) { mounted(t, "hugetlb") }) // left out while a cgroup of v2 has it
	if after, err := readFields(given); err != nil || !slices.Contains(after, "hugetlb") {
		t.Errorf("v2's root hands down %v, %v", after, err)
	}
}

// unmount unmounts a v1 hierarchy so that it goes away and its controller is free for v2 again, which the
// kernel does some time later. It does not if the hierarchy has child cgroups at the last unmount, and one
// that was removed stays a child until an RCU grace period is over: then it takes another mount and
// unmount. A hierarchy that was there before the test is left to whoever made it.
func unmount(t *testing.T, controller, dir string, before bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			return
		}
		for range 100 {
			if before || !isBound(t, controller) {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := unix.Mount("cgroup", dir, "cgroup", 0, controller); err != nil {
			t.Errorf("mount %s: %v", controller, err)
			return
		}
	}
	t.Errorf("the hierarchy of %s does not go away", controller)
	_ = unix.Unmount(dir, 0)
}

// isBound says whether a controller belongs to some v1 hierarchy.
func isBound(t *testing.T, controller string) bool {
	t.Helper()
	return strings.Contains(read(t, "/proc/self/cgroup"), ":"+controller+":")
}

func TestNetworkV1(t *testing.T) {
	h := onlyV1(t)
	if h.V1["net_cls"] == "" {
		devices := h.V1["devices"]
		h = mounted(t, "net_cls", "net_prio")
		h.V1["devices"] = devices
	}
	c := cgroupFor(t, h)
	create(t, c, `{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":7}]}}`)
	readBack(t, c, map[string]string{"net_cls/net_cls.classid": "1048577"})
	if got := read(t, c.dirOf("net_prio")+"/net_prio.ifpriomap"); !slices.Contains(strings.Split(got, "\n"), "lo 7") {
		t.Errorf("net_prio.ifpriomap:\n%s", got)
	}
}

// hugetlb may be in v2, or in a v1 hierarchy, mounted or not.
func TestHugetlb(t *testing.T) {
	h := liveHost(t)
	controllers, err := readFields(h.Unified + "/cgroup.controllers")
	inV2 := err == nil && slices.Contains(controllers, "hugetlb")
	if !inV2 && h.V1["hugetlb"] == "" {
		devices := h.V1["devices"]
		h = mounted(t, "hugetlb")
		h.V1["devices"] = devices
	}
	c := cgroupFor(t, h)
	create(t, c, `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`)
	if inV2 {
		readBack(t, c, map[string]string{"v2/hugetlb.2MB.max": "4194304", "v2/hugetlb.2MB.rsvd.max": "4194304"})
	} else {
		readBack(t, c, map[string]string{"hugetlb/hugetlb.2MB.limit_in_bytes": "4194304", "hugetlb/hugetlb.2MB.rsvd.limit_in_bytes": "4194304"})
	}
	if _, err := c.Apply(parse(t, `{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("page size that does not exist: %v", err)
	}
}

// The controllers of a whole v2 host are enabled for every container; unified files are written; a controller
// that cannot be had is named.
func TestControllersV2(t *testing.T) {
	h := onlyV2(t)
	all := read(t, h.Unified+"/cgroup.controllers")
	c := cgroupFor(t, h)
	c = Load(h, map[string]string{"": c.BornDir() + "/deep/er"})
	warnings, err := c.Create(parse(t, `{"unified":{"cgroup.max.descendants":"7"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	readBack(t, c, map[string]string{"v2/cgroup.controllers": all, "v2/cgroup.max.descendants": "7"})
	if !slices.Contains(strings.Fields(all), "memory") {
		_, err := c.Apply(parse(t, `{"memory":{"limit":1}}`))
		if want := "controller memory is not available: /linux/resources/memory/limit cannot be applied"; err == nil || err.Error() != want {
			t.Errorf("%v", err)
		}
	}
}

// The devices controller refuses `a` on a cgroup with children; a denied default can still be written anew.
func TestDevicesWithChildren(t *testing.T) {
	c := cgroupFor(t, onlyV1(t))
	create(t, c, `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":7,"access":"rw"}]}`)
	list := c.dirOf("devices") + "/devices.list"
	if err := os.Mkdir(c.dirOf("devices")+"/child", 0o755); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(read(t, list), "b 7:* rw") {
		t.Errorf("devices.list:\n%s", read(t, list))
	}
	create(t, c, `{}`)
	got := strings.Split(read(t, list), "\n")
	slices.Sort(got)
	want := defaultRules()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("devices.list %q, want %q", got, want)
	}
	_, err := c.Create(parse(t, `{"devices":[{"allow":true,"access":"rwm"}]}`))
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "has child cgroups") {
		t.Errorf("allow all: %v", err)
	}
}

// The default rules are in force, not only listed.
func TestDevicesEnforced(t *testing.T) {
	c := cgroupFor(t, onlyV1(t))
	create(t, c, `{"devices":[{"allow":false,"access":"rwm"}]}`)
	sh(t, c, "head -c1 /dev/zero >/dev/null; if (: </dev/kmsg) 2>/dev/null; then echo open; else echo ready; fi; exec sleep 300")
}
