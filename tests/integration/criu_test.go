package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rt/internal/names"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkpoint and restore with a fake CRIU: what it is asked for, what the runtime makes of its answers, and what is left.

// criu calls a verb with a fake that follows s.
func (c *container) criu(s scenario, verb string, flags ...string) result {
	c.t.Helper()
	return c.do(viaCriu(c.fakeCriu(s), call{dir: c.dir, args: append(append([]string{verb}, flags...), c.id)}))
}

func (c *container) images() string { return filepath.Join(c.dir, "images") }

func TestCheckpointAsks(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t, mounted("/vol", "bind", "vol", "bind"), mounted("/etc/f", "bind", "file", "bind"))
	c.file("b/vol/x", "x", 0o644)
	c.file("b/file", "x", 0o644)
	c.up()
	for _, l := range []struct {
		flags string
		kind  int
		want  map[int]string
	}{
		{"", 1, map[int]string{2: pidText(c.pid()), 3: "1", 4: "", 5: "", 7: "", 8: "", 9: "4", 10: "dump.log", 12: "1", 13: c.rootfs, 14: "",
			16: "", 18: "", 34: "6", 38: strconv.Itoa(unix.CLONE_NEWNET), 46: "", 48: "", 50: "1", 51: "/etc/criu/runc.conf", 52: ""}},
		{"--tcp-established --ext-unix-sk --shell-job --file-locks --link-remap --tcp-skip-in-flight --auto-dedup", 1,
			map[int]string{4: "1", 5: "1", 7: "1", 8: "1", 16: "1", 18: "1", 46: "1"}},
		{"--manage-cgroups-mode full --empty-ns network", 1, map[int]string{34: "4", 38: strconv.Itoa(unix.CLONE_NEWNET)}},
		{"--manage-cgroups-mode ignore -page-server 10.0.0.1:27000", 1, map[int]string{34: "0", 11: "10.0.0.1 27000"}},
		{"--network-lock skip --tcp-close", 1, map[int]string{64: "3", 52: "1"}}, {"--network-lock iptables", 1, map[int]string{64: "1"}},
		{"--page-server [::1]:1 --lazy-pages", 1, map[int]string{11: "::1 1", 48: "1"}},
		{"--pre-dump", 4, map[int]string{15: "", 14: ""}},
		{"--pre-dump --parent-path .", 4, map[int]string{14: ".", 15: "1"}},
	} {
		if strings.Contains(l.flags, "--network-lock") && differs(t, "checkpoint --network-lock") {
			continue
		}
		flags := append(strings.Fields(l.flags), "--leave-running", "--image-path", c.images())
		c.criu(scenario{}, "checkpoint", flags...).ok()
		a := c.asked()
		if a.Kind != l.kind {
			t.Errorf("%q: request %d", l.flags, a.Kind)
		}
		for field, want := range l.want {
			if got := a.one(t, field); got != want && got+want != "0" { // false need not be sent
				t.Errorf("%q: field %d is %q, want %q", l.flags, field, got, want)
			}
		}
		mounts := strings.Join(a.Opts["23"], ";")
		if wanted := l.kind == 1; strings.Contains(mounts, "/vol /vol;/etc/f /etc/f") != wanted {
			t.Errorf("%q: external mounts %q", l.flags, mounts)
		}
	}
	c.awaitStatus("running")
	c.sh("echo it runs")
}

// TestCheckpointFiles: who may read images, what the descriptors are, where the log is, and where all of that is by default.
func TestCheckpointFiles(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t).up()
	c.criu(scenario{Log: "x"}, "checkpoint", "--leave-running").ok() // the call's directory is c.dir
	if st, err := os.Stat(filepath.Join(c.dir, "checkpoint")); err != nil || st.Mode().Perm() != 0o700 && !differs(t, "checkpoint, restore: directories of images") {
		t.Errorf("%v, %v", st, err)
	}
	if text := c.read("checkpoint/descriptors.json"); !regexp.MustCompile(`^\["","file\[[0-9a-f]+:[0-9a-f]+\]","file.*"\]$`).MatchString(text) && !differs(t, "checkpoint: a container whose stdin") {
		t.Errorf("descriptors: %s", text)
	}
	c.read("checkpoint/dump.log")
	work := filepath.Join(c.dir, "work")
	c.criu(scenario{Log: "y"}, "checkpoint", "--leave-running", "--work-path", work).ok()
	if text := c.read("work/dump.log"); text != "y" {
		t.Error(text)
	}
	c.criu(scenario{}, "checkpoint").ok()
	if r := c.rt("state", c.id); r.code != 1 || !strings.Contains(r.stderr, "does not exist") {
		t.Errorf("it is there after its checkpoint: %s", r)
	}
	if left := c.leftovers(false); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestCheckpointRefused(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t)
	c.create().ok()
	c.criu(scenario{}, "checkpoint").fails("Container cannot be checkpointed in created state")
	c.start().ok()
	dump := func(s scenario, flags ...string) result {
		t.Helper()
		r := c.criu(s, "checkpoint", append(flags, "--image-path", c.images())...).fails()
		if machine.peer.isRt() {
			r.oneError()
		}
		if status := c.status(); status != "running" {
			t.Fatalf("%s after %s", status, r)
		}
		return r
	}
	dump(scenario{Fail: "-", Errno: 3, Log: "(1) x\n(2) Error (a.c:1): worse\x1b[31m\n"}).says("criu failed: type DUMP errno 3", `(2) Error (a.c:1): worse\x1b[31m`).rtSays(c.images() + "/dump.log")
	dump(scenario{Fail: "-", Message: "Error (b.c:2): bad"}).says("criu failed: type DUMP errno 0").rtSays("Error (b.c:2): bad")
	dump(scenario{Scripts: []string{"pre-dump"}, Fail: "pre-dump"}).says("criu failed: type NOTIFY errno 0")
	dump(scenario{Die: "Error (k.c:1): no vdso"}).rtSays("criu failed: type VERSION errno 0: it has ended with exit status 1", "no vdso")
	dump(scenario{Garbage: true}).rtSays("no message of CRIU's protocol")
	dump(scenario{Version: []uint64{2, 12, 1}}).rtSays("is CRIU 2.12.1", "hint: rt needs CRIU 3.0 or later")
	dump(scenario{Missing: true}, "--pre-dump").says("criu is missing features: ", "MemTrack")
	dump(scenario{Missing: true}, "--lazy-pages").says("criu is missing features: ", "LazyPages")
	dump(scenario{}, "--manage-cgroups-mode", "x").says("invalid manage-cgroups-mode value")
	if !differs(t, "checkpoint --network-lock") {
		dump(scenario{}, "--network-lock", "x").says("invalid network-lock method")
	}
	dump(scenario{}, "--empty-ns", "pid").says(`namespace "pid" is not supported`)
	dump(scenario{}, "--page-server", "host").says("Use --page-server ADDRESS:PORT to specify page server")
	dump(scenario{}, "--page-server", "host:x").says("Invalid port number")
	dump(scenario{}, "--parent-path", "/tmp").says("--parent-path must be relative")
	dump(scenario{}, "--parent-path", "nowhere").says("invalid --parent-path")
	dump(scenario{}, "--lazy-pages", "--status-fd", "99").says("invalid --status-fd argument 99")
	if !differs(t, "global --criu PATH") {
		c.do(call{dir: c.dir, global: []string{"--criu", filepath.Join(c.dir, "none")}, args: []string{"checkpoint", c.id}}).fails("no such file or directory", "hint: install CRIU").oneError()
	}
	c.do(call{dir: c.dir, env: []string{"PATH=" + c.dir}, args: []string{"checkpoint", c.id}}).fails("criu", "executable file not found in $PATH")
	c.file("images/x", "", 0o644)
	c.criu(scenario{}, "checkpoint", "--image-path", c.images()+"/x").fails("not a directory")
	c.stopped()
	c.criu(scenario{}, "checkpoint").fails("Container cannot be checkpointed in stopped state")
}

// TestCheckpointWithoutRights: CRIU is not even asked.
func TestCheckpointWithoutRights(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	if !ordinaryUser() {
		c.prefix = []string{"setpriv", "--bounding-set=-sys_admin,-checkpoint_restore"}
	}
	c.rt("checkpoint", "--image-path", c.images(), c.id).fails().rtSays("CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE: operation not permitted", "hint: ").oneError()
	c.prefix = nil
	c.exec("true").ok()
}

// TestCheckpointReady: the reader of --status-fd is told when lazy pages are served.
func TestCheckpointReady(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t).up()
	r, w, err := os.Pipe()
	c.must(err)
	defer r.Close()
	program := c.fakeCriu(scenario{Scripts: []string{"status-ready", "post-dump"}})
	c.do(viaCriu(program, call{dir: c.dir, files: []*os.File{w}, args: []string{"checkpoint", "--lazy-pages", "--status-fd", "3", c.id}})).ok()
	w.Close()
	buf := make([]byte, 9)
	if n, err := r.Read(buf); n != 1 || buf[0] != 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// asTheFake asks for no more than what the fake's process has: it is root with all that the tests have, and sees the host's files.
func (c *container) asTheFake() {
	c.t.Helper()
	lacks := func(name string) bool { return !hasCapability(names.Capability(name)) }
	capable(slices.DeleteFunc(slices.Clone(names.Capabilities()), lacks)...)(c.spec)
	c.spec.Linux.MaskedPaths, c.spec.Linux.ReadonlyPaths = []string{"/not/there"}, nil
	c.write()
}

// restorable makes images of a container, which is then gone.
func (c *container) restorable() *container {
	c.t.Helper()
	c.asTheFake()
	c.up()
	c.criu(scenario{}, "checkpoint", "--image-path", c.images()).ok()
	return c
}

func (c *container) restore(s scenario, flags ...string) result {
	c.t.Helper()
	return c.criu(s, "restore", append(flags, "--bundle", c.bundle, "--image-path", c.images())...)
}

func TestRestoreDetached(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	hooks := filepath.Join(t.TempDir(), "hooks")
	hook := func(name string) specs.Hook {
		return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >>$0; echo " + name + " >>$0", hooks}}
	}
	c := newContainer(t, mounted("/vol", "bind", "vol", "bind"), func(s *specs.Spec) {
		//nolint:staticcheck // prestart is deprecated and must still run
		s.Hooks = &specs.Hooks{Prestart: []specs.Hook{hook("prestart")}, CreateRuntime: []specs.Hook{hook("createRuntime")},
			CreateContainer: []specs.Hook{hook("createContainer")}, StartContainer: []specs.Hook{hook("startContainer")},
			Poststart: []specs.Hook{hook("poststart")}, Poststop: []specs.Hook{hook("poststop")}}
	})
	c.file("b/vol/x", "x", 0o644)
	c.spec.Hooks.StartContainer, c.spec.Hooks.CreateContainer = nil, nil // their programs are in the container, on the way there
	c.write()
	c.restorable()
	c.must(os.Remove(hooks))
	c.restore(scenario{}, "-d", "--pid-file", filepath.Join(c.dir, "pid"), "-no-subreaper", "--no-pivot", "--lsm-profile", "apparmor:unconfined",
		"--lsm-mount-context", "ctx", "--tcp-established", "--shell-job").ok()
	pid := c.pid()
	if c.status() != "running" || c.read("pid") != pidText(pid) {
		t.Errorf("%+v, pid file %q", c.state(), c.read("pid"))
	}
	said := readFile(t, hooks)
	if differs(t, "restore: prestart and createRuntime hooks run") {
		said = strings.ReplaceAll(said, `"status":"stopped"`, `"status":"creating"`)
	}
	if !regexp.MustCompile(`(?s)^\{.*"status":"creating","pid":` + pidText(pid) + `,.*prestart.*createRuntime\n$`).MatchString(said) {
		t.Errorf("hooks: %s", said)
	}
	a := c.asked()
	for field, want := range map[int]string{5: "1", 6: "1", 7: "1", 10: "restore.log", 13: filepath.Join(c.root, c.id, "criu-root"), 26: "1",
		38: strconv.Itoa(unix.CLONE_NEWNET), 53: "apparmor:unconfined", 63: "ctx"} {
		if got := a.one(t, field); got != want {
			t.Errorf("field %d is %q, want %q", field, got, want)
		}
	}
	if !strings.HasSuffix(a.Root, c.id[len("rt-it-"):]+"/b/rootfs") {
		t.Errorf("the root: %s", a.Root)
	}
	if !differs(t, "restore: mounts") {
		for at, want := range map[string]string{"/vol": c.bundle + "/vol", "/dev/null": "/dev/null", "/not/there": "/dev/null"} {
			if a.Mounts[at] != inodeOf(want) {
				t.Errorf("the mount %s is %q, not %s", at, a.Mounts[at], want)
			}
		}
		for _, m := range a.Opts["23"] { // CRIU is given no path that a neighbour could put a link in
			if !strings.Contains(m, " "+filepath.Join(c.root, c.id, "criu-mounts")+"/") {
				t.Errorf("mount %q", m)
			}
		}
	}
	if len(a.Fds) != 2 && !differs(t, "checkpoint: a container whose stdin") || // stdin is the container's own /dev/null
		!underSystemd() && !strings.Contains(a.Cgroup, c.id) || len(a.Opts["25"]) == 0 {
		t.Errorf("descriptors %q, cgroup %q, roots %q", a.Fds, a.Cgroup, a.Opts["25"])
	}
	for _, path := range []string{"criu-root", "criu-mounts", "start.sock"} {
		if _, err := os.Lstat(filepath.Join(c.root, c.id, path)); err == nil {
			t.Errorf("%s is left in the container's directory", path)
		}
	}
	if lo := c.inNetwork(pid); !strings.Contains(lo, "UP") && !differs(t, "restore: the loopback device") {
		t.Errorf("lo is not up: %s", lo)
	}
	c.restore(scenario{}, "-d").fails("container with given ID already exists")
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
	c.delete().ok()
	if said := readFile(t, hooks); !strings.Contains(said, "poststop") {
		t.Errorf("hooks: %s", said)
	}
}

// TestPoststopOfFailedRestore: poststop hooks run, once, also if CRIU has restored no process; no other hook does.
func TestPoststopOfFailedRestore(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t)
	said, images := filepath.Join(c.dir, "hooks"), filepath.Join(c.dir, "images")
	hook := func(name string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + name + " >>" + said}}}
	}
	c.spec.Hooks = &specs.Hooks{Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"), Poststop: hook("poststop")}
	c.write()
	c.must(os.Mkdir(images, 0o700))
	c.file("images/inventory.img", "", 0o600)
	c.file("images/descriptors.json", `["null","null","null"]`, 0o600)
	c.must(os.Mkdir(filepath.Join(c.dir, "path"), 0o755))
	c.file("path/criu", "#!/bin/sh\nexit 1\n", 0o755)
	c.do(call{args: c.with("restore", "--image-path", images), env: []string{"PATH=" + filepath.Join(c.dir, "path") + ":" + callerPath}}).fails()
	if got := readFile(t, said); got != "poststop\n" {
		t.Errorf("hooks: %q", got)
	}
	c.rt("state", c.id).fails("does not exist")
}

// inNetwork is what ip says of lo in a process's network namespace.
func (c *container) inNetwork(pid int) string {
	c.t.Helper()
	return host(c.t, "nsenter", "-t", pidText(pid), "-n", "/bin/busybox", "ifconfig", "lo")
}

// TestRestoreForeground: the restored process is the runtime's child, whose exit status is the runtime's.
func TestRestoreForeground(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t).restorable()
	c.restore(scenario{Command: []string{"/bin/busybox", "sh", "-c", "read x; echo back; exit 7"}}).exits(7).prints("back")
	if _, err := os.Stat(filepath.Join(c.root, c.id)); err == nil {
		t.Error("the container is still there")
	}
	c.restore(scenario{Command: []string{"/bin/busybox", "sh", "-c", "read x; kill -TERM $$"}}).exits(0) // the first process of a pid namespace
	c.restore(scenario{Command: []string{"/bin/busybox", "sh", "-c", "trap 'exit 9' TERM; read x; kill -TERM $$"}}, "--no-subreaper").exits(9)
}

func TestRestoreTerminal(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t).restorable()
	c.restore(scenario{Pty: true}, "-d").fails().rtError("/process/terminal is not true")
	withTerminal(c.spec)
	c.write()
	c.restore(scenario{Pty: true}, "-d").fails("cannot allocate tty if runc will detach without setting console socket")
	socket := c.consoleSocket()
	c.restore(scenario{Pty: true}, "-d", "--console-socket", socket.path).ok()
	socket.receive()
}

// TestRestoreRefused: of a restore that fails nothing is left, whatever it was.
func TestRestoreRefused(t *testing.T) {
	t.Parallel()
	rtOnly(t, "checkpoint, restore: CRIU that ends")
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t).restorable()
	before := mountsOfHost(t)
	restore := func(s scenario, flags ...string) result {
		t.Helper()
		r := c.restore(s, append(flags, "-d")...).fails().oneError()
		if left := c.leftovers(false); len(left) > 0 {
			t.Fatalf("left by %s: %v", r, left)
		}
		return r
	}
	restore(scenario{Fail: "-", Message: "Error (r.c:3): broken", Log: "(2) Error (r.c:3): broken\n"}).says("criu failed: type RESTORE errno 0", "r.c:3", c.images()+"/restore.log")
	for _, script := range []string{"setup-namespaces", "post-restore", "post-resume"} {
		restore(scenario{Fail: script}).says("criu failed: type NOTIFY errno 0")
	}
	restore(scenario{Pid: os.Getpid()}).says("is not the pid of the container's process")
	restore(scenario{Scripts: []string{}}).says("criu has restored process")
	restore(scenario{Scripts: []string{"setup-namespaces", "post-restore", "post-resume"}}).says("criu has resumed the processes and not asked before")
	restore(scenario{Scripts: []string{"pre-resume"}}).says("criu is about to resume and has restored no process")
	restore(scenario{Status: 3}).says("it has ended with exit status 3 after it had reported success")
	restore(scenario{Die: "Error: no"}).says("criu failed: type VERSION", "Error: no")
	restore(scenario{Garbage: true}).says("no message of CRIU's protocol")
	c.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
	c.write()
	restore(scenario{}).says("createRuntime")
	c.spec.Hooks = nil
	c.write()
	c.must(os.WriteFile(filepath.Join(c.images(), "descriptors.json"), []byte("{"), 0o600))
	restore(scenario{}).says("descriptors.json")
	c.must(os.Remove(filepath.Join(c.images(), "descriptors.json")))
	restore(scenario{}).says("no such file or directory")
	c.criu(scenario{}, "restore", "-d", "--bundle", c.bundle, "--image-path", c.images()+"-not").fails("no such file or directory").oneError()
	if after := mountsOfHost(t); after != before {
		t.Errorf("mounts of the host:\n%s\nbefore:\n%s", after, before)
	}
}

// mountsOfHost are the mounts that tests of this file could leave.
func mountsOfHost(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, line := range strings.Split(string(data), "\n") {
		if strings.Contains(line, "criu-root") {
			ours = append(ours, line)
		}
	}
	return strings.Join(ours, "\n")
}

// TestRestoreMountPoints: what a new rootfs lacks is made by create's rules, in the rootfs or the volume and nowhere else.
func TestRestoreMountPoints(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t, writable, mounted("/vol", "bind", "vol", "bind"), mounted("/vol/deep/er", "tmpfs", "tmpfs"),
		mounted("/link/in", "bind", "vol", "bind"), mounted("/etc/made", "bind", "file", "bind"))
	c.file("b/vol/x", "x", 0o644)
	c.file("b/file", "x", 0o644)
	outside := filepath.Join(c.dir, "outside")
	c.must(os.Mkdir(outside, 0o755))
	c.must(os.Symlink(outside, filepath.Join(c.rootfs, "link")))
	c.restorable()
	c.must(os.RemoveAll(c.rootfs))
	c.must(os.Mkdir(c.rootfs, 0o755))
	c.must(busyboxRootfs(c.rootfs))
	c.must(os.RemoveAll(filepath.Join(c.bundle, "vol/deep")))
	c.must(os.Symlink(outside, filepath.Join(c.rootfs, "link")))
	c.restore(scenario{}, "-d").ok()
	for _, path := range []string{"b/rootfs/vol", "b/vol/deep/er", "b/rootfs" + outside + "/in", "b/rootfs/etc/made"} {
		if _, err := os.Lstat(filepath.Join(c.dir, path)); err != nil {
			t.Error(err)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("made outside of the rootfs: %v", entries)
	}
	if entries, _ := os.ReadDir(filepath.Join(c.rootfs, "vol")); len(entries) > 0 {
		t.Errorf("below the volume's mount point: %v", entries)
	}
	if mounts := c.asked().Mounts; mounts[outside+"/in"] != inodeOf(c.bundle+"/vol") {
		t.Errorf("mounts %q", mounts)
	}
}

// TestRestoreJoins: namespaces that are there already are given to CRIU, by descriptor.
func TestRestoreJoins(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	holder := newContainer(t).up()
	ns := func(name string) string { return "/proc/" + pidText(holder.pid()) + "/ns/" + name }
	c := newContainer(t, namespace(specs.NetworkNamespace, ns("net")), namespace(specs.IPCNamespace, ns("ipc")))
	c.asTheFake()
	c.up()
	c.criu(scenario{}, "checkpoint", "--image-path", c.images()).ok()
	inode := strings.Trim(strings.TrimPrefix(readlink(t, ns("net")), "net:"), "[]")
	if got := c.asked().Opts["37"]; !slices.Contains(got, "net["+inode+"]:extRootNetNS") {
		t.Errorf("external: %q", got)
	}
	rtOnly(t, "restore: a configuration that is stricter")
	c.restore(scenario{}, "-d").fails("init is not in the network namespace that is configured").oneError()
	c.restore(scenario{Join: []string{ns("net"), ns("ipc")}}, "-d").ok()
	a := c.asked()
	descriptor := regexp.MustCompile(`^ipc /proc/\d+/fd/\d+$`) // of rt's: a path could lead elsewhere by now
	if a.Fds["extRootNetNS"] != "net:["+inode+"]" || !slices.ContainsFunc(a.Opts["39"], descriptor.MatchString) {
		t.Errorf("descriptors %q, joined %q", a.Fds, a.Opts["39"])
	}
	c.delete("--force").ok()
	for kind, name := range map[specs.LinuxNamespaceType]string{specs.CgroupNamespace: "cgroup", specs.MountNamespace: "mnt"} {
		namespace(kind, ns(name))(c.spec)
		c.write()
		c.restore(scenario{}, "-d").fails("CRIU restores nothing into a "+string(kind)+" namespace that is there already", "/path").oneError()
		namespace(kind, "")(c.spec)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	text, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestCriuConfig: the annotation names CRIU's configuration file; an empty one is none. It can have CRIU execute programs, so
// it counts only below /etc/criu, without links, where only root can have written or placed it.
func TestCriuConfig(t *testing.T) {
	t.Parallel()
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	etc, err := os.MkdirTemp("/run", "rt-it-") // no directory above it is for everybody, as /tmp is
	const safe = "/etc/criu"
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(err)
	t.Cleanup(func() { os.RemoveAll(etc) })
	made := filepath.Join(etc, "criu") // what /etc/criu is for the runtime
	try(os.Chmod(etc, 0o755))
	try(os.Mkdir(made, 0o755))
	privately := []string{"unshare", "-m", "sh", "-c", "mount --bind " + etc + " /etc && exec \"$@\"", "sh"}
	for _, dir := range []string{"open", "user's", "open/below"} {
		try(os.Mkdir(filepath.Join(made, dir), 0o755))
	}
	for file, mode := range map[string]os.FileMode{"good": 0o600, "group": 0o620, "others": 0o602, "theirs": 0o600, "open/below/good": 0o600, "user's/good": 0o600} {
		try(os.WriteFile(filepath.Join(made, file), []byte("tcp-close "+file), 0o600))
		try(os.Chmod(filepath.Join(made, file), mode))
	}
	try(os.Chmod(filepath.Join(made, "open"), 0o777|os.ModeSticky))
	try(os.Chown(filepath.Join(made, "user's"), 1000, 0))
	try(os.Chown(filepath.Join(made, "theirs"), 1000, 0))
	try(os.Symlink("good", filepath.Join(made, "link")))
	try(unix.Mkfifo(filepath.Join(made, "fifo"), 0o600))
	for annotation, want := range map[string]string{"": "", safe + "/good": "tcp-close good"} {
		c := newContainer(t, func(s *specs.Spec) { s.Annotations = map[string]string{"org.criu.config": annotation} })
		c.prefix = privately
		c.restorable()
		if got := c.asked(); got.Config != want || got.one(t, 51) == "" != (want == "") {
			t.Errorf("%q: %q", annotation, got.Config)
		}
		c.restore(scenario{}, "-d").ok()
		if got := c.asked(); got.Config != want || got.one(t, 51) == "" != (want == "") {
			t.Errorf("restore, %q: %q", annotation, got.Config)
		}
	}
	rtOnly(t, "`org.criu.config`")
	for file, want := range map[string]string{
		safe + "/group": "/group can be written by others than root (mode 0620)", safe + "/others": "/others can be written by others than root (mode 0602)",
		safe + "/theirs": "/theirs belongs to uid 1000", safe + "/user's/good": "/user's belongs to uid 1000",
		safe + "/open/below/good": "/open can be written by others than root (mode 1777)", safe + "/link": "/link is a symbolic link",
		etc + "/criu/good": "is not below /etc/criu", safe: "is not below /etc/criu", safe + "/../x": "is not below /etc/criu", safe + "/user's": "/user's belongs to uid 1000",
		safe + "/fifo": "not a regular file", safe + "/none": "no such file or directory", "good": "good: not an absolute path",
	} {
		c := newContainer(t, func(s *specs.Spec) { s.Annotations = map[string]string{"org.criu.config": file} }).up()
		c.prefix = privately
		r := c.criu(scenario{}, "checkpoint", "--image-path", c.images()).fails("annotation org.criu.config: ", want).oneError()
		if strings.Contains(want, "root") || strings.Contains(want, "below") || strings.Contains(want, "belongs") {
			r.fails("hint: CRIU runs as root")
		}
		if exists(filepath.Join(c.dir, "fake", "asked")) {
			t.Errorf("%s: CRIU was asked", file)
		}
		c.rt("exec", c.id, "true").ok()
	}
}

// TestCheckpointFeature: features says that there are checkpoints where there is CRIU.
func TestCheckpointFeature(t *testing.T) {
	t.Parallel()
	rtOnly(t, "global --criu PATH")
	c := newContainer(t)
	for program, want := range map[string]string{c.fakeCriu(scenario{}): "true", "/nowhere": "false"} {
		r := c.do(call{global: []string{"--criu", program}, args: []string{"features"}}).ok()
		if !strings.Contains(r.stdout, `"org.opencontainers.runc.checkpoint.enabled": "`+want+`"`) {
			t.Errorf("%s: %s", program, r.stdout)
		}
	}
}

// TestRestoreKilledBeforeResume: CRIU resumes what it has restored when rt has gone. So rt checks it frozen, and what it leaves
// when it is killed then stays frozen, is nothing that resume knows, and is removed by delete.
func TestRestoreKilledBeforeResume(t *testing.T) {
	t.Parallel()
	rtOnly(t, "checkpoint, restore: CRIU that ends")
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	c := newContainer(t).restorable()
	ran := filepath.Join(c.dir, "ran")
	// What was restored runs when the fake has gone.
	s := scenario{Command: []string{"/bin/busybox", "sh", "-c", "read x; touch " + ran + "; exec sleep 1000"}}
	state := filepath.Join(c.root, c.id, "state.json")
	trace := filepath.Join(c.dir, "strace")
	c.prefix = []string{"strace", "-f", "-qq", "-o", trace, "-P", state, "-e", "inject=rename,renameat,renameat2:signal=KILL"}
	restoring := c.begin(viaCriu(c.fakeCriu(s), call{args: c.with("restore", "-d", "--image-path", c.images())}))
	c.prefix = nil
	eventually(t, "the end of rt", func() bool {
		text, _ := os.ReadFile(trace)
		return strings.Contains(string(text), "+++ killed by SIGKILL +++")
	})
	if _, err := os.Stat(ran); err == nil {
		t.Error("the restored process runs")
	}
	c.rt("state", c.id).fails()
	c.rt("resume", c.id).fails()
	c.delete("--force").ok()
	if r := restoring.wait(); r.code == 0 { // strace ends with the last process
		t.Errorf("it was not killed: %s", r)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the restored process has run")
	}
	if left := c.leftovers(false); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
