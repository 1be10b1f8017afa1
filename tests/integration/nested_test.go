package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// privileged is what an engine gives a container that is to run an engine itself, as Docker in Docker: capabilities, devices, nothing
// masked, the cgroups writable, in the host's cgroup namespace or in one of its own.
func privileged(ownCgroups bool) func(*specs.Spec) {
	return func(s *specs.Spec) {
		hostCgroups(s)
		if ownCgroups {
			namespace(specs.CgroupNamespace, "")(s)
		}
		capable("CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
			"CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_AUDIT_WRITE", "CAP_NET_BIND_SERVICE", "CAP_BPF")(s)
		writable(s)
		mounted("/run", "tmpfs", "tmpfs")(s)
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
}

// bundleInside puts the bundle of another container into one, as /inner, and what a runtime that is not static needs.
func bundleInside(inner *container) func(*specs.Spec) {
	return func(s *specs.Spec) {
		mounted("/inner", "bind", inner.bundle, "rbind")(s)
		for _, libraries := range []string{"/lib64", "/lib/x86_64-linux-gnu"} {
			if exists(libraries) {
				mounted(libraries, "bind", libraries, "bind", "ro")(s)
			}
		}
	}
}

// TestNestedRuntime: a runtime in a privileged container makes, limits, enters and deletes a container, whose cgroup is below that of the
// outer one. An engine in a container that may hold no processes of its own on cgroup v2 moves itself aside first, as dind does.
func TestNestedRuntime(t *testing.T) {
	t.Parallel()
	needRoot(t, "the host's hierarchy is written to")
	onlyFileDriver(t, "there is no systemd in the container")
	for name, own := range map[string]bool{"cgroup namespace of the host": false, "cgroup namespace of its own": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := newContainer(t)
			engine := "exec sleep 1000"
			if onV2(t) {
				engine = `own=/sys/fs/cgroup$(sed s/0::// /proc/self/cgroup)
					mkdir $own/engine && echo 1 >$own/engine/cgroup.procs || exit
					exec sleep 1000`
			}
			outer := newContainer(t, privileged(own), bundleInside(inner), script(engine))
			// No bind mount: runc runs a copy of itself from an overlay, which shows what the mount covers.
			outer.file("b/rootfs/bin/nested", string(must(os.ReadFile(machine.rt))), 0o755)
			outer.up()
			inner.spec.Linux.CgroupsPath = "/docker/inner"
			if onV2(t) && !own { // there the container sees the whole hierarchy
				inner.spec.Linux.CgroupsPath = outer.cgroupPath() + "/docker/inner"
			}
			inner.spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: i64(9)}
			inner.write()
			var aside []string
			if onV2(t) {
				aside = []string{"--cgroup", "engine"}
				eventually(t, "the engine to be in its cgroup", func() bool { return exists(filepath.Join(outer.cgroup(""), "engine")) })
			}
			nested := func(line string) result {
				return outer.execWith(aside, "sh", "-c", "nested --root /run/r "+line)
			}
			nested("create --bundle /inner inner </dev/null >/run/out 2>&1 || { cat /run/out >&2; exit 1; }").ok()
			nested("start inner").ok()
			below := filepath.Join(outer.cgroup("pids"), "docker/inner")
			if got := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(below, "pids.max"))))); got != "9" {
				t.Errorf("pids.max of the inner container: %s", got)
			}
			if got := strings.Fields(string(must(os.ReadFile(filepath.Join(below, "cgroup.procs"))))); len(got) != 1 {
				t.Errorf("processes in the cgroup of the inner container: %v", got)
			}
			nested("exec inner echo inside").ok().prints("inside")
			nested("exec inner sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 100 >/dev/null 2>&1 & done; wait' </dev/null").exits(2).says("can't fork")
			nested("update --pids-limit 77 inner").ok()
			if got := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(below, "pids.max"))))); got != "77" {
				t.Errorf("pids.max of the inner container after update: %s", got)
			}
			nested("pause inner").ok()
			state := nested("state inner").ok().stdout
			nested("resume inner").ok()
			if !strings.Contains(state, `"status": "paused"`) {
				t.Errorf("state of a paused container: %s", state)
			}
			nested("delete --force inner").ok()
			nested("list -q").ok().prints("")
			if exists(below) {
				t.Error("the cgroup of the inner container is left")
			}
			outer.delete("--force").ok()
		})
	}
}
