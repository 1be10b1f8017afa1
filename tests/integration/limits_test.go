package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Limits by what they do to a process, on cgroup v1 and on v2.

// limitPath is a file of the container's cgroup, of a v1 controller or of v2.
func (c *container) limitPath(controller, v1, v2 string) string {
	if onV2(c.t) {
		return filepath.Join(c.cgroup(""), v2)
	}
	return filepath.Join(c.cgroup(controller), v1)
}

// number reads one number, alone in a file or behind a key.
func (c *container) number(file, key string) int64 {
	c.t.Helper()
	data, err := os.ReadFile(file)
	c.must(err)
	text := strings.TrimSpace(string(data))
	if key != "" {
		text = value(text, key)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	c.must(err)
	return n
}

// TestMemoryHogIsKilled: the kernel kills what uses too much; status and count say so.
func TestMemoryHogIsKilled(t *testing.T) {
	t.Parallel()
	limit := i64(16 << 20)
	c := newContainer(t, limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: limit, Swap: limit}}),
		script("x=x; while :; do x=$x$x; done"))
	c.run("--keep").exits(137)
	if underSystemd() {
		return // a scope ends with its last process, and its counts with it
	}
	if file := c.limitPath("memory", "memory.oom_control", "memory.events"); c.number(file, "oom_kill ") < 1 {
		t.Error("no kill is counted")
	}
}

// TestQuota: a busy loop uses up its quota, again and again; one without a quota is never held up.
func TestQuota(t *testing.T) {
	t.Parallel()
	loop := script("while :; do :; done")
	c := newContainer(t, limited(specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: i64(10_000), Period: u64(200_000)}}), loop).up()
	eventually(t, "the loop to be throttled five times", func() bool { _, _, n := c.cpuCounts(); return n >= 5 })
	free := newContainer(t, limited(specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: u64(512)}}), loop).up()
	eventually(t, "a tenth of a second for a loop without a quota", func() bool { total, _, _ := free.cpuCounts(); return total > 1e8 })
	if total, _, n := free.cpuCounts(); n != 0 {
		t.Errorf("without a quota: throttled %d times in %d ns", n, total)
	}
}

// TestForkBomb: it stops at the limit, and can be killed.
func TestForkBomb(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(20)}}),
		script("bomb() { bomb | bomb & }; bomb 2>/dev/null; exec sleep 1000")).up()
	eventually(t, "the limit to be hit", func() bool { return c.number(c.limitPath("pids", "pids.events", "pids.events"), "max") > 0 })
	for range 100 {
		if n := c.number(c.limitPath("pids", "pids.current", "pids.current"), ""); n > 20 {
			t.Fatalf("%d processes with a limit of 20", n)
		}
	}
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
	c.delete().ok()
}

// TestSmallestPidsLimits: a process that may not fork at all is a container; exec gets in, as the limit is on forks.
func TestSmallestPidsLimits(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{0, 1} {
		t.Run(strconv.FormatInt(limit, 10), func(t *testing.T) {
			c := newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}), script("sleep 1 & echo forked"))
			c.run().exits(2).says("can't fork")
			rtOnly(t, "512 KiB of memory")
			c = newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}})).up()
			c.exec("echo", "in").ok().prints("in")
			c.exec("sh", "-c", "sleep 1 & echo forked").exits(2).says("can't fork")
			if got, want := c.exec("cat", "/proc/self/cgroup").ok().out(), strings.TrimSpace(c.proc("cgroup")); got != want {
				t.Errorf("exec is in\n%s\ninit in\n%s", got, want)
			}
			if n := c.number(c.limitPath("pids", "pids.max", "pids.max"), ""); n != 1 { // 0 is written as 1
				t.Errorf("pids.max %d", n)
			}
		})
	}
}

// TestPidsLimitOfZero: in config.json and for update, where it is a limit, too, 0 is 1; -1 is none.
func TestPidsLimitOfZero(t *testing.T) {
	t.Parallel()
	c := newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(0)}})).up()
	check := func(when, want string) {
		t.Helper()
		c.check(when, limitFile{"pids/pids.max", want, "pids.max", want})
		if underSystemd() {
			c.properties("TasksMax=" + strings.Replace(want, "max", "infinity", 1))
		}
	}
	check("create", "1")
	for _, step := range [][2]string{{"5", "5"}, {"0", "1"}, {"-1", "max"}, {"0x10", "16"}} {
		c.update("--pids-limit", step[0]).ok()
		check("--pids-limit "+step[0], step[1])
	}
	c.do(call{args: []string{"update", "-r", "-", c.id}, stdin: strings.NewReader(`{"pids":{"limit":0}}`)}).ok()
	check("pids.limit 0", "1")
	for _, bad := range []string{"1.5", "x", "99999999999999999999"} {
		if r := c.update("--pids-limit", bad); r.code == 0 || !strings.Contains(r.stderr, "pids-limit") {
			t.Errorf("--pids-limit %s: %s", bad, r)
		}
		check("--pids-limit "+bad, "1")
	}
}

// TestDeviceLetters: letters of a device rule that are none of r, w and m mean nothing; a rule without one of these is an error.
func TestDeviceLetters(t *testing.T) {
	needRoot(t, "only root loads device programs and makes device nodes")
	t.Parallel()
	rule := func(access string) func(*specs.Spec) {
		return limited(specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: i64(10), Minor: i64(229), Access: access}}})
	}
	c := newContainer(t, writable, capable("CAP_MKNOD"), rule("ra")).up()
	c.sh("mknod /fuse c 10 229")
	c.exec("sh", "-c", ": </fuse").ok()
	c.exec("sh", "-c", ": >/fuse").exits(1).says("Operation not permitted")
	for _, doc := range []string{`{"devices":[{"allow":true,"type":"c","major":10,"minor":229,"access":"rwa"}]}`, `{"devices":[{"allow":true,"access":""}]}`} {
		c.do(call{args: []string{"update", "-r", "-", c.id}, stdin: strings.NewReader(doc)}).ok()
		c.exec("sh", "-c", ": >/fuse").exits(1).says("Operation not permitted")
	}
	bad := newContainer(t, rule(""))
	bad.create().fails("device", "access").oneError()
	if exists(filepath.Join(bad.root, bad.id)) || len(bad.cgroupDirs()) > 0 {
		t.Errorf("left: %s, %q", bad.id, bad.cgroupDirs())
	}
}

// TestDeviceAccess: EPERM for a denied device, for the denied way of opening another, and not for an allowed one.
func TestDeviceAccess(t *testing.T) {
	needRoot(t, "only root loads device programs and makes device nodes")
	t.Parallel()
	c := newContainer(t, writable, capable("CAP_MKNOD"), limited(specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Major: i64(1), Minor: i64(11), Access: "rw"},
		{Allow: false, Type: "c", Major: i64(1), Minor: i64(11), Access: "r"},
	}})).up()
	c.sh("mknod /kmsg c 1 11; mknod /vcs c 7 0; mknod /zero c 1 5; mknod /disk b 254 0")
	for _, allowed := range []string{": >/kmsg", ": </zero", ": </dev/null", ": >/dev/null"} {
		c.exec("sh", "-c", allowed).ok()
	}
	for _, denied := range []string{": </kmsg", ": </vcs", ": </disk"} {
		c.exec("sh", "-c", denied).exits(1).says("Operation not permitted")
	}
}

// TestFrozenMakesNoProgress: and SIGKILL still ends it.
func TestFrozenMakesNoProgress(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script("while :; do echo >>/ticks; done")).up()
	ticks := func() int64 {
		st, err := os.Stat(filepath.Join(c.rootfs, "ticks"))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	eventually(t, "ticks", func() bool { return ticks() > 100 })
	if r := c.rt("pause", c.id); r.code != 0 && differs(t, "pause of processes that fork") {
		r.fails("unable to freeze")
		return
	} else {
		r.ok()
	}
	before := ticks()
	time.Sleep(200 * time.Millisecond)
	if after := ticks(); after != before {
		t.Errorf("%d ticks while frozen", after-before)
	}
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
}

// hostCommand runs a program of the host and gives all of its output.
func hostCommand(name string, args ...string) (string, error) {
	var out strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := orphans.Start(cmd)
	if err == nil {
		err = orphans.Wait(cmd)
	}
	return out.String(), err
}

// loopDisk is a block device of the test's own.
func loopDisk(t *testing.T, dir string) (path, major, minor string) {
	t.Helper()
	image := filepath.Join(dir, "disk")
	if err := os.WriteFile(image, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	path = attachLoop(t, image)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return path, strconv.Itoa(int(unix.Major(st.Rdev))), strconv.Itoa(int(unix.Minor(st.Rdev)))
}

// attachLoop makes a file a block device until the test ends. args are losetup's, the file the last of them.
func attachLoop(t *testing.T, args ...string) (path string) {
	t.Helper()
	out, err := hostCommand("losetup", append([]string{"-f", "--show"}, args...)...)
	if err != nil {
		t.Skipf("no loop device on this host: %v: %s", err, out)
	}
	path = strings.TrimSpace(out)
	t.Cleanup(func() {
		if out, err := hostCommand("losetup", "-d", path); err != nil {
			t.Errorf("losetup -d %s: %v: %s", path, err, out)
		}
	})
	return path
}

// TestThrottle: the limit is in the kernel's file, and writing 4 MiB past the page cache takes at least as long as 2 MiB a second
// allow. How long it takes without a limit is the machine's affair.
func TestThrottle(t *testing.T) {
	_, majorText, minorText := loopDisk(t, t.TempDir())
	major, _ := strconv.ParseInt(majorText, 10, 64)
	minor, _ := strconv.ParseInt(minorText, 10, 64)
	throttle := specs.LinuxThrottleDevice{Rate: 2 << 20}
	throttle.Major, throttle.Minor = major, minor
	c := newContainer(t, writable, capable("CAP_MKNOD"), limited(specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "b", Major: &major, Minor: &minor, Access: "rw"}},
		BlockIO: &specs.LinuxBlockIO{ThrottleWriteBpsDevice: []specs.LinuxThrottleDevice{throttle}},
	})).up()
	file, want := c.limitPath("blkio", "blkio.throttle.write_bps_device", "io.max"), fmt.Sprintf("%d:%d 2097152", major, minor)
	if onV2(t) {
		want = fmt.Sprintf("%d:%d rbps=max wbps=2097152", major, minor)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), want) {
		t.Errorf("%s: %q, %v, want %q", file, text, err, want)
	}
	c.sh(fmt.Sprintf("mknod /disk b %d %d", major, minor))
	began := time.Now()
	c.exec("dd", "if=/dev/zero", "of=/disk", "bs=64k", "count=64", "oflag=direct").ok()
	if took := time.Since(began); took < 1700*time.Millisecond {
		t.Errorf("4 MiB at 2 MiB/s took %v", took)
	}
}

// TestNetworkClass: the container's processes have the class.
func TestNetworkClass(t *testing.T) {
	if onV2(t) {
		t.Skip("cgroup v2 has no net_cls")
	}
	class := uint32(0x00100001)
	classed := func(s *specs.Spec) { s.Linux.Resources.Network = &specs.LinuxNetwork{ClassID: &class} }
	dir := filepath.Join(cgroupRoot, "net_cls")
	if !exists(dir) {
		rtOnly(t, "cgroup v1: hierarchies are found")
		dir = ownNetworkClass(t)
	}
	c := newContainer(t, classed).up()
	if got := c.number(filepath.Join(dir, c.cgroupPath(), "net_cls.classid"), ""); got != int64(class) {
		t.Errorf("net_cls.classid %#x", got)
	}
	_, text, _ := strings.Cut(c.proc("cgroup"), ":net_cls") // ",net_prio"
	if line, _, _ := strings.Cut(text, "\n"); !strings.HasSuffix(line, ":"+c.cgroupPath()) {
		t.Errorf("init's cgroups:\n%s", c.proc("cgroup"))
	}
	c.delete("--force").ok()
	if entries, err := filepath.Glob(dir + "/rt-*"); err != nil || len(entries) > 0 {
		t.Errorf("left: %v %v", entries, err)
	}
}

// ownNetworkClass mounts net_cls for this test alone.
func ownNetworkClass(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and its mount namespace with it
	for _, err := range []error{unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "net_cls to be free", func() bool { return unix.Mount("cgroup", dir, "cgroup", 0, "net_cls") == nil })
	t.Cleanup(func() { leaveHierarchy(t, "net_cls", dir) })
	return dir
}

// leaveHierarchy unmounts a v1 hierarchy so that it ends. The kernel keeps one whose removed cgroups still count as
// children, until an RCU grace period is over: then it takes another mount and unmount.
func leaveHierarchy(t *testing.T, controller, dir string) {
	t.Helper()
	bound := func() bool { return strings.Contains(procFile(t, os.Getpid(), "cgroup"), ":"+controller+":") }
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if !bound() {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := unix.Mount("cgroup", dir, "cgroup", 0, controller); err != nil {
			t.Fatal(err)
		}
	}
	t.Errorf("the hierarchy of %s does not end", controller)
}

// TestRelativeCgroupsPath: a relative path starts at the caller's own cgroup, or on v2, where a cgroup with processes
// has none with controllers below it, beside it.
func TestRelativeCgroupsPath(t *testing.T) {
	onlyFileDriver(t, "systemd's paths have a form of their own")
	needRoot(t, "a cgroup is made at the top")
	t.Parallel()
	c := newContainer(t)
	own := "/rt-test-" + c.id + "-own"
	join := ""
	roots := []string{cgroupRoot}
	if !onV2(t) {
		roots = []string{cgroupRoot + "/memory", cgroupRoot + "/pids"}
	}
	for _, root := range roots {
		c.must(os.MkdirAll(root+own+"/caller", 0o755))
		t.Cleanup(func() {
			_ = os.Remove(root + own + "/caller")
			if err := os.Remove(root + own); err != nil {
				t.Error(err)
			}
		})
		join += "echo 0 > " + root + own + "/caller/cgroup.procs; "
	}
	name := "rt-test-" + c.id + "-rel"
	c.spec.Linux.CgroupsPath = name
	c.write()
	c.prefix = []string{"sh", "-c", join + `exec "$@"`, "sh"}
	c.up()
	want := own + "/" + name + "\n"
	if !onV2(t) {
		want = ":pids:" + own + "/caller/" + name + "\n"
	}
	if text := c.proc("cgroup"); !strings.Contains(text, want) {
		t.Errorf("init is in\n%s\nwant %s", text, want)
	}
	c.delete("--force").ok()
	for _, root := range roots {
		for _, dir := range []string{"/caller/", "/"} {
			if _, err := os.Stat(root + own + dir + name); err == nil {
				t.Errorf("%s is left", root+own+dir+name)
			}
		}
	}
}
