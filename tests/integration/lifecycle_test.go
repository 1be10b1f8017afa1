package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestLifecycle(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create().ok().prints("")
	if got := c.status(); got != "created" {
		t.Fatalf("after create: %s", got)
	}
	if cmdline := c.proc("cmdline"); strings.Contains(cmdline, "sleep") {
		t.Fatalf("the user's program runs before start: %q", cmdline)
	}
	c.start().ok().prints("")
	c.awaitStatus("running")
	eventually(t, "execve", func() bool { return c.proc("cmdline") == "sleep\x001000\x00" })
	c.delete().fails("cannot delete container " + c.id + " that is not stopped: running")
	c.stopped()
	if pid := c.pid(); pid != 0 {
		t.Fatalf("pid %d of a stopped container", pid)
	}
	c.kill("TERM").fails("container not running")
	c.start().fails("cannot start a container that has stopped")
	c.delete().ok()
	c.rt("state", c.id).fails("container does not exist")
	if left := c.leftovers(false); len(left) > 0 {
		t.Fatalf("after delete: %v", left)
	}
}

func TestUnknownContainer(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, args := range [][]string{{"state"}, {"start"}, {"kill"}, {"delete"}, {"pause"}, {"resume"}, {"ps"}} {
		c.rt(append(args, c.id)...).fails("container does not exist").oneError()
	}
	c.exec("true").exits(255).says("container does not exist")
	c.delete("--force").ok()
}

func TestStateLayout(t *testing.T) {
	t.Parallel()
	before := time.Now()
	c := newContainer(t, func(s *specs.Spec) { s.Annotations = map[string]string{"org.example.key": "a value"} })
	c.create().ok()
	text := c.rt("state", c.id).ok().stdout
	var keys map[string]any
	c.must(json.Unmarshal([]byte(text), &keys))
	for key, want := range map[string]any{
		"id": c.id, "status": "created", "bundle": c.bundle, "rootfs": c.rootfs, "owner": "",
		"annotations": map[string]any{"org.example.key": "a value"},
	} {
		if fmt.Sprint(keys[key]) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", key, keys[key], want)
		}
	}
	created, err := time.Parse(time.RFC3339Nano, fmt.Sprint(keys["created"]))
	if err != nil || created.Before(before.Add(-time.Second)) || created.After(time.Now()) || !strings.HasSuffix(fmt.Sprint(keys["created"]), "Z") {
		t.Errorf("created %v: %v", keys["created"], err)
	}
	if version := fmt.Sprint(keys["ociVersion"]); !strings.HasPrefix(version, "1.") {
		t.Errorf("ociVersion %q", version)
	}
	if len(keys) != 9 {
		t.Errorf("want 9 keys: %s", text)
	}
	if !strings.HasPrefix(text, "{\n  \"ociVersion\"") {
		t.Errorf("want an indent of two spaces, ociVersion first: %s", text)
	}
	order := []string{"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"}
	last := -1
	for _, key := range order {
		at := strings.Index(text, "\n  \""+key+"\":")
		if at < last {
			t.Errorf("%s is out of order: %s", key, text)
		}
		last = at
	}
}

func TestDuplicateID(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create().ok()
	pid := c.pid()
	c.create().fails("container with given ID already exists").oneError()
	c.run().fails("container with given ID already exists")
	if c.pid() != pid || c.status() != "created" {
		t.Fatal("the container was disturbed by a second create")
	}
}

func TestStartTwice(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	c.start().fails("cannot start an already running container")
	if c.status() != "running" {
		t.Fatal("the container was disturbed by a second start")
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	t.Run("created", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		c.create().ok()
		pid := c.pid()
		c.delete().ok()
		if !dead(pid) {
			t.Fatal("init lives after delete")
		}
	})
	t.Run("running by force", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t).up()
		pid := c.pid()
		c.delete("--force").ok()
		if !dead(pid) {
			t.Fatal("init lives after delete --force")
		}
		c.delete("--force").ok()
		c.delete().fails("does not exist")
	})
	t.Run("paused", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t).up()
		c.rt("pause", c.id).ok()
		c.delete().fails("that is not stopped: paused")
		c.delete("--force").ok()
	})
	t.Run("stopped by force", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t).up().stopped()
		c.delete("--force").ok()
	})
	t.Run("an unfinished directory", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		dir := filepath.Join(c.root, c.id)
		c.must(os.Mkdir(dir, 0o711))
		c.delete("--force").ok()
		if _, err := os.Stat(dir); err == nil {
			t.Fatal("delete --force leaves an unfinished state directory")
		}
		c.must(os.Mkdir(dir, 0o711))
		c.delete().fails("container does not exist")
		if _, err := os.Stat(dir); err == nil {
			t.Fatal("delete leaves an unfinished state directory")
		}
	})
}

func TestPidFile(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create("--pid-file", filepath.Join(c.dir, "pid")).ok()
	if got := c.read("pid"); got != pidText(c.pid()) {
		t.Fatalf("pid file %q, want %d without a newline", got, c.pid())
	}
	if entries, _ := filepath.Glob(filepath.Join(c.dir, ".pid*")); len(entries) > 0 {
		t.Fatalf("temporary files left: %v", entries)
	}
}

// TestPidFileOnLink: a pid file takes the place of a link, in /dev as elsewhere; nothing is written through it.
func TestPidFileOnLink(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.file("target", "kept", 0o644)
	shared, err := os.MkdirTemp("/dev/shm", "rt-it-")
	c.must(err)
	defer os.RemoveAll(shared)
	for link, to := range map[string]string{filepath.Join(c.dir, "file"): filepath.Join(c.dir, "target"), filepath.Join(c.dir, "null"): os.DevNull,
		filepath.Join(shared, "null"): os.DevNull, filepath.Join(shared, "nothing"): "/nothing/there"} {
		c.must(os.Symlink(to, link))
		c.create("--pid-file", link).ok()
		st, err := os.Lstat(link)
		c.must(err)
		if got := readFile(t, link); !st.Mode().IsRegular() || got != pidText(c.pid()) {
			t.Errorf("%s -> %s: %v, %q", link, to, st.Mode(), got)
		}
		c.delete("--force").ok()
	}
	if got := c.read("target"); got != "kept" {
		t.Errorf("the link's target was written: %q", got)
	}
}

func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create().ok()
	c.spec.Process.Args = []string{"false"}
	c.write()
	c.start().ok()
	eventually(t, "execve", func() bool { return strings.HasPrefix(c.proc("cmdline"), "sleep") })
	if c.status() != "running" {
		t.Fatal("a change of config.json after create had an effect")
	}
	c.spec.Process.Env = append(c.spec.Process.Env, "LATER=1")
	c.write()
	if got := c.sh("echo $LATER"); got != "" && !differs(t, "a change of config.json") {
		t.Errorf("exec sees what was changed after create: LATER=%s", got)
	}
}

func TestPauseResume(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script("while :; do echo x >> /count; done")).up()
	size := func() int64 {
		st, err := os.Stat(filepath.Join(c.rootfs, "count"))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	eventually(t, "the counter", func() bool { return size() > 0 })
	c.rt("resume", c.id).fails("container not paused")
	c.rt("pause", c.id).ok()
	if got := c.status(); got != "paused" {
		t.Fatalf("after pause: %s", got)
	}
	frozen := size()
	c.rt("pause", c.id).fails("container not running").oneError()
	c.rt("state", c.id).ok()
	c.exec("true").exits(255).says("cannot exec in a paused container (use --ignore-paused to override)")
	if size() != frozen {
		t.Fatal("the process runs while paused")
	}
	c.rt("resume", c.id).ok()
	if got := c.status(); got != "running" {
		t.Fatalf("after resume: %s", got)
	}
	eventually(t, "the counter to go on", func() bool { return size() > frozen })
	c.exec("true").ok()
}

// TestExecIgnorePaused: such an exec is frozen with the others, and goes on when the container is resumed.
func TestExecIgnorePaused(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	c.rt("pause", c.id).ok()
	running := c.begin(call{args: []string{"exec", "--ignore-paused", c.id, "echo", "thawed"}})
	eventually(t, "a second process in the cgroup", func() bool { return len(c.lines("freezer", "cgroup.procs")) > 1 })
	if c.status() != "paused" {
		t.Error("exec has thawed the container")
	}
	c.rt("resume", c.id).ok()
	r := running.wait()
	r.ok().prints("thawed")
}

func TestPauseNeedsRunning(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up().stopped()
	c.rt("pause", c.id).fails("container not running")
	c.rt("resume", c.id).fails("container not paused")
}

func TestStateRootIsPrivate(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.root = filepath.Join(c.dir, "made", "by", "rt")
	c.create().ok()
	for path, want := range map[string]os.FileMode{c.root: 0o700, filepath.Join(c.root, c.id): 0o700} {
		st, err := os.Stat(path)
		c.must(err)
		if st.Mode().Perm() != want && !(path != c.root && differs(t, "a container's directory has mode 0711")) {
			t.Errorf("%s has mode %v, want %v", path, st.Mode().Perm(), want)
		}
	}
}
