package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// onV2 says that the machine has cgroup v2 only.
func onV2(t *testing.T) bool { t.Helper(); return pureV2() }

// A limitFile is a file of the container's cgroup and what it must hold, on v1 (controller/file) and on v2. On
// the side that is "" it is not looked at.
type limitFile struct{ v1, v1Want, v2, v2Want string }

func (c *container) check(when string, files ...limitFile) {
	c.t.Helper()
	for _, f := range files {
		controller, file, _ := strings.Cut(f.v1, "/")
		want := f.v1Want
		if onV2(c.t) {
			controller, file, want = "", f.v2, f.v2Want
		}
		if file == "" {
			continue
		}
		if got := c.cgroupFile(controller, file); got != want {
			c.t.Errorf("%s: %s is %q, want %q", when, file, got, want)
		}
	}
}

func (c *container) update(args ...string) result {
	c.t.Helper()
	return c.rt(append(append([]string{"update"}, args...), c.id)...)
}

// TestUpdateFlags: every flag, one after the other on one container, read back from the kernel. What was set
// before stays.
func TestUpdateFlags(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	var set []limitFile
	for _, step := range []struct {
		flags []string
		limitFile
	}{
		{[]string{"--pids-limit", "42"}, limitFile{"pids/pids.max", "42", "pids.max", "42"}},
		{[]string{"--cpu-share", "512"}, limitFile{"cpu/cpu.shares", "512", "cpu.weight", "59"}},
		{[]string{"--cpu-period", "50000", "--cpu-quota", "20000"}, limitFile{"cpu/cpu.cfs_quota_us", "20000", "cpu.max", "20000 50000"}},
		{[]string{"--cpu-quota", "30000"}, limitFile{"cpu/cpu.cfs_period_us", "50000", "cpu.max", "30000 50000"}},
		{[]string{"--cpu-burst", "10000"}, limitFile{"cpu/cpu.cfs_burst_us", "10000", "cpu.max.burst", "10000"}},
		{[]string{"--cpuset-cpus", "0"}, limitFile{"cpuset/cpuset.cpus", "0", "cpuset.cpus", "0"}},
		{[]string{"--cpuset-mems", "0"}, limitFile{"cpuset/cpuset.mems", "0", "cpuset.mems", "0"}},
		{[]string{"--memory", "64M"}, limitFile{"memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"}},
		{[]string{"--memory-reservation", "32M"}, limitFile{"memory/memory.soft_limit_in_bytes", "33554432", "memory.low", "33554432"}},
		{[]string{"--memory-swap", "96M"}, limitFile{"memory/memory.memsw.limit_in_bytes", "100663296", "memory.swap.max", "33554432"}},
		{[]string{"--blkio-weight", "200"}, limitFile{"blkio/blkio.bfq.weight", "200", "", ""}},
		{[]string{"--cpu-idle", "1"}, limitFile{"cpu/cpu.idle", "1", "cpu.idle", "1"}},
	} {
		if step.v2 == "" && !onV2(t) && !exists(filepath.Join(c.cgroup("blkio"), "blkio.bfq.weight")) {
			continue // no disk has the scheduler BFQ
		}
		c.update(step.flags...).ok()
		if slices.Contains(step.flags, "--cpu-quota") {
			set = slices.DeleteFunc(set, func(f limitFile) bool { return f.v2 == "cpu.max" })
		}
		if step.flags[0] == "--cpu-idle" { // which stands for a weight of 0
			set = slices.DeleteFunc(set, func(f limitFile) bool { return f.v2 == "cpu.weight" })
		}
		set = append(set, step.limitFile)
		c.check(fmt.Sprint(step.flags), set...)
	}
	c.update("--memory", "-1").ok()
	c.update("--pids-limit", "-1", "--cpu-quota=-1", "--cpu-idle", "0").ok()
	c.check("no limits", limitFile{"memory/memory.limit_in_bytes", "9223372036854771712", "memory.max", "max"},
		limitFile{"memory/memory.memsw.limit_in_bytes", "9223372036854771712", "memory.swap.max", "max"},
		limitFile{"pids/pids.max", "max", "pids.max", "max"}, limitFile{"cpu/cpu.cfs_quota_us", "-1", "cpu.max", "max 50000"})
	if realtimeGroups() {
		// The kernel gives realtime to a child only of what its parent has: here the least there is.
		c.update("--cpu-rt-period", "500000").ok()
		c.check("realtime", limitFile{"cpu/cpu.rt_period_us", "500000", "", ""})
	}
	if r := c.update("--kernel-memory", "1M", "--kernel-memory-tcp", "1M").ok(); !strings.Contains(r.stderr, "ignored") {
		t.Errorf("kernel memory: %s", r)
	}
	c.update("--l3-cache-schema", "L3:0=f").fails().rtError("update schemata: the container is in no resctrl group")
	c.update("--mem-bw-schema", "L3:0=f").fails().rtError("/linux/intelRdt/memBwSchema: must start with MB:")
}

// TestIdleWithShares: cgroup v2 refuses the two together, of v1 cpu.idle counts.
func TestIdleWithShares(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	r := c.update("--cpu-share", "200", "--cpu-idle", "1")
	if !onV2(t) {
		r.ok()
		c.check("v1", limitFile{"cpu/cpu.idle", "1", "", ""})
		return
	}
	for _, r := range []result{r, c.do(call{args: []string{"update", "-r", "-", c.id},
		stdin: strings.NewReader(`{"unified":{"cpu.idle":"1","cpu.weight":"8"}}`)})} {
		r.exits(1)
		if underSystemd() {
			r.says("unable to apply both")
		}
	}
}

// TestUpdateResources: a document from a file and from standard input; 0 and what is missing stay as they are.
func TestUpdateResources(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(30)}, CPU: &specs.LinuxCPU{Shares: u64(256)}})).up()
	c.update("-r", c.file("r.json", `{"memory":{"limit":50331648},"cpu":{"shares":0,"quota":0,"period":0}}`, 0o644)).ok()
	same := []limitFile{{"pids/pids.max", "30", "pids.max", "30"}, {"cpu/cpu.shares", "256", "cpu.weight", "35"}, {"cpu/cpu.cfs_quota_us", "-1", "cpu.max", "max 100000"}}
	c.check("file", append(same, limitFile{"memory/memory.limit_in_bytes", "50331648", "memory.max", "50331648"})...)
	c.do(call{args: []string{"update", "--resources", "-", "--pids-limit", "7", c.id}, stdin: strings.NewReader(`{"memory":{"limit":67108864}}`)}).ok()
	c.check("standard input", append(same, limitFile{"memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"})...)
	c.do(call{args: []string{"update", "-r", "-", c.id}, stdin: strings.NewReader(`{"memory":{"limit":"1M"}}`)}).fails().rtError("/memory/limit: is a string")
	c.check("refused", append(same, limitFile{"memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"})...)
}

// TestUpdateLeavesDevices: engines send device rules with every update; those in force stay.
func TestUpdateLeavesDevices(t *testing.T) {
	needRoot(t, "a device node is made")
	t.Parallel()
	c := newContainer(t, writable, capable("CAP_MKNOD")).up()
	c.sh("mknod /fuse c 10 229")
	try := func() int { return c.exec("dd", "if=/fuse", "of=/dev/null", "bs=1", "count=0").code }
	if try() == 0 {
		t.Fatal("the device is allowed to begin with")
	}
	c.do(call{args: []string{"update", "-r", "-", c.id}, stdin: strings.NewReader(`{"devices":[{"allow":true,"access":"rwm"}],"pids":{"limit":50}}`)}).ok()
	c.check("update", limitFile{"pids/pids.max", "50", "pids.max", "50"})
	if try() == 0 {
		t.Error("update has allowed a device")
	}
}

// TestUpdateStates: created, paused and stopped containers.
func TestUpdateStates(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create().ok()
	c.update("--pids-limit", "21").ok()
	c.check("created", limitFile{"pids/pids.max", "21", "pids.max", "21"})
	c.start().ok()
	c.rt("pause", c.id).ok()
	c.update("--pids-limit", "22").ok()
	c.check("paused", limitFile{"pids/pids.max", "22", "pids.max", "22"})
	if got := c.status(); got != "paused" {
		t.Errorf("after the update it is %s", got)
	}
	c.rt("resume", c.id).ok()
	c.stopped()
	c.update("--pids-limit", "23").fails("container not running").oneError()
	c.rt("update", "--pids-limit", "1", "rt-it-nobody").fails("container does not exist").oneError()
}

// TestUpdateWorks: a lower limit is one for what runs already.
func TestUpdateWorks(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	c.update("--pids-limit", "4").ok()
	if r := c.exec("sh", "-c", "for i in 1 2 3 4 5 6; do sleep 900 > /dev/null 2>&1 & done"); !strings.Contains(r.stderr, "fork") {
		t.Errorf("six processes with a limit of four: %s", r)
	}
}

// TestUpdateAtOnce: each of many updates at the same time is carried out as a whole.
func TestUpdateAtOnce(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	var wait sync.WaitGroup
	var results [8]result
	for i := range results {
		run := c.begin(call{args: []string{"update", "--pids-limit", fmt.Sprint(100 + i), "--cpu-share", fmt.Sprint(1000 + i), "--cpu-quota", fmt.Sprint(20000 + i), c.id}})
		wait.Go(func() { results[i] = run.wait() })
	}
	wait.Wait()
	rtOnly(t, "updates at the same time")
	for _, r := range results {
		r.ok()
	}
	if onV2(t) {
		return
	}
	var n, share, quota int
	fmt.Sscan(c.cgroupFile("pids", "pids.max"), &n)
	fmt.Sscan(c.cgroupFile("cpu", "cpu.shares"), &share)
	fmt.Sscan(c.cgroupFile("cpu", "cpu.cfs_quota_us"), &quota)
	if n < 100 || n > 107 || share != n+900 || quota != n+19900 {
		t.Errorf("limits of several updates: %d %d %d", n, share, quota)
	}
}

// TestUpdateIsWhole: of an update with one value that the kernel refuses, nothing is left.
func TestUpdateIsWhole(t *testing.T) {
	t.Parallel()
	rtOnly(t, "an update that fails or is killed")
	c := newContainer(t).up()
	c.update("--pids-limit", "30", "--cpu-share", "500").ok()
	const noSuchDevice = `{"pids":{"limit":60},"cpu":{"shares":300},"blockIO":{"throttleReadBpsDevice":[{"major":4094,"minor":1,"rate":1024}]}}`
	c.do(call{args: []string{"update", "-r", "-", c.id}, stdin: strings.NewReader(noSuchDevice)}).
		fails("/linux/resources/blockIO/throttleReadBpsDevice/0/rate): no such device").oneError()
	c.check("refused", limitFile{"pids/pids.max", "30", "pids.max", "30"}, limitFile{"cpu/cpu.shares", "500", "cpu.weight", "58"})
}

// TestUpdateLeftHalf: an update that was killed, whose old values the kernel refuses, or where somebody else has changed a
// limit meanwhile, does not keep a container from being changed: the rest is taken back, and a warning names the file.
func TestUpdateLeftHalf(t *testing.T) {
	t.Parallel()
	rtOnly(t, "an update that fails or is killed")
	for _, verb := range [][]string{{"start"}, {"pause"}, {"update", "--cpu-share", "512"}} {
		c := newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(30)}, Memory: &specs.LinuxMemory{Limit: i64(64 << 20)}}))
		if verb[0] == "start" {
			c.create().ok()
		} else {
			c.up()
		}
		file := func(controller, v1, v2 string) string {
			if onV2(t) {
				v1 = v2
			}
			return filepath.Join(c.cgroup(controller), v1)
		}
		pids, memory := file("pids", "pids.max", "pids.max"), file("memory", "memory.limit_in_bytes", "memory.max")
		cpus := file("cpuset", "cpuset.cpus", "cpuset.cpus")
		now := c.cgroupFile("cpuset", "cpuset.cpus")
		journal := filepath.Join(c.root, c.id, "update")
		c.must(os.WriteFile(journal, []byte(fmt.Sprintf(
			`{"files":[{"path":%q,"old":"20","new":"30"},{"path":%q,"old":"9999","new":%q},{"path":%q,"old":"33554432","new":"50331648"}]}`, pids, cpus, now, memory)), 0o600))
		r := c.rt(append(verb, c.id)...).ok()
		for _, want := range []string{"restore " + cpus + ": ", "restore " + memory + ": somebody else has changed it since"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%s: no warning %q: %s", verb[0], want, r.stderr)
			}
		}
		c.check(verb[0], limitFile{"pids/pids.max", "20", "pids.max", "20"}, limitFile{"memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
			limitFile{"cpuset/cpuset.cpus", now, "cpuset.cpus", now})
		if exists(journal) {
			t.Errorf("%s: the journal is still there", verb[0])
		}
		if r := c.rt("update", "--pids-limit", "40", c.id).ok(); r.stderr != "" {
			t.Errorf("%s, and then: %s", verb[0], r.stderr)
		}
	}
}

// TestUpdateSchemata: limits and schemata of a resctrl group are changed together or not at all, whichever of them the kernel
// refuses, and also when rt is killed between them.
func TestUpdateSchemata(t *testing.T) {
	t.Parallel()
	rtOnly(t, "an update that fails or is killed")
	c := newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(30)}})).up()
	group := filepath.Join(c.dir, "group") // stands for one; few processors have the real thing
	c.must(os.Mkdir(group, 0o755))
	schemata, state := filepath.Join(group, "schemata"), filepath.Join(c.root, c.id, "state.json")
	data, err := os.ReadFile(state)
	c.must(err)
	c.must(os.WriteFile(state, []byte(strings.Replace(string(data), "{", fmt.Sprintf(`{"rdtGroup":%q,`, group), 1)), 0o600))
	check := func(when, want string, pids string) {
		t.Helper()
		if got := c.read("group/schemata"); want != "" && got != want {
			t.Errorf("%s: schemata %q, want %q", when, got, want)
		}
		c.check(when, limitFile{"pids/pids.max", pids, "pids.max", pids})
		if exists(filepath.Join(c.root, c.id, "update")) {
			t.Errorf("%s: the journal is still there", when)
		}
	}
	c.must(os.Symlink("/proc/version", schemata)) // which can be read, and refuses every write
	c.update("--l3-cache-schema", "L3:0=f", "--pids-limit", "40").fails("set L3:0=f (/linux/intelRdt): ").oneError()
	check("resctrl refuses", "", "30")
	c.must(os.Remove(schemata))
	c.must(os.WriteFile(schemata, []byte("L3:0=7\nMB:0=50\n"), 0o644))
	c.update("--l3-cache-schema", "L3:0=f", "--mem-bw-schema", "MB:0=40", "--pids-limit", "40", "--cpuset-cpus", "9999").fails("write cpuset.cpus").oneError()
	check("the kernel refuses", "L3:0=7\nMB:0=50\n", "30")
	c.update("--l3-cache-schema", "L3:0=f", "--mem-bw-schema", "MB:0=40", "--memory", "nonsense").fails("invalid value for memory").oneError()
	c.update("--l3-cache-schema", "L3:0=f", "--mem-bw-schema", "L3:0=1", "--pids-limit", "40").fails("/linux/intelRdt/memBwSchema: must start with MB:").oneError()
	check("rt refuses", "L3:0=7\nMB:0=50\n", "30")
	c.update("--l3-cache-schema", "L3:0=f", "--mem-bw-schema", "MB:0=40", "--pids-limit", "40").ok()
	check("both", "L3:0=f\nMB:0=40\n", "40")
	c.update("--l3-cache-schema", "L3:0=3").ok()
	check("schemata alone", "L3:0=3\nMB:0=40\n", "40")
	c.must(os.WriteFile(filepath.Join(c.root, c.id, "update"), []byte(`{"files":[],"schemata":{"old":["L3:0=1","MB:0=40"],"new":["L3:0=3","MB:0=40"]}}`), 0o600))
	c.rt("pause", c.id).ok()
	check("killed", "L3:0=1\nMB:0=40\n", "40")
	c.rt("resume", c.id).ok()
}
