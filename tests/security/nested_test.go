package security

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// A runtime that runs in a container, with the hierarchies of cgroups of the host: neither sees the other's containers or processes.

// elsewhere is a script that runs commands of a shell in namespaces of its own; $RT is the runtime.
func (v *victim) elsewhere(namespaces, commands string) string {
	v.t.Helper()
	v.file("elsewhere", "#!/bin/sh\nexport RT="+host.rt+"\nexec unshare -m --propagation private "+namespaces+" sh -ec '"+commands+"'\n", 0o755)
	return v.dir + "/elsewhere"
}

// TestSameNameElsewhere: in a container a runtime has had a container of its own, whose directory has the name of one of the host's
// that runs. Succeeds against a runtime that takes the cgroup which is left for the latter's, or for that of a container that may run
// (where /proc does not show all mount namespaces): the outer container's cgroup stays, and delete fails.
func TestSameNameElsewhere(t *testing.T) {
	outer := newVictim(t).up()
	namesake := newVictim(t).up()
	inner := newVictim(t, inCgroup(outer.spec.Linux.CgroupsPath+"/below"))
	root := namesake.dir + "/root"
	inner.do(call{exe: inner.elsewhere("", "mount -t tmpfs -o mode=0755 tmpfs "+root+"; $RT --root "+root+" create --pid-file "+inner.dir+
		"/pid --bundle "+inner.dir+"/bundle "+namesake.id+"; kill -9 $(cat "+inner.dir+"/pid)")}).ok(t)
	if len(cgroupDirs(inner.spec.Linux.CgroupsPath)) == 0 {
		t.Fatal("the inner container has no cgroup: nothing is attacked")
	}
	pid, err := os.ReadFile(inner.dir + "/pid")
	must(t, err)
	first, err := strconv.Atoi(string(pid))
	must(t, err)
	eventually(t, "end of the inner container", func() bool { reap(); return !alive(first) })
	if r := outer.rt("delete", "--force", outer.id); r.code != 0 {
		t.Errorf("%s\nwant the container to be removed", r)
	}
	if left := cgroupDirs(outer.spec.Linux.CgroupsPath); len(left) > 0 {
		t.Errorf("left behind: %v", left)
		for _, dir := range append(cgroupDirs(inner.spec.Linux.CgroupsPath), left...) {
			_ = os.Remove(dir)
		}
	}
	if !alive(namesake.pid()) {
		t.Error("the container of the same name was killed")
	}
}

// TestCgroupOfOutside: a runtime in another pid namespace is given the cgroup of a container of the host's, whose processes have no
// number there. Succeeds against a runtime that takes it: what it does with the cgroup hits the other container, and the host's
// runtime leaves it behind.
func TestCgroupOfOutside(t *testing.T) {
	v := newVictim(t).up()
	shown := false
	for _, dir := range cgroupDirs(v.spec.Linux.CgroupsPath) {
		_, err := os.Stat(dir + "/cgroup.events")
		shown = shown || err == nil
	}
	if !shown {
		t.Skip("cgroup v1 does not show processes of other pid namespaces")
	}
	pid := v.pid()
	inner := newVictim(t, hostPids, inCgroup(v.spec.Linux.CgroupsPath))
	r := inner.do(call{exe: inner.elsewhere("-p -f --mount-proc", "mount -t tmpfs -o mode=0755 tmpfs "+v.dir+"/root; if $RT --root "+inner.dir+"/root create --bundle "+inner.dir+"/bundle "+inner.id+
		"; then $RT --root "+inner.dir+"/root delete --force "+inner.id+"; echo taken; fi")})
	if strings.Contains(r.stdout, "taken") || !strings.Contains(r.stderr, "cgroup is not empty") {
		t.Errorf("%s\nwant `container's cgroup is not empty`", r)
	}
	if !alive(pid) {
		t.Error("the container of the host was killed")
	}
	v.rt("delete", "--force", v.id).ok(t)
	if left := cgroupDirs(v.spec.Linux.CgroupsPath); len(left) > 0 {
		t.Errorf("left behind: %v", left)
		for _, dir := range left {
			_ = os.Remove(dir)
		}
	}
}
