package integration

import (
	"os"
	"path/filepath"
	"testing"
)

// A container without a pid namespace of its own, whose init has ended and has left a process behind.
func containerThatLeaves(t *testing.T) *container {
	t.Helper()
	c := newContainer(t, script("setsid sleep 900 & exit 0"), hostPids)
	c.create().ok()
	pid := c.pid()
	c.start().ok()
	reap(t, pid)
	c.awaitStatus("stopped")
	eventually(t, "one process", func() bool { return len(c.processes()) == 1 })
	return c
}

// TestKillWhatIsLeft: SIGKILL of a container without a pid namespace whose init has ended kills what is left in its cgroup. Any
// other signal, and one that does not exist, leaves that alone.
func TestKillWhatIsLeft(t *testing.T) {
	t.Parallel()
	c := containerThatLeaves(t)
	left := c.processes()[0].pid
	c.kill("TERM").fails("container not running").oneError()
	c.kill("0").fails("container not running")
	c.kill("NOSUCH").fails(`unknown signal "NOSUCH"`)
	if dead(left) {
		t.Fatal("what init has left was killed")
	}
	c.kill("KILL").ok().prints("")
	eventually(t, "end of all", func() bool { return dead(left) })
	if !underSystemd() { // which removes the cgroup of an empty scope
		c.kill("KILL").ok() // nothing is left
	}
	c.delete().ok()
	c.kill("KILL").fails("does not exist").oneError()
}

// TestKillWithoutCgroup: where the cgroup is gone with init, the container is not running.
func TestKillWithoutCgroup(t *testing.T) {
	t.Parallel()
	needRoot(t, "it removes cgroups")
	c := newContainer(t, args("true"), hostPids)
	c.create().ok()
	pid := c.pid()
	c.start().ok()
	reap(t, pid)
	c.awaitStatus("stopped")
	for _, dir := range c.cgroupDirs() {
		eventually(t, "removal of "+dir, func() bool { err := os.Remove(dir); return err == nil || os.IsNotExist(err) })
	}
	c.kill("KILL").fails("container not running").oneError()
	c.kill("--all", "KILL").ok()
}

// TestKillInitElsewhere: an init without a pid namespace of its own that has moved to a cgroup elsewhere is killed, too.
func TestKillInitElsewhere(t *testing.T) {
	t.Parallel()
	rtOnly(t, "KILL without a pid namespace ends every process of the cgroup")
	needRoot(t, "a process is moved out of its cgroup")
	c := newContainer(t, hostPids).up()
	pid := c.pid()
	for _, dir := range c.cgroupDirs() {
		c.must(os.WriteFile(filepath.Join(filepath.Dir(dir), "cgroup.procs"), []byte(pidText(pid)), 0))
	}
	c.kill("KILL").ok()
	reap(t, pid)
	c.awaitStatus("stopped")
}
