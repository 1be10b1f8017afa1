package nsenter_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// TestOpener: trees are opened where the host's mounts are locked, and with the credentials that the stub had: it reaches what the
// container's root may not. Where it is in the user namespace of its copy itself, it has those of its user.
func TestOpener(t *testing.T) {
	needRoot(t)
	closed, host := rootfs(t, "below/file"), rootfs(t, "covered/")
	must(t, os.Chown(closed, 5000, 5000))
	must(t, os.Chmod(closed, 0o700))
	must(t, unix.Mount("tmpfs", host+"/covered", "tmpfs", unix.MS_NOSUID, ""))
	t.Cleanup(func() { _ = unix.Unmount(host+"/covered", unix.MNT_DETACH) })
	root := rootfs(t, "one/", "all/")
	must(t, os.Chown(root, 100000, 100000))
	request := func(slot nsenter.Slot, path string, recursive bool) nsenter.RequestTree {
		return nsenter.RequestTree{Tree: slot, Path: path, Recursive: recursive, Map: nsenter.NoSlot}
	}
	bind := func(slot nsenter.Slot, at string) nsenter.MountTree {
		return nsenter.MountTree{Tree: slot, Target: at, Place: unix.MS_PRIVATE}
	}
	const first = 6 // the first step of rest
	opener := nsenter.Opener{}
	opened := func(rest ...step) *box {
		b := start(t, append(steps{opener, nsenter.Clone{Flags: sandbox | unix.CLONE_NEWUSER, Cgroup: nsenter.NoSlot},
			nsenter.Sync{Point: nsenter.SyncMapIDs}, nsenter.SetIDs{}, nsenter.Propagation{Flags: unix.MS_REC | unix.MS_SLAVE},
			request(0, root, true), nsenter.AttachRoot{Tree: 0, Propagation: unix.MS_PRIVATE, Path: root}}, rest...), nil, nil, nil).sync(nsenter.SyncMapIDs)
		must(t, os.WriteFile(b.proc("uid_map"), []byte("0 100000 1000"), 0))
		must(t, os.WriteFile(b.proc("gid_map"), []byte("0 100000 1000"), 0))
		return b.goOn()
	}
	b := opened(request(1, closed+"/below", false), bind(1, "/one"), request(2, host, true), bind(2, "/all"),
		nsenter.Remount{Target: "/one", Set: unix.MOUNT_ATTR_RDONLY}, nsenter.OpenerEnd{}, stop).sync(nsenter.SyncReady)
	if ws := b.reap(b.stub.Pid, false); ws.ExitStatus() != 0 { // it waits for the opener
		t.Errorf("the process that cloned ended with %#x", ws)
	}
	b.hasMount(root+"/one", "/below", " ro,")
	b.hasMount(root+"/all/covered", "nosuid")
	opened(request(1, host, false)).fails(first+1, unix.EINVAL, "open_tree") // it would show what is covered
	opened(request(1, closed+"/none", false)).fails(first+1, unix.ENOENT, "open_tree")
	opened(request(1, host, true), bind(1, "/all"), nsenter.Remount{Target: "/all/covered", Clear: unix.MOUNT_ATTR_NOSUID}).
		fails(first+3, unix.EPERM, "mount_setattr")
	within := func(path string) nsenter.RequestTree {
		r := request(1, closed+path, true)
		r.Root = closed
		return r
	}
	must(t, os.Symlink("/below", closed+"/link"))
	b = opened(within("/link"), bind(1, "/one"), nsenter.OpenerEnd{}, stop).sync(nsenter.SyncReady)
	b.hasMount(root+"/one", "/below")
	must(t, os.Symlink(host, closed+"/out"))
	opened(within("/out")).fails(first+1, unix.ENOENT, "open_tree") // a link leads nowhere out of Root
	opened(nsenter.OpenerEnd{}, request(1, closed, true)).fails(first+2, unix.EPIPE, "ask the opener")
	// It wants the descriptor that the plan says, and nothing else.
	opened(nsenter.RequestTree{Tree: 1, Path: host, Recursive: true, Map: 2}).fails(first+1, unix.EINVAL, "mount_setattr")
	start(t, steps{cloneOnly, request(0, root, true)}, nil).fails(1, unix.EPIPE, "ask the opener")
	// What an earlier step has mounted below the root is in the container's namespace only.
	below := func(path string) nsenter.OpenTree {
		return nsenter.OpenTree{Tree: 2, Path: path, Recursive: true, Below: true}
	}
	b = opened(request(1, host, true), bind(1, "/one"), below("/one"), bind(2, "/all"), nsenter.OpenerEnd{}, stop).sync(nsenter.SyncReady)
	b.hasMount(root+"/all/covered", "nosuid")
	opened(request(1, host, true), bind(1, "/one"), below("/one"), nsenter.MapTree{Tree: 2, Map: 0}).fails(first+4, unix.EBADF, "mount_setattr") // no user namespace
	opened(request(1, host, true), nsenter.MapTree{Tree: 1, Map: nsenter.NoSlot}).fails(first+2, unix.EBADMSG, "ask the opener")
	opened(nsenter.OpenerEnd{}, nsenter.MapTree{Tree: 0, Map: 0}).fails(first+2, unix.EBADF, "mount_setattr") // by the stub itself
	must(t, os.Symlink(closed, root+"/out"))
	opened(below("/out/below")).fails(first+1, unix.ENOENT, "open source") // a link leads nowhere out of the root
	opened(nsenter.OpenTree{Tree: nsenter.NoSlot, Path: "/one", Below: true}).fails(first+1, unix.EBADMSG, "open source")

	opener.Inside = true
	opened(request(1, closed+"/below", false)).fails(first+1, unix.EACCES, "open_tree") // uid 0 with no rights to others' files
	opened(request(1, host, false)).fails(first+1, unix.EINVAL, "open_tree")
	b = opened(request(1, host, true), bind(1, "/all"), nsenter.OpenerEnd{}, stop).sync(nsenter.SyncReady)
	b.hasMount(root+"/all/covered", "nosuid")
}

// TestOpenersCopy: the mount namespace that the opener works in belongs to a user namespace that no process is in.
func TestOpenersCopy(t *testing.T) {
	needRoot(t)
	b := start(t, steps{nsenter.Opener{}, nsenter.Clone{Flags: sandbox | unix.CLONE_NEWUSER, Cgroup: nsenter.NoSlot}, stop,
		nsenter.RequestTree{Path: "/", Map: nsenter.NoSlot}}, nil).sync(nsenter.SyncReady)
	of := func(pid int, file string) string {
		text, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, file))
		must(t, err)
		return text
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", b.stub.Pid, b.stub.Pid))
	must(t, err)
	opener, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		t.Fatalf("children of the stub: %q", children)
	}
	for _, pid := range []int{os.Getpid(), b.pid} {
		if of(opener, "mnt") == of(pid, "mnt") {
			t.Errorf("the opener is in the mount namespace of process %d", pid)
		}
	}
	if of(opener, "user") != of(os.Getpid(), "user") {
		t.Error("the opener has left its user namespace")
	}
	mnt, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", opener))
	must(t, err)
	defer mnt.Close()
	owner, err := unix.IoctlRetInt(int(mnt.Fd()), unix.NS_GET_USERNS)
	must(t, err)
	defer unix.Close(owner)
	var st unix.Stat_t
	must(t, unix.Fstat(owner, &st))
	everyone, err := filepath.Glob("/proc/[0-9]*/ns/user")
	must(t, err)
	for _, file := range everyone {
		var of unix.Stat_t
		if unix.Stat(file, &of) == nil && of.Ino == st.Ino {
			t.Errorf("%s is the user namespace that the opener's mounts belong to", file)
		}
	}
}

// TestOpenerEndsWithTheStub: whoever is killed, no opener is left to wait for it.
func TestOpenerEndsWithTheStub(t *testing.T) {
	b := start(t, steps{nsenter.Opener{}, nsenter.Clone{Flags: sandbox, Cgroup: nsenter.NoSlot}, stop,
		nsenter.RequestTree{Path: "/", Map: nsenter.NoSlot}}, nil).sync(nsenter.SyncReady)
	must(t, unix.Kill(b.pid, unix.SIGKILL))
	b.proc("")
	if ws := b.reap(b.stub.Pid, false); ws.ExitStatus() != 0 {
		t.Errorf("the stub ended with %#x", ws)
	}
}

// TestStagingRoot: nothing of the host is in the new mount namespace, under every umask, and what is goes when the root is switched. A
// user namespace's root may mount a procfs and a sysfs there.
func TestStagingRoot(t *testing.T) {
	needRoot(t)
	defer unix.Umask(unix.Umask(0o077))
	root := rootfs(t, "proc/", "sys/")
	must(t, os.Chmod(root, 0o755))
	host := func() (list []string) {
		for line := range strings.Lines(read(t, "/proc/self/mountinfo")) {
			if at := strings.Fields(line)[4]; at == "/" || at == "/proc" || at == "/sys" || at == "/dev" {
				list = append(list, line)
			}
		}
		return list
	}
	before := host()
	plan := func(sysfs bool, rest ...step) steps {
		return append(steps{nsenter.Opener{}, nsenter.StagingRoot{Sysfs: sysfs}, nsenter.Clone{Flags: sandbox | unix.CLONE_NEWUSER | unix.CLONE_NEWNET, Cgroup: nsenter.NoSlot},
			nsenter.Sync{Point: nsenter.SyncMapIDs}, nsenter.SetIDs{}, nsenter.Propagation{Flags: unix.MS_REC | unix.MS_SLAVE},
			nsenter.RequestTree{Tree: 0, Path: root, Recursive: true, Map: nsenter.NoSlot}, nsenter.OpenerEnd{},
			nsenter.AttachRoot{Tree: 0, Propagation: unix.MS_PRIVATE, Path: root, Staged: true}}, rest...)
	}
	const first = 9 // the first step of rest
	mapped := func(p steps) *box {
		b := start(t, p, nil).sync(nsenter.SyncMapIDs)
		must(t, os.WriteFile(b.proc("uid_map"), []byte("0 100000 1000"), 0))
		must(t, os.WriteFile(b.proc("gid_map"), []byte("0 100000 1000"), 0))
		return b.goOn()
	}
	mount := func(kind string) nsenter.MountFS {
		return nsenter.MountFS{Type: kind, Target: "/" + map[string]string{"proc": "proc", "sysfs": "sys"}[kind], Source: kind}
	}
	places := func(b *box) (list []string) {
		for line := range strings.Lines(read(t, b.proc("mountinfo"))) {
			list = append(list, strings.Fields(line)[4])
		}
		return list
	}
	b := mapped(plan(true, stop)).sync(nsenter.SyncReady)
	if got := fmt.Sprint(places(b)); got != "[/ /proc /sys /rootfs]" {
		t.Errorf("mounts before the root is switched: %s", got)
	}
	b = mapped(plan(true, mount("proc"), mount("sysfs"), nsenter.Pivot{}, stop)).sync(nsenter.SyncReady)
	if got := fmt.Sprint(places(b)); got != "[/ /proc /sys]" {
		t.Errorf("mounts after it: %s", got)
	}
	mapped(plan(false, mount("sysfs"), stop)).fails(first, unix.EPERM, "fsmount")
	if after := host(); !slices.Equal(after, before) {
		t.Errorf("the host's mounts were changed: %q, before %q", after, before)
	}
}
