package plan

import (
	"slices"

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

// openInside adds the steps that open the trees: in the new mount namespace, where the mounts are the stub's, and
// before anything is mounted there and ids are mapped, so by the rights of rt's own user.
func (b *builder) openInside() {
	if !b.facts.OpenInside {
		return
	}
	var opens []Item
	for i := range b.Inputs {
		if in := &b.Inputs[i]; in.Kind == Tree {
			in.Inside = true
			opens = append(opens, Item{nsenter.OpenTree{Tree: nsenter.Slot(i), Path: in.Path, Recursive: in.Recursive}, in.Pointer})
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
