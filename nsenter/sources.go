package nsenter

// #include "steps.h"
import "C"

import (
	"strings"

	"golang.org/x/sys/unix"
)

// The step that opens the source of a bind mount, and how a source is told to the stub: sources.c.

// OpenTree clones the mount at a path of the host into Tree, where rt may not do it; with Below at a path below the container's
// root, which is what an earlier step has mounted there. Path lies below Root, if that is not "", and no link leads out of it.
type OpenTree struct {
	Tree      Slot
	Path      string
	Root      string `json:",omitempty"`
	Recursive bool
	Below     bool `json:",omitempty"`
}

func (OpenTree) Name() string { return "open-tree" }

func (s OpenTree) String() string {
	if s.Below {
		return "open " + s.Path + " below the container's root"
	}
	return openBelow(s.Path, s.Root)
}

func (s OpenTree) encode(r *record) {
	set(r, C.K_open_tree, C.struct_args_open_tree{tree: slot(s.Tree), recursive: truth(s.Recursive), below: truth(s.Below)})
	r.source(s.Path, s.Root)
}

func (OpenTree) hint(_ string, errno unix.Errno) string {
	if errno == unix.EINVAL {
		return belowHint
	}
	return ""
}

func openBelow(path, root string) string {
	if root == "" {
		return "open " + path
	}
	return "open " + path + ", by no link that leads out of " + root
}

// source adds a path, the directory that it lies below or "", and the rest of it there.
func (r *record) source(path, root string) {
	rest := ""
	if root != "" {
		rest = strings.TrimPrefix(path, root)
	}
	r.str(path, root, rest)
}

const belowHint = "other file systems are mounted below it, which cannot be left out in a user namespace: bind it with rbind"

// MountsHint is for a mount that the kernel has no room for (ENOSPC).
const MountsHint = "a limit on mounts is reached: see /proc/sys/user/max_mnt_namespaces and /proc/sys/fs/mount-max"
