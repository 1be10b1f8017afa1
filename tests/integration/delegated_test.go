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

// delegate makes a cgroup with a cgroup "session" in it, both on v2, and gives the ordinary user the session and, if
// all is set, what it takes to make others beside it. The container's calls of the runtime are made from there.
func (c *container) delegate(all bool) (parent string) {
	c.t.Helper()
	var st unix.Statfs_t
	c.must(unix.Statfs("/sys/fs/cgroup", &st))
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		c.t.Skip("this host has no controllers on cgroup v2: there is nothing to delegate")
	}
	_ = os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory +pids"), 0) // or whoever is its owner has
	parent = filepath.Join("/sys/fs/cgroup", "rt-test-user-"+c.id)
	session := filepath.Join(parent, "session")
	c.must(os.Mkdir(parent, 0o755))
	c.must(os.Mkdir(session, 0o755))
	c.t.Cleanup(func() { // before the container's own, which would leave these behind
		c.delete("--force")
		_ = os.Remove(filepath.Join(session, c.id))
		for _, dir := range []string{session, parent} {
			eventually(c.t, "rmdir "+dir, func() bool { return os.Remove(dir) == nil })
		}
	})
	give := []string{session, session + "/cgroup.procs", session + "/cgroup.subtree_control"}
	if all {
		give = append(give, parent, parent+"/cgroup.procs", parent+"/cgroup.subtree_control")
	}
	for _, path := range give {
		c.must(os.Chown(path, ordinary, ordinary))
	}
	c.from(session)
	return parent
}

// from makes the container's calls of the runtime as an ordinary user in a cgroup.
func (c *container) from(cgroup string) {
	c.prefix = []string{"sh", "-c", "echo $$ > " + cgroup + "/cgroup.procs && exec " + strings.Join(asUser, " ") + ` "$@"`, "sh"}
}

func TestDelegated(t *testing.T) {
	t.Parallel()
	limit, pids := int64(1<<25), int64(33)
	c := newRootless(t, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, Pids: &specs.LinuxPids{Limit: &pids}}
	})
	dir := filepath.Join(c.delegate(true), c.id)
	c.up()
	for file, want := range map[string]string{"memory.max": "33554432", "pids.max": "33", "cgroup.procs": pidText(c.pid())} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if got := strings.TrimSpace(string(data)); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %s", file, got, err, want)
		}
	}
	if out := c.rt("ps", "--format", "json", c.id).ok().out(); out != "["+pidText(c.pid())+"]" {
		t.Errorf("ps: %s", out)
	}
	if out := c.exec("cat", "/proc/self/cgroup").ok(); !strings.HasSuffix(out.out(), "/"+c.id) || out.stderr != "" {
		t.Errorf("exec: %s", out)
	}
	c.rt("pause", c.id).ok()
	if got := c.status(); got != "paused" {
		t.Errorf("status %s", got)
	}
	c.rt("resume", c.id).ok()
	c.kill("--all", "KILL").ok()
	c.awaitStatus("stopped")
	c.delete().ok()
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
}

// TestOwnCgroupOnly: nothing can be limited below a cgroup with processes, but they are kept together.
func TestOwnCgroupOnly(t *testing.T) {
	t.Parallel()
	c := newRootless(t)
	dir := filepath.Join(c.delegate(false), "session", c.id)
	c.up()
	if data, err := os.ReadFile(dir + "/cgroup.procs"); err != nil || strings.TrimSpace(string(data)) != pidText(c.pid()) {
		t.Errorf("%q, %v", data, err)
	}
	c.rt("ps", c.id).ok()
	c.rt("pause", c.id).ok()
	c.rt("resume", c.id).ok()
	c.delete("--force").ok()
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
	limit := int64(1 << 25)
	c.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	c.write()
	c.run().fails("permission denied (/linux/resources/memory/limit)", "hint: no cgroup is delegated").oneError()
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
}

// TestExecFromElsewhere: the kernel moves no process out of a tree of cgroups that the user may not write to.
func TestExecFromElsewhere(t *testing.T) {
	t.Parallel()
	c := newRootless(t)
	c.delegate(true)
	c.up()
	other := newRootless(t)
	session := filepath.Join(other.delegate(true), "session")
	c.from(session)
	c.exec("id", "-u").ok().says("warning: the process stays in the cgroup that rt is in", "permission denied").prints("0")
	c.delete("--force").ok()

	// create says so, too, if that very cgroup was asked for.
	c.spec.Linux.CgroupsPath = strings.TrimPrefix(filepath.Join(filepath.Dir(session), "..", "rt-test-user-"+c.id, "box"), "/sys/fs/cgroup")
	c.write()
	c.run().fails("move a process from cgroup ", "permission denied (/linux/cgroupsPath)", "hint: no cgroup is delegated").oneError()
	if left, _ := filepath.Glob("/sys/fs/cgroup/rt-test-user-" + c.id + "/box"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	c.prefix = slices.Clone(asUser)
}
