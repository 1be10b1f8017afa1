package plan

import (
	"path"
	"slices"
	"strings"

	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What user namespaces, and an rt that has no privileges outside of them, change in the two orders.

// beforeOthers: rt reaches the first process of a new user namespace by its uid alone.
func (b *builder) beforeOthers() {
	if b.facts.Unprivileged && b.isNew(specs.UserNamespace) {
		b.add("", nsenter.Dumpable{})
	}
}

// dropGroups keeps the groups of the host's root out of the container: its user namespace may deny setgroups(2).
func (b *builder) dropGroups() {
	if b.facts.DropGroups {
		b.add("", nsenter.DropGroups{})
	}
}

// joinOrder is that of nsTypes; who is nobody outside of the user namespace can enter the others only from within.
func (b *builder) joinOrder() []nsType {
	last := len(nsTypes) - 1
	if !b.facts.Unprivileged {
		return nsTypes[:]
	}
	return slices.Concat(nsTypes[last:], nsTypes[:last])
}

// withUser adds the user namespace to namespaces that are made now, before the rest, if nobody else may make them.
func (b *builder) withUser(all, now uint64) uint64 {
	if b.facts.Unprivileged {
		now |= all & unix.CLONE_NEWUSER
	}
	return now
}

// insideIDs are who sets the container up: root of its user namespace, or where that is not mapped, its user.
func (b *builder) insideIDs() nsenter.SetIDs {
	var ids nsenter.SetIDs
	if p := b.spec.Process; p != nil {
		ids.UID = rootOr(b.spec.Linux.UIDMappings, p.User.UID)
		ids.GID = rootOr(b.spec.Linux.GIDMappings, p.User.GID)
	}
	return ids
}

func rootOr(maps []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range maps {
		if m.ContainerID == 0 {
			return 0
		}
	}
	if len(maps) == 0 { // those of a namespace that is joined
		return 0
	}
	return id
}

// startOpener: a container with a user namespace has its trees opened in a copy of the host's mounts that belongs to a user namespace
// of its own, for there the kernel has locked what the host has set and covered. It must be another one than the container's: who
// is in that may enter the copy, and choose there what is opened. The opener has rt's credentials, which reach every source. It comes
// before all namespaces, so that it is in none that the container sees. A rootless rt needs it only where others may be in the
// user namespace already.
func (b *builder) startOpener() error {
	if b.has(specs.UserNamespace) && b.has(specs.MountNamespace) && (!b.facts.OpenInside || b.joinedUser()) {
		b.addOpener()
	}
	return nil
}

// stageRoot keeps the host's tree out of the mount namespace that belongs to the container's user namespace: a process in that, or with
// its owner's uid, may enter it before the root is switched.
func (b *builder) stageRoot() error {
	if b.staged() {
		b.add("", nsenter.StagingRoot{Sysfs: slices.ContainsFunc(b.spec.Mounts, func(m specs.Mount) bool { return m.Type == "sysfs" })})
	}
	return nil
}

// staged: not if something needs the host's tree there. That are hooks that come before the root is switched, --no-pivot, and file
// systems whose source or options are paths (overlay). In a user namespace, rt's own, new ones of procfs and sysfs may be refused.
func (b *builder) staged() bool {
	if !b.opener || b.hot || b.facts.Nested || b.facts.OpenInside || b.facts.Unprivileged || b.opts.NoPivot || !b.isNew(specs.MountNamespace) || b.hooksBeforeSwitch() {
		return false
	}
	return !slices.ContainsFunc(b.spec.Mounts, func(m specs.Mount) bool {
		return !IsBind(m) && !parseOptions(m.Options).remount && !pathless[m.Type] && m.Type != "proc" && m.Type != "cgroup" && m.Type != "cgroup2"
	})
}

func (b *builder) addOpener() {
	b.opener = true
	b.add("", nsenter.Opener{Inside: b.facts.OpenInside})
}

// endOpener comes after the last tree, before hooks and the container's root.
func (b *builder) endOpener() error {
	if b.opener {
		b.add("", nsenter.OpenerEnd{})
	}
	return nil
}

// source is tree for a bind mount of the configuration. Below the rootfs the image's links are followed as the container would:
// to the host they would lead whoever wrote the image. What an earlier mount has put there is in the container's mount
// namespace only, where others may have a hand: the stub opens it, below the container's root and by the container's rights.
func (b *builder) source(in Input) nsenter.Slot {
	if place, ok := b.inside(in.Path); ok {
		in.Path, in.Root = place.Path, place.Root
	}
	below := b.mountedBelow(in.Path, in.Recursive)
	if below == "" {
		return b.tree(in)
	}
	ids := in.IDMap
	in.Kind, in.Inside, in.Root, in.IDMap = Tree, true, "", nil
	tree := b.input(in)
	if in.Recursive {
		b.cloning(below)
	}
	b.add(in.Pointer, nsenter.OpenTree{Tree: tree, Path: below, Recursive: in.Recursive, Below: true})
	if ids != nil {
		m := b.input(Input{Kind: MapOfIDs, Path: in.Path, IDMap: ids, Pointer: in.Pointer})
		b.add(in.Pointer, nsenter.MapTree{Tree: tree, Map: m, All: ids.Recursive, Path: below})
	}
	return tree
}

// tree is an input for the next step: a tree of mounts that rt opens, or the stub (openInside), or the opener.
func (b *builder) tree(in Input) nsenter.Slot {
	in.Kind = Tree
	if !b.opener {
		return b.input(in)
	}
	request := nsenter.RequestTree{Path: in.Path, Root: in.Root, Recursive: in.Recursive, Map: nsenter.NoSlot}
	if ids := in.IDMap; ids != nil {
		request.Map, request.MapAll = b.input(Input{Kind: MapOfIDs, Path: in.Path, IDMap: ids, Pointer: in.Pointer}), ids.Recursive
	}
	in.Inside, in.IDMap = true, nil
	request.Tree = b.input(in)
	b.add(in.Pointer, request)
	return request.Tree
}

// inside says where a path leads that goes into the rootfs.
func (b *builder) inside(source string) (Inside, bool) {
	clean := path.Clean(source)
	if b.belowRootfs(clean) {
		return Inside{Root: path.Clean(b.opts.Rootfs), Path: clean}, true
	}
	if b.belowRootfs(source) { // "..", behind what may be a link of the image
		return Inside{Path: clean}, true
	}
	place, ok := b.facts.Inside[source]
	return place, ok
}

// belowRootfs says whether a path begins with that of the rootfs.
func (b *builder) belowRootfs(source string) bool {
	return strings.HasPrefix(source, path.Clean(b.opts.Rootfs)+"/")
}

// mountedBelow is a source's path in the container if a mount that was made before is there, or above it, or of a recursive bind below
// it: "" if not. All other trees are opened before anything is mounted.
func (b *builder) mountedBelow(source string, recursive bool) string {
	inside, ok := strings.CutPrefix(path.Clean(source), path.Clean(b.opts.Rootfs)+"/")
	if !ok {
		return ""
	}
	if recursive && slices.ContainsFunc(b.mounted, func(dir string) bool { return strings.HasPrefix(dir, "/"+inside+"/") }) {
		return "/" + inside
	}
	if b.mountAbove("/"+inside) != "" {
		return "/" + inside
	}
	return ""
}

// mountAbove is the target of an earlier mount that is at a path in the container or above it, the innermost; "" if there is none.
func (b *builder) mountAbove(dir string) string {
	for ; dir != "/"; dir = path.Dir(dir) {
		if slices.Contains(b.mounted, dir) {
			return dir
		}
	}
	return ""
}

// openInside adds the steps that open the trees: in the new mount namespace, where the mounts are the stub's, and
// before anything is mounted there and ids are mapped, so by the rights of rt's own user.
func (b *builder) openInside() {
	if !b.facts.OpenInside || b.opener {
		return
	}
	var opens []Item
	for i := range b.Inputs {
		if in := &b.Inputs[i]; in.Kind == Tree && !in.Inside {
			in.Inside = true
			opens = append(opens, Item{nsenter.OpenTree{Tree: nsenter.Slot(i), Path: in.Path, Root: in.Root, Recursive: in.Recursive}, in.Pointer})
		}
	}
	b.Items = slices.Insert(b.Items, b.openAt, opens...)
}

// hostSys: the host's cgroups are mounted below its /sys, and of a bind mount with everything below it "ro" is the
// uppermost mount's affair. Root of a user namespace could write there what rt's user may (CVE-2023-25809).
func (b *builder) hostSys(source string, f *flags, recursive bool) bool {
	return recursive && b.has(specs.UserNamespace) && f.set&unix.MOUNT_ATTR_RDONLY != 0 &&
		(source == "/sys" || source == "/sys/fs" || source == "/sys/fs/cgroup")
}
