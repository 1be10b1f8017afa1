package nsenter_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

func option(key, value string) nsenter.Option { return nsenter.Option{Key: key, Value: &value} }

// mount is the last line of the process's mountinfo for a mount point: "" if there is none.
func (b *box) mount(point string) string {
	b.t.Helper()
	found := ""
	for _, line := range strings.Split(read(b.t, b.proc("mountinfo")), "\n") {
		if f := strings.Fields(line); len(f) > 4 && f[4] == point {
			found = line
		}
	}
	return found
}

// hasMount wants a mount with every one of the words.
func (b *box) hasMount(point string, words ...string) {
	b.t.Helper()
	line := b.mount(point)
	for _, w := range words {
		if !strings.Contains(line, w) {
			b.t.Errorf("mount at %s: no %q in %q", point, w, line)
		}
	}
}

func (b *box) hasNotMount(point string, words ...string) {
	b.t.Helper()
	line := b.mount(point)
	for _, w := range words {
		if line == "" || strings.Contains(line, w) {
			b.t.Errorf("mount at %s: %q in %q", point, w, line)
		}
	}
}

func TestPropagation(t *testing.T) {
	clone := nsenter.Clone{Flags: sandbox, Cgroup: nsenter.NoSlot}
	for flag, words := range map[uint64][]string{unix.MS_SHARED: {"shared:"}, unix.MS_UNBINDABLE: {"unbindable"}} {
		start(t, steps{clone, nsenter.Propagation{Flags: unix.MS_REC | flag}, stop}).sync(nsenter.SyncReady).hasMount("/", words...)
	}
	b := start(t, steps{clone, nsenter.Propagation{Flags: unix.MS_REC | unix.MS_SHARED}, nsenter.Propagation{Flags: unix.MS_REC | unix.MS_PRIVATE}, stop})
	b.sync(nsenter.SyncReady).hasNotMount("/", "shared:", "master:")
	start(t, steps{clone, nsenter.Propagation{Flags: unix.MS_PRIVATE | unix.MS_SHARED}}).fails(1, unix.EINVAL, "mount")
}

// openTree is a detached clone of a mount, as rt makes it outside.
func openTree(t *testing.T, path string) *os.File {
	t.Helper()
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	must(t, err)
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestAttachRoot(t *testing.T) {
	root, other := rootfs(t, "real/", "link -> real"), rootfs(t)
	plan := within(root, stop)
	attach := func(a nsenter.AttachRoot) steps { return append(append(steps{}, plan[:2]...), a, stop) }
	start(t, attach(nsenter.AttachRoot{Tree: 0, Propagation: unix.MS_PRIVATE, Path: root}), openTree(t, root)).
		sync(nsenter.SyncReady).hasMount(root, root)
	start(t, plan).sync(nsenter.SyncReady).hasMount(root, root)
	if strings.Contains(read(t, "/proc/self/mountinfo"), root) {
		t.Error("the rootfs was mounted on the host")
	}
	none := func(path string) nsenter.AttachRoot {
		return nsenter.AttachRoot{Tree: 0, Path: path}
	}
	start(t, attach(none(root+"/none")), openTree(t, root)).fails(2, unix.ENOENT, "open rootfs")
	start(t, attach(none(root+"/bin/busybox")), openTree(t, root)).fails(2, unix.ENOTDIR, "open rootfs")
	start(t, attach(none(root+"/link")), openTree(t, root)).fails(2, unix.ELOOP, "open rootfs")
	start(t, attach(none(root+"/link/../real")), openTree(t, root)).fails(2, unix.ELOOP, "open rootfs")
	start(t, attach(nsenter.AttachRoot{Tree: 0, Path: root}), openTree(t, other)).
		fails(2, unix.ESTALE, "rootfs changed while it was opened")
	start(t, attach(nsenter.AttachRoot{Tree: 0, Path: root}), openTree(t, root)).fails(2, unix.EINVAL, "the tree's propagation is not stated")
	start(t, attach(nsenter.AttachRoot{Tree: 0, Path: root, Propagation: unix.MS_SHARED}), open(t, root, os.O_RDONLY)).fails(2, unix.EINVAL, "move_mount")
}

func TestMountFS(t *testing.T) {
	root := rootfs(t, "link -> /elsewhere", "file")
	tmpfs := nsenter.MountFS{Type: "tmpfs", Target: "/made/here", Source: "src",
		Options: []nsenter.Option{option("mode", "0710"), option("size", "64k"), {Key: "ro"}},
		Attrs:   unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_SHARED}
	linked := nsenter.MountFS{Type: "tmpfs", Target: "/link/x", Source: "tmpfs"}
	b := start(t, within(root, tmpfs, linked, stop)).sync(nsenter.SyncReady)
	b.hasMount(root+"/made/here", "nosuid", "nodev", "shared:", "tmpfs src ro", "size=64k", "mode=710")
	b.hasNotMount(root+"/made/here", "noexec")
	b.hasMount(root+"/elsewhere/x", "tmpfs")
	b.hasNotMount(root+"/elsewhere/x", "nosuid", "shared:")

	lookup := "lookup" // what Linux 6.12 says, and 6.1 "open"
	if strings.HasPrefix(read(t, "/proc/sys/kernel/osrelease"), "6.1.") {
		lookup = "open"
	}
	bad := func(change func(*nsenter.MountFS)) steps {
		m := nsenter.MountFS{Type: "tmpfs", Target: "/t", Source: "tmpfs"}
		change(&m)
		return within(root, m)
	}
	for _, c := range []struct {
		change func(*nsenter.MountFS)
		errno  unix.Errno
		text   string
	}{
		{func(m *nsenter.MountFS) { m.Type = "rt-test-none" }, unix.ENODEV, "fsopen"},
		{func(m *nsenter.MountFS) { m.Options = []nsenter.Option{{Key: "bogus"}} }, unix.EINVAL, "bogus: tmpfs: Unknown parameter 'bogus'"},
		{func(m *nsenter.MountFS) { m.Options = []nsenter.Option{option("size", "much")} }, unix.EINVAL, "size: tmpfs: Bad value for 'size'"},
		{func(m *nsenter.MountFS) { m.Options = []nsenter.Option{option("size", strings.Repeat("1", 256))} }, unix.EINVAL, "size"},
		{func(m *nsenter.MountFS) { m.Options = []nsenter.Option{{Key: strings.Repeat("y", 5000)}} }, unix.EINVAL, strings.Repeat("y", 160)},
		{func(m *nsenter.MountFS) { m.Type, m.Source = "ext4", "/dev/rt-test-none" }, unix.ENOENT, "fsconfig: /dev/rt-test-none: Can't " + lookup + " blockdev"},
		{func(m *nsenter.MountFS) { m.Attrs = 1 << 31 }, unix.EINVAL, "fsmount"},
		{func(m *nsenter.MountFS) { m.Target = "/file" }, unix.ENOTDIR, "move_mount"},
		{func(m *nsenter.MountFS) { m.Propagation = unix.MS_NODEV }, unix.EINVAL, "mount_setattr"},
		{func(m *nsenter.MountFS) { m.NoLinks, m.Target = true, "/link" }, unix.ELOOP, "open target without links"},
		{func(m *nsenter.MountFS) { m.NoLinks, m.Target = true, "/link/a" }, unix.ELOOP, "open target without links"},
		{func(m *nsenter.MountFS) { m.NoLinks, m.Target = true, "/file" }, unix.ENOTDIR, "move_mount"},
	} {
		start(t, bad(c.change)).fails(before, c.errno, c.text)
	}
}

func TestMountTree(t *testing.T) {
	root := rootfs(t, "file", "dir/", "src/sub/")
	// bound is a plan that binds a tree of root for each change, which the step before opens in its slot: from 1 on.
	bound := func(root string, before steps, changes ...func(*nsenter.MountTree)) (plan steps, files []*os.File) {
		plan, files = within(root, before...), []*os.File{openTree(t, root+"/dir")}
		for i, change := range changes {
			m := nsenter.MountTree{Tree: nsenter.Slot(i + 1), Place: unix.MS_PRIVATE, Recursive: true}
			change(&m)
			if files = append(files, nil); m.Tree > 0 {
				plan = append(plan, nsenter.OpenTree{Tree: m.Tree, Path: m.Source, Recursive: m.Recursive})
			}
			plan = append(plan, m)
		}
		return append(plan, stop), files
	}
	src := root + "/src"
	sub := nsenter.MountFS{Type: "tmpfs", Target: "/src/sub", Source: "tmpfs"}
	plan, files := bound(root, steps{sub},
		func(m *nsenter.MountTree) { m.Source, m.Target, m.Set = src, "/all", unix.MOUNT_ATTR_RDONLY },
		func(m *nsenter.MountTree) { m.Source, m.Target, m.SetAll = src, "/rro", unix.MOUNT_ATTR_RDONLY },
		func(m *nsenter.MountTree) { m.Source, m.Target, m.Recursive = src, "/one", false },
		func(m *nsenter.MountTree) { m.Source, m.Target, m.Propagation = src, "/shared", unix.MS_SHARED },
		func(m *nsenter.MountTree) {
			m.Source, m.Target, m.Propagation, m.PropagateAll = src, "/rshared", unix.MS_SHARED, true
		},
		func(m *nsenter.MountTree) { m.Source, m.Target = "/etc/passwd", "/a/file" },
		func(m *nsenter.MountTree) { m.Tree, m.Source, m.Target = 0, "not opened", "/slot" },
	)
	b := start(t, plan, files...).sync(nsenter.SyncReady)
	b.hasMount(root+"/all", " ro,")
	b.hasMount(root+"/all/sub", " rw,")
	b.hasMount(root+"/rro", " ro,")
	b.hasMount(root+"/rro/sub", " ro,")
	b.hasMount(root+"/one", " rw,")
	if m := b.mount(root + "/one/sub"); m != "" {
		t.Errorf("not recursive, and yet %q", m)
	}
	b.hasMount(root+"/shared", "shared:")
	b.hasNotMount(root+"/shared/sub", "shared:")
	b.hasMount(root+"/rshared/sub", "shared:")
	b.hasMount(root+"/slot", root+"/dir")
	if stat(t, b.at(root+"/a/file")).Ino != stat(t, "/etc/passwd").Ino {
		t.Error("a file was not bound")
	}
	for _, c := range []struct {
		change func(*nsenter.MountTree)
		step   int // 0: the tree is opened
		errno  unix.Errno
		text   string
	}{
		{func(m *nsenter.MountTree) { m.Source, m.Target = src+"/none", "/t" }, 0, unix.ENOENT, "open_tree"},
		{func(m *nsenter.MountTree) { m.Source, m.Target = src, "/file" }, 1, unix.ENOTDIR, "move_mount"},
		{func(m *nsenter.MountTree) { m.Source, m.Target = root+"/file", "/dir" }, 1, unix.ENOTDIR, "move_mount"},
		{func(m *nsenter.MountTree) { m.Source, m.Target, m.Set = src, "/t", 1<<31 }, 1, unix.EINVAL, "mount_setattr"},
		{func(m *nsenter.MountTree) { m.Source, m.Target, m.Place = src, "/t", 0 }, 1, unix.EINVAL, "the tree's propagation is not stated"},
		{func(m *nsenter.MountTree) { m.Source, m.Target, m.Place = src, "/t", unix.MS_UNBINDABLE }, 1, unix.EINVAL, "the tree's propagation is not stated"},
		{func(m *nsenter.MountTree) { m.Source, m.Target, m.Place = src, "/t", unix.MS_REC|unix.MS_PRIVATE }, 1, unix.EINVAL, "the tree's propagation is not stated"},
	} {
		plan, files := bound(root, nil, c.change)
		start(t, plan, files...).fails(before+c.step, c.errno, c.text)
	}
}

func TestRemount(t *testing.T) {
	root := rootfs(t)
	tmpfs := nsenter.MountFS{Type: "tmpfs", Target: "/t", Source: "tmpfs", Options: []nsenter.Option{option("size", "64k")}}
	sub := nsenter.MountFS{Type: "tmpfs", Target: "/t/sub", Source: "tmpfs", Attrs: unix.MOUNT_ATTR_NOEXEC}
	b := start(t, within(root, tmpfs, sub,
		nsenter.Remount{Target: "/t", Superblock: true, Options: []nsenter.Option{option("size", "128k")}},
		nsenter.Remount{Target: "/t", Set: unix.MOUNT_ATTR_NOSUID, Recursive: true},
		nsenter.Remount{Target: "/t", Set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_SHARED},
		nsenter.Remount{Target: "/t/sub", Clear: unix.MOUNT_ATTR_NOEXEC}, stop)).sync(nsenter.SyncReady)
	b.hasMount(root+"/t", " ro,", "nosuid", "shared:", "size=128k")
	b.hasMount(root+"/t/sub", " rw,", "nosuid")
	b.hasNotMount(root+"/t/sub", "noexec", "shared:")
	start(t, within(root, nsenter.Remount{Target: "/none", Set: unix.MOUNT_ATTR_RDONLY})).fails(before, unix.ENOENT, "open target")
	start(t, within(root, nsenter.Remount{Target: "/tmp", Set: unix.MOUNT_ATTR_RDONLY})).fails(before, unix.EINVAL, "mount_setattr")
	start(t, within(root, nsenter.Remount{Target: "/tmp", Superblock: true})).fails(before, unix.EINVAL, "fspick")
	start(t, within(root, tmpfs, nsenter.Remount{Target: "/t", Superblock: true, Options: []nsenter.Option{{Key: "bogus"}}})).
		fails(before+1, unix.EINVAL, "bogus: tmpfs: Unknown parameter 'bogus'")
	start(t, within(root, tmpfs, nsenter.Mkdir{Path: "/t/x"}, nsenter.Remount{Target: "/t", Superblock: true, Options: []nsenter.Option{option("nr_inodes", "1")}})).
		fails(before+2, unix.EINVAL, "fsconfig: tmpfs: Too few inodes for current use")
}

func TestRoots(t *testing.T) {
	root := rootfs(t, "mark")
	proc := nsenter.MountFS{Type: "proc", Target: "/proc", Source: "proc"}
	for name, to := range map[string]step{"pivot": nsenter.Pivot{}, "move": nsenter.MoveRoot{}} {
		b := start(t, within(root, proc, to, stop)).sync(nsenter.SyncReady)
		if have, want := stat(t, b.at("/")).Ino, stat(t, root).Ino; have != want {
			t.Errorf("%s: the root is another", name)
		}
		points := 0
		for _, line := range strings.Split(strings.TrimSpace(read(t, b.proc("mountinfo"))), "\n") {
			if f := strings.Fields(line)[4]; f != "/" && f != "/proc" {
				t.Errorf("%s: the host's mount is there: %s", name, line)
			}
			points++
		}
		if cwd := link(t, b.proc("cwd")); cwd != "/" || points < 2 {
			t.Errorf("%s: cwd %s, %d mounts", name, cwd, points)
		}
		if out := sh(t, within(root, proc, to), "ls / && ls /.."); strings.Count(out, "mark") != 2 {
			t.Errorf("%s: %q", name, out)
		}
		start(t, steps{cloneOnly, to}).fails(1, unix.EBADF, "fchdir")
	}
	dir := open(t, root, unix.O_PATH|os.O_RDONLY)
	if out := sh(t, steps{cloneOnly, nsenter.Chroot{Dir: 0, Path: root}}, "ls / && ls /.. && pwd", dir); strings.Count(out, "mark") != 2 || !strings.HasSuffix(out, "\n/") {
		t.Errorf("chroot: %q", out)
	}
	start(t, steps{cloneOnly, nsenter.Chroot{Dir: 0}}, open(t, os.DevNull, os.O_RDONLY)).fails(1, unix.ENOTDIR, "fchdir")
	start(t, steps{cloneOnly, nsenter.Capabilities{}, nsenter.Chroot{Dir: 0}}, dir).fails(2, unix.EPERM, "chroot")
	// Nothing but a mount can be pivoted to, and a root that is no mount has no attributes.
	start(t, steps{cloneOnly, nsenter.Chroot{Dir: 0}, nsenter.Pivot{}}, dir).fails(2, unix.EINVAL, "pivot_root")
	start(t, steps{cloneOnly, nsenter.Chroot{Dir: 0}, nsenter.RootAttr{Set: unix.MOUNT_ATTR_RDONLY}}, dir).fails(2, unix.EINVAL, "mount_setattr")
}

func TestRootAttr(t *testing.T) {
	root := rootfs(t)
	b := start(t, inside(root, nsenter.RootAttr{Set: unix.MOUNT_ATTR_RDONLY}, stop)).sync(nsenter.SyncReady)
	b.hasMount("/", " ro,")
	b.hasMount("/proc", " rw,")
	b = start(t, inside(root, nsenter.RootAttr{Propagation: unix.MS_SHARED, Recursive: true}, stop)).sync(nsenter.SyncReady)
	b.hasMount("/", " rw,", "shared:")
	b.hasMount("/proc", "shared:")
	start(t, inside(root, nsenter.RootAttr{Propagation: unix.MS_NODEV})).fails(pivoted, unix.EINVAL, "mount_setattr")
}

func TestReadonlyPath(t *testing.T) {
	root := rootfs(t, "dir/sub/", "file", "link -> /dir", "out -> ../../../../etc", "loop -> loop")
	b := start(t, inside(root,
		nsenter.MountFS{Type: "tmpfs", Target: "/dir/sub", Source: "tmpfs"},
		nsenter.ReadonlyPath{Path: "/dir"}, nsenter.ReadonlyPath{Path: "/file"}, nsenter.ReadonlyPath{Path: "/proc/sys"},
		nsenter.ReadonlyPath{Path: "/none"}, nsenter.ReadonlyPath{Path: "/file/none"}, nsenter.ReadonlyPath{Path: "/out"}, stop)).sync(nsenter.SyncReady)
	b.hasMount("/dir", " ro,")
	b.hasMount("/dir/sub", " rw,")
	b.hasMount("/file", " ro,")
	b.hasMount("/proc/sys", " ro,")
	start(t, inside(root, nsenter.ReadonlyPath{Path: "/link"}, stop)).sync(nsenter.SyncReady).hasMount("/dir", " ro,")
	start(t, inside(root, nsenter.ReadonlyPath{Path: "/loop"})).fails(pivoted, unix.ELOOP, "open")
}

func TestMaskPath(t *testing.T) {
	root := rootfs(t, "dir/secret", "more/secret", "file", "link -> file", "loop -> loop")
	must(t, os.WriteFile(root+"/file", []byte("secret"), 0o644))
	null := nsenter.Mknod{Path: "/dev/null", Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(1, 3), HostNode: nsenter.NoSlot}
	masks := steps{nsenter.MaskPath{Path: "/dir"}, nsenter.MaskPath{Path: "/more"}, nsenter.MaskPath{Path: "/link"},
		nsenter.MaskPath{Path: "/proc/keys"}, nsenter.MaskPath{Path: "/none"}, nsenter.MaskPath{Path: "/file/none"}}
	plan := append(inside(root, null), masks...)
	out := sh(t, plan, "ls /dir /more; cat /file /proc/keys; touch /dir/x || touch /more/x || echo x > /file && stat -c %t:%T /file; ls /none; true")
	for _, want := range []string{"/dir:\n\n/more:", "touch: /dir/x: Read-only file system", "touch: /more/x: Read-only file system", "1:3", "/none: No such"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if strings.Contains(out, "secret") || read(t, root+"/file") != "secret" {
		t.Errorf("%q; the file: %q", out, read(t, root+"/file"))
	}
	b := start(t, append(plan, stop)).sync(nsenter.SyncReady)
	b.hasMount("/dir", " ro,", "nosuid,nodev,noexec", "tmpfs")
	b.hasMount("/more", " ro,", "tmpfs")
	start(t, inside(root, null, nsenter.MaskPath{Path: "/loop"})).fails(pivoted+1, unix.ELOOP, "open")
}

// Protected is what is on top: a mount by mount(2), of which no descriptor is known, too.
func TestMaskPathInLastMount(t *testing.T) {
	sys := nsenter.MountFS{Type: "tmpfs", Target: "/sys", Source: "tmpfs"}
	long := sys
	long.Data = "mode=0755"
	b := start(t, within(rootfs(t), sys, long, nsenter.Mkdir{Path: "/sys/secret"}, nsenter.Pivot{}, nsenter.MaskPath{Path: "/sys/secret"}, stop))
	b.sync(nsenter.SyncReady).hasMount("/sys/secret", " ro,", "tmpfs")
}

// What cannot be read is an error, not an empty directory; to take over a mode nothing need be read.
func TestCopyUpUnreadable(t *testing.T) {
	root := rootfs(t, "dir/file")
	must(t, os.Chmod(root+"/dir", 0o701))
	must(t, os.Chown(root+"/dir", 5, 5))
	noOverride := nsenter.Capabilities{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}
	m := nsenter.MountFS{Type: "tmpfs", Target: "/dir", Source: "tmpfs", CopyUp: nsenter.CopyContent | nsenter.CopyOwner | nsenter.CopyMode}
	start(t, within(root, noOverride, m)).fails(before+1, unix.EACCES, "open target")
	m.CopyUp = nsenter.CopyMode
	b := start(t, within(root, noOverride, m, stop)).sync(nsenter.SyncReady)
	if st := stat(t, b.at(root+"/dir")); st.Mode&0o7777 != 0o701 || st.Uid != 0 {
		t.Errorf("mode %o, owner %d", st.Mode, st.Uid)
	}
}

// What is mounted over a masked file is the null device and nothing else: CVE-2025-31133.
func TestForgedNull(t *testing.T) {
	tmpfs := nsenter.MountFS{Type: "tmpfs", Target: "/dev", Source: "tmpfs"}
	node := func(major, minor uint32, kind uint32) nsenter.Mknod {
		return nsenter.Mknod{Path: "/dev/null", Mode: kind | 0o666, Dev: unix.Mkdev(major, minor), HostNode: nsenter.NoSlot}
	}
	root := rootfs(t, "file")
	mask := nsenter.MaskPath{Path: "/file"}
	const forged = "/dev/null is not the null device"
	start(t, inside(root, tmpfs, node(1, 5, unix.S_IFCHR), mask)).fails(pivoted+2, unix.EINVAL, forged)
	start(t, inside(root, tmpfs, node(1, 3, unix.S_IFBLK), mask)).fails(pivoted+2, unix.EINVAL, forged)
	start(t, inside(root, tmpfs, node(0, 0, unix.S_IFIFO), mask)).fails(pivoted+2, unix.EINVAL, forged)
	start(t, inside(root, tmpfs, nsenter.Symlink{Path: "/dev/null", Target: "/proc/sys/kernel/core_pattern"}, mask)).
		fails(pivoted+2, unix.EINVAL, forged)
	start(t, inside(root, tmpfs, nsenter.Mkdir{Path: "/dev/null"}, mask)).fails(pivoted+2, unix.EINVAL, forged)
	start(t, inside(root, tmpfs, mask)).fails(pivoted+1, unix.ENOENT, "open /dev/null")
}

// Nobody outside can see the stub's mounts, and nothing of them outlives it.
func TestNothingStaysMounted(t *testing.T) {
	root := rootfs(t)
	hostMounts := read(t, "/proc/self/mountinfo")
	start(t, within(root, nsenter.MountFS{Type: "tmpfs", Target: "/t", Source: "tmpfs"}, stop)).sync(nsenter.SyncReady)
	if read(t, "/proc/self/mountinfo") != hostMounts {
		t.Error("the host's mounts have changed")
	}
	if entries, err := os.ReadDir(filepath.Join(root, "t")); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
	if out, err := exec.Command("stat", "-c", "%F %U %a", os.DevNull).Output(); err != nil || string(out) != "character special file root 666\n" {
		t.Errorf("/dev/null: %s %v", out, err)
	}
}
