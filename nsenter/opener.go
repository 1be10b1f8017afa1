package nsenter

// #include "steps.h"
import "C"

import "golang.org/x/sys/unix"

// The steps that the opener serves: opener.c.

// Opener forks the process that opens the trees of RequestTree, in a copy of the host's mounts that belongs to a new user
// namespace in which there is no other process. It has the credentials that the stub has now, or with Inside, where those do not allow
// to enter that copy, is itself in that user namespace, with no more rights than the stub's user.
type Opener struct{ Inside bool }

func (Opener) Name() string { return "opener" }

func (s Opener) String() string {
	if s.Inside {
		return "start a process that opens trees of mounts in a copy of the host's, by the rights of rt's user"
	}
	return "start a process that opens trees of mounts in a copy of the host's"
}

func (s Opener) encode(r *record) { set(r, C.K_opener, C.struct_args_opener{inside: truth(s.Inside)}) }

func (Opener) hint(_ string, errno unix.Errno) string {
	switch errno {
	case unix.EAGAIN:
		return processesHint
	case unix.EPERM:
		return "rt opens the sources of mounts in a user namespace of its own: that takes CAP_SYS_ADMIN and CAP_SYS_CHROOT, and is refused in a chroot, by a seccomp filter, or by an LSM (kernel.apparmor_restrict_unprivileged_userns)"
	}
	return namespacesHint(errno)
}

// RequestTree has the opener clone the mount at a path of the host into Tree. Root is as in OpenTree.
type RequestTree struct {
	Tree      Slot
	Path      string
	Root      string `json:",omitempty"`
	Recursive bool
	Map       Slot // a user namespace by which the ids of the tree are mapped
	MapAll    bool // of every mount of the tree
}

func (RequestTree) Name() string     { return "request-tree" }
func (s RequestTree) String() string { return openBelow(s.Path, s.Root) }

func (s RequestTree) encode(r *record) {
	set(r, C.K_request_tree, C.struct_args_request_tree{tree: slot(s.Tree), userns: slot(s.Map), recursive: truth(s.Recursive), map_all: truth(s.MapAll)})
	r.source(s.Path, s.Root)
}

func (s RequestTree) hint(call string, errno unix.Errno) string {
	switch {
	case call == "mount_setattr":
	case errno == unix.EINVAL && !s.Recursive:
		return belowHint
	case errno == unix.ENOSPC: // a detached mount has a mount namespace
		return MountsHint
	}
	return ""
}

// MapTree has a tree that OpenTree has opened show its ids as the user namespace Map has them, every mount of it with All.
type MapTree struct {
	Tree, Map Slot
	All       bool `json:",omitempty"`
	Path      string
}

func (MapTree) Name() string     { return "map-tree" }
func (s MapTree) String() string { return "map the ids of " + s.Path }
func (s MapTree) encode(r *record) {
	set(r, C.K_map_tree, C.struct_args_map_tree{tree: slot(s.Tree), userns: slot(s.Map), all: truth(s.All)})
}

// OpenerEnd waits until the opener has ended.
type OpenerEnd struct{}

func (OpenerEnd) Name() string     { return "opener-end" }
func (OpenerEnd) String() string   { return "wait for the end of the opener" }
func (OpenerEnd) encode(r *record) { r.kind = C.K_opener_end }
