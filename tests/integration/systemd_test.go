package integration

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rt/tests/dbustest"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// needSystemd leaves a test out where systemd is not the host's init.
func needSystemd(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("systemd does not run on this host")
	}
}

// newScope makes a container for --systemd-cgroup. Its slice is the tests' own.
func newScope(t *testing.T, edits ...func(*specs.Spec)) *container {
	t.Helper()
	needSystemd(t)
	c := newContainer(t, append([]func(*specs.Spec){func(s *specs.Spec) {
		s.Annotations = map[string]string{}
	}}, edits...)...)
	c.inSlice()
	return c
}

func (c *container) inSlice() {
	c.spec.Linux.CgroupsPath = "rttest-units.slice:rt-test:" + c.id
	c.write()
}

func (c *container) unit() string { return "rt-test-" + c.id + ".scope" }

// scopeDir is the scope's directory in v2, or on v1 in a controller's hierarchy.
func (c *container) scopeDir(controller string) string {
	const path = "rttest.slice/rttest-units.slice"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		controller = ""
	}
	return filepath.Join(cgroupRoot, controller, managerRoot(c.t), path, c.unit())
}

func (c *container) scopeFile(controller, name string) string {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.scopeDir(controller), name))
	c.must(err)
	return strings.TrimSpace(string(data))
}

// systemd is a call with --systemd-cgroup.
func (c *container) systemd(args ...string) result {
	c.t.Helper()
	return c.do(call{global: []string{"--systemd-cgroup"}, args: args})
}

func (c *container) upSystemd() *container {
	c.t.Helper()
	c.systemd(c.with("create")...).ok()
	c.start().ok() // engines give the flag to create only
	return c
}

// systemctl runs systemctl and gives what it printed.
func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	command := []string{"systemctl"}
	if ordinaryUser() {
		command = append(command, "--user")
	}
	return strings.TrimSpace(host(t, append(command, args...)...))
}

// managerRoot is the cgroup of the systemd that the tests' units are in.
func managerRoot(t *testing.T) string {
	t.Helper()
	if !ordinaryUser() {
		return "/"
	}
	return systemctl(t, "show", "--value", "-p", "ControlGroup")
}

// property is a property of the container's unit.
func (c *container) property(name string) string {
	c.t.Helper()
	return systemctl(c.t, "show", "--value", "-p", name, c.unit())
}

func (c *container) properties(want ...string) {
	c.t.Helper()
	for _, w := range want {
		name, value, _ := strings.Cut(w, "=")
		if got := c.property(name); got != value {
			c.t.Errorf("%s: %s, want %s", name, got, value)
		}
	}
}

// noUnit checks that systemd has forgotten the unit, also as a failed one, and that its cgroup is gone.
func (c *container) noUnit() {
	c.t.Helper()
	// systemctl show loads any name; list-units knows what is loaded.
	if list := systemctl(c.t, "list-units", "--all", "--full", "--plain", "--no-legend", c.unit()); list != "" {
		c.t.Errorf("unit left: %s", list)
	}
	for _, controller := range []string{"systemd", "memory", "pids", "cpuset"} {
		if dir := c.scopeDir(controller); exists(dir) {
			c.t.Errorf("cgroup left: %s", dir)
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return !errors.Is(err, fs.ErrNotExist) }

// pureV2 says that the host has cgroup v2 and no other.
func pureV2() bool { return exists("/sys/fs/cgroup/cgroup.controllers") }

// TestSystemdScope: a container in a scope, with its limits as properties and, exactly, in the files.
func TestSystemdScope(t *testing.T) {
	t.Parallel()
	c := newScope(t, limited(specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: i64(64 << 20)},
		CPU:    &specs.LinuxCPU{Shares: u64(512), Quota: i64(25500), Period: u64(50000)},
		Pids:   &specs.LinuxPids{Limit: i64(33)},
	})).upSystemd()
	if !differs(t, "systemd: the description of the unit") {
		c.properties("Description=rt container " + c.id)
	}
	if !differs(t, "systemd: there is no daemon-reload to do") {
		c.properties("NeedDaemonReload=no")
	}
	c.properties("Slice=rttest-units.slice", "Delegate=yes", "DefaultDependencies=no",
		"TasksMax=33", "CPUQuotaPerSecUSec=510ms", "CPUQuotaPeriodUSec=50ms", "DevicePolicy=strict", "ActiveState=active",
		"ControlGroup="+filepath.Join(managerRoot(t), "rttest.slice/rttest-units.slice", c.unit()))
	if pureV2() {
		c.properties("MemoryMax=67108864", "CPUWeight=59")
		// All of them, also those that systemd does not know: a directory of the container's could take the name of a later file.
		if got, want := c.scopeFile("", "cgroup.controllers"), strings.TrimSpace(string(must(os.ReadFile("/sys/fs/cgroup/cgroup.controllers")))); got != want && managerRoot(t) == "/" {
			t.Errorf("controllers of the scope: %q, of the machine: %q", got, want)
		}
	} else {
		c.properties("MemoryLimit=67108864", "CPUShares=512")
	}
	if got := c.scopeFile("systemd", "cgroup.procs"); got != pidText(c.pid()) {
		t.Errorf("processes of the scope: %q, init is %d", got, c.pid())
	}
	for _, f := range []struct{ controller, v1, want1, v2, want2 string }{
		{"memory", "memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
		{"cpu", "cpu.cfs_quota_us", "25500", "cpu.max", "25500 50000"},
		{"pids", "pids.max", "33", "pids.max", "33"},
	} {
		name, want := f.v1, f.want1
		if pureV2() {
			name, want = f.v2, f.want2
		}
		if got := c.scopeFile(f.controller, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(string(must(os.ReadFile("/proc/"+pidText(c.pid())+"/cgroup")))), "\n") {
		known := strings.HasPrefix(line, "0:") || !pureV2()
		if named := strings.Contains(line, ":name=") && !strings.Contains(line, ":name=systemd:"); known && !named && !strings.HasSuffix(line, c.unit()) {
			t.Errorf("init is elsewhere: %s", line)
		}
	}
	// Exec, pause, ps and kill know from the state.
	if got := c.sh("grep -c " + c.unit() + " /proc/self/cgroup"); got == "0" {
		t.Error("exec is not in the scope")
	}
	c.rt("pause", c.id).ok()
	if got := c.status(); got != "paused" {
		t.Errorf("paused: %s", got)
	}
	c.rt("resume", c.id).ok()
	gone := c.stopped().delete().ok()
	if strings.Contains(gone.stderr, "stop unit") { // rt waits for no more than three seconds, in which systemd can be at a reload
		t.Log(gone)
		eventually(t, "the unit to be gone", func() bool {
			return systemctl(t, "list-units", "--all", "--full", "--plain", "--no-legend", c.unit()) == ""
		})
	}
	c.noUnit()
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// TestSystemdRun: in the foreground; and without a cgroupsPath.
func TestSystemdRun(t *testing.T) {
	t.Parallel()
	c := newScope(t, script("exit 7"))
	c.systemd(c.with("run")...).exits(7)
	c.noUnit()
	c.spec.Linux.CgroupsPath = ""
	c.write()
	c.systemd(c.with("run", "--detach")...).exits(0)
	if unit := "rt-" + c.id + ".scope"; strings.Contains(systemctl(t, "list-units", "--all", "--plain", "--no-legend", unit), "failed") {
		t.Errorf("unit %s failed", unit)
	}
	c.delete("--force").ok()
}

// TestSystemdReload: systemd attaches its own idea of devices, and writes its own idea of limits, when it reloads.
func TestSystemdReload(t *testing.T) {
	needRoot(t, "only root loads device programs and makes device nodes")
	t.Parallel()
	c := newScope(t, limited(specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: i64(10), Minor: i64(229), Access: "rw"}},
		Memory:  &specs.LinuxMemory{Limit: i64(64 << 20)},
	}), withDevice("/dev/fuse", 10, 229), withDevice("/dev/kmsg", 1, 11)).upSystemd()
	check := func(when string) {
		t.Helper()
		c.exec("sh", "-c", "echo > /dev/null; head -c 1 /dev/zero | wc -c; exec 3<>/dev/fuse").ok()
		if r := c.exec("sh", "-c", "exec 3</dev/kmsg"); r.code == 0 || !strings.Contains(r.stderr, "not permitted") {
			t.Errorf("%s: a denied device: %s", when, r)
		}
		if got := c.property("NeedDaemonReload"); got != "no" && !differs(t, "systemd: there is no daemon-reload to do") {
			t.Errorf("%s: NeedDaemonReload: %s", when, got)
		}
	}
	check("at first")
	systemctl(t, "daemon-reload")
	check("after daemon-reload")
	systemctl(t, "set-property", "--runtime", c.unit(), "MemoryHigh=infinity") // now it writes all of it again
	check("after set-property")
}

func withDevice(path string, major, minor int64) func(*specs.Spec) {
	return func(s *specs.Spec) {
		mode := os.FileMode(0o666)
		s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: path, Type: "c", Major: major, Minor: minor, FileMode: &mode})
	}
}

// TestSystemdUnitExists: a unit in use is never joined, and stays as it is; one that has failed is no obstacle.
func TestSystemdUnitExists(t *testing.T) {
	t.Parallel()
	c := newScope(t).upSystemd()
	other := c.sibling()
	other.spec.Linux.CgroupsPath = c.spec.Linux.CgroupsPath
	other.write()
	other.systemd(other.with("create")...).fails("container's cgroup is not empty: 1 process(es) found").oneError()
	if exists(filepath.Join(other.root, other.id)) {
		t.Error("the refused container is there")
	}
	if c.status() != "running" || c.property("ActiveState") != "active" {
		t.Errorf("the first container is %s", c.status())
	}
	c.delete("--force").ok()
	// A stale failure of this name.
	run := []string{"--scope", "--quiet", "--unit=" + c.unit(), "--property=RuntimeMaxSec=1", "--property=TimeoutStopSec=1", "--", "sleep", "60"}
	if ordinaryUser() {
		run = append([]string{"--user"}, run...)
	}
	cmd := exec.Command("systemd-run", run...)
	c.must(orphans.Start(cmd))
	_ = orphans.Wait(cmd) // ended by systemd
	if got := c.property("ActiveState"); got != "failed" {
		t.Fatalf("the stale unit is %s", got)
	}
	c.upSystemd()
	c.delete("--force").ok()
	c.noUnit()
}

// TestSystemdOOM: a container that the kernel has killed leaves no failed unit, and its id can be used again.
func TestSystemdOOM(t *testing.T) {
	t.Parallel()
	c := newScope(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(16 << 20), Swap: i64(16 << 20)}}),
		script("head -c 64m /dev/zero | tail"))
	for range 2 {
		c.systemd(c.with("run", "--detach")...).ok()
		c.awaitStatus("stopped")
		c.delete().ok()
		c.noUnit()
	}
}

// TestSystemdTiny: limits that are just enough for one small process do not get in the way of its start.
func TestSystemdTiny(t *testing.T) {
	t.Parallel()
	rtOnly(t, "512 KiB of memory")
	c := newScope(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(1)}, Memory: &specs.LinuxMemory{Limit: i64(1 << 20)}})).upSystemd()
	c.properties("TasksMax=1")
	if got := c.scopeFile("pids", "pids.max"); got != "1" {
		t.Errorf("pids.max: %s", got)
	}
}

// TestSystemdFailures: whatever fails, the unit goes.
func TestSystemdFailures(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*container){
		"program": func(c *container) { c.spec.Process.Args = []string{"/missing"} },
		"hook":    func(c *container) { c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{c.hook("exit 1")}}) },
		"limit": func(c *container) {
			c.spec.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3KB", Limit: 1}}
		},
		"property": func(c *container) { c.spec.Annotations["org.systemd.property.NoSuchProperty"] = "5" },
		"type":     func(c *container) { c.spec.Annotations["org.systemd.property.CollectMode"] = "5" },
		"text":     func(c *container) { c.spec.Annotations["org.systemd.property.CollectMode"] = "inactive" },
	} {
		t.Run(name, func(t *testing.T) {
			c := newScope(t)
			edit(c)
			c.write()
			r := c.systemd(c.with("create")...).exits(1).oneError()
			t.Log(strings.TrimSpace(r.stderr))
			c.noUnit()
			if exists(filepath.Join(c.root, c.id)) {
				t.Error("the container is there")
			}
		})
	}
}

// TestSystemdAnnotations: properties that the engine's user asks for.
func TestSystemdAnnotations(t *testing.T) {
	t.Parallel()
	c := newScope(t, func(s *specs.Spec) {
		s.Annotations["org.systemd.property.TimeoutStopSec"] = "7.5"
		s.Annotations["org.systemd.property.CollectMode"] = "'inactive-or-failed'"
		s.Annotations["org.systemd.property.After"] = "['system.slice']"
		s.Annotations["org.systemd.property.MemoryHigh"] = "uint64 33554432"
	}).upSystemd()
	c.properties("TimeoutStopUSec=7.500000s", "CollectMode=inactive-or-failed")
	if pureV2() {
		c.properties("MemoryHigh=33554432")
	}
	if got := c.property("After"); !strings.Contains(got, "system.slice") {
		t.Errorf("After: %s", got)
	}
}

// TestSystemdUpdate: a change reaches systemd and the files; one that is refused, neither.
func TestSystemdUpdate(t *testing.T) {
	t.Parallel()
	c := newScope(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(64 << 20)},
		CPU: &specs.LinuxCPU{Quota: i64(50000), Period: u64(50000)}, Pids: &specs.LinuxPids{Limit: i64(33)}})).upSystemd()
	memory, limit := "MemoryMax", "memory.max"
	if !pureV2() {
		memory, limit = "MemoryLimit", "memory.limit_in_bytes"
	}
	check := func(when string, bytes, tasks, perSec string) {
		t.Helper()
		c.properties(memory+"="+bytes, "TasksMax="+tasks, "CPUQuotaPerSecUSec="+perSec)
		if got := c.scopeFile("memory", limit); got != bytes {
			t.Errorf("%s: %s: %s, want %s", when, limit, got, bytes)
		}
		if got := c.scopeFile("pids", "pids.max"); got != tasks {
			t.Errorf("%s: pids.max: %s, want %s", when, got, tasks)
		}
	}
	c.rt("update", "--memory", "33554432", "--pids-limit", "40", "--cpu-quota", "12600", c.id).ok()
	check("updated", "33554432", "40", "260ms")
	if got := c.property("NeedDaemonReload"); got != "no" && !differs(t, "systemd: there is no daemon-reload to do") {
		t.Errorf("NeedDaemonReload: %s", got)
	}
	systemctl(t, "daemon-reload")
	systemctl(t, "set-property", "--runtime", c.unit(), "IPAccounting=no")
	check("after daemon-reload", "33554432", "40", "260ms")
	c.rt("update", "--memory", "16777216", "--cpuset-cpus", "4000", c.id).exits(1)
	rtOnly(t, "an update that fails or is killed")
	check("refused", "33554432", "40", "260ms")
}

// TestSystemdQuota: systemd has whole percents of a CPU. The file says the same after create and update, and when systemd has
// written it again.
func TestSystemdQuota(t *testing.T) {
	t.Parallel()
	c := newScope(t, limited(specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: i64(500000), Period: u64(900000)}})).upSystemd()
	check := func(when, quota, period, perSec string) {
		t.Helper()
		c.properties("CPUQuotaPerSecUSec="+perSec, "CPUQuotaPeriodUSec="+period+"ms")
		got := c.scopeFile("cpu", "cpu.max")
		if !pureV2() {
			got = c.scopeFile("cpu", "cpu.cfs_quota_us") + " " + c.scopeFile("cpu", "cpu.cfs_period_us")
		}
		if want := quota + " " + period + "000"; got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	reload := func() {
		systemctl(t, "daemon-reload")
		systemctl(t, "set-property", "--runtime", c.unit(), "IPAccounting=no") // now it writes all of it again
	}
	check("create", "504000", "900", "560ms")
	reload()
	check("daemon-reload", "504000", "900", "560ms")
	c.systemd("update", "--cpu-period", "100000", "--cpu-quota", "33333", c.id).ok()
	check("update", "34000", "100", "340ms")
	reload()
	check("daemon-reload", "34000", "100", "340ms")
	c.systemd("update", "--cpu-quota", "30000", c.id).ok()
	c.systemd("update", "--cpu-period", "50000", c.id).ok()
	check("update of one, then of the other", "30000", "50", "600ms")
	c.systemd("update", "--cpu-quota", "-5x", c.id).exits(1).says("cpu-quota")
	check("refused", "30000", "50", "600ms")
}

// TestSystemdKilled: what a create that was killed leaves is found by the journal.
func TestSystemdKilled(t *testing.T) {
	t.Parallel()
	rtOnly(t, "a create that was killed")
	c := newScope(t)
	c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{c.hook("echo 1 > $D/reached; sleep 1000")}})
	r := c.begin(call{global: []string{"--systemd-cgroup"}, args: c.with("create")})
	c.awaitFile("reached")
	if got := c.property("ActiveState"); got != "active" {
		t.Errorf("at the hook the unit is %s", got)
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
	r.ended <- nil
	c.delete("--force").ok()
	c.noUnit()
}

// TestSystemdSlice: a name that ends in .slice is a slice of that name.
func TestSystemdSlice(t *testing.T) {
	t.Parallel()
	rtOnly(t, "systemd: slice:prefix:name")
	needSystemd(t)
	c := newContainer(t)
	slice := "rttest-" + c.id[len(c.id)-6:] + ".slice"
	c.spec.Linux.CgroupsPath = "rttest.slice:ignored:" + slice
	c.write()
	c.upSystemd()
	if got := systemctl(t, "show", "--value", "-p", "ActiveState", slice); got != "active" {
		t.Errorf("%s is %s", slice, got)
	}
	if got := string(must(os.ReadFile("/proc/" + pidText(c.pid()) + "/cgroup"))); !strings.Contains(got, "/rttest.slice/"+slice+"\n") {
		t.Errorf("init is in %s", got)
	}
	c.delete("--force").ok()
	if list := systemctl(t, "list-units", "--all", "--plain", "--no-legend", slice); list != "" {
		t.Errorf("slice left: %s", list)
	}
}

// TestSystemdSubCgroup: what the container makes below its scope is its own, and goes with it.
func TestSystemdSubCgroup(t *testing.T) {
	t.Parallel()
	c := newScope(t).upSystemd()
	c.must(os.Mkdir(filepath.Join(c.scopeDir("pids"), "sub"), 0o755))
	flag := "pids:sub"
	if pureV2() {
		flag = "sub"
	}
	r := c.execWith([]string{"--cgroup", flag}, "cat", "/proc/self/cgroup").ok()
	if !strings.Contains(r.stdout, c.unit()+"/sub\n") {
		t.Errorf("exec --cgroup: %s", r)
	}
	c.stopped().delete().ok()
	c.noUnit()
}

// TestSystemdPaths: cgroupsPath is checked before systemd is asked, on any host.
func TestSystemdPaths(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for path, want := range map[string]string{
		"/a/b":         `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/a/b" instead`,
		"a:b:c":        `slice "a" does not end in .slice`,
		"a--b.slice::": "it has an empty part",
		":a:b/c":       "invalid unit name",
	} {
		c.spec.Linux.CgroupsPath = path
		c.write()
		c.systemd(c.with("create")...).fails().rtError(want)
		if left := c.traces(); len(left) > 0 {
			t.Errorf("%s: %v", path, left)
		}
	}
}

// TestNoSystemd: a host without it says so.
func TestNoSystemd(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	bus := "unix:path=" + c.dir + "/bus"
	c.prefix = []string{"env", "DBUS_SYSTEM_BUS_ADDRESS=" + bus, "DBUS_SESSION_BUS_ADDRESS=" + bus, "XDG_RUNTIME_DIR=" + c.dir}
	c.inSlice()
	c.systemd(c.with("create")...).fails("systemd").rtError("systemd cannot be reached: ", "connect to "+c.dir+"/bus: no such file or directory", "hint: ")
	if left := c.traces(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// fakeSystemd makes scopes as systemd does on v1, in its own hierarchy, so that a host without it can show rt's part.
type fakeSystemd struct {
	c      *container
	dir    string // the scope's
	result string // of the start's job
}

// newFake is a container whose systemd is a fake one.
func newFake(t *testing.T, edits ...func(*specs.Spec)) (*container, *fakeSystemd) {
	t.Helper()
	if exists("/run/systemd/system") || !exists("/sys/fs/cgroup/systemd/cgroup.procs") {
		t.Skip("the fake systemd is for hosts with cgroup v1's name=systemd and without systemd")
	}
	c := newContainer(t, edits...)
	c.spec.Linux.CgroupsPath = "rttest.slice:rt-test:" + c.id
	c.write()
	f := &fakeSystemd{c: c, dir: filepath.Join("/sys/fs/cgroup/systemd/rttest.slice", c.unit()), result: "done"}
	server := dbustest.Serve(t, f.answer)
	c.prefix = []string{"env", "DBUS_SYSTEM_BUS_ADDRESS=" + server.Address}
	t.Cleanup(func() { // the slices, as long as no other test has something in them
		slices, _ := filepath.Glob("/sys/fs/cgroup/*/rttest.slice")
		for _, s := range slices {
			_ = os.Remove(s)
		}
	})
	return c, f
}

func (f *fakeSystemd) answer(call dbustest.Call) []dbustest.Answer {
	fail := func(err error) []dbustest.Answer {
		return []dbustest.Answer{{Error: "org.freedesktop.DBus.Error.Failed", Values: []any{err.Error()}}}
	}
	done := func(result string) []dbustest.Answer {
		return []dbustest.Answer{{Values: []any{dbustest.Path("/job/1")}},
			{Signal: "JobRemoved", Values: []any{uint32(1), dbustest.Path("/job/1"), f.c.unit(), result}}}
	}
	switch call.Member {
	case "Get":
		return []dbustest.Answer{{Values: []any{dbustest.Variant("")}}}
	case "GetUnit", "StopUnit":
		if !exists(f.dir) {
			return []dbustest.Answer{{Error: "org.freedesktop.systemd1.NoSuchUnit", Values: []any{"not loaded"}}}
		}
		if call.Member == "StopUnit" {
			if err := os.Remove(f.dir); err != nil {
				return fail(err)
			}
			return done("done")
		}
		return []dbustest.Answer{{Values: []any{dbustest.Path("/unit")}}}
	case "StartTransientUnit":
		_, rest, _ := strings.Cut(string(call.Body), "PIDs\x00\x02au\x00")
		at := (len(call.Body) - len(rest) + 3) / 4 * 4
		pid := pidText(int(binary.LittleEndian.Uint32(call.Body[at+4:])))
		if err := os.MkdirAll(f.dir, 0o755); err != nil {
			return fail(err)
		}
		if err := os.WriteFile(filepath.Join(f.dir, "cgroup.procs"), []byte(pid), 0); err != nil {
			return fail(err)
		}
		return done(f.result)
	}
	return []dbustest.Answer{{}}
}

// TestFakeSystemd: the course of a container's life, with the directories that systemd makes and those that it does not.
func TestFakeSystemd(t *testing.T) {
	t.Parallel()
	rtOnly(t, "systemd: whether it is there")
	c, f := newFake(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(64 << 20)}, Pids: &specs.LinuxPids{Limit: i64(1)}}))
	c.upSystemd()
	cgroup := string(must(os.ReadFile("/proc/" + pidText(c.pid()) + "/cgroup")))
	for _, controller := range []string{"name=systemd", "memory", "pids", "cpuset", "freezer", "devices"} {
		if !strings.Contains(cgroup, ":"+controller+":/rttest.slice/"+c.unit()+"\n") {
			t.Errorf("init is not in the scope of %s: %s", controller, cgroup)
		}
	}
	for file, want := range map[string]string{"memory/rttest.slice/" + c.unit() + "/memory.limit_in_bytes": "67108864",
		"pids/rttest.slice/" + c.unit() + "/pids.max": "1"} {
		if got := strings.TrimSpace(string(must(os.ReadFile("/sys/fs/cgroup/" + file)))); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	other := c.sibling()
	other.prefix = c.prefix
	other.spec.Linux.CgroupsPath = c.spec.Linux.CgroupsPath
	other.write()
	other.systemd(other.with("create")...).fails("container's cgroup is not empty").oneError()
	c.stopped().delete().ok()
	if exists(f.dir) {
		t.Error("the scope was not stopped")
	}
}

// TestFakeSystemdFails: a start that fails leaves nothing, in no hierarchy.
func TestFakeSystemdFails(t *testing.T) {
	t.Parallel()
	rtOnly(t, "systemd: whether it is there")
	c, f := newFake(t)
	f.result = "failed"
	c.systemd(c.with("create")...).fails(`start unit `+c.unit()+`: systemd's job ended as "failed"`, "hint: ").oneError()
	if left := c.traces(); len(left) > 0 || exists(f.dir) {
		t.Errorf("left: %v", left)
	}
}
