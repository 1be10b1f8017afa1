package nsenter_test

import (
	"os"
	"testing"
	"unsafe"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

func TestMknod(t *testing.T) {
	root := rootfs(t, "file")
	node := func(path string, mode uint32, major, minor uint32) nsenter.Mknod {
		return nsenter.Mknod{Path: path, Mode: mode, Dev: unix.Mkdev(major, minor), UID: 5, GID: 6, HostNode: nsenter.NoSlot}
	}
	null := node("/dev/sub/null", unix.S_IFCHR|0o640, 1, 3)
	plan := within(root, null, node("/dev/block", unix.S_IFBLK|0o600, 7, 300), node("/dev/fifo", unix.S_IFIFO|0o666, 0, 0), null, stop)
	start(t, plan).sync(nsenter.SyncReady)
	for path, want := range map[string][2]uint64{
		"dev/sub/null": {unix.S_IFCHR | 0o640, unix.Mkdev(1, 3)},
		"dev/block":    {unix.S_IFBLK | 0o600, unix.Mkdev(7, 300)},
		"dev/fifo":     {unix.S_IFIFO | 0o666, 0},
	} {
		if st := stat(t, root+"/"+path); uint64(st.Mode) != want[0] || st.Rdev != want[1] || st.Uid != 5 || st.Gid != 6 {
			t.Errorf("%s: mode %o device %x owner %d:%d", path, st.Mode, st.Rdev, st.Uid, st.Gid)
		}
	}
	// Of its owner's from the start: chown(2) takes the set-ID bits away, and so they are gone here as well.
	own := nsenter.Mknod{Path: "/dev/own", Mode: unix.S_IFIFO | 0o6777, HostNode: nsenter.NoSlot}
	start(t, within(root, own, stop)).sync(nsenter.SyncReady)
	if st := stat(t, root+"/dev/own"); st.Mode != unix.S_IFIFO|0o777 {
		t.Errorf("a node of mode 06777 has %o, want 0777", st.Mode&0o7777)
	}
	// A node that is there may be the host's, which is not to be given away.
	other := null
	other.UID, other.GID = 7, 8
	start(t, within(root, other, stop)).sync(nsenter.SyncReady)
	if st := stat(t, root+"/dev/sub/null"); st.Uid != 5 || st.Gid != 6 {
		t.Errorf("a node that was there belongs to %d:%d now", st.Uid, st.Gid)
	}
	const there = "another file is there"
	start(t, within(root, node("/file", unix.S_IFCHR|0o666, 1, 3))).fails(before, unix.EEXIST, there)
	start(t, within(root, node("/dev/block", unix.S_IFBLK|0o666, 7, 301))).fails(before, unix.EEXIST, there)
	start(t, within(root, node("/dev/block", unix.S_IFCHR|0o666, 7, 300))).fails(before, unix.EEXIST, there)
	start(t, within(root, nsenter.Symlink{Path: "/dev/link", Target: "sub/null"}, node("/dev/link", unix.S_IFCHR|0o666, 1, 3))).
		fails(before+1, unix.EEXIST, there)
	start(t, within(root, node("/file/x", unix.S_IFCHR|0o666, 1, 3))).fails(before, unix.ENOTDIR, "mknodat")
	start(t, within(root, node("/dev/..", unix.S_IFCHR|0o666, 1, 3))).fails(before, unix.EEXIST, there)
}

// The host's node may be bound from a descriptor that was opened outside; a mere mknod is never taken for it.
func TestMknodBindsSlot(t *testing.T) {
	root := rootfs(t)
	n := nsenter.Mknod{Path: "/dev/x/zero", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(1, 5), HostNode: 0, Bind: true, HostPath: "not opened"}
	b := start(t, within(root, n, stop), openTree(t, "/dev/zero")).sync(nsenter.SyncReady)
	if have, want := stat(t, b.at(root+"/dev/x/zero")), stat(t, "/dev/zero"); have.Ino != want.Ino || have.Dev != want.Dev {
		t.Error("it is not the host's node")
	}
	if stat(t, root+"/dev/x/zero").Mode&unix.S_IFMT != unix.S_IFREG {
		t.Error("what it is bound on is not a plain file")
	}
	// Without the privilege to make a node, mknod is followed by the bind, which needs one too.
	n.Bind, n.HostNode, n.HostPath = false, nsenter.NoSlot, "/dev/zero"
	noMknod := nsenter.Capabilities{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}
	n.Path = "/dev/y"
	b = start(t, within(root, noMknod, n, stop)).sync(nsenter.SyncReady)
	if have := stat(t, b.at(root+"/dev/y")); have.Ino != stat(t, "/dev/zero").Ino {
		t.Error("the fallback did not bind the host's node")
	}
	// A link of the image leads no node over the container's /proc.
	proc := nsenter.MountFS{Type: "proc", Target: "/proc", Source: "proc"}
	n.Path, n.Bind = "/dev/in-proc", true
	start(t, within(root, proc, nsenter.Symlink{Path: n.Path, Target: "/proc/version"}, n)).
		fails(before+2, unix.EPERM, "cannot be mounted because it is inside /proc")
	n.HostPath, n.Path, n.Bind = "", "/dev/z", false
	start(t, within(root, noMknod, n)).fails(before+1, unix.EPERM, "mknodat")
}

func TestConsole(t *testing.T) {
	root := rootfs(t)
	pts := nsenter.MountFS{Type: "devpts", Target: "/dev/pts", Source: "devpts", Options: []nsenter.Option{
		{Key: "newinstance"}, option("ptmxmode", "0666"), option("mode", "0620")}}
	tmpfs := nsenter.MountFS{Type: "tmpfs", Target: "/dev", Source: "tmpfs"}
	with := func(more ...step) steps {
		return append(append(within(root, nsenter.MountFS{Type: "proc", Target: "/proc", Source: "proc"}, tmpfs, pts),
			nsenter.Pivot{}, nsenter.Setsid{}), more...)
	}
	b := start(t, with(nsenter.Console{Rows: 33, Cols: 111, UID: 42, DevConsole: true}, stop, shell("tty; stty size; stat -c %u:%t:%T /dev/console /dev/pts/0")))
	r := b.next()
	if r == nil || r.Type != nsenter.ReplyFd || r.Value != 0 || r.File == nil || r.Text != "/dev/pts/0" {
		t.Fatalf("wanted the master, got %+v", r)
	}
	defer r.File.Close()
	b.sync(nsenter.SyncReady)
	size, err := unix.IoctlGetWinsize(int(r.File.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Row != 33 || size.Col != 111 {
		t.Errorf("size %+v, %v", size, err)
	}
	var leader int32
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, r.File.Fd(), unix.TIOCGSID, uintptr(unsafe.Pointer(&leader))); errno != 0 || int(leader) != b.pid {
		t.Errorf("the terminal's session is %d, not %d: %v", leader, b.pid, errno)
	}
	b.hasMount("/dev/console", "devpts")
	for i := range 3 {
		if have := link(t, b.proc("fd/"+string(rune('0'+i)))); have != "/dev/pts/0" {
			t.Errorf("descriptor %d is %s", i, have)
		}
	}
	b.goOn()
	out := ""
	for buf := make([]byte, 4096); ; { // EIO: the last to have the slave open has ended
		n, err := r.File.Read(buf)
		out += string(buf[:n])
		if err != nil {
			break
		}
	}
	if want := "/dev/pts/0\r\n33 111\r\n42:88:0\r\n42:88:0\r\n"; out != want {
		t.Errorf("the terminal shows %q, wanted %q", out, want)
	}
	b.ends()

	start(t, inside(root, nsenter.Console{})).fails(pivoted, unix.ENOENT, "open /dev/pts/ptmx")
	// CVE-2025-52565: what is called a terminal multiplexer and is not one.
	const fake = "/dev/pts/ptmx is not a terminal multiplexer"
	node := nsenter.Mknod{Path: "/dev/pts/ptmx", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(1, 3), HostNode: nsenter.NoSlot}
	start(t, inside(root, tmpfs, node, nsenter.Console{})).fails(pivoted+2, unix.ENOTTY, fake)
	start(t, inside(root, tmpfs, nsenter.Symlink{Path: "/dev/pts/ptmx", Target: "/proc/1/fd/0"}, nsenter.Console{})).
		fails(pivoted+2, unix.ENOTTY, fake)
	start(t, with(nsenter.Symlink{Path: "/dev/console", Target: "/proc/version"}, nsenter.Console{DevConsole: true})).
		fails(before+6, unix.EPERM, "cannot be mounted because it is inside /proc")
	noSession := start(t, append(within(root, tmpfs, pts), nsenter.Pivot{}, nsenter.Console{}))
	if r := noSession.next(); r == nil || r.File == nil {
		t.Fatalf("wanted the master, got %+v", r)
	} else {
		defer r.File.Close()
	}
	noSession.fails(before+3, unix.EPERM, "ioctl TIOCSCTTY")
}

func TestSysctl(t *testing.T) {
	root := rootfs(t)
	netns := nsenter.Unshare{Flags: unix.CLONE_NEWNET}
	b := start(t, steps{cloneOnly, netns, nsenter.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"},
		nsenter.Sysctl{Path: "kernel/msgmax", Value: "12345"}, nsenter.Sysctl{Path: "kernel/hostname", Value: "rt-test"}, stop}).sync(nsenter.SyncReady)
	if have := read(t, b.proc("net/snmp")); have == "" {
		t.Error("no network statistics")
	}
	for path, want := range map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "12345", "kernel.hostname": "rt-test"} {
		out := sh(t, inside(root, netns, nsenter.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"},
			nsenter.Sysctl{Path: "kernel/msgmax", Value: "12345"}, nsenter.Sysctl{Path: "kernel/hostname", Value: "rt-test"}), "busybox sysctl -n "+path)
		if out != want {
			t.Errorf("%s is %q", path, out)
		}
	}
	// A file system mounted over /proc cannot redirect it: CVE-2019-16884.
	start(t, inside(root, nsenter.MountFS{Type: "tmpfs", Target: "/proc", Source: "tmpfs"},
		nsenter.Sysctl{Path: "kernel/msgmax", Value: "12345"}, stop)).sync(nsenter.SyncReady)
	for _, c := range []struct {
		path, value string
		errno       unix.Errno
		text        string
	}{
		{"kernel/rt_test_none", "1", unix.ENOENT, "open"},
		{"../version", "1", unix.EXDEV, "open"},
		{"/kernel/msgmax", "1", unix.EXDEV, "open"},
		{"kernel", "1", unix.EISDIR, "open"},
		{"kernel/ngroups_max", "1", unix.EACCES, "open"},
		{"kernel/msgmax", "many", unix.EINVAL, "write"},
	} {
		start(t, steps{cloneOnly, nsenter.Sysctl{Path: c.path, Value: c.value}}).fails(1, c.errno, c.text)
	}
	if have := read(t, "/proc/sys/kernel/hostname"); have == "rt-test\n" {
		t.Error("the host's name was changed")
	}
	if stat(t, os.DevNull).Rdev != unix.Mkdev(1, 3) {
		t.Error("/dev/null is another")
	}
}

// TestForgedLabel: the image's own /proc is a directory or a link that has self/attr; a label goes to the kernel's, which
// takes none of this kind, and neither to the image nor to where its links lead (CVE-2019-16884).
func TestForgedLabel(t *testing.T) {
	for _, linked := range []bool{false, true} {
		root, outside := rootfs(t), t.TempDir()
		forged := root + "/proc"
		if linked {
			must(t, os.Remove(root+"/proc"))
			must(t, os.Symlink(outside, root+"/proc"))
			forged = outside
		}
		must(t, os.MkdirAll(forged+"/self/attr/apparmor", 0o755))
		for _, file := range []string{"exec", "keycreate", "apparmor/exec"} {
			must(t, os.WriteFile(forged+"/self/attr/"+file, []byte("forged"), 0o666))
			for place, plan := range map[string]steps{
				"in the root":       append(within(root, nsenter.Pivot{}), nsenter.Label{File: file, Text: "rt-test-none"}),
				"before it is root": within(root, nsenter.Label{File: file, Text: "rt-test-none"}),
			} {
				b := start(t, append(plan, stop))
				if r := b.next(); r == nil || r.Type != nsenter.ReplyError {
					t.Errorf("%s, %s: a label that no policy has was taken: %+v", place, file, r)
				} else if r := b.next(); r != nil { // the pid may come after the error
					t.Errorf("%s, %s: after the error there is more: %+v", place, file, r)
				}
				if have := read(t, forged+"/self/attr/"+file); have != "forged" {
					t.Errorf("%s: %q was written to the image's /proc/self/attr/%s", place, have, file)
				}
			}
		}
	}
}
