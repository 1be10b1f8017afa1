package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Containers without a cgroup namespace, on cgroup v2: those of root see the whole hierarchy.

// hostCgroups is a container that may write to the host's cgroups.
func hostCgroups(s *specs.Spec) {
	namespace(specs.CgroupNamespace, "-")(s)
	for i := range s.Mounts {
		if s.Mounts[i].Type == "cgroup" {
			s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", "relatime", "rw"}
		}
	}
}

// TestHostCgroupsAreShown: all of them, writable only where the mount and the user's rights are; and none of it changes the
// options of the host's own mount.
func TestHostCgroupsAreShown(t *testing.T) {
	needV2(t)
	needRoot(t, "containers of an ordinary user see their own cgroup (TestCgroupMount)")
	t.Parallel()
	before := cgroupOptions(t)
	for name, c := range map[string]*container{
		"ro":             newContainer(t, namespace(specs.CgroupNamespace, "-")),
		"rw":             newContainer(t, hostCgroups),
		"user namespace": newContainer(t, hostCgroups, mapped),
	} {
		c.up()
		own := c.cgroup("")
		if got := c.sh("sed s/0::// /proc/self/cgroup"); got != c.cgroupPath() {
			t.Errorf("%s: /proc/self/cgroup: %s", name, got)
		}
		if got := c.sh("head -n 1 " + own + "/cgroup.procs; test -e /sys/fs/cgroup/cgroup.subtree_control && test ! -e /sys/fs/cgroup/cgroup.type && echo root"); got != "1\nroot" {
			t.Errorf("%s: %q", name, got)
		}
		if made := c.exec("mkdir", own+"/sub").code == 0; made != (name == "rw") {
			t.Errorf("%s: a cgroup below could be made: %v", name, made)
		}
		if m := c.mountAt("/sys/fs/cgroup"); m.fstype != "cgroup2" || !m.has("nosuid") || !m.has("nodev") || m.has("ro") != (name == "ro") {
			t.Errorf("%s: %+v", name, m)
		}
	}
	if after := cgroupOptions(t); after != before {
		t.Errorf("the host's mount: %s, was %s", after, before)
	}
}

// cgroupOptions are those of the host's file system.
func cgroupOptions(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(procFile(t, os.Getpid(), "mountinfo")) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == cgroupRoot {
			return fields[len(fields)-1]
		}
	}
	t.Fatal("no mount at " + cgroupRoot)
	return ""
}

// TestExecFollowsInitElsewhere: to a cgroup that is not below the container's, also when that is gone; not where --cgroup names
// another.
func TestExecFollowsInitElsewhere(t *testing.T) {
	needV2(t)
	needRoot(t, "containers of an ordinary user cannot leave their cgroup")
	t.Parallel()
	for name, edit := range map[string]func(*specs.Spec){"": func(*specs.Spec) {}, "without a pid namespace": namespace(specs.PIDNamespace, "-")} {
		c := newContainer(t, hostCgroups, capable("CAP_DAC_OVERRIDE"), edit) // the directory of the root has mode 0555
		elsewhere := filepath.Join(cgroupRoot, "rt-test-elsewhere-"+c.id)
		t.Cleanup(func() { _ = os.Remove(elsewhere) })
		c.up()
		pid := "1"
		if name != "" {
			pid = pidText(c.pid())
		}
		c.sh("mkdir " + elsewhere + " && echo " + pid + " >" + elsewhere + "/cgroup.procs")
		// As runc, exec goes to the configured cgroup while that is there, and systemd ends an empty scope.
		eventually(t, "the container's cgroup to be gone", func() bool { _ = os.Remove(c.cgroup("")); return !exists(c.cgroup("")) })
		want := "0::/" + filepath.Base(elsewhere)
		c.exec("cat", "/proc/self/cgroup").ok().prints(want)
		c.execWith([]string{"--user", "1000:1000"}, "cat", "/proc/self/cgroup").ok().prints(want)
		c.execWith([]string{"--cgroup", "sub"}, "true").exits(255)
		if c.status() != "running" {
			t.Errorf("%s: %s", name, c.status())
		}
		if name != "" && differs(t, "KILL without a pid namespace ends every process") {
			c.must(unix.Kill(c.pid(), unix.SIGKILL))
			c.awaitStatus("stopped")
		}
		c.delete("--force").ok()
		eventually(t, "the other cgroup to be empty", func() bool { return os.Remove(elsewhere) == nil || !exists(elsewhere) })
	}
}

// TestNestedWriter: an engine in a container, as a kubelet, makes cgroups with limits where /proc/self/cgroup says that it is, and
// they go with the container.
func TestNestedWriter(t *testing.T) {
	needV2(t)
	needRoot(t, "the host's hierarchy is written to")
	t.Parallel()
	c := newContainer(t, hostCgroups, script(`set -e
		own=/sys/fs/cgroup$(sed s/0::// /proc/self/cgroup)
		mkdir $own/init $own/kubepods $own/kubepods/pod1
		echo 1 >$own/init/cgroup.procs
		echo +pids +memory >$own/cgroup.subtree_control
		echo +pids +memory >$own/kubepods/cgroup.subtree_control
		echo 7 >$own/kubepods/pod1/pids.max
		sleep 1000 &
		echo $! >$own/kubepods/pod1/cgroup.procs
		echo ready >/dev/shm/ready
		wait`)).up()
	eventually(t, "the writer", func() bool { return c.exec("test", "-e", "/dev/shm/ready").code == 0 })
	path := c.cgroupPath()
	if got := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(c.cgroup(""), "kubepods/pod1/pids.max"))))); got != "7" {
		t.Errorf("pids.max of the pod: %s", got)
	}
	if got := strings.Fields(string(must(os.ReadFile(filepath.Join(c.cgroup(""), "kubepods/pod1/cgroup.procs"))))); len(got) != 1 {
		t.Errorf("processes of the pod: %q", got)
	}
	c.exec("cat", "/proc/self/cgroup").ok().prints("0::" + path + "/init")
	c.delete("--force").ok()
	if exists(c.cgroup("")) {
		t.Error("the cgroup is left")
	}
}
