package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Checkpoint and restore by the ways of CRIU that few use: a page server, the modes of cgroups, namespaces that are there already.

// TestCheckpointHostCgroups: a container that sees the host's whole hierarchy does so after restore, writable only where it was, and
// the options of the host's own mount stay.
func TestCheckpointHostCgroups(t *testing.T) {
	needsCriu(t)
	needV2(t)
	options := cgroupOptions(t)
	for name, edit := range map[string]func(*specs.Spec){"ro": namespace(specs.CgroupNamespace, "-"), "rw": hostCgroups} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, counting, networked(t), edit).up()
			look := func() string {
				own := c.cgroup("")
				return c.sh("sed s/0::// /proc/self/cgroup; head -n 1 " + own + "/cgroup.procs; test -e /sys/fs/cgroup/cgroup.subtree_control -a ! -e /sys/fs/cgroup/cgroup.type && echo root; " +
					"mkdir " + own + "/sub 2>&1 && rmdir " + own + "/sub && echo writable; sed -n 's,^.* / /sys/fs/cgroup ,,p' /proc/self/mountinfo | sed 's/ .* - / - /'")
			}
			n, before := c.counts(1), look()
			if !strings.Contains(before, "\nroot\n") || strings.Contains(before, "\nwritable\n") != (name == "rw") {
				t.Fatalf("before: %s", before)
			}
			c.save().ok()
			c.back().ok()
			c.goesOn(n)
			if after := look(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
	if after := cgroupOptions(t); after != options {
		t.Errorf("the host's mount: %s, was %s", after, options)
	}
}

// TestCheckpointPageServer: memory goes to a page server, whose images make one set with the others. Where no server listens the
// container goes on.
func TestCheckpointPageServer(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	n := c.counts(1)
	c.save("--page-server", "127.0.0.1:27278").fails("criu failed:", "dump.log").oneError()
	n = c.counts(n)
	images := filepath.Join(c.dir, "served")
	c.must(os.Mkdir(images, 0o700))
	ready, w, err := os.Pipe()
	c.must(err)
	defer ready.Close()
	server := exec.Command(criuProgram(), "page-server", "--address", "127.0.0.1", "--port", "27278", "-D", images, "-o", "pages.log", "--status-fd", "3")
	server.ExtraFiles = []*os.File{w}
	c.must(orphans.Start(server))
	defer func() { _ = server.Process.Kill() }()
	w.Close()
	if k, err := ready.Read(make([]byte, 1)); k != 1 {
		t.Fatalf("the page server: %v: %s", err, c.read("served/pages.log"))
	}
	c.checkpoint("--image-path", images, "--page-server", "127.0.0.1:27278").ok()
	c.must(orphans.Wait(server))
	if !strings.Contains(c.read("served/dump.log"), "page server") {
		t.Error("CRIU has sent nothing to the page server")
	}
	c.do(viaCriu(criuProgram(), call{args: c.with("restore", "-d", "--image-path", images)})).ok()
	c.goesOn(n)
}

// TestCheckpointCgroupModes: with full, limits of v1 cgroups are as the images have them, with what update has changed; else, and on v2, of
// which CRIU keeps none of these, as the configuration has them. Device rules are the configuration's. With strict CRIU refuses the cgroup that rt has made, and nothing is left.
func TestCheckpointCgroupModes(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t), func(s *specs.Spec) {
		limit := int64(50)
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
	}).up()
	n := c.counts(1)
	saved := "77"
	if pureV2() {
		saved = "50"
	}
	for _, mode := range []struct{ name, limit string }{{"soft", "50"}, {"full", saved}} {
		c.rt("update", "--pids-limit", "77", c.id).ok()
		c.save("--manage-cgroups-mode", mode.name).ok()
		c.back("--manage-cgroups-mode", mode.name).ok()
		n = c.goesOn(n)
		if got := c.cgroupFile("pids", "pids.max"); got != mode.limit {
			t.Errorf("%s: pids.max is %s, want %s", mode.name, got, mode.limit)
		}
		if r := c.exec("sh", "-c", "mknod /tmp/mem c 1 1 && cat /tmp/mem"); r.code == 0 {
			t.Errorf("%s: the devices of the host: %s", mode.name, r)
		}
	}
	c.save("--manage-cgroups-mode", "strict").ok()
	c.back("--manage-cgroups-mode", "strict").fails("criu failed:", "restore.log").oneError()
	if left := c.leftovers(false); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestCheckpointJoins: the container comes back in the namespaces that its configuration names by paths, which may be others than
// those of before.
func TestCheckpointJoins(t *testing.T) {
	needsCriu(t)
	if why := criuNetworks(); why != "" {
		t.Skip(why)
	}
	before, after := newContainer(t).up(), newContainer(t).up()
	ns := func(c *container, kind string) string { return "/proc/" + pidText(c.pid()) + "/ns/" + kind }
	kinds := map[string]specs.LinuxNamespaceType{"net": specs.NetworkNamespace, "ipc": specs.IPCNamespace, "uts": specs.UTSNamespace, "pid": specs.PIDNamespace}
	for kind, flag := range kinds {
		t.Run(kind, func(t *testing.T) {
			c := newContainer(t, counting, networked(t), namespace(flag, ns(before, kind)))
			c.up()
			n := c.counts(1)
			c.save().ok()
			namespace(flag, ns(after, kind))(c.spec)
			c.write()
			c.back().ok()
			c.goesOn(n)
			if got, want := readlink(t, ns(c, kind)), readlink(t, ns(after, kind)); got != want {
				t.Errorf("it is in %s, want %s", got, want)
			}
		})
	}
}

// TestCheckpointAppArmor: the profile comes back, or the one of --lsm-profile. Where the images have less than is configured, nothing
// is restored.
func TestCheckpointAppArmor(t *testing.T) {
	needsCriu(t)
	needLSM(t, "apparmor")
	loadProfile(t, "rt-test-saved", liberal+" deny /etc/passwd r,")
	loadProfile(t, "rt-test-other", liberal+" deny /etc/group r,")
	c := newContainer(t, counting, networked(t), confined("rt-test-saved")).up()
	shows := func(want string) {
		t.Helper()
		if got := c.sh("cat /proc/1/attr/current; cat /etc/passwd >/dev/null 2>&1 && echo passwd; cat /etc/group >/dev/null 2>&1 && echo group; true"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	n := c.counts(1)
	shows("rt-test-saved (enforce)\ngroup")
	c.save().ok()
	c.back().ok()
	n = c.goesOn(n)
	shows("rt-test-saved (enforce)\ngroup")
	c.save().ok()
	confined("rt-test-other")(c.spec)
	c.write()
	c.back().fails(`init has the AppArmor profile "rt-test-saved`, "(/process/apparmorProfile)").oneError()
	c.back("--lsm-profile", "apparmor:rt-test-other").ok()
	c.goesOn(n)
	shows("rt-test-other (enforce)\npasswd")
}

// TestRestoreRefusedLeavesImages: the images of a restore that rt has refused can be used again. CRIU, which rt kills then, leaves a
// directory among them, and so does one that is killed otherwise.
func TestRestoreRefusedLeavesImages(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	n := c.counts(1)
	c.save().ok()
	c.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"personality"}, Action: specs.ActErrno}}}
	c.write()
	for _, flags := range [][]string{nil, {"--work-path", filepath.Join(c.dir, "work")}} {
		c.back(flags...).fails("has no seccomp filter").oneError()
		for _, pattern := range []string{"images/.criu*", "work/.criu*"} {
			if left, _ := filepath.Glob(filepath.Join(c.dir, pattern)); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		}
	}
	c.must(os.Mkdir(filepath.Join(c.images(), ".criu.cgyard.killed"), 0o700))
	c.spec.Linux.Seccomp = nil
	c.write()
	c.back().ok()
	c.goesOn(n)
}
