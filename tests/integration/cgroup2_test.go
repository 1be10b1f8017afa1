package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// needV2 leaves out what only a host with nothing but cgroup v2 can show; make test-vm has one.
func needV2(t *testing.T) {
	t.Helper()
	if !onV2(t) {
		t.Skip("the controllers of this host are not in cgroup v2")
	}
}

// subCgroup makes a cgroup below the container's, moves init there and enables controllers for it, as an init that
// manages cgroups does. The container's own cgroup can hold no process then.
func (c *container) subCgroup(name string) {
	c.t.Helper()
	dir := c.cgroup("")
	c.must(os.Mkdir(filepath.Join(dir, name), 0o755))
	c.must(os.WriteFile(filepath.Join(dir, name, "cgroup.procs"), []byte(pidText(c.pid())), 0))
	c.must(os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+pids"), 0))
}

// TestExecWhereInitWent: exec follows init into a sub-cgroup; --cgroup names another.
func TestExecWhereInitWent(t *testing.T) {
	needV2(t)
	t.Parallel()
	c := newContainer(t).up()
	path := c.cgroupPath()
	c.exec("cat", "/proc/self/cgroup").ok().prints("0::" + path)
	c.subCgroup("init.scope")
	c.exec("cat", "/proc/self/cgroup").ok().prints("0::" + path + "/init.scope")
	c.must(os.Mkdir(filepath.Join(cgroupRoot, path, "other"), 0o755))
	c.execWith([]string{"--cgroup", "other"}, "cat", "/proc/self/cgroup").ok().prints("0::" + path + "/other")
	c.execWith([]string{"--cgroup", "/"}, "true").exits(255).says("join cgroup", "device or resource busy").oneError()
	c.execWith([]string{"--cgroup", "none"}, "true").exits(255).says("no such file or directory").oneError()
	c.execWith([]string{"--cgroup", "../x"}, "true").exits(255).says("bad sub cgroup path: ../x").oneError()
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
	c.delete().ok()
}

// TestCgroupOwner: a container with a user and a cgroup namespace and a writable mount manages its cgroup, and cannot
// change its limits.
func TestCgroupOwner(t *testing.T) {
	needV2(t)
	t.Parallel()
	cgroupMount := func(options ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			for i := range s.Mounts {
				if s.Mounts[i].Type == "cgroup" {
					s.Mounts[i].Options = append([]string{"nosuid", "noexec", "nodev"}, options...)
				}
			}
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}
	}
	owned := func(c *container, name string) uint32 {
		var st unix.Stat_t
		c.must(unix.Lstat(filepath.Join(c.cgroup(""), name), &st))
		return st.Uid
	}
	c := newMapped(t, cgroupMount("rw"), limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(50)}})).up()
	for name, want := range map[string]uint32{"": 100000, "cgroup.procs": 100000, "cgroup.threads": 100000, "cgroup.subtree_control": 100000, "pids.max": 0, "memory.max": 0, "cgroup.freeze": 0} {
		if got := owned(c, name); got != want {
			t.Errorf("%q belongs to %d, want %d", name, got, want)
		}
	}
	c.exec("sh", "-c", "mkdir /sys/fs/cgroup/sub && echo 0 > /sys/fs/cgroup/sub/cgroup.procs && cat /proc/self/cgroup").ok().prints("0::/sub")
	c.exec("sh", "-c", "echo max > /sys/fs/cgroup/pids.max").fails("ermission denied")
	c = newMapped(t, cgroupMount("ro")).up()
	if got := owned(c, ""); got != 0 {
		t.Errorf("with a read-only mount it belongs to %d", got)
	}
	c = newMapped(t, cgroupMount("rw"), namespace(specs.CgroupNamespace, "-")).up()
	if got := owned(c, ""); got != 0 {
		t.Errorf("without a cgroup namespace it belongs to %d", got)
	}
}

// TestLimitWithoutController: a parent that holds processes cannot give controllers to the container: a limit is
// refused with the reason, and without limits the container runs.
func TestLimitWithoutController(t *testing.T) {
	onlyFileDriver(t, "a scope has no unit below it")
	needV2(t)
	t.Parallel()
	parent := newContainer(t).up()
	below := func(s *specs.Spec) { s.Linux.CgroupsPath = parent.spec.Linux.CgroupsPath + "/child" }
	c := newContainer(t, limited(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i64(5)}}), below)
	r := c.create().fails("controller pids is not available: /linux/resources/pids/limit cannot be applied").oneError()
	if !strings.Contains(r.stderr, "a cgroup with processes of its own cannot have controllers below it") {
		t.Errorf("no hint: %s", r)
	}
	c = newContainer(t, below).up()
	c.exec("cat", "/proc/self/cgroup").ok().prints("0::" + c.spec.Linux.CgroupsPath)
	c.delete("--force").ok()
}

// frozenVerb has a verb hang in a frozen cgroup below the container's, where init went, and deletes the container by force from beside.
func frozenVerb(t *testing.T, edit func(*specs.Spec), verb func(c *container) []string) {
	needV2(t)
	needRoot(t, "a cgroup is made below the container's")
	c := newContainer(t, edit).up()
	c.subCgroup("sub")
	file := filepath.Join(c.cgroup(""), "sub", "cgroup.freeze")
	c.must(os.WriteFile(file, []byte("1"), 0))
	t.Cleanup(func() { _ = os.WriteFile(file, []byte("0"), 0) })
	r := c.begin(call{args: verb(c)})
	// It holds the container's lock as long as what it has put into the container is frozen.
	eventually(t, "a verb that works in the frozen cgroup", func() bool {
		pids, _ := os.ReadFile(filepath.Join(c.cgroup(""), "sub", "cgroup.procs"))
		return strings.Count(string(pids), "\n") > 1
	})
	c.delete("--force").ok()
	r.wait() // it may have been thawed in time to succeed
}

// TestFrozenWhereInitWent: mounts add, and exec, follow init into a cgroup that is frozen.
func TestFrozenWhereInitWent(t *testing.T) {
	mounts := func(c *container) []string {
		return []string{"mounts", "add", c.id, c.file("mounts.json", `[{"destination":"/mnt","type":"tmpfs","source":"tmpfs"}]`, 0o600)}
	}
	exec := func(c *container) []string { return []string{"exec", "--ignore-paused", c.id, "true"} }
	hostPids := func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.PIDNamespace })
	}
	t.Run("mounts add", func(t *testing.T) { frozenVerb(t, writable, mounts) })
	t.Run("mounts add, host's pids", func(t *testing.T) {
		frozenVerb(t, func(s *specs.Spec) { writable(s); hostPids(s) }, mounts)
	})
	t.Run("exec", func(t *testing.T) { frozenVerb(t, writable, exec) })
}

// TestStarvedBelow: a cgroup below the container's has a hundredth of a percent of a CPU, and much memory to give back: its end would
// take minutes.
func TestStarvedBelow(t *testing.T) {
	needV2(t)
	needRoot(t, "a cgroup is made below the container's")
	c := newContainer(t, writable, script("head -c 200000000 /dev/zero > /dev/shm/x; echo > /ready; exec sleep 100000"), func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"size=300m"}})
	}).up()
	c.awaitFile("b/rootfs/ready")
	dir := c.cgroup("")
	c.must(os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+cpu"), 0))
	c.must(os.MkdirAll(filepath.Join(dir, "sub/deeper"), 0o755))
	c.must(os.WriteFile(filepath.Join(dir, "sub/deeper/cgroup.procs"), []byte(pidText(c.pid())), 0))
	for _, parent := range []string{"", "sub"} {
		c.must(os.WriteFile(filepath.Join(dir, parent, "cgroup.subtree_control"), []byte("+cpu"), 0))
	}
	for _, d := range []string{"sub", "sub/deeper"} {
		c.must(os.WriteFile(filepath.Join(dir, d, "cpu.max"), []byte("1000 1000000"), 0))
	}
	c.delete("--force").ok()
	if n := c.leftovers(false); len(n) > 0 {
		t.Errorf("left: %v", n)
	}
}
