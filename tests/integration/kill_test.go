package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// trapper writes the name of each signal it gets to /log.
const trapper = `for s in TERM HUP USR1 USR2 INT; do trap "echo $s >> /log" $s; done
touch /ready; while :; do sleep 0.01; done`

func TestKill(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script(trapper)).up()
	c.awaitPath("b/rootfs/ready")
	log := ""
	for _, k := range []struct{ arg, want string }{
		{"", "TERM"}, {"HUP", "HUP"}, {"SIGUSR1", "USR1"}, {"usr2", "USR2"}, {"sigint", "INT"}, {"1", "HUP"}, {"15", "TERM"},
	} {
		var r result
		if k.arg == "" {
			r = c.kill()
		} else {
			r = c.kill(k.arg)
		}
		r.ok().prints("")
		log += k.want + "\n"
		eventually(t, "signal "+k.want, func() bool { return c.awaitFile("b/rootfs/log") == log })
	}
	c.kill("0").ok()
	for _, bad := range []string{"NOSUCH", "SIGNOSUCH"} {
		c.kill(bad).fails(`unknown signal "` + bad + `"`).oneError()
	}
	if c.status() != "running" {
		t.Fatal("an unknown signal has stopped the container")
	}
}

func TestKillCreated(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create().ok()
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
	c.start().exits(1)
	c.delete().ok()
}

func TestKillStoppedAll(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up().stopped()
	c.kill("KILL").fails("container not running")
	c.kill("0").fails("container not running")
	c.kill("--all", "KILL").ok()
}

// TestKillAllSignal: with --all a signal other than SIGKILL reaches the processes that init has made, too.
func TestKillAllSignal(t *testing.T) {
	t.Parallel()
	const traps = `trap 'echo %s >>/log' USR1; touch /%s; while :; do usleep 10000; done`
	c := newContainer(t, writable, script("("+fmt.Sprintf(traps, "child", "child")+") & "+fmt.Sprintf(traps, "init", "ready"))).up()
	c.awaitPath("b/rootfs/ready")
	c.awaitPath("b/rootfs/child")
	c.kill("--all", "USR1").ok()
	want := []string{"init", "child"}
	if differs(t, "kill --all SIGNAL") {
		want = want[:1]
	}
	eventually(t, "the signal at each process", func() bool {
		log := strings.Fields(c.awaitFile("b/rootfs/log"))
		return !slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(log, name) })
	})
}

// TestKillPaused: SIGKILL reaches a frozen container (on cgroup v1 it has to be thawed for it).
func TestKillPaused(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	c.rt("pause", c.id).ok()
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
}

// TestSignalRightAfterCreate: what ends a created container is heeded from the moment that create says it is there.
func TestSignalRightAfterCreate(t *testing.T) {
	t.Parallel()
	needRoot(t, "a CPU limit is set, which makes the container's process slow")
	for range 3 {
		c := newContainer(t, func(s *specs.Spec) {
			quota, period := int64(1000), uint64(100000)
			s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
		})
		c.create().ok()
		c.kill("TERM").ok()
		c.awaitStatus("stopped")
		c.delete().ok()
	}
}
