package integration

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestWhatRtChangedForItself: rt has another limit of open files than its caller, and may have another timer slack; neither
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

// TestFewDescriptors: a plan may use descriptors up to the hard limit of rt's caller, whose limits the container, its hooks
// and exec have all the same; process.rlimits is over them. More mounts than the hard limit leaves room for are an error
// that says so.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	const look, want = "ulimit -Sn; ulimit -Hn", "48\n400"
	c := newContainer(t, script(look))
	c.spec.Process.Rlimits = nil
	for i := range 60 {
		mounted(fmt.Sprintf("/mnt/%d", i), "bind", c.dir, "bind")(c.spec)
	}
	c.write()
	c.prefix = ulimits("-Sn 48", "-Hn 400")
	c.run().ok().prints(want)
	if !differs(t, "run --init") {
		c.run("--init").ok().prints(want)
	}
	c.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 20, Hard: 30}}
	c.write()
	c.run().ok().prints("20\n30")
	c.prefix = ulimits("-n 48")
	c.spec.Process.Rlimits = nil
	c.write()
	if !differs(t, "the sources of bind mounts are opened") && !ordinaryUser() { // whose mounts are opened inside
		c.run().fails("too many open files", "ulimit -Hn").oneError()
	}
}

// TestFilesOfCaller: between create and start, in hooks inside and in exec the limit on open files is the caller's.
func TestFilesOfCaller(t *testing.T) {
	t.Parallel()
	rtOnly(t, "the limit of open files between")
	const look = "ulimit -Sn; ulimit -Hn"
	c := newContainer(t, args("sleep", "1000"))
	c.spec.Process.Rlimits = nil
	inside := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "(" + look + ") > " + c.dir + "/inside"}}
	c.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{inside}}
	c.write()
	c.prefix = ulimits("-Sn 777", "-Hn 4000")
	c.create().ok()
	for _, when := range []string{"created", "started"} {
		if when == "started" {
			c.start().ok()
		}
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.state().Pid))
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`Max open files +777 +4000 `).Match(limits) {
			t.Errorf("%s: %s", when, limits)
		}
	}
	if got := c.read("inside"); got != "777\n4000\n" {
		t.Errorf("a createContainer hook has %q", got)
	}
	c.exec("sh", "-c", look).ok().prints("777\n4000")
}

// ulimits runs rt with limits that ulimit sets.
func ulimits(flags ...string) []string {
	return []string{"sh", "-c", "ulimit " + strings.Join(flags, "; ulimit ") + "; exec \"$@\"", "sh"}
}
