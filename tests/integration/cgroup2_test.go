package integration

import (
	"os"
	"path/filepath"
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
	c.execWith([]string{"--cgroup", "../x"}, "true").exits(255).says("is not a sub cgroup path").oneError()
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
