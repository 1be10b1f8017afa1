package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestTinyLimits: 512 KiB of memory, one process and eight descriptors are enough for a static true.
func TestTinyLimits(t *testing.T) {
	t.Parallel()
	rtOnly(t, "512 KiB of memory")
	tiny := func(s *specs.Spec) {
		s.Process.Args = []string{"/bin/probe", "true"}
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 8, Hard: 8}}
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: i64(512 << 10)}
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: i64(1)}
	}
	for range 5 {
		newContainer(t, tiny).run().ok()
	}
	c := newContainer(t, tiny)
	c.create().ok()
	c.check("created", limitFile{"memory/memory.limit_in_bytes", "524288", "memory.max", "524288"}, limitFile{"pids/pids.max", "1", "pids.max", "1"})
	c.start().ok()
	c.awaitStatus("stopped")
}

// TestWaitingProcessIsSmall: between create and start there is the stub alone, with at most 1 MiB resident.
func TestWaitingProcessIsSmall(t *testing.T) {
	t.Parallel()
	rtOnly(t, "between create and start")
	c := newContainer(t)
	c.create().ok()
	kib, err := strconv.Atoi(strings.Fields(value(c.proc("status"), "VmRSS"))[0])
	c.must(err)
	if kib > 1024 {
		t.Errorf("%d KiB are resident", kib)
	}
	if threads := value(c.proc("status"), "Threads"); threads != "1" {
		t.Errorf("%s threads", threads)
	}
	if procs := c.processes(); len(procs) != 1 {
		t.Errorf("processes: %v", procs)
	}
}

// TestCheck: everything that is wrong, each with a JSON pointer, and nothing is made.
func TestCheck(t *testing.T) {
	t.Parallel()
	rtOnly(t, "check --format")
	c := newContainer(t)
	c.rt("check", c.bundle).ok()
	set("process.cwd", "relative")(c)
	set("process.rlimits", []map[string]any{{"type": "RLIMIT_X", "soft": 1, "hard": 1}})(c)
	set("hooks", map[string]any{"createRuntime": []map[string]any{{"path": "hook"}}})(c)
	r := c.rt("check", c.bundle).exits(1)
	for _, pointer := range []string{"/process/cwd", "/process/rlimits/0", "/hooks/createRuntime/0/path"} {
		if !strings.Contains(r.stdout+r.stderr, pointer) {
			t.Errorf("no word of %s: %s", pointer, r)
		}
	}
	c.raw("{")
	c.rt("check", c.bundle).exits(1)
	c.rt("check", "/no/such/bundle").exits(1)
}

// TestPlan: the steps, for a person and as JSON; nothing is touched.
func TestPlan(t *testing.T) {
	t.Parallel()
	rtOnly(t, "plan --exec")
	c := newContainer(t, mounted("/tmp/made", "tmpfs", "tmpfs"), writable)
	text := c.rt("plan", c.bundle).ok().stdout
	for _, word := range []string{"sleep", "/proc", "box"} {
		if !strings.Contains(text, word) {
			t.Errorf("the plan has no %q:\n%s", word, text)
		}
	}
	var doc any
	c.must(json.Unmarshal([]byte(c.rt("plan", "--format", "json", c.bundle).ok().stdout), &doc))
	process, err := json.Marshal(specs.Process{Args: []string{"sleep", "77"}, Cwd: "/etc"})
	c.must(err)
	exec := c.rt("plan", "--exec", c.file("process.json", string(process), 0o644), c.bundle).ok().stdout
	if !strings.Contains(exec, "sleep") || !strings.Contains(exec, "/etc") || !strings.Contains(exec, "join") {
		t.Errorf("the plan of exec:\n%s", exec)
	}
	if _, err := os.Stat(filepath.Join(c.rootfs, "tmp/made")); err == nil {
		t.Error("plan has made a mount point")
	}
	if left := c.leftovers(false); len(left) > 0 {
		t.Errorf("plan has left %v", left)
	}
}
