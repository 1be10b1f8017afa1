package integration

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ordinary is an id that no user of the machine has.
const ordinary = 64321

// asUser runs the runtime as an ordinary user.
var asUser = []string{"setpriv", "--reuid=64321", "--regid=64321", "--clear-groups"}

// rootless is what `spec --rootless` changes.
func rootless(s *specs.Spec) {
	self := []specs.LinuxIDMapping{{ContainerID: 0, HostID: ordinary, Size: 1}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = self, self
	s.Linux.CgroupsPath, s.Linux.Resources = "", nil
	namespace(specs.NetworkNamespace, "-")(s)
	namespace(specs.UserNamespace, "")(s)
	for i := range s.Mounts {
		m := &s.Mounts[i]
		switch m.Destination {
		case "/dev/pts":
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "gid=5" })
		case "/sys":
			m.Type, m.Source, m.Options = "none", "/sys", []string{"rbind", "nosuid", "noexec", "nodev", "ro"}
		}
	}
}

// newRootless makes a container that belongs, with all its files, to an ordinary user.
func newRootless(t *testing.T, edits ...func(*specs.Spec)) *container {
	t.Helper()
	onlyFileDriver(t, "a user that logs in has a systemd, one of setpriv(1) has none")
	c := newContainer(t, append([]func(*specs.Spec){rootless}, edits...)...)
	c.prefix = asUser
	c.give(ordinary)
	return c
}

// TestRuntimeDirIsFIFO: a user's $XDG_RUNTIME_DIR that is a FIFO is no directory, and nothing waits for a writer.
func TestRuntimeDirIsFIFO(t *testing.T) {
	t.Parallel()
	c := newRootless(t)
	fifo := filepath.Join(c.dir, "fifo")
	c.must(unix.Mkfifo(fifo, 0o600))
	c.must(os.Lchown(fifo, ordinary, ordinary))
	for _, args := range [][]string{{"state", c.id}, c.with("create"), {"delete", c.id}, {"doctor"}} {
		if args[0] == "doctor" && differs(t, "doctor --fix") {
			continue
		}
		c.do(call{bare: true, args: args, env: []string{"XDG_RUNTIME_DIR=" + fifo}}).fails(fifo)
	}
	st, err := os.Lstat(fifo)
	c.must(err)
	if st.Mode().Type() != os.ModeNamedPipe || st.Mode().Perm() != 0o600 {
		t.Errorf("the FIFO is %v", st.Mode())
	}
}

// give makes everything below the container's directory somebody's.
func (c *container) give(id int) {
	c.t.Helper()
	c.must(filepath.WalkDir(c.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id, id)
	}))
}

// TestRootless goes through a container's life as an ordinary user.
func TestRootless(t *testing.T) {
	t.Parallel()
	c := newRootless(t, writable)
	c.create().ok()
	if got := c.status(); got != "created" {
		t.Errorf("status %s", got)
	}
	if got := c.exec("id", "-u").ok().out(); got != "0" {
		t.Errorf("exec in a created container is uid %s", got)
	}
	c.start().ok()
	status := c.proc("status")
	if uid := value(status, "Uid"); uid != "64321\t64321\t64321\t64321" {
		t.Errorf("uid on the host: %s", uid)
	}
	if got := strings.Join(strings.Fields(c.proc("uid_map")+c.proc("gid_map")), " "); got != "0 64321 1 0 64321 1" {
		t.Errorf("maps: %s", got)
	}
	if got := strings.TrimSpace(c.proc("setgroups")); got != "deny" {
		t.Errorf("setgroups: %s", got)
	}
	for _, kind := range []string{"user", "mnt", "pid", "ipc", "uts"} {
		if c.ns(kind) == nsOf(t, "self", kind) {
			t.Errorf("the %s namespace is the host's", kind)
		}
	}
	if got := c.sh("id -u; touch /made; stat -c %u:%g /made /dev; hostname; echo hi >/dev/null; head -c 3 /dev/zero | wc -c; ls /dev/pts/ptmx"); got != "0\n0:0\n0:0\nbox\n3\n/dev/pts/ptmx" {
		t.Errorf("seen inside: %q", got)
	}
	c.execWith([]string{"--cwd", "/tmp", "--env", "A=b"}, "sh", "-c", "echo $A $PWD").ok().prints("b /tmp")
	if list := c.rt("list", "-q").ok().out(); list != c.id {
		t.Errorf("list: %s", list)
	}
	c.kill("TERM").ok()
	c.stopped()
	c.delete().ok()
	if st, err := os.Stat(filepath.Join(c.rootfs, "made")); err != nil {
		t.Error(err)
	} else if uid, gid := owner(st); uid != ordinary || gid != ordinary {
		t.Errorf("a file made inside belongs to %d:%d", uid, gid)
	}
}

func TestRootlessRun(t *testing.T) {
	t.Parallel()
	newRootless(t, script("exit 7")).run().exits(7)
	newRootless(t, script("nothing; exit 3")).run().exits(3)
	newRootless(t, args("nothing")).run().fails("executable file not found")
	newRootless(t, args("cat", "/proc/self/oom_score_adj"), func(s *specs.Spec) {
		adj := 700
		s.Process.OOMScoreAdj = &adj
	}).run().ok().prints("700")
}

func TestRootlessTerminal(t *testing.T) {
	t.Parallel()
	c := newRootless(t).up()
	term := openPty(t)
	running := c.begin(call{args: []string{"exec", "-t", c.id, "sh", "-c", "tty; stat -c %u:%g $(tty); stty size >/dev/null && echo works"}, tty: term.slave})
	term.shows("/dev/pts/0")
	term.shows("0:0")
	term.shows("works")
	running.wait().ok()

	d := newRootless(t, withTerminal, script("tty; stat -c %u $(tty)"))
	term = openPty(t)
	running = d.begin(call{args: d.with("run"), tty: term.slave})
	term.shows("/dev/pts/0")
	running.wait().ok()
}

// TestRootlessSpec: what `spec --rootless` writes runs, without any flag, in $XDG_RUNTIME_DIR.
func TestRootlessSpec(t *testing.T) {
	t.Parallel()
	c := newRootless(t)
	c.must(os.Remove(filepath.Join(c.bundle, "config.json")))
	xdg := filepath.Join(c.dir, "x")
	c.must(os.Mkdir(xdg, 0o700))
	c.must(os.Chown(xdg, ordinary, ordinary))
	// Without --root, which every call of a test has.
	c.prefix = append(slices.Clone(asUser), "sh", "-c", `rt=$1; shift 3; exec "$rt" "$@"`, "sh")
	user := func(env string, args ...string) result {
		return c.do(call{args: args, env: []string{env}, dir: c.bundle})
	}
	user("XDG_RUNTIME_DIR="+xdg, "spec", "--rootless").ok()
	var spec specs.Spec
	c.must(json.Unmarshal([]byte(c.read("b/config.json")), &spec))
	spec.Process.Terminal, spec.Process.Args = false, []string{"cat", "/proc/self/uid_map"}
	c.spec = &spec
	c.write()
	if out := user("XDG_RUNTIME_DIR="+xdg, "run", c.id).ok().out(); strings.Join(strings.Fields(out), " ") != "0 64321 1" {
		t.Fatal(out)
	}
	st, err := os.Stat(filepath.Join(xdg, machine.name))
	c.must(err)
	if st.Mode() != fs.ModeDir|fs.ModeSticky|0o700 {
		t.Errorf("mode of the root directory: %v", st.Mode())
	}
	user("A=b", "run", c.id).fails().rtError("root directory", "hint: set XDG_RUNTIME_DIR")
}

// TestRootlessWithoutCgroup: nothing was asked for and none can be had; what needs one says so.
func TestRootlessWithoutCgroup(t *testing.T) {
	t.Parallel()
	needNoDelegation(t)
	c := newRootless(t).up()
	if got, want := c.proc("cgroup"), procFile(t, os.Getpid(), "cgroup"); got != want {
		t.Errorf("the container is in %s, rt in %s", got, want)
	}
	c.rt("ps", c.id).fails().rtSays("list processes: container has no cgroup", "hint:")
	c.rt("pause", c.id).fails().rtSays("pause: container has no cgroup")
	c.rt("resume", c.id).fails("container not paused")
	c.rt("update", "--pids-limit", "9", c.id).fails().rtSays("update limits: container has no cgroup")
	if !differs(t, "rootless without a cgroup: events") {
		c.rt("events", "--stats", c.id).fails("read statistics: container has no cgroup")
	}
	if !differs(t, "rootless without a cgroup: kill --all") {
		c.kill("--all", "TERM").fails("signal all processes: container has no cgroup")
	}
	c.exec("true").ok()
	c.kill("--all", "KILL").ok() // init's end is the end of all
	c.awaitStatus("stopped")
	c.delete().ok()

	// Without a pid namespace only init is known.
	d := newRootless(t, namespace(specs.PIDNamespace, "-"), func(s *specs.Spec) {
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/proc" })
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/proc", Type: "bind", Source: "/proc", Options: []string{"rbind"}})
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	}).up()
	d.stopped()
	d.delete().ok()
}

// needNoDelegation: where root has given ordinary users cgroups to write in, a container gets one.
func needNoDelegation(t *testing.T) {
	t.Helper()
	needRoot(t, "the ordinary user is another")
	// What other tests delegate meanwhile is not where this one's containers go.
	find := []string{"sh", "-c", `cd / && exec "$@"`, "sh", "find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", "rt-test-*", "-prune", "-o", "-type", "d", "-writable", "-print"}
	if out := host(t, append(slices.Clone(asUser), find...)...); out != "" {
		t.Skipf("cgroups are delegated to everybody here: %s", out)
	}
}

// TestRootlessCgroupIsReadOnly: what the user may write in the host's cgroups, the container may not (CVE-2023-25809).
func TestRootlessCgroupIsReadOnly(t *testing.T) {
	t.Parallel()
	c := newRootless(t).up()
	for _, m := range c.mounts() {
		if strings.HasPrefix(m.point, "/sys") && !m.has("ro") && !differs(t, "rootless: the cgroups of the host") {
			t.Errorf("%s is writable", m.point)
		}
	}
	if r := c.exec("touch", "/sys/fs/cgroup/x"); r.code == 0 && !differs(t, "rootless: the cgroups of the host") {
		t.Error("a file was made in /sys/fs/cgroup")
	}
	noMount := newRootless(t, func(s *specs.Spec) {
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
	}).up()
	for _, m := range noMount.mounts() {
		if strings.HasPrefix(m.point, "/sys") && !m.has("ro") && !differs(t, "rootless: the cgroups of the host") {
			t.Errorf("%s is writable", m.point)
		}
	}
	// A cgroup that is not the container's own is shown read-only, whatever is asked for.
	foreign := newRootless(t, func(s *specs.Spec) { s.Mounts[6].Options = []string{"nosuid", "rw"} }).up()
	own := strings.Contains(foreign.proc("cgroup"), foreign.id)
	for _, m := range foreign.mounts() {
		if strings.HasPrefix(m.point, "/sys/fs/cgroup") && !m.has("ro") && !own && !differs(t, "rootless: the cgroups of the host") {
			t.Errorf("%s is writable", m.point)
		}
	}
}

// TestRootlessErrors: what cannot be done is said before anything is left behind.
func TestRootlessErrors(t *testing.T) {
	t.Parallel()
	limit, adj := int64(1<<26), -500
	for name, e := range map[string]struct {
		edit func(*specs.Spec)
		says []string
	}{
		"no user namespace": {func(s *specs.Spec) {
			namespace(specs.UserNamespace, "-")(s)
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		}, []string{"rootless container requires user namespaces", "hint: rt spec --rootless"}},
		"a limit": {func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
		},
			[]string{"(/linux/resources/memory/limit)", "permission denied", "hint: no cgroup is delegated", "Delegate=yes"}},
		"a cgroup": {func(s *specs.Spec) { s.Linux.CgroupsPath = "/rt-test-rootless" },
			[]string{"(/linux/cgroupsPath)", "permission denied", "hint: no cgroup is delegated"}},
		"groups": {func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0} },
			[]string{"/process/user/additionalGids: cannot set any additional groups in a rootless container", "/etc/subgid"}},
		"unmapped gid": {func(s *specs.Spec) {
			for i := range s.Mounts {
				if s.Mounts[i].Destination == "/dev/pts" {
					s.Mounts[i].Options = append(s.Mounts[i].Options, "gid=5")
				}
			}
		}, []string{"mount devpts at /dev/pts: ", "invalid argument (/mounts/2)", "hint: ", "not mapped"}},
		"sysfs": {func(s *specs.Spec) { s.Mounts[5].Type, s.Mounts[5].Options = "sysfs", nil },
			[]string{"mount sysfs at /sys", "(/mounts/5)", "hint: ", "bind mount /sys"}},
		"lower oom score": {func(s *specs.Spec) { s.Process.OOMScoreAdj = &adj },
			[]string{"set oom_score_adj -500 (/process/oomScoreAdj): ", "permission denied", "CAP_SYS_RESOURCE"}},
		"somebody's network": {namespace(specs.NetworkNamespace, "/proc/1/ns/net"), []string{"join namespace /proc/1/ns/net", "/path)", "hint: join the user namespace"}},
		"a denied device": {func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Type: "c", Major: i64(1), Minor: i64(5), Access: "r"}}}
		}, []string{"(/linux/resources/devices)", "hint: no cgroup is delegated"}},
		"a hard limit": {func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1 << 22, Soft: 1 << 22}}
		}, []string{"set rlimit RLIMIT_NOFILE", "CAP_SYS_RESOURCE"}},
		"a device": {func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/node", Type: "c", Major: 1, Minor: 3}}
		}, []string{"make device /node", "operation not permitted", "hint: in a user namespace no device"}},
		"many ids": {func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
		},
			[]string{"map ids (/linux/uidMappings)", "newuidmap", "/etc/subuid"}},
		"a rootfs of others": {func(s *specs.Spec) { s.Root.Path = "/root/rt-no" }, []string{"open rootfs", "permission denied", "(/root/path)"}},
		"a volume of others": {mounted("/tmp", "bind", "/root/rt-no", "bind"), []string{"open /root/rt-no: ", "permission denied", "(/mounts/7/source)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newRootless(t, e.edit)
			if name == "a denied device" {
				rtOnly(t, "rootless, or root of a user namespace: a rule")
			}
			c.run().fails().rtError(e.says...)
			if left := c.leftovers(false); len(left) > 0 {
				t.Fatalf("after a failed run: %v", left)
			}
		})
	}
}

func TestRootlessNoHelper(t *testing.T) {
	t.Parallel()
	c := newRootless(t, func(s *specs.Spec) {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: ordinary, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 10}}
	})
	c.do(call{args: c.with("run"), env: []string{"PATH=/nowhere"}}).fails().rtSays("map ids (/linux/uidMappings): newuidmap", "not in PATH", "hint: install the package uidmap")
	rtOnly(t, "check --format")
	check := c.do(call{args: []string{"check", c.bundle}, env: []string{"PATH=/nowhere"}})
	if out := check.stdout + check.stderr; !strings.Contains(out, "/linux/uidMappings: newuidmap") || strings.Contains(out, "gidMappings") {
		t.Errorf("check: %s", check)
	}
}

// TestRootlessRanges maps ranges of /etc/subuid and /etc/subgid, which each call of the runtime sees in a mount
// namespace of its own: the machine's files stay as they are.
func TestRootlessRanges(t *testing.T) {
	t.Parallel()
	additional, onHost, inside := []uint32{9, 5001}, "300008 400001", "0 9 5001"
	if differs(t, "rootless: additional groups") {
		additional, onHost, inside = nil, "", "0"
	}
	c := newRootless(t, writable, func(s *specs.Spec) {
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: ordinary, Size: 1}, {ContainerID: 1, HostID: 300000, Size: 1000}, {ContainerID: 5000, HostID: 400000, Size: 10}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
		s.Process.User = specs.User{UID: 7, GID: 8, AdditionalGids: additional}
		s.Mounts[2].Options = append(s.Mounts[2].Options, "gid=5")
	})
	c.withRanges("64321:300000:1000\n64321:400000:10\n")
	c.up()
	status := c.proc("status")
	if uid, gid, groups := value(status, "Uid"), value(status, "Gid"), value(status, "Groups"); !strings.HasPrefix(uid, "300006\t") || !strings.HasPrefix(gid, "300007\t") || groups != onHost {
		t.Errorf("on the host: uid %s gid %s groups %s", uid, gid, groups)
	}
	if got := strings.TrimSpace(c.proc("setgroups")); got != "allow" {
		t.Errorf("setgroups: %s", got)
	}
	c.execWith([]string{"--user", "0:0"}, "sh", "-c", "id -u; id -G; touch /made && stat -c %u /made").ok().prints("0\n" + inside + "\n0")
	c.execWith([]string{"--user", "5002"}, "id", "-u").ok().prints("5002")
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
	c.delete().ok()

	c.withRanges("64321:300000:10\n")
	c.run().fails().rtError("map ids (/linux/uidMappings): run ", "not allowed", "hint: /etc/subuid must give")
}

// withRanges makes /etc/subuid and /etc/subgid say this for the container's calls of the runtime.
func (c *container) withRanges(text string) {
	sub := c.file("sub", text, 0o644)
	passwd := c.file("passwd", "root:x:0:0::/root:/bin/sh\nordinary:x:64321:64321::/:/bin/sh\n", 0o644)
	group := c.file("group", "root:x:0:\nordinary:x:64321:\n", 0o644)
	setup := ""
	for _, f := range [][2]string{{sub, "/etc/subuid"}, {sub, "/etc/subgid"}, {passwd, "/etc/passwd"}, {group, "/etc/group"}} {
		if _, err := os.Stat(f[1]); err != nil {
			c.t.Fatalf("%v: the package uidmap is not installed", err)
		}
		setup += "mount --bind " + f[0] + " " + f[1] + " && "
	}
	c.prefix = []string{"unshare", "--mount", "sh", "-c", setup + "exec " + strings.Join(asUser, " ") + ` "$@"`, "sh"}
}

// TestRootlessRootNotMapped: the container's user is the host's, under the same number; there is no root.
func TestRootlessRootNotMapped(t *testing.T) {
	t.Parallel()
	rtOnly(t, "a user namespace that does not map 0")
	c := newRootless(t, writable, func(s *specs.Spec) {
		self := []specs.LinuxIDMapping{{ContainerID: 1234, HostID: ordinary, Size: 1}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = self, self
		s.Process.User = specs.User{UID: 1234, GID: 1234}
	}).up()
	c.exec("sh", "-c", "id -u; touch /made && stat -c %u:%g /made").ok().prints("1234\n1234:1234")
	c.delete("--force").ok()
}

func TestRootlessHooks(t *testing.T) {
	t.Parallel()
	c := newRootless(t)
	c.file("log", "", 0o666)
	mounted("/tmp", "bind", c.dir, "bind")(c.spec)
	inside := func(word string) specs.Hook {
		return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + word + " $(readlink /proc/self/ns/user) >> " + c.dir + "/log || echo " + word + " >> /tmp/log"}}
	}
	start := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo startContainer $(readlink /proc/self/ns/user) >> /tmp/log"}}
	c.hooks(specs.Hooks{
		CreateRuntime: c.logging("createRuntime"), CreateContainer: []specs.Hook{inside("createContainer")},
		StartContainer: []specs.Hook{start}, Poststart: c.logging("poststart"), Poststop: c.logging("poststop"),
	})
	c.up()
	user := c.ns("user")
	c.delete("--force").ok()
	got, want := strings.Join(strings.Fields(c.read("log")), " "), "createRuntime createContainer "+user+" startContainer "+user+" poststart poststop"
	if got != want && !differs(t, "poststart hooks wait for startContainer hooks") {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestRootlessLockedFlags: flags of the host's mounts stay; what would take them off is refused.
func TestRootlessLockedFlags(t *testing.T) {
	t.Parallel()
	c := newRootless(t)
	source := filepath.Join(c.dir, "source")
	c.must(os.Mkdir(source, 0o755))
	c.must(unix.Mount("tmpfs", source, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "mode=0777"))
	defer func() { c.must(unix.Unmount(source, 0)) }()
	mounted("/tmp", "bind", source, "bind", "ro")(c.spec)
	mounted("/var", "bind", source, "rbind", "nosymfollow")(c.spec)
	c.write()
	c.up()
	for _, point := range []string{"/tmp", "/var"} {
		if m := c.mountAt(point); !m.has("nosuid") || !m.has("nodev") || !m.has("noexec") || !m.has("ro") {
			t.Errorf("%+v", m)
		}
	}
	c.delete("--force").ok()
	for option, flag := range map[string]string{"suid": "nosuid", "dev": "nodev", "exec": "noexec", "rw": "ro"} {
		c.spec.Mounts[len(c.spec.Mounts)-1].Options = []string{"bind", option}
		c.write()
		c.run().fails("cannot clear locked flags").rtError("bind "+source+" at /var: cannot clear locked flags "+flag+": operation not permitted (/mounts/8)", "hint: ")
	}
}

// TestRootlessSubmount: a single mount of a locked tree cannot be taken out: what it covers would be seen.
func TestRootlessSubmount(t *testing.T) {
	t.Parallel()
	c := newRootless(t, mounted("/tmp", "bind", "/dev", "bind"))
	c.run().fails("invalid argument").rtError("open /dev: open_tree: invalid argument (/mounts/7/source)", "hint: ", "rbind")
	c.spec.Mounts[len(c.spec.Mounts)-1].Options = []string{"rbind"}
	c.spec.Process.Args = []string{"test", "-c", "/tmp/null"}
	c.write()
	c.run().ok()
}

// TestRootlessRights: a bind mount gives no right that the user does not have.
func TestRootlessRights(t *testing.T) {
	t.Parallel()
	c := newRootless(t, capable("CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_MKNOD"), writable)
	secret := c.file("secret", "root only", 0o600)
	mounted("/secret", "bind", secret, "bind")(c.spec)
	c.write()
	c.up()
	for _, cmd := range [][]string{{"cat", "/secret"}, {"chown", "1", "/etc/passwd"}, {"mknod", "/node", "c", "1", "3"}} {
		if r := c.exec(cmd...); r.code == 0 {
			t.Errorf("allowed: %s", r)
		}
	}
}

// TestRootlessJoin: a second container in the first one's user namespace, as in a pod.
func TestRootlessJoin(t *testing.T) {
	t.Parallel()
	pod := newRootless(t, namespace(specs.NetworkNamespace, "")).up()
	c := newRootless(t, namespace(specs.UserNamespace, pod.nsPath("user")), namespace(specs.NetworkNamespace, pod.nsPath("net")),
		namespace(specs.IPCNamespace, pod.nsPath("ipc")), func(s *specs.Spec) { s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil })
	c.up()
	if c.ns("user") != pod.ns("user") || c.ns("net") != pod.ns("net") || c.ns("ipc") != pod.ns("ipc") || c.ns("pid") == pod.ns("pid") {
		t.Fatal("the namespaces were not joined")
	}
	c.exec("id", "-u").ok().prints("0")
}

// TestRootlessGroupsByPath: what a path that is not one of /proc says of setgroups(2) is nothing. The groups of rt's user stay where the
// user namespace denies it, and else they do not.
func TestRootlessGroupsByPath(t *testing.T) {
	t.Parallel()
	for setgroups, want := range map[string]string{"allow": "", "deny": "64400"} {
		c := newRootless(t)
		c.prefix = []string{"setpriv", "--reuid=64321", "--regid=64321", "--groups=64400"}
		holder := exec.Command("unshare", "--user", "sleep", "1000")
		holder.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
		c.must(holder.Start())
		defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
		dir, path := fmt.Sprintf("/proc/%d/", holder.Process.Pid), filepath.Join(c.dir, "userns")
		own, err := os.Readlink("/proc/self/ns/user")
		c.must(err)
		eventually(t, "a user namespace", func() bool { now, err := os.Readlink(dir + "ns/user"); return err == nil && now != own })
		for file, text := range map[string]string{"setgroups": setgroups, "uid_map": "0 64321 1"} {
			c.must(os.WriteFile(dir+file, []byte(text), 0))
		}
		c.must(os.WriteFile(dir+"gid_map", []byte("0 64321 1"), 0))
		c.must(os.WriteFile(path, nil, 0o600))
		c.must(unix.Mount(dir+"ns/user", path, "", unix.MS_BIND, ""))
		defer func() { c.must(unix.Unmount(path, unix.MNT_DETACH)) }()
		namespace(specs.UserNamespace, path)(c.spec)
		c.spec.Linux.UIDMappings, c.spec.Linux.GIDMappings = nil, nil
		c.write()
		c.up()
		if got := value(c.proc("status"), "Groups"); got != want && !differs(t, "rootless: the groups of the caller") {
			t.Errorf("%s: groups %q, want %q", setgroups, got, want)
		}
		if !differs(t, "rootless: the groups of the caller") {
			c.exec("grep", "^Groups", "/proc/self/status").ok()
		}
		c.delete("--force").ok()
	}
}

// TestRootlessStubIsClosed: a neighbour who may ptrace whatever is in the user namespace does not see into the stub of
// a container that joins, which holds what its rt has opened.
func TestRootlessStubIsClosed(t *testing.T) {
	t.Parallel()
	rtOnly(t, "between create and start the waiting")
	pod := newRootless(t, capable("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE")).up()
	c := newRootless(t, namespace(specs.UserNamespace, pod.nsPath("user")), namespace(specs.PIDNamespace, pod.nsPath("pid")),
		namespace(specs.IPCNamespace, pod.nsPath("ipc")), func(s *specs.Spec) { s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil })
	c.create().ok()
	pid := strings.Fields(value(c.proc("status"), "NSpid"))
	stub := pid[len(pid)-1]
	if got := pod.sh("cat /proc/" + stub + "/comm"); got != "rt:[stub]" {
		t.Fatalf("process %s is %q", stub, got)
	}
	for _, cmd := range []string{"ls /proc/" + stub + "/fd", "cat /proc/" + stub + "/environ", "readlink /proc/" + stub + "/root", "cat /proc/" + stub + "/maps"} {
		if r := pod.exec("sh", "-c", cmd); r.code == 0 && r.out() != "" {
			t.Errorf("allowed: %s", r)
		}
	}
	c.start().ok()
	if r := pod.exec("readlink", "/proc/"+stub+"/root"); r.code != 0 {
		t.Errorf("the same test sees nothing of the program either: %s", r)
	}
}

func TestRootlessTime(t *testing.T) {
	t.Parallel()
	c := newRootless(t, namespace(specs.TimeNamespace, ""), func(s *specs.Spec) {
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 86400000}}
	}).up()
	if up := c.sh("cut -d. -f1 /proc/uptime"); len(up) < 8 || up < "86400000" {
		t.Errorf("uptime inside: %s", up)
	}
	if c.exec("readlink", "/proc/self/ns/time").ok().out() != c.ns("time") {
		t.Error("exec is in another time namespace")
	}
}

// TestNested runs the runtime as root of a user namespace: a container there, with and without a user namespace of
// its own, and with and without a mount namespace that root there owns.
func TestNested(t *testing.T) {
	onlyFileDriver(t, "systemd does not listen to root of a user namespace")
	t.Parallel()
	for name, flags := range map[string][]string{"user": {"--map-root-user"}, "user and mount": {"--map-root-user", "--mount"}} {
		nested := append(append(slices.Clone(asUser), "unshare"), flags...)
		self := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}}
		for kind, edit := range map[string]func(*specs.Spec){
			"own": func(s *specs.Spec) { s.Linux.UIDMappings, s.Linux.GIDMappings = self, self },
			"outer": func(s *specs.Spec) {
				namespace(specs.UserNamespace, "-")(s)
				s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
			},
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				c := newRootless(t, edit, mounted("/dev/null", "bind", "/dev/null", "bind"), script("cat /proc/self/setgroups; id -u; echo hi >/dev/null && test -d /sys/kernel && hostname"))
				c.prefix = nested
				c.run().ok().prints("deny\n0\nbox")
				if left := c.leftovers(false); len(left) > 0 {
					t.Fatalf("after a run: %v", left)
				}
			})
		}
	}
}

// TestRuntimeInContainer: an ordinary user's container runs containers, in user namespaces of its own.
func TestRuntimeInContainer(t *testing.T) {
	t.Parallel()
	rtOnly(t, "one static file")
	caps := []string{"CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETFCAP", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL"}
	inner := `cd /inner && rt spec --rootless && sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"cat","\/proc\/self\/uid_map"/' config.json && `
	c := newRootless(t, writable, capable(caps...), script(inner+"rt --root /tmp/r run in"), mounted("/bin/rt", "bind", machine.rt, "bind"),
		func(s *specs.Spec) { s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil })
	c.must(os.MkdirAll(filepath.Join(c.rootfs, "inner/rootfs"), 0o755))
	c.must(busyboxRootfs(filepath.Join(c.rootfs, "inner/rootfs")))
	c.give(ordinary)
	if got := strings.Fields(c.run().ok().out()); strings.Join(got, " ") != "0 0 1" {
		t.Errorf("uid_map: %q", got)
	}
	c.must(os.Remove(filepath.Join(c.rootfs, "inner/config.json")))
	c.spec.Linux.MaskedPaths = []string{"/proc/keys"}
	c.write()
	c.run().fails("mount proc at /proc: ", "operation not permitted (/mounts/0)", "hint: a new /proc would show what is covered")
}

// TestNoUserNamespaces: a limit of the outer user namespace is what an administrator would have set to 0.
func TestNoUserNamespaces(t *testing.T) {
	t.Parallel()
	c := newRootless(t)
	c.spec.Linux.UIDMappings[0].HostID, c.spec.Linux.GIDMappings[0].HostID = 0, 0
	c.write()
	c.prefix = append(slices.Clone(asUser), "unshare", "--map-root-user", "sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"`, "sh")
	c.run().fails().rtError("clone into new namespaces", "no space left on device", "hint: a limit on namespaces is reached: see /proc/sys/user/max_")
}

// TestRootWithoutAdmin: uid 0 alone is not enough.
func TestRootWithoutAdmin(t *testing.T) {
	needRoot(t, "it is about root")
	t.Parallel()
	c := newContainer(t)
	c.prefix = []string{"setpriv", "--bounding-set=-sys_admin"}
	c.run().fails().rtError("create container: rt lacks CAP_SYS_ADMIN", "hint: ")
	rtOnly(t, "root without CAP_SYS_ADMIN")
	// In a user namespace it is, and CAP_SETUID maps any id.
	m := newMapped(t, args("cat", "/proc/self/uid_map"), rootless, mapped, func(s *specs.Spec) { s.Mounts[5].Options = []string{"rbind", "ro"} })
	m.prefix = c.prefix
	if got := strings.Fields(m.run().ok().out()); strings.Join(got, " ") != "0 100000 65536" {
		t.Errorf("uid_map: %q", got)
	}
}

// TestNoInheritedCapabilities: what rt was started with is not what a container gets (CVE-2022-29162).
func TestNoInheritedCapabilities(t *testing.T) {
	t.Parallel()
	caps := []string{"setpriv", "--inh-caps=+net_raw,+kill,+chown", "--ambient-caps=+net_raw,+kill,+chown"}
	for _, kind := range []string{"root", "ordinary"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			needRoot(t, "only root passes capabilities on")
			c := newContainer(t)
			c.prefix = caps
			if kind == "ordinary" {
				c = newRootless(t)
				c.prefix = append(slices.Clone(caps[:1]), append(slices.Clone(asUser[1:]), caps[1:]...)...)
			}
			c.up()
			for _, status := range []string{c.proc("status"), c.exec("cat", "/proc/self/status").ok().out()} {
				for name, want := range map[string]string{"CapInh": "0000000000000000", "CapAmb": "0000000000000000", "CapPrm": "0000000020000420", "CapBnd": "0000000020000420"} {
					if got := value(status, name); got != want {
						t.Errorf("%s: %s, want %s", name, got, want)
					}
				}
			}
		})
	}
}
