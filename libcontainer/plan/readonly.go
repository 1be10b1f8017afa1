package plan

import (
	"path"
	"slices"
	"strings"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// fillable are the file systems in which a container has nothing but what the plan puts there: mount points, devices and links.
var fillable = map[string]bool{"tmpfs": true, "ramfs": true, "hugetlbfs": true}

// single are the file systems of which the host, or a network, IPC or user namespace, has one. To mount one again is to have the same: read-only
// itself, it would be so for all others, too. The kernel changes devtmpfs, and before 6.10 debugfs, when it is mounted again, and the others
// have the flags of who has mounted them first.
var single = map[string]bool{
	"binfmt_misc": true, "configfs": true, "debugfs": true, "devtmpfs": true, "efivarfs": true, "fusectl": true, "mqueue": true, "nfsd": true,
	"pstore": true, "rpc_pipefs": true, "securityfs": true, "selinuxfs": true, "sysfs": true, "tracefs": true,
}

// readonlyFS says whether a new file system is read-only itself, as with mount(2): it writes nothing to its device, which may be read-only,
// and no other mount of it can be written to. attrs is what is left for its mount.
func readonlyFS(fstype string, attrs uint64) bool {
	return attrs&unix.MOUNT_ATTR_RDONLY != 0 && !fillable[fstype] && !single[fstype]
}

// writableFS comes before a remount with rw: as with mount(2), that is for the file system, too.
func (b *builder) writableFS(target string) {
	for i := range slices.Backward(b.Items) {
		if s, ok := b.Items[i].Step.(nsenter.MountFS); ok && s.Target == target {
			s.ReadonlyFS = false
			b.Items[i].Step = s
			return
		}
	}
}

// A lateMount is a mount of such a file system. If it is to be read-only, it becomes so when everything below it is there.
type lateMount struct {
	target, pointer string
	item            int // its step
	readonly        bool
}

// late takes read-only out of the attributes of a mount that the next step makes, and notes it. /dev is filled whatever is mounted there.
// A container that runs would write to it meanwhile: there it is read-only from the beginning.
func (b *builder) late(fstype, target, pointer string, attrs uint64) uint64 {
	if b.hot || !fillable[fstype] && target != "/dev" {
		return attrs
	}
	b.lateMounts = append(b.lateMounts, lateMount{target, pointer, len(b.Items), attrs&unix.MOUNT_ATTR_RDONLY != 0})
	return attrs &^ unix.MOUNT_ATTR_RDONLY
}

// lateAt finds the mount of late at a target, nil if there is none.
func (b *builder) lateAt(target string) *lateMount {
	i := slices.IndexFunc(b.lateMounts, func(l lateMount) bool { return l.target == target })
	if i < 0 {
		return nil
	}
	return &b.lateMounts[i]
}

// remountLate does read-only's part of a remount: what is left of set is for the step.
func (b *builder) remountLate(target string, set, clear uint64) uint64 {
	l := b.lateAt(target)
	if l == nil {
		return set
	}
	l.readonly = (l.readonly || set&unix.MOUNT_ATTR_RDONLY != 0) && clear&unix.MOUNT_ATTR_RDONLY == 0
	return set &^ unix.MOUNT_ATTR_RDONLY
}

// covering comes before a mount at target: the mounts of late that it covers get no more.
func (b *builder) covering(target string) {
	b.lateMounts = slices.DeleteFunc(b.lateMounts, func(l lateMount) bool {
		covered := l.target == target || strings.HasPrefix(l.target, target+"/")
		if covered {
			b.makeReadonly(l)
		}
		return covered
	})
}

// cloning comes before the tree at a path in the container is cloned with all below it: the mounts of late there get no more, for those of
// the clone are to be read-only as they are.
func (b *builder) cloning(dir string) {
	b.lateMounts = slices.DeleteFunc(b.lateMounts, func(l lateMount) bool {
		below := l.readonly && strings.HasPrefix(l.target, dir+"/")
		if below {
			b.makeReadonly(l)
		}
		return below
	})
}

// willBeReadonly says whether a source lies in a mount of late that is read-only in the end: a clone of it is so from the beginning.
func (b *builder) willBeReadonly(source string) bool {
	inside, ok := strings.CutPrefix(path.Clean(source), path.Clean(b.opts.Rootfs)+"/")
	if !ok {
		return false
	}
	l := b.lateAt(b.mountAbove("/" + inside))
	return l != nil && l.readonly
}

// readonlyMounts comes when all mounts, devices, links and directories are there.
func (b *builder) readonlyMounts() error {
	for _, l := range b.lateMounts {
		b.makeReadonly(l)
	}
	b.lateMounts = nil
	return nil
}

// makeReadonly adds a step, unless nothing has come after the mount. A link of the image may have led a later mount to the same place:
// what that covers stays as it is.
func (b *builder) makeReadonly(l lateMount) {
	if !l.readonly {
		return
	}
	if l.item == len(b.Items)-1 {
		switch s := b.Items[l.item].Step.(type) {
		case nsenter.MountFS:
			s.Attrs |= unix.MOUNT_ATTR_RDONLY
			b.Items[l.item].Step = s
			return
		case nsenter.MountTree:
			s.Set |= unix.MOUNT_ATTR_RDONLY
			b.Items[l.item].Step = s
			return
		}
	}
	b.add(l.pointer, nsenter.ReadonlyMount{Target: l.target})
}
