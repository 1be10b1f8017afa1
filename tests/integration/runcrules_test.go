package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestPidfdSocketOfOthers: run and exec hand over a pidfd as create does (TestPidfdSocket).
func TestPidfdSocketOfOthers(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	of := func(flags ...string) (pid string, fd *os.File) {
		socket := c.consoleSocket()
		defer socket.listener.Close()
		c.rt(append([]string{flags[0], "--pidfd-socket", socket.path}, flags[1:]...)...).ok()
		term, _ := socket.receive()
		info, err := os.ReadFile("/proc/self/fdinfo/" + pidText(int(term.master.Fd())))
		c.must(err)
		return value(string(info), "Pid"), term.master
	}
	if got, _ := of("run", "--detach", "--bundle", c.bundle, c.id); got != pidText(c.pid()) {
		t.Errorf("run: the descriptor is of process %s, want %d", got, c.pid())
	}
	pidFile := filepath.Join(c.dir, "exec.pid")
	got, fd := of("exec", "--detach", "--pid-file", pidFile, c.id, "sleep", "900")
	if want := c.read("exec.pid"); got != want {
		t.Errorf("exec: the descriptor is of process %s, want %s", got, want)
	}
	c.must(unix.PidfdSendSignal(int(fd.Fd()), unix.SIGKILL, nil, 0))
	pid, err := strconv.Atoi(got)
	c.must(err)
	if code := reap(t, pid); code != 128+9 {
		t.Errorf("the process that the descriptor is of ended with %d", code)
	}
	c.execWith([]string{"--pidfd-socket", filepath.Join(c.dir, "nobody")}, "true").exits(255).says("no such file or directory").oneError()
}

// TestNoSubreaper: a foreground run is the parent of the container's orphans, unless told not to be.
func TestNoSubreaper(t *testing.T) {
	needRoot(t, "a user namespace without a pid namespace of its own may not mount a proc")
	t.Parallel()
	for _, flags := range [][]string{nil, {"--no-subreaper"}} {
		c := newContainer(t, script("(setsid sleep 900 &); exec sleep 1000"), namespace(specs.PIDNamespace, "-"))
		running := c.begin(call{args: c.with("run", flags...)})
		parent := ""
		eventually(t, "an orphan", func() bool {
			for _, p := range c.processes() {
				if cmdline, _ := os.ReadFile("/proc/" + pidText(p.pid) + "/cmdline"); string(cmdline) == "sleep\x00900\x00" {
					parent = value(procFile(t, p.pid, "status"), "PPid")
					return !strings.Contains(procFile(t, mustAtoi(t, parent), "cmdline"), "setsid")
				}
			}
			return false
		})
		if adopted := parent == pidText(running.cmd.Process.Pid); adopted != (flags == nil) {
			t.Errorf("run %v: the orphan's parent is %s, the runtime %d", flags, parent, running.cmd.Process.Pid)
		}
		c.kill("KILL").ok()
		running.wait().exits(128 + 9)
	}
}

// TestExecCgroups: on cgroup v1, --cgroup is repeated, for some controllers each time.
func TestExecCgroups(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	if onV2(t) {
		c.execWith([]string{"--cgroup", "a", "--cgroup", "b"}, "true").exits(255).oneError()
		return
	}
	for _, dir := range []string{"pids/a", "memory/a", "freezer/b"} {
		controller, name, _ := strings.Cut(dir, "/")
		c.must(os.Mkdir(filepath.Join(c.cgroup(controller), name), 0o755))
	}
	got := c.execWith([]string{"--cgroup", "pids,memory:a", "--cgroup", "freezer:/b"}, "cat", "/proc/self/cgroup").ok()
	for _, line := range []string{":pids:" + c.cgroupPath() + "/a\n", ":memory:" + c.cgroupPath() + "/a\n", ":freezer:" + c.cgroupPath() + "/b\n", ":blkio:" + c.cgroupPath() + "\n"} {
		if !strings.Contains(got.stdout, line) {
			t.Errorf("want %q: %s", line, got)
		}
	}
	c.execWith([]string{"--cgroup", "nosuch:a"}, "true").exits(255).says("nosuch").oneError()
	beside := c.cgroup("pids") + "-beside" // whose name begins as that of the container's
	c.must(os.Mkdir(beside, 0o755))
	defer func() { c.must(os.Remove(beside)) }()
	for _, path := range []string{"../" + filepath.Base(beside), ".."} {
		c.execWith([]string{"--cgroup", "pids:" + path}, "true").exits(255).says(path).oneError()
	}
	c.execWith([]string{"--cgroup", "pids:a", "--cgroup", "pids:b"}, "true").exits(255).oneError()
}

// TestPauseCreated: a container that is created can be paused; it is started after it was resumed.
func TestPauseCreated(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create().ok()
	c.rt("pause", c.id).ok()
	if got := c.status(); got != "paused" {
		t.Errorf("after pause: %s", got)
	}
	c.start().fails("cannot start a container in the paused state").oneError()
	c.rt("resume", c.id).ok()
	if got := c.status(); got != "created" {
		t.Errorf("after resume: %s", got)
	}
	c.start().ok()
	c.awaitStatus("running")
}

// TestDeleteStillRunning: what cannot be killed is an error after ten seconds, and stays a container. In cgroup v1 the
// processes of a cgroup whose parent is frozen cannot.
func TestDeleteStillRunning(t *testing.T) {
	t.Parallel()
	if onV2(t) {
		t.Skip("with cgroup v2 a frozen process can be killed")
	}
	onlyFileDriver(t, "a cgroup in another")
	c := newContainer(t)
	parent := c.cgroup("freezer")
	c.spec.Linux.CgroupsPath += "/in"
	c.write()
	c.up()
	eventually(t, "the program", func() bool { return strings.HasPrefix(c.proc("cmdline"), "sleep") })
	freeze := func(state string) { c.must(os.WriteFile(filepath.Join(parent, "freezer.state"), []byte(state), 0)) }
	freeze("FROZEN")
	defer func() { _ = os.WriteFile(filepath.Join(parent, "freezer.state"), []byte("THAWED"), 0) }() // if the test fails
	c.delete("--force").fails("container init still running").oneError()
	c.rt("list", "-q").ok().prints(c.id)
	freeze("THAWED")
	c.delete("--force").ok()
	for _, dir := range c.cgroupDirs() { // the parent, which nobody made by name
		c.must(os.Remove(dir))
	}
}

func mustAtoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPoststopIsLast: poststop hooks run when the cgroup and the container's directory are gone.
func TestPoststopIsLast(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.hooks(specs.Hooks{Poststop: []specs.Hook{c.hook("ls " + c.root + " > $D/left; ls -d " + c.cgroup("pids") + " >> $D/left; echo end >> $D/left")}})
	c.up().stopped().delete().ok()
	if got := c.read("left"); got != "end\n" {
		t.Errorf("while poststop hooks ran there was still %q", got)
	}
}

// TestOOMOfCreate: too little memory for the process that is to become the program.
func TestOOMOfCreate(t *testing.T) {
	t.Parallel()
	rtOnly(t, "`container init was OOM-killed")
	c := newContainer(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(4096), Swap: i64(4096)}}))
	c.create().fails("container init was OOM-killed (memory limit too low?)").oneError()
	if left := c.leftovers(false); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestExecSchedules: scheduler, I/O priority and personality are those of a process in exec, too.
func TestExecSchedules(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	}).up()
	pidFile := filepath.Join(c.dir, "exec.pid")
	c.execWith([]string{"--detach", "--pid-file", pidFile}, "sleep", "900").ok()
	pid := mustAtoi(t, c.read("exec.pid"))
	attr, err := unix.SchedGetAttr(pid, 0)
	c.must(err)
	if attr.Policy != unix.SCHED_BATCH || attr.Nice != 5 {
		t.Errorf("scheduler: %+v", attr)
	}
	if got, _, e := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0); e != 0 || got>>13 != 3 {
		t.Errorf("I/O priority %#x, %v", got, e)
	}
	if got := strings.TrimSpace(procFile(t, pid, "personality")); got != "00000008" {
		t.Errorf("personality %s", got)
	}
}

// TestEventsLayoutOfContainer: the names that containerd decodes, and their types.
func TestEventsLayoutOfContainer(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	var e map[string]any
	c.must(json.Unmarshal([]byte(c.rt("events", "--stats", c.id).ok().stdout), &e))
	if e["type"] != "stats" || e["id"] != c.id {
		t.Fatalf("%v", e)
	}
	for path, kind := range map[string]string{
		"cpu/usage/total": "float64", "cpu/usage/kernel": "float64", "cpu/usage/user": "float64", "cpu/throttling": "map[string]interface {}",
		"memory/usage/limit": "float64", "memory/usage/usage": "float64", "memory/usage/failcnt": "float64", "memory/swap/limit": "float64",
		"memory/kernel": "map[string]interface {}", "memory/kernelTCP": "map[string]interface {}", "memory/raw": "map[string]interface {}",
		"pids/current": "float64", "cpuset": "map[string]interface {}", "blkio": "map[string]interface {}", "hugetlb": "map[string]interface {}",
		"intel_rdt": "map[string]interface {}", "network_interfaces": "<nil>",
	} {
		var at any = e["data"]
		for _, name := range strings.Split(path, "/") {
			object, _ := at.(map[string]any)
			var there bool
			if at, there = object[name]; !there && name == "throttling" && differs(t, "events: data with cpu") {
				at = map[string]any{}
			} else if !there {
				t.Errorf("no %s", path)
			}
		}
		if got := fmt.Sprintf("%T", at); got != kind && (path != "hugetlb" || at != nil) {
			t.Errorf("%s is %s, want %s", path, got, kind)
		}
	}
}

// TestCallsOfEngines: the command lines of containerd's shim, conmon, Podman and CRI-O.
func TestCallsOfEngines(t *testing.T) {
	t.Parallel()
	t.Run("containerd", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		log := filepath.Join(c.bundle, "log.json")
		shim := func(args ...string) result {
			return c.do(call{bare: true, global: []string{"--root", c.root, "--log", log, "--log-format", "json", "--rootless=false"}, args: args})
		}
		shim("create", "--bundle", c.bundle, "--pid-file", filepath.Join(c.bundle, "init.pid"), "--no-pivot", "--no-new-keyring", c.id).ok()
		pid := mustAtoi(t, c.read("b/init.pid"))
		shim("start", c.id).ok()
		process := c.file("process.json", `{"user":{"uid":0,"gid":0},"args":["sleep","900"],"env":["PATH=/bin"],"cwd":"/"}`, 0o600)
		shim("exec", "--process", process, "--detach", "--pid-file", filepath.Join(c.bundle, "e1.pid"), c.id).ok()
		one := mustAtoi(t, c.read("b/e1.pid"))
		shim("ps", "--format", "json", c.id).ok()
		shim("ps", "--format", "table", c.id, "-opid,args").ok()
		shim("pause", c.id).ok()
		shim("resume", c.id).ok()
		c.do(call{bare: true, stdin: strings.NewReader(`{"pids":{"limit":77}}`), global: []string{"--root", c.root, "--log", log, "--log-format", "json"}, args: []string{"update", "--resources=-", c.id}}).ok()
		c.check("update", limitFile{"pids/pids.max", "77", "pids.max", "77"})
		shim("events", "--stats", c.id).ok()
		shim("state", c.id).ok()
		shim("kill", c.id, "9").ok()
		reap(t, pid)
		reap(t, one)
		shim("kill", "--all", c.id, "9").ok()
		shim("kill", c.id, "9").fails("container not running")
		shim("delete", c.id).ok()
		shim("delete", "--force", c.id).ok()
		shim("delete", c.id).fails("does not exist")
		records := c.records("b/log.json")
		if last := records[len(records)-1]; last.Level != "error" || last.Msg != "container does not exist" {
			t.Errorf("last record %+v", last)
		}
		c.rt("run", "-no-subreaper", "-bundle", c.bundle, "-detach", c.id).ok()
	})
	t.Run("conmon and podman", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		podman := func(args ...string) result {
			return c.do(call{bare: true, global: []string{"--root", c.root}, args: args})
		}
		podman("create", "--bundle", c.bundle, "--pid-file", filepath.Join(c.dir, "pidfile"), c.id).ok()
		podman("start", c.id).ok()
		process := c.file("process.json", `{"user":{"uid":0,"gid":0},"args":["sh","-c","exit 0"],"env":["PATH=/bin"],"cwd":"/","terminal":false}`, 0o600)
		podman("exec", "--pid-file", filepath.Join(c.dir, "exec_pid"), "--process", process, "--detach", c.id).ok()
		if code := reap(t, mustAtoi(t, c.read("exec_pid"))); code != 0 {
			t.Errorf("exec ended with %d", code)
		}
		podman("pause", c.id).ok()
		podman("resume", c.id).ok()
		podman("update", "--resources="+c.file("resources.json", `{"pids":{"limit":78}}`, 0o600), c.id).ok()
		podman("kill", c.id, "0").ok()
		podman("kill", c.id, "9").ok()
		c.awaitStatus("stopped")
		podman("delete", "--force", c.id).ok()
	})
	t.Run("CRI-O", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t).up()
		crio := func(args ...string) result {
			return c.do(call{bare: true, global: []string{"--root", c.root}, args: args})
		}
		crio("exec", "--process", c.file("process.json", `{"user":{"uid":0,"gid":0},"args":["true"],"env":["PATH=/bin"],"cwd":"/"}`, 0o600), c.id).ok()
		c.do(call{bare: true, stdin: strings.NewReader(`{"pids":{"limit":79}}`), global: []string{"--root", c.root}, args: []string{"update", "--resources", "-", c.id}}).ok()
		crio("kill", c.id, "KILL").ok()
		c.awaitStatus("stopped")
		crio("kill", c.id, "SIGTERM").fails("container not running")
		crio("delete", "--force", c.id).ok()
		crio("state", c.id).exits(1)
		crio("features").ok()
	})
}
