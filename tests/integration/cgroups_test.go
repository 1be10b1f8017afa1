package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func u64(n uint64) *uint64 { return &n }

// limited sets resources.
func limited(r specs.LinuxResources) func(*specs.Spec) {
	return func(s *specs.Spec) {
		r.Devices = append(s.Linux.Resources.Devices, r.Devices...)
		s.Linux.Resources = &r
	}
}

// TestLimits: every limit of the first part, read back on the host.
func TestLimits(t *testing.T) {
	t.Parallel()
	memory := &specs.LinuxMemory{Limit: i64(64 << 20), Reservation: i64(32 << 20)}
	if noOOM := true; !onV2(t) { // v2 has neither
		memory.Swappiness, memory.DisableOOMKiller = u64(30), &noOOM
	}
	c := newContainer(t, limited(specs.LinuxResources{
		Memory: memory,
		CPU:    &specs.LinuxCPU{Shares: u64(512), Quota: i64(25000), Period: u64(50000), Cpus: "0-1", Mems: "0"},
		Pids:   &specs.LinuxPids{Limit: i64(33)},
	})).up()
	c.check("created",
		limitFile{"memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
		limitFile{"memory/memory.soft_limit_in_bytes", "33554432", "memory.low", "33554432"},
		limitFile{"memory/memory.swappiness", "30", "", ""},
		limitFile{"cpu/cpu.shares", "512", "cpu.weight", "59"},
		limitFile{"cpu/cpu.cfs_quota_us", "25000", "cpu.max", "25000 50000"}, limitFile{"cpu/cpu.cfs_period_us", "50000", "", ""},
		limitFile{"cpuset/cpuset.cpus", "0-1", "cpuset.cpus", "0-1"}, limitFile{"cpuset/cpuset.mems", "0", "cpuset.mems", "0"},
		limitFile{"pids/pids.max", "33", "pids.max", "33"},
	)
	if !onV2(t) && !strings.Contains(c.cgroupFile("memory", "memory.oom_control"), "oom_kill_disable 1") {
		t.Errorf("memory.oom_control: %s", c.cgroupFile("memory", "memory.oom_control"))
	}
	for _, controller := range []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"} {
		if !slices.Contains(c.lines(controller, "cgroup.procs"), pidText(c.pid())) {
			t.Errorf("init is not in the %s cgroup", controller)
		}
	}
	c.delete("--force").ok()
	if left := c.cgroupDirs(); len(left) > 0 {
		t.Errorf("cgroups after delete: %v", left)
	}
}

// TestUnlimited: -1 is no limit.
func TestUnlimited(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(-1)}, Pids: &specs.LinuxPids{Limit: i64(-1)}, CPU: &specs.LinuxCPU{Quota: i64(-1)}})).up()
	c.check("created",
		limitFile{"memory/memory.limit_in_bytes", "9223372036854771712", "memory.max", "max"},
		limitFile{"pids/pids.max", "max", "pids.max", "max"},
		limitFile{"cpu/cpu.cfs_quota_us", "-1", "cpu.max", "max 100000"},
	)
}

// TestMemoryLimitWorks: what uses more is killed, and the rest of the machine is not.
func TestMemoryLimitWorks(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(16 << 20)}}),
		script("head -c 64m /dev/zero | sort > /dev/null; echo status $?"))
	r := c.run()
	if r.code == 0 && !strings.Contains(r.stdout, "status 137") {
		t.Errorf("64 MiB fit into 16: %s", r)
	}
}

func TestPidsLimitWorks(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(8)}}),
		script("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 900 & done; wait"))
	r := c.run()
	if !strings.Contains(r.stderr, "fork") {
		t.Errorf("ten processes with a limit of eight: %s", r)
	}
}

// TestDeviceRules: what is allowed and denied, by real use.
func TestDeviceRules(t *testing.T) {
	needRoot(t, "only root loads device programs and makes device nodes")
	t.Parallel()
	c := newContainer(t, writable, capable("CAP_MKNOD"), limited(specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Major: i64(10), Minor: i64(229), Access: "r"},
	}})).up()
	c.sh("mknod /fuse c 10 229; mknod /mem c 1 1; mknod /vda b 254 0") // mknod of any device is allowed, as runc does
	if r := c.exec("dd", "if=/fuse", "of=/dev/null", "bs=1", "count=0"); r.code != 0 {
		t.Errorf("an allowed device: %s", r)
	}
	for _, cmd := range []string{": > /fuse", "dd if=/vda of=/dev/null bs=1 count=0", "dd if=/mem of=/dev/null bs=1 count=0"} {
		if r := c.exec("sh", "-c", cmd); r.code == 0 || !strings.Contains(r.stderr, "not permitted") {
			t.Errorf("a denied device: %s", r)
		}
	}
	if onV2(t) {
		return // a program, not a list
	}
	list := c.cgroupFile("devices", "devices.list")
	if strings.Contains(list, "a *:*") || !strings.Contains(list, "c 10:229 r") || !strings.Contains(list, "c 1:3 rwm") {
		t.Errorf("devices.list: %q", list)
	}
}

// TestCgroupInUse: a cgroup with somebody else's processes is refused and left alone.
func TestCgroupInUse(t *testing.T) {
	t.Parallel()
	first := newContainer(t).up()
	c := newContainer(t)
	c.spec.Linux.CgroupsPath = first.spec.Linux.CgroupsPath
	c.write()
	for range 2 { // the first one changes nothing
		c.create().fails("container's cgroup is not empty: 1 process(es) found").oneError()
		if exists(filepath.Join(c.root, c.id)) {
			t.Error("the refused container is there")
		}
	}
	if first.status() != "running" || len(first.cgroupDirs()) == 0 {
		t.Fatal("the first container was disturbed")
	}
	first.exec("true").ok()
}

// TestCgroupFrozenBefore: a cgroup that is there and frozen is refused before a unit is started, and stays as it is.
func TestCgroupFrozenBefore(t *testing.T) {
	needRoot(t, "a cgroup is made where the container's will be")
	t.Parallel()
	c := newContainer(t)
	if differs(t, "`container's cgroup unexpectedly frozen`") {
		return
	}
	dir := c.cgroup("freezer")
	c.must(os.MkdirAll(dir, 0o755))
	t.Cleanup(func() { _ = os.Remove(dir) })
	file, frozen, thawed := "freezer.state", "FROZEN", "THAWED"
	if onV2(t) {
		file, frozen, thawed = "cgroup.freeze", "1", "0"
	}
	thaw := func() { _ = os.WriteFile(filepath.Join(dir, file), []byte(thawed), 0) }
	t.Cleanup(thaw)
	c.must(os.WriteFile(filepath.Join(dir, file), []byte(frozen), 0))
	for range 2 {
		c.create().fails("container's cgroup unexpectedly frozen").oneError()
		if exists(filepath.Join(c.root, c.id)) {
			t.Error("the refused container is there")
		}
		if got := c.cgroupFile("freezer", file); got != frozen {
			t.Errorf("%s: %s, want %s", file, got, frozen)
		}
		if dirs := c.cgroupDirs(); len(dirs) != 1 {
			t.Errorf("cgroups: %q, want %s alone", dirs, dir)
		}
	}
	thaw()
	c.up().delete("--force").ok()
	if exists(dir) {
		t.Errorf("%s is left", dir)
	}
}

// TestNestedCgroupsPath: missing parents are made, and delete removes the container's own.
func TestNestedCgroupsPath(t *testing.T) {
	t.Parallel()
	onlyFileDriver(t, "a unit's name has no parts")
	c := newContainer(t)
	parent := c.spec.Linux.CgroupsPath
	c.spec.Linux.CgroupsPath = parent + "/deep/inner"
	c.write()
	c.up()
	if !strings.Contains(c.proc("cgroup"), parent+"/deep/inner\n") {
		t.Errorf("cgroup: %s", c.proc("cgroup"))
	}
	c.delete("--force").ok()
	for _, dir := range c.cgroupDirs() {
		if _, err := os.Stat(filepath.Join(dir, "deep/inner")); err == nil {
			t.Errorf("%s/deep/inner was left", dir)
		}
		_ = os.Remove(filepath.Join(dir, "deep"))
		c.must(os.Remove(dir))
	}
}

// TestDeleteRemovesSubCgroups: what the container has made below its cgroup goes with it.
func TestDeleteRemovesSubCgroups(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	for _, controller := range []string{"memory", "pids"} {
		c.must(os.MkdirAll(filepath.Join(c.cgroup(controller), "a", "b"), 0o755))
	}
	c.stopped()
	c.delete().ok()
	if left := c.cgroupDirs(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestCgroupsPathEscape(t *testing.T) {
	t.Parallel()
	onlyFileDriver(t, "cgroupsPath is a path")
	c := newContainer(t)
	c.spec.Linux.CgroupsPath = "/../../rt-test-" + c.id
	c.write()
	r := c.create()
	if r.code == 0 && len(c.cgroupDirs()) == 0 {
		t.Errorf("the cgroup was made outside of the hierarchy: %s", r)
	}
}
