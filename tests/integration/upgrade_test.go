package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// oldest is the commit whose containers every later rt has to work with.
const oldest = "4a850c2eea504379f613f98461e5cb5fca1917e3"

// errNoHistory: there is nothing to build the older rt from.
var errNoHistory = errors.New("OLD_RT names no older build of rt, and there is no history to build one from")

// buildOldest gives a binary of the oldest rt, where an ordinary user can execute it as well.
var buildOldest = sync.OnceValues(func() (string, error) {
	built := os.Getenv("OLD_RT")
	if built == "" {
		if _, err := exec.LookPath("go"); err != nil {
			return "", errNoHistory // a guest
		}
		out, err := hostCommand("git", "-C", "../..", "rev-parse", "--verify", oldest+"^{commit}")
		if err != nil {
			return "", errors.Join(errNoHistory, errors.New(out)) // a shallow clone, or none at all
		}
		if out, err = hostCommand("../../scripts/oldrt", oldest); err != nil {
			return "", errors.New(out)
		}
		built = strings.TrimSpace(out)
	}
	path := filepath.Join(machine.work, "rt-old")
	return path, errors.Join(copyFile(built, path, 0o755), os.Chmod(path, 0o755))
})

// byOldest is the same container, and the oldest rt under test.
func (c *container) byOldest() *container {
	c.t.Helper()
	path, err := buildOldest()
	if errors.Is(err, errNoHistory) {
		c.t.Skip(err)
	}
	c.must(err)
	old := *c
	old.prefix = slices.Concat(c.prefix, []string{"/bin/busybox", "sh", "-c", `shift; exec "$0" "$@"`, path})
	return &old
}

// TestUpgrade: what the oldest rt has created or started is started, shown, changed and deleted by this one.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	rtOnly(t, "containers of an older rt")
	type maker func(*testing.T, ...func(*specs.Spec)) *container
	for name, kind := range map[string]struct {
		make  maker
		flags []string
	}{
		"plain":                      {newContainer, nil},
		"with an init":               {newContainer, []string{"--init"}},
		"user namespace":             {newMapped, nil},
		"user namespace and an init": {newMapped, []string{"--init"}},
		"rootless":                   {newRootless, nil}, // with an init the oldest rt does not start it
	} {
		for _, started := range []bool{false, true} {
			t.Run(name+"/started "+strconv.FormatBool(started), func(t *testing.T) {
				t.Parallel()
				if !strings.HasPrefix(name, "rootless") {
					needRoot(t, "the oldest rt is not told of a delegated cgroup")
				}
				c := kind.make(t, writable, script(`trap "exit 7" TERM; echo >/started; while :; do sleep 0.05; done`))
				c.upgrade(kind.flags, started)
			})
		}
	}
}

func (c *container) upgrade(flags []string, started bool) {
	c.t.Helper()
	t, rootless := c.t, len(c.prefix) > 0
	logs := func(kind string) []specs.Hook { return []specs.Hook{c.hook("echo " + kind + ` >>"$D/log"`)} }
	c.hooks(specs.Hooks{CreateRuntime: logs("createRuntime"), Poststart: logs("poststart"), Poststop: logs("poststop"),
		StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo startContainer >>/hooked"}}}})
	if rootless {
		c.give(ordinary) // the bundle was written anew
	}
	old := c.byOldest()
	old.create(flags...).ok()
	want := "created"
	if started {
		old.start().ok()
		old.exec("true").ok()
		want = "running"
	}
	looks := func() {
		t.Helper()
		if got := c.status(); got != want {
			t.Errorf("status %s, want %s", got, want)
		}
		list := c.rt("list").ok()
		if !slices.ContainsFunc(list.lines(), func(line string) bool { return strings.Contains(line, c.id) && strings.Contains(line, want) }) {
			t.Errorf("want it %s: %s", want, list)
		}
	}
	looks()
	c.exec("echo", "in").ok().prints("in")
	if !started {
		c.start().ok()
		want = "running"
	}
	c.awaitPath("b/rootfs/started")
	looks()
	if got, want := c.sh("cat /hooked; readlink /proc/self/ns/pid"), "startContainer\n"+c.ns("pid"); got != want {
		t.Errorf("seen inside: %q, want %q", got, want)
	}
	c.execWith([]string{"--detach", "--pid-file", filepath.Join(c.dir, "pid")}, "sleep", "1000").ok()
	if !rootless { // which has no cgroup
		if ps := c.rt("ps", c.id).ok(); !strings.Contains(ps.stdout, "sleep 1000") {
			t.Errorf("want the detached exec: %s", ps)
		}
		c.hotplug("add", specs.Mount{Destination: "/added", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=64k"}}).ok()
		c.exec("sh", "-c", "echo >/added/file; df /added | grep -q '^tmpfs *64 '").ok()
		c.hotplug("remove", specs.Mount{Destination: "/added"}).ok()
		c.rt("update", "--pids-limit", "77", "--memory", "96M", c.id).ok()
		c.check("updated", limitFile{"pids/pids.max", "77", "pids.max", "77"},
			limitFile{"memory/memory.limit_in_bytes", "100663296", "memory.max", "100663296"})
		if e := c.now(); e.Data.Pids.Limit != 77 || e.Data.Pids.Current < 2 {
			t.Errorf("events: %+v", e)
		}
		c.rt("pause", c.id).ok()
		want = "paused"
		looks()
		c.rt("resume", c.id).ok()
		want = "running"
		looks()
	}
	c.kill("TERM").ok()
	c.awaitStatus("stopped")
	want = "stopped"
	looks()
	c.exec("true").exits(255).says("cannot exec in a stopped container")
	c.delete().ok()
	c.rt("state", c.id).fails("does not exist")
	if got, want := strings.Fields(c.read("log")), []string{"createRuntime", "poststart", "poststop"}; !slices.Equal(got, want) {
		t.Errorf("hooks %v, want %v", got, want)
	}
}

// TestUpgradeStopped: a container that has ended before, one that is killed and deleted while it is created or frozen.
func TestUpgradeStopped(t *testing.T) {
	t.Parallel()
	rtOnly(t, "containers of an older rt")
	needRoot(t, "the oldest rt is not told of a delegated cgroup")
	for name, before := range map[string]func(old *container){
		"created": func(old *container) { old.create().ok() },
		"running": func(old *container) { old.up() },
		"paused":  func(old *container) { old.up().rt("pause", old.id).ok() },
		"stopped": func(old *container) { old.up().stopped() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t)
			before(c.byOldest())
			if got := c.status(); got != name {
				t.Errorf("status %s", got)
			}
			if name == "running" || name == "paused" {
				c.delete().fails("cannot delete container")
			}
			c.delete("--force").ok()
			if left := c.leftovers(true); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestUpgradeKilledCreate: what a create of the oldest rt has made by the instant that it is killed, delete --force finds.
func TestUpgradeKilledCreate(t *testing.T) {
	t.Parallel()
	rtOnly(t, "containers of an older rt")
	needRoot(t, "the oldest rt is not told of a delegated cgroup")
	for i := range 12 {
		c := newContainer(t, mounted("/tmp", "tmpfs", "tmpfs"))
		r := c.byOldest().begin(call{args: c.with("create")})
		time.Sleep(time.Duration(i) * time.Millisecond) // the instant, not a wait for something
		r.cmd.Process.Kill()
		<-r.ended
		r.ended <- nil
		c.delete("--force").ok()
		if left := c.leftovers(true); len(left) > 0 {
			t.Errorf("killed after %d ms: %v", i, left)
		}
	}
}
