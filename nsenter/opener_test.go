package nsenter_test

import (
	"os"
	"testing"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// TestOpener: trees are opened in the container's mount namespace, locked, and with the credentials that the stub had: it
// reaches what the container's root may not.
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
	const first = 7 // the first step of rest
	opened := func(rest ...step) *box {
		b := start(t, append(steps{nsenter.Opener{User: nsenter.NoSlot}, nsenter.Clone{Flags: sandbox | unix.CLONE_NEWUSER, Cgroup: nsenter.NoSlot},
			nsenter.Sync{Point: nsenter.SyncMapIDs}, nsenter.SetIDs{}, nsenter.Propagation{Flags: unix.MS_REC | unix.MS_SLAVE}, nsenter.OpenerJoin{},
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
	opened(nsenter.OpenerEnd{}, request(1, closed, true)).fails(first+2, unix.EPIPE, "ask the opener")
	// It wants the descriptor that the plan says, and nothing else.
	opened(nsenter.RequestTree{Tree: 1, Path: host, Recursive: true, Map: 2}).fails(first+1, unix.EINVAL, "mount_setattr")
	start(t, steps{cloneOnly, request(0, root, true)}, nil).fails(1, unix.EPIPE, "ask the opener")
	start(t, steps{nsenter.Opener{User: 0}, cloneOnly, stop}, open(t, "/proc/self/ns/uts", os.O_RDONLY)).fails(0, unix.EINVAL, "setns")
}

// TestOpenerEndsWithTheStub: whoever is killed, no opener is left to wait for it.
func TestOpenerEndsWithTheStub(t *testing.T) {
	b := start(t, steps{nsenter.Opener{User: nsenter.NoSlot}, nsenter.Clone{Flags: sandbox, Cgroup: nsenter.NoSlot}, stop}).sync(nsenter.SyncReady)
	must(t, unix.Kill(b.pid, unix.SIGKILL))
	b.proc("")
	if ws := b.reap(b.stub.Pid, false); ws.ExitStatus() != 0 {
		t.Errorf("the stub ended with %#x", ws)
	}
}
