package security

import (
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Since Linux 6.12 no process survives that is made in a cgroup by one in another, if one of the two directories was killed once
// (cgroup.kill) and is used again.

// v2Root is where the host has cgroup v2.
func v2Root(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
			return root
		}
	}
	t.Skip("the host has no cgroup v2, whose cgroup.kill this is about")
	return ""
}

// TestCallersCgroupWasKilled: rt's own cgroup was killed once, as by a service manager, and is used again. Succeeds against a runtime that
// can make no container then, and enter none.
func TestCallersCgroupWasKilled(t *testing.T) {
	dir := v2Root(t) + "/rt-sec-killed-" + strconv.Itoa(os.Getpid())
	must(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() { killAll(t, dir) })
	must(t, os.WriteFile(dir+"/cgroup.kill", []byte("1"), 0))
	v := newVictim(t, args("sleep", "1000"), func(v *victim) {
		v.spec.Hooks = &specs.Hooks{
			CreateContainer: []specs.Hook{{Path: "/bin/true"}},
			StartContainer:  []specs.Hook{{Path: "/bin/touch", Args: []string{"touch", "/tmp/hooked"}}},
		}
	})
	v.file("in-killed", "#!/bin/sh\necho $$ >"+dir+"/cgroup.procs || exit\nexec "+host.rt+" \"$@\"\n", 0o755)
	v.exe = v.dir + "/in-killed"
	v.up()
	if _, err := os.Stat(v.rootfs + "/tmp/hooked"); err != nil {
		t.Errorf("the hook: %v", err)
	}
	where := v.exec("cat", "/proc/self/cgroup").ok(t).stdout
	for _, line := range strings.Split(strings.TrimSpace(where), "\n") {
		if strings.HasPrefix(line, "0::") && line != "0::"+v.spec.Linux.CgroupsPath {
			t.Errorf("the process of exec is in %q, want %s", line, v.spec.Linux.CgroupsPath)
		}
	}
	v.file("mount.json", `[{"destination":"/tmp","type":"tmpfs","source":"tmpfs"}]`, 0o644)
	v.rt("mounts", "add", v.id, v.dir+"/mount.json").ok(t)
	v.remove()
	v.spec.Process.Args = []string{"sh", "-c", "read x; echo got $x"}
	v.write()
	v.file("in", "line\n", 0o644)
	in, err := os.Open(v.dir + "/in")
	must(t, err)
	defer in.Close()
	if r := v.do(call{args: v.with("run"), stdin: in}).ok(t); r.stdout != "got line\n" {
		t.Errorf("%s\nwant `got line`", r)
	}
}

// TestKilledCgroupAgain: a container's cgroup is killed with it, and another container takes it before the first is deleted. Succeeds
// against a runtime whose first create fails.
func TestKilledCgroupAgain(t *testing.T) {
	v2Root(t)
	a := newVictim(t, args("sleep", "1000"), hostPids)
	b := newVictim(t, args("sleep", "1000"), hostPids, inCgroup(a.spec.Linux.CgroupsPath))
	pid := a.up().pid()
	a.rt("kill", a.id, "KILL").ok(t)
	eventually(t, "end of the container's init", func() bool { reap(); return !alive(pid) })
	b.up()
	b.exec("true").ok(t)
}
