package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The blocks of linux.resources that TestLimits does not have, on a container, read back from the kernel.

// unifiedDir is the container's directory on cgroup v2, be that all of the host's or a hybrid host's own hierarchy; ""
// where there is none.
func (c *container) unifiedDir() string {
	root := cgroupRoot
	if !onV2(c.t) {
		root = filepath.Join(cgroupRoot, "unified")
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		return ""
	}
	return filepath.Join(root, c.cgroupPath())
}

func TestCPUBurst(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: i64(20000), Period: u64(100000), Burst: u64(7000)}})).up()
	c.check("with a burst", limitFile{"cpu/cpu.cfs_burst_us", "7000", "cpu.max.burst", "7000"})
	newContainer(t, limited(specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: i64(20000), Period: u64(100000), Burst: u64(70000)}})).create().
		fails().rtError("/linux/resources/cpu/burst")
}

func TestCPUIdle(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: i64(1)}})).up()
	c.check("idle", limitFile{"cpu/cpu.idle", "1", "cpu.idle", "1"})
	c.update("--cpu-idle", "0").ok() // an idle process ends when no other wants the CPU
}

// realtimeGroups: no kernel has them on v2, and Debian's not on v1 (CONFIG_RT_GROUP_SCHED).
func realtimeGroups() bool { return exists(cgroupRoot + "/cpu/cpu.rt_runtime_us") }

// TestRealtime: time for real-time processes, where the kernel gives it to groups.
func TestRealtime(t *testing.T) {
	t.Parallel()
	if !realtimeGroups() {
		t.Skip("this kernel or cgroup version has no real-time group scheduling")
	}
	c := newContainer(t, limited(specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: i64(1500), RealtimePeriod: u64(900_000)}})).up()
	c.check("real time", limitFile{"cpu/cpu.rt_runtime_us", "1500", "", ""}, limitFile{"cpu/cpu.rt_period_us", "900000", "", ""})
}

// TestSwap: the limit of memory and swap together is that of v1; v2 has swap alone.
func TestSwap(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(64 << 20), Swap: i64(96 << 20)}})).up()
	c.check("with swap", limitFile{"memory/memory.memsw.limit_in_bytes", strconv.Itoa(96 << 20), "memory.swap.max", strconv.Itoa(32 << 20)})
}

// TestCheckBeforeUpdate: a limit below what is used is refused when that is asked for, and changes nothing.
func TestCheckBeforeUpdate(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(64 << 20)}}), script("head -c 8m /dev/zero >/dev/shm/x; exec sleep 1000")).up()
	eventually(t, "memory to be used", func() bool {
		return c.number(c.limitPath("memory", "memory.usage_in_bytes", "memory.current"), "") >= 8<<20
	})
	update := func(limits string) result {
		return c.do(call{args: []string{"update", "-r", "-", c.id}, stdin: strings.NewReader(`{"memory":{` + limits + `,"checkBeforeUpdate":true}}`)})
	}
	memory, swap := "unable to set memory limit to 2097152", "unable to set memory limit to 3145728" // v1's kernel says EBUSY
	if onV2(t) {
		memory, swap = "rejecting memory limit 2097152 <= usage ", "rejecting memory+swap limit 3145728 <= usage "
	}
	update(`"limit":2097152`).fails(memory).rtError("/linux/resources/memory/limit")
	c.check("after the refusal", limitFile{"memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"})
	if onV2(t) {
		update(`"limit":3145728,"swap":3145728`).fails(swap).oneError()
		c.check("after the second refusal", limitFile{"", "", "memory.max", "67108864"})
	}
	if c.status() != "running" {
		t.Error("the container has ended")
	}
}

// TestThrottles: bytes and operations, read and written, of a block device.
func TestThrottles(t *testing.T) {
	_, major, minor := loopDisk(t, t.TempDir())
	at := func(rate uint64) []specs.LinuxThrottleDevice {
		d := specs.LinuxThrottleDevice{Rate: rate}
		d.Major, _ = strconv.ParseInt(major, 10, 64)
		d.Minor, _ = strconv.ParseInt(minor, 10, 64)
		return []specs.LinuxThrottleDevice{d}
	}
	c := newContainer(t, limited(specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
		ThrottleReadBpsDevice: at(1 << 20), ThrottleWriteBpsDevice: at(2 << 20), ThrottleReadIOPSDevice: at(300), ThrottleWriteIOPSDevice: at(400),
	}})).up()
	dev := major + ":" + minor
	c.check("throttled",
		limitFile{"blkio/blkio.throttle.read_bps_device", dev + " 1048576", "io.max", dev + " rbps=1048576 wbps=2097152 riops=300 wiops=400"},
		limitFile{"blkio/blkio.throttle.write_bps_device", dev + " 2097152", "", ""},
		limitFile{"blkio/blkio.throttle.read_iops_device", dev + " 300", "", ""},
		limitFile{"blkio/blkio.throttle.write_iops_device", dev + " 400", "", ""},
	)
}

// TestHugepages: both limits of a page size, of pages and of reservations. On a hybrid host hugetlb may be in either version.
func TestHugepages(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/sys/kernel/mm/hugepages/hugepages-2048kB"); err != nil {
		t.Skip("this processor or kernel has no huge pages of 2 MiB")
	}
	c := newContainer(t, limited(specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 6 << 20}}}))
	dir, suffix := c.unifiedDir(), "max"
	if dir == "" || !slices.Contains(strings.Fields(readAllOf(t, filepath.Dir(dir)+"/cgroup.controllers")), "hugetlb") {
		dir, suffix = filepath.Join(cgroupRoot, "hugetlb", c.cgroupPath()), "limit_in_bytes"
		if _, err := os.Stat(filepath.Dir(dir)); err != nil {
			t.Skip("the hugetlb controller is nowhere on this host")
		}
	}
	if suffix == "max" && !onV2(t) {
		rtOnly(t, "the controllers that a hybrid host")
	}
	c.up()
	for _, file := range []string{"hugetlb.2MB." + suffix, "hugetlb.2MB.rsvd." + suffix} {
		if got := strings.TrimSpace(readAllOf(t, filepath.Join(dir, file))); got != strconv.Itoa(6<<20) {
			t.Errorf("%s is %s", file, got)
		}
	}
	newContainer(t, limited(specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 6 << 20}}})).create().
		fails().rtError("/linux/resources/hugepageLimits/0")
}

// TestUnified: files of cgroup v2 by name, also ones that rt knows nothing of; what is not there, and what leads elsewhere, is an error.
func TestUnified(t *testing.T) {
	t.Parallel()
	unified := func(file, value string) func(*specs.Spec) {
		return limited(specs.LinuxResources{Unified: map[string]string{file: value}})
	}
	c := newContainer(t, unified("cgroup.max.descendants", "7"))
	if c.unifiedDir() == "" {
		c.create().fails().rtError("/linux/resources/unified")
		return
	}
	if !onV2(t) {
		rtOnly(t, "the controllers that a hybrid host")
	}
	c.up()
	if got := strings.TrimSpace(readAllOf(t, filepath.Join(c.unifiedDir(), "cgroup.max.descendants"))); got != "7" {
		t.Errorf("cgroup.max.descendants is %s", got)
	}
	for _, file := range []string{"cgroup.none", "none.max", "../cgroup.max.depth", "/etc/passwd"} {
		newContainer(t, unified(file, "1")).create().fails("/linux/resources/unified").oneError()
	}
}

// TestCgroupOwnerV1: cgroups of v1, which cannot be delegated safely, stay root's, whatever the container could do with them.
func TestCgroupOwnerV1(t *testing.T) {
	t.Parallel()
	if onV2(t) {
		t.Skip("this host has no cgroup v1")
	}
	c := newMapped(t, func(s *specs.Spec) {
		for i := range s.Mounts {
			if s.Mounts[i].Type == "cgroup" {
				s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", "rw"}
			}
		}
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}).up()
	if c.ns("cgroup") == nsOf(t, "self", "cgroup") {
		t.Fatal("there is no cgroup namespace")
	}
	for _, dir := range c.cgroupDirs() {
		for _, name := range []string{"", "cgroup.procs", "tasks"} {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(dir, name), &st); err == nil && st.Uid != 0 {
				t.Errorf("%s belongs to %d", filepath.Join(dir, name), st.Uid)
			}
		}
	}
}
