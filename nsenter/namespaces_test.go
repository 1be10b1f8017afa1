package nsenter_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

func link(t *testing.T, path string) string {
	t.Helper()
	l, err := os.Readlink(path)
	must(t, err)
	return l
}

var cloneOnly = nsenter.Clone{Flags: sandbox, Cgroup: nsenter.NoSlot}

func TestClone(t *testing.T) {
	kinds := map[string]uint64{
		"mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "uts": unix.CLONE_NEWUTS, "ipc": unix.CLONE_NEWIPC,
		"net": unix.CLONE_NEWNET, "user": unix.CLONE_NEWUSER, "cgroup": unix.CLONE_NEWCGROUP,
	}
	for kind, flag := range kinds {
		b := start(t, steps{nsenter.Clone{Flags: flag, Cgroup: nsenter.NoSlot}, stop}).sync(nsenter.SyncReady)
		if b.proc(""); b.pid == b.stub.Pid {
			t.Errorf("%s: the clone is the process itself", kind)
		}
		if ws := b.reap(b.stub.Pid, false); ws != 0 { // and is this process's child, as b.end will see
			t.Errorf("%s: who cloned ended with %#x", kind, ws)
		}
		if parent := b.field("status", "PPid:"); parent != fmt.Sprint(os.Getpid()) {
			t.Errorf("%s: parent is %s", kind, parent)
		}
		for other := range kinds {
			is := link(t, b.proc("ns/"+other)) != link(t, "/proc/self/ns/"+other)
			if is != (other == kind) {
				t.Errorf("new %s namespace: %s is new: %v", kind, other, is)
			}
		}
	}
	start(t, steps{nsenter.Clone{Flags: unix.CLONE_THREAD, Cgroup: nsenter.NoSlot}}).fails(0, unix.EINVAL, "clone3")
	null := open(t, os.DevNull, os.O_RDONLY)
	start(t, steps{nsenter.Clone{Cgroup: 0}}, null).fails(0, unix.EBADF, "clone3")
}

func TestJoinNS(t *testing.T) {
	other := start(t, steps{nsenter.Clone{Flags: unix.CLONE_NEWUTS, Cgroup: nsenter.NoSlot}, stop}).sync(nsenter.SyncReady)
	uts := open(t, other.proc("ns/uts"), os.O_RDONLY)
	b := start(t, steps{nsenter.JoinNS{File: 0, Type: unix.CLONE_NEWUTS}, nsenter.Clone{Cgroup: nsenter.NoSlot}, stop}, uts).sync(nsenter.SyncReady)
	if have, want := link(t, b.proc("ns/uts")), link(t, other.proc("ns/uts")); have != want {
		t.Errorf("in %s, not in %s", have, want)
	}
	start(t, steps{nsenter.JoinNS{File: 0, Type: unix.CLONE_NEWNET}}, uts).fails(0, unix.EINVAL, "setns")
	start(t, steps{nsenter.JoinNS{File: nsenter.NoSlot, Type: unix.CLONE_NEWNET}}).fails(0, unix.EBADF, "setns")
}

// TestTakeRoot: in a container's namespaces its tree is the one that steps work on, and its procfs the one that labels miss.
func TestTakeRoot(t *testing.T) {
	root := rootfs(t)
	other := start(t, inside(root, stop)).sync(nsenter.SyncReady)
	kinds := map[string]uint64{"uts": unix.CLONE_NEWUTS, "ipc": unix.CLONE_NEWIPC, "mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID}
	var plan steps
	var files []*os.File
	for kind, flag := range kinds {
		plan = append(plan, nsenter.JoinNS{File: nsenter.Slot(len(files)), Type: flag, Kind: kind})
		files = append(files, open(t, other.proc("ns/"+kind), os.O_RDONLY))
	}
	b := start(t, append(plan,
		nsenter.TakeRoot{},
		nsenter.Undumpable{},
		nsenter.Clone{Cgroup: nsenter.NoSlot},
		nsenter.Mkdir{Path: "/made/by/exec", Mode: 0o750},
		stop,
	), files...).sync(nsenter.SyncReady)
	for kind := range kinds {
		if have, want := link(t, b.proc("ns/"+kind)), link(t, other.proc("ns/"+kind)); have != want {
			t.Errorf("%s: in %s, not in %s", kind, have, want)
		}
	}
	if mode := stat(t, root+"/made/by/exec").Mode; mode != unix.S_IFDIR|0o750 {
		t.Errorf("made with mode %o", mode)
	}
}

// TestTakenBack: what has been mounted into a container is taken back if rt is gone before it has noted that, and stays if not.
func TestTakenBack(t *testing.T) {
	for _, noted := range []bool{false, true} {
		other := start(t, inside(rootfs(t), stop)).sync(nsenter.SyncReady)
		b := start(t, steps{nsenter.JoinNS{File: 0, Type: unix.CLONE_NEWNS}, nsenter.Clone{Cgroup: nsenter.NoSlot}, nsenter.TakeRoot{}, nsenter.Undo{Proc: 1},
			nsenter.MountFS{Type: "tmpfs", Target: "/tmp", Source: "tmpfs"}, nsenter.Sync{Point: nsenter.SyncReady}},
			open(t, other.proc("ns/mnt"), os.O_RDONLY), open(t, "/proc", os.O_RDONLY)).sync(nsenter.SyncReady)
		other.hasMount("/tmp", "tmpfs")
		if noted {
			must(t, b.stub.Go())
		}
		b.stub.Close()
		b.reap(b.pid, false)
		if there := other.mount("/tmp") != ""; there != noted {
			t.Errorf("noted %v: the mount is there: %v", noted, there)
		}
	}
}

func TestUnshare(t *testing.T) {
	b := start(t, steps{cloneOnly, nsenter.Unshare{Flags: unix.CLONE_NEWCGROUP}, stop}).sync(nsenter.SyncReady)
	if link(t, b.proc("ns/cgroup")) == link(t, "/proc/self/ns/cgroup") {
		t.Error("the namespace is not new")
	}
	start(t, steps{cloneOnly, nsenter.Unshare{Flags: 1 << 30 << 1}}).fails(1, unix.EINVAL, "unshare")
}

func TestTimeNamespace(t *testing.T) {
	b := start(t, append(steps{nsenter.Unshare{Flags: unix.CLONE_NEWTIME}, nsenter.Sync{Point: nsenter.SyncTime}},
		inside(rootfs(t), shell("cut -d. -f1 /proc/uptime"))...)).sync(nsenter.SyncTime)
	must(t, os.WriteFile(fmt.Sprintf("/proc/%d/timens_offsets", b.stub.Pid), []byte("boottime 50000000 0\n"), 0))
	var up int
	if text := b.goOn().ends(); func() bool { _, err := fmt.Sscan(text, &up); return err != nil || up < 50000000 }() {
		t.Errorf("uptime is %q", text)
	}
}

func TestSync(t *testing.T) {
	b := start(t, steps{cloneOnly, nsenter.Hostname{Value: "one"}, nsenter.Sync{Point: nsenter.SyncHooks},
		nsenter.Sync{Point: nsenter.SyncExec, GoOn: true}, stop})
	b.sync(nsenter.SyncHooks).goOn().sync(nsenter.SyncExec).sync(nsenter.SyncReady)
	// Without rt there is nobody to live for.
	b.proc("")
	b.stub.Close()
	if ws := b.reap(b.pid, false); ws.ExitStatus() != 1 {
		t.Errorf("a stub without rt ended with %#x", ws)
	}
}

func TestUserNamespace(t *testing.T) {
	userClone := nsenter.Clone{Flags: sandbox | unix.CLONE_NEWUSER, Cgroup: nsenter.NoSlot}
	mapIDs := nsenter.Sync{Point: nsenter.SyncMapIDs}
	mapped := func(plan steps) *box {
		b := start(t, plan).sync(nsenter.SyncMapIDs)
		must(t, os.WriteFile(b.proc("uid_map"), []byte("0 100000 1000"), 0))
		must(t, os.WriteFile(b.proc("gid_map"), []byte("0 200000 1000"), 0))
		return b.goOn()
	}
	b := mapped(steps{userClone, mapIDs, nsenter.SetIDs{UID: 3, GID: 4}, stop}).sync(nsenter.SyncReady)
	if uid, gid := b.field("status", "Uid:"), b.field("status", "Gid:"); uid != "100003 100003 100003 100003" || gid != "200004 200004 200004 200004" {
		t.Errorf("uid %s gid %s", uid, gid)
	}
	// Nobody inside may look at the stub: what /proc has of it is not its uid's.
	var st unix.Stat_t
	if must(t, unix.Stat(b.proc("fd"), &st)); st.Uid != 0 {
		t.Errorf("/proc/PID/fd belongs to %d: the process is dumpable", st.Uid)
	}
	mapped(steps{userClone, mapIDs, nsenter.SetIDs{UID: 3, GID: 1000}}).fails(2, unix.EINVAL, "setresgid")
	mapped(steps{userClone, mapIDs, nsenter.SetIDs{UID: 1000, GID: 4}}).fails(2, unix.EINVAL, "setresuid")

	// Nobody makes a device node there: the host's is bound, if there is one to bind.
	root := rootfs(t)
	plan := func(n nsenter.Mknod) steps {
		n.Mode, n.Dev, n.HostNode = unix.S_IFCHR|0o666, unix.Mkdev(1, 3), nsenter.NoSlot
		return steps{userClone, mapIDs, nsenter.SetIDs{}, nsenter.Propagation{Flags: unix.MS_REC | unix.MS_PRIVATE},
			nsenter.AttachRoot{Tree: nsenter.NoSlot, Path: root, Propagation: unix.MS_PRIVATE},
			nsenter.MountFS{Type: "tmpfs", Target: "/tmp", Source: "tmpfs"}, n, stop}
	}
	for _, bind := range []bool{false, true} {
		b = mapped(plan(nsenter.Mknod{Path: "/tmp/null", HostPath: os.DevNull, Bind: bind})).sync(nsenter.SyncReady)
		if st := stat(t, b.at(root+"/tmp/null")); st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) || st.Ino != stat(t, os.DevNull).Ino {
			t.Errorf("bind %v: mode %o, device %x", bind, st.Mode, st.Rdev)
		}
	}
	mapped(plan(nsenter.Mknod{Path: "/tmp/null"})).fails(6, unix.EPERM, "mknodat")
	mapped(plan(nsenter.Mknod{Path: "/tmp/null", HostPath: "/dev/rt-test-none"})).fails(6, unix.ENOENT, "open_tree")
	mapped(plan(nsenter.Mknod{Path: "/tmp/null", HostPath: "/dev/zero"})).fails(6, unix.ENODEV, "the host's node is c 1:5, not c 1:3")
	mapped(plan(nsenter.Mknod{Path: "/tmp/null", HostPath: "/etc/passwd"})).fails(6, unix.ENODEV, "what the host has there is not device c 1:3")
}

// cgroup makes a cgroup in the first hierarchy of a type.
func cgroup(t *testing.T, fstype, controller string) string {
	t.Helper()
	for _, line := range strings.Split(read(t, "/proc/self/mountinfo"), "\n") {
		mount, fs, _ := strings.Cut(line, " - ")
		if f := strings.Fields(fs); len(f) == 3 && f[0] == fstype && (controller == "" || strings.HasSuffix(f[2], controller)) {
			dir, err := os.MkdirTemp(strings.Fields(mount)[4], "rt-test-nsenter-")
			must(t, err)
			t.Cleanup(func() { must(t, unix.Rmdir(dir)) })
			return dir
		}
	}
	t.Skipf("this host has no %s hierarchy %s", fstype, controller)
	return ""
}

func TestCgroupJoin(t *testing.T) {
	needRoot(t)
	dir := cgroup(t, "cgroup", "pids")
	tasks := open(t, dir+"/tasks", os.O_WRONLY)
	b := start(t, steps{cloneOnly, nsenter.CgroupJoin{Tasks: 0, Path: dir}, stop}, tasks).sync(nsenter.SyncReady)
	if b.proc(""); read(t, dir+"/tasks") != fmt.Sprintln(b.pid) {
		t.Errorf("tasks: %q, not %d", read(t, dir+"/tasks"), b.pid)
	}
	fds := fmt.Sprintf("/proc/%d/fd", b.pid)
	list, err := os.ReadDir(fds)
	if err != nil || len(list) == 0 {
		t.Errorf("%d descriptors, %v", len(list), err)
	}
	for _, e := range list {
		if to, _ := os.Readlink(fds + "/" + e.Name()); strings.HasSuffix(to, "/tasks") {
			t.Errorf("descriptor %s is still %s", e.Name(), to)
		}
	}
	start(t, steps{nsenter.CgroupJoin{Tasks: nsenter.NoSlot}}).fails(0, unix.EBADF, "write")
	start(t, steps{nsenter.CgroupJoin{Tasks: 0}}, open(t, dir+"/tasks", os.O_RDONLY)).fails(0, unix.EBADF, "write")
}

func TestCloneIntoCgroup(t *testing.T) {
	needRoot(t)
	dir := cgroup(t, "cgroup2", "")
	b := start(t, steps{nsenter.Clone{Flags: sandbox, Cgroup: 0}, stop}, open(t, dir, os.O_RDONLY)).sync(nsenter.SyncReady)
	if b.proc(""); read(t, dir+"/cgroup.procs") != fmt.Sprintln(b.pid) {
		t.Errorf("cgroup.procs: %q, not %d", read(t, dir+"/cgroup.procs"), b.pid)
	}
}

// A process that may not be born in its cgroup waits until rt has moved it: here one that has given up the privilege
// to write to a stranger's cgroup.procs by entering a user namespace.
func TestCloneRefusedByCgroup(t *testing.T) {
	needRoot(t)
	dir := cgroup(t, "cgroup2", "")
	must(t, os.Chown(dir+"/cgroup.procs", 12345, 12345))
	owner := start(t, steps{nsenter.Clone{Flags: unix.CLONE_NEWUSER, Cgroup: nsenter.NoSlot}, nsenter.Sync{Point: nsenter.SyncMapIDs}, stop}).sync(nsenter.SyncMapIDs)
	must(t, os.WriteFile(owner.proc("uid_map"), []byte("0 100000 1000"), 0))
	owner.goOn().sync(nsenter.SyncReady)
	user := open(t, owner.proc("ns/user"), os.O_RDONLY)
	plan := steps{nsenter.JoinNS{File: 0, Type: unix.CLONE_NEWUSER}, nsenter.Clone{Cgroup: 1}, stop}
	b := start(t, plan, user, open(t, dir, os.O_RDONLY)).sync(nsenter.SyncCgroup)
	if b.proc(""); read(t, dir+"/cgroup.procs") != "" {
		t.Fatal("it was born there")
	}
	must(t, os.WriteFile(dir+"/cgroup.procs", []byte(fmt.Sprint(b.pid)), 0))
	b.goOn().sync(nsenter.SyncReady)
	// What is no refusal of the cgroup stays an error.
	start(t, steps{nsenter.Clone{Cgroup: 0}}, open(t, "/proc/self/ns/user", os.O_RDONLY)).fails(0, unix.EBADF, "clone3")
}

// TestJoinUserNamespaceOfOther: fs.suid_dumpable is of no account for who enters the user namespace of somebody else.
func TestJoinUserNamespaceOfOther(t *testing.T) {
	needRoot(t)
	const file = "/proc/sys/fs/suid_dumpable"
	keeper := exec.Command("sh", "-c", "cat; echo "+strings.TrimSpace(read(t, file))+" >"+file) // also if the test is killed
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	alive, err := keeper.StdinPipe()
	must(t, err)
	must(t, keeper.Start())
	t.Cleanup(func() {
		alive.Close()
		must(t, keeper.Wait())
	})
	must(t, os.WriteFile(file, []byte("1"), 0))
	owner := start(t, steps{nsenter.SetIDs{UID: 12345, GID: 12345}, nsenter.Clone{Flags: unix.CLONE_NEWUSER, Cgroup: nsenter.NoSlot},
		nsenter.Sync{Point: nsenter.SyncMapIDs}, stop}).sync(nsenter.SyncMapIDs)
	must(t, os.WriteFile(owner.proc("uid_map"), []byte("0 100000 1000"), 0))
	must(t, os.WriteFile(owner.proc("gid_map"), []byte("0 200000 1000"), 0))
	owner.goOn().sync(nsenter.SyncReady)
	user := open(t, owner.proc("ns/user"), os.O_RDONLY)
	b := start(t, steps{nsenter.JoinNS{File: 0, Type: unix.CLONE_NEWUSER}, nsenter.SetIDs{}, nsenter.Clone{Cgroup: nsenter.NoSlot}, stop}, user).sync(nsenter.SyncReady)
	var st unix.Stat_t
	if must(t, unix.Stat(b.proc("fd"), &st)); st.Uid != 0 {
		t.Errorf("/proc/PID/fd belongs to %d: the process is dumpable", st.Uid)
	}
}

func TestSessionAndKeyring(t *testing.T) {
	b := start(t, steps{cloneOnly, nsenter.Setsid{}, stop}).sync(nsenter.SyncReady)
	b.proc("")
	sid, err := unix.Getsid(b.pid)
	if err != nil || sid != b.pid {
		t.Errorf("session %d, %v", sid, err)
	}
	start(t, steps{cloneOnly, nsenter.Setsid{}, nsenter.Setsid{}}).fails(2, unix.EPERM, "setsid")
	keys := sh(t, inside(rootfs(t), nsenter.Keyring{Keyring: "_ses.rt-test"}), "grep _ses.rt-test /proc/keys")
	if !strings.Contains(keys, " 3f1b0000 ") {
		t.Errorf("keys: %q", keys)
	}
	start(t, steps{cloneOnly, nsenter.Keyring{Keyring: strings.Repeat("x", 5000)}}).fails(1, unix.EINVAL, "keyctl")
}

func TestLoopbackUp(t *testing.T) {
	netns := nsenter.Unshare{Flags: unix.CLONE_NEWNET}
	if out := sh(t, inside(rootfs(t), netns, nsenter.LoopbackUp{}), "busybox ip link show lo"); !strings.Contains(out, "<LOOPBACK,UP") {
		t.Errorf("lo: %q", out)
	}
	start(t, steps{cloneOnly, netns, nsenter.Capabilities{}, nsenter.LoopbackUp{}}).fails(3, unix.EPERM, "ioctl SIOCSIFFLAGS")
}

func TestNames(t *testing.T) {
	out := sh(t, inside(rootfs(t), nsenter.Hostname{Value: "rt-test-host"}, nsenter.Domainname{Value: "rt-test-domain"}),
		"cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname")
	if out != "rt-test-host\nrt-test-domain" {
		t.Errorf("names: %q", out)
	}
	long := strings.Repeat("x", 65)
	start(t, steps{cloneOnly, nsenter.Hostname{Value: long}}).fails(1, unix.EINVAL, "sethostname")
	start(t, steps{cloneOnly, nsenter.Domainname{Value: long}}).fails(1, unix.EINVAL, "setdomainname")
}
