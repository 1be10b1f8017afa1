package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A rootless rt may not look into an init that is not dumpable: it asks it for its namespaces.

// TestRootlessInit: --init with one gid mapped, where setgroups(2) is denied, and all that joins such a container.
func TestRootlessInit(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	c := newRootless(t, writable, limit("RLIMIT_NOFILE", 16), func(s *specs.Spec) {
		s.Process.Env = []string{"PATH=/bin"}
		s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo started $HOME >/hook"}}}}
	})
	c.file("b/rootfs/etc/passwd", "me:x:0:0::/home/me:/bin/sh\n", 0o644)
	c.give(ordinary)
	c.write()
	c.create("--init").ok()
	c.joins("created")
	c.start().ok()
	if got := readAllOf(t, c.rootfs+"/hook"); got != "started /home/me\n" {
		t.Errorf("the hook: %q", got)
	}
	for range 20 { // one after the other, more than its limit on open files
		c.joins("running")
	}
	for field, want := range map[string]string{"Name": "rt:[init]", "Seccomp": "2", "NoNewPrivs": "1"} {
		if have := statusOf(c.pid(), field); have != want {
			t.Errorf("%s of init: %q, want %q", field, have, want)
		}
	}
	if st, err := os.Stat("/proc/" + pidText(c.pid()) + "/mem"); err != nil {
		t.Error(err)
	} else if uid, _ := owner(st); uid != 0 {
		t.Errorf("init is dumpable: its files are uid %d's", uid)
	}
	c.kill("TERM").ok()
	c.awaitStatus("stopped")
	if r := c.exec("true"); r.code != 255 || !strings.Contains(r.stderr, "cannot exec in a stopped container") {
		t.Error(r)
	}
}

func limit(kind string, n uint64) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: kind, Soft: n, Hard: n}} }
}

// joins sees that exec and mounts add find the way into the container, and HOME in its files.
func (c *container) joins(status string) {
	c.t.Helper()
	if got := c.exec("sh", "-c", "echo $HOME $(id -u)").ok().out(); got != "/home/me 0" {
		c.t.Errorf("%s: exec has %s", status, got)
	}
	c.hotplug("add", specs.Mount{Destination: "/tmp/new", Type: "tmpfs", Source: "tmpfs"}).ok()
	if got := c.sh("stat -f -c %T /tmp/new"); got != "tmpfs" {
		c.t.Errorf("%s: the mount is %s", status, got)
	}
	c.hotplug("remove", specs.Mount{Destination: "/tmp/new"}).ok()
}

// TestRootlessInitEnds: an exec that comes while the program of an init ends gets an answer, whichever.
func TestRootlessInitEnds(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	for range 5 {
		c := newRootless(t, writable)
		c.up("--init")
		ended := make(chan result, 4)
		for range cap(ended) {
			go func() { ended <- c.exec("true") }()
		}
		c.kill("KILL").ok()
		for range cap(ended) {
			select {
			case <-ended:
			case <-time.After(2 * time.Minute):
				t.Fatal("exec hangs")
			}
		}
		c.awaitStatus("stopped")
	}
}

// TestRootlessStopped: an init that is stopped by a signal answers nobody. exec says so.
func TestRootlessStopped(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	c := newRootless(t, writable)
	c.up("--init")
	c.kill("STOP").ok()
	eventually(t, "it is stopped", func() bool { return strings.HasPrefix(statusOf(c.pid(), "State"), "T") })
	if r := c.exec("true"); r.code != 255 || !strings.Contains(r.stderr, "it does not answer: it is stopped or frozen") {
		t.Error(r)
	}
	c.kill("CONT").ok()
	c.exec("true").ok()
}
