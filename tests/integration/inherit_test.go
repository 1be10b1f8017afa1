package integration

import (
	"fmt"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestWhatRtChangedForItself: rt starts with another timer slack and limit of open files than its caller has; neither
// the container nor exec nor a hook sees that.
func TestWhatRtChangedForItself(t *testing.T) {
	t.Parallel()
	const look = "cat /proc/self/timerslack_ns; ulimit -Sn"
	c := newContainer(t, script(look))
	c.spec.Process.Rlimits = nil
	c.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{
		Path: "/bin/sh", Args: []string{"sh", "-c", fmt.Sprintf("(%s) > %s", look, c.dir+"/hook")},
	}}}
	c.write()
	const want = "54321\n777"
	c.prefix = []string{"sh", "-c", "ulimit -Sn 777; echo 54321 > /proc/self/timerslack_ns; exec \"$@\"", "sh"}
	c.run().ok().prints(want)
	if got := c.read("hook"); got != want+"\n" {
		t.Errorf("a hook has %q", got)
	}
	c.spec.Process.Args = []string{"sleep", "1000"}
	c.spec.Hooks = nil
	c.write()
	c.up()
	c.exec("sh", "-c", look).ok().prints(want)
}

// TestFewDescriptors: more mounts than the caller's limit of open files leaves room for are an error that says so.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	differs(t, "runc opens them one after the other")
	needRoot(t, "an ordinary user's mounts are opened inside")
	c := newContainer(t, script("true"))
	for i := range 60 {
		mounted(fmt.Sprintf("/mnt/%d", i), "bind", c.dir, "bind")(c.spec)
	}
	c.write()
	c.prefix = []string{"sh", "-c", "ulimit -Sn 48; exec \"$@\"", "sh"}
	c.run().fails("too many open files", "ulimit -n").oneError()
	c.prefix = nil
	c.run().ok()
}
