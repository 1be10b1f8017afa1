package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestConfigFlag: another file than config.json, in the bundle or anywhere.
func TestConfigFlag(t *testing.T) {
	rtOnly(t, "create --config -f")
	t.Parallel()
	c := newContainer(t, args("echo", "other"))
	data, err := json.Marshal(c.spec)
	c.must(err)
	c.must(os.Remove(filepath.Join(c.bundle, "config.json")))
	c.run().fails("JSON specification file config.json not found").oneError()
	c.must(os.WriteFile(filepath.Join(c.bundle, "other.json"), data, 0o644))
	c.run("--config", "other.json").ok().prints("other")
	c.run("-f", c.file("elsewhere.json", string(data), 0o644)).ok().prints("other")
	c.run("--config", "none.json").fails("none.json", "no such file or directory").oneError()
	c.create("-f", "other.json").ok()
	c.must(os.Remove(filepath.Join(c.bundle, "other.json")))
	c.start().ok()
}

// TestRegex: kill and delete of all containers that match, and of no others.
func TestRegex(t *testing.T) {
	t.Parallel()
	rtOnly(t, "kill --regex")
	a := newContainer(t)
	a.rt("kill", "--regex", ".*").ok() // nothing is there
	b, other := a.sibling(), a.sibling()
	for _, c := range []*container{a, b, other} {
		c.up()
	}
	both := "^(" + a.id + "|" + b.id + ")$"
	a.rt("kill", "--regex", both, "KILL").ok()
	a.awaitStatus("stopped")
	b.awaitStatus("stopped")
	if got := other.status(); got != "running" {
		t.Errorf("a container that does not match is %s", got)
	}
	a.rt("kill", "-r", both, "KILL").fails(a.id+": container not running", b.id+": container not running")
	a.rt("delete", "--regex", ".*").fails(other.id + ": cannot delete container " + other.id + " that is not stopped: running")
	a.rt("state", a.id).fails("does not exist")
	b.rt("state", b.id).fails("does not exist")
	a.rt("delete", "--regex", "(").fails("read regular expression").oneError()
	a.rt("delete", "--force", "--regex", "^"+other.id+"$").ok()
	a.rt("state", other.id).fails("does not exist")
	a.rt("kill", a.id+".*").fails("invalid container ID format")
}

// TestCgroupManager: the manager `disabled`, which Podman asks for with --cgroups=disabled, makes no cgroup; the container
// stays in its caller's, and what needs a cgroup of its own is refused.
func TestCgroupManager(t *testing.T) {
	rtOnly(t, "global --cgroup-manager")
	onlyFileDriver(t, "the two flags exclude each other")
	t.Parallel()
	c := newContainer(t)
	c.spec.Linux.CgroupsPath = ""
	c.spec.Linux.Resources = nil
	c.write()
	disabled := []string{"--cgroup-manager", "disabled"}
	own, err := os.ReadFile("/proc/self/cgroup")
	c.must(err)
	c.do(call{global: disabled, args: c.with("create")}).ok()
	got, err := os.ReadFile("/proc/" + strconv.Itoa(c.pid()) + "/cgroup")
	c.must(err)
	if string(got) != string(own) {
		t.Errorf("the container's cgroups are\n%s\nnot its caller's\n%s", got, own)
	}
	c.start().ok()
	c.rt("exec", c.id, "true").ok()
	c.rt("pause", c.id).fails("container has no cgroup").oneError()
	c.rt("delete", "--force", c.id).ok()

	limit := int64(64 << 20)
	c.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	c.write()
	c.do(call{global: disabled, args: c.with("run")}).fails("--cgroup-manager disabled", "/linux/resources/memory/limit").oneError()
	c.do(call{global: []string{"--cgroup-manager", "none"}, args: c.with("run")}).fails("invalid cgroup-manager: none")
	c.do(call{global: append(disabled, "--systemd-cgroup"), args: c.with("run")}).fails("exclude each other")
}
