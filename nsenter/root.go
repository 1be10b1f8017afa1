package nsenter

// #include "steps.h"
import "C"

import "golang.org/x/sys/unix"

// The steps that attach the rootfs and make it the root: root.c.

// Propagation sets the propagation of every mount of the namespace.
type Propagation struct{ Flags uint64 }

func (Propagation) Name() string { return "propagation" }

func (s Propagation) String() string {
	return "set propagation of every mount to " + propagationName(s.Flags)
}

func (s Propagation) encode(r *record) {
	r.callWith("/", 2, "mount", unix.SYS_MOUNT, 0, 0, 0, s.Flags)
}

// AttachRoot mounts the rootfs onto its own path, or onto the directory that StagingRoot has made. HostAPI is as in MoveRoot, for what lies below that path.
type AttachRoot struct {
	Tree        Slot
	Propagation uint64
	Path        string
	Shared      bool     `json:",omitempty"` // volumes may be peers of the host's mounts
	Staged      bool     `json:",omitempty"`
	HostAPI     []string `json:",omitempty"`
}

func (AttachRoot) Name() string     { return "attach-root" }
func (s AttachRoot) String() string { return "mount rootfs " + s.Path }

func (s AttachRoot) encode(r *record) {
	set(r, C.K_attach_root, C.struct_args_attach_root{tree: slot(s.Tree), propagation: r.low(s.Propagation), shared: truth(s.Shared), staged: truth(s.Staged)})
	r.str(s.Path)
	r.str(s.HostAPI...)
}

func (AttachRoot) hint(_ string, errno unix.Errno) string {
	if errno == unix.EACCES {
		return "the host's user who is the container's root must be able to enter every directory above it (chmod o+x)"
	}
	return ""
}

// Pivot makes the container's root the root.
type Pivot struct{}

func (Pivot) Name() string     { return "pivot-root" }
func (Pivot) String() string   { return "pivot to the rootfs" }
func (Pivot) encode(r *record) { r.kind = C.K_pivot }

func (Pivot) hint(_ string, errno unix.Errno) string {
	if errno == unix.EINVAL {
		return pivotHint
	}
	return ""
}

// MoveRoot is what --no-pivot does instead. HostAPI is where the host has procfs and sysfs, the one on top first: they are unmounted.
type MoveRoot struct {
	HostAPI []string `json:",omitempty"`
}

func (MoveRoot) Name() string       { return "move-root" }
func (MoveRoot) String() string     { return "move the rootfs to /" }
func (s MoveRoot) encode(r *record) { r.kind = C.K_move_root; r.str(s.HostAPI...) }

// CloneRoot mounts a clone of the host's tree over its root, and goes there. HostAPI is as in MoveRoot, for what the clone covers.
type CloneRoot struct {
	HostAPI []string `json:",omitempty"`
}

func (CloneRoot) Name() string { return "clone-root" }

func (CloneRoot) String() string {
	return "mount a clone of the host's tree over its root, to be pivoted away"
}

func (s CloneRoot) encode(r *record) { r.kind = C.K_clone_root; r.str(s.HostAPI...) }

// Chroot is for a container without a mount namespace.
type Chroot struct {
	Dir  Slot
	Path string
}

func (Chroot) Name() string       { return "chroot" }
func (s Chroot) String() string   { return "chroot to " + s.Path }
func (s Chroot) encode(r *record) { set(r, C.K_chroot, C.struct_args_chroot{directory: slot(s.Dir)}) }

// RootAttr sets attributes and propagation of the root mount.
type RootAttr struct {
	Set         uint64
	Propagation uint64
	Recursive   bool
}

func (RootAttr) Name() string   { return "root-attributes" }
func (RootAttr) String() string { return "set attributes of the root mount" }

func (s RootAttr) encode(r *record) {
	set(r, C.K_remount, C.struct_args_remount{set: r.low(s.Set), propagation: r.low(s.Propagation), recursive: truth(s.Recursive)})
	r.str("/")
}

func propagationName(flags uint64) string {
	name := ""
	switch {
	case flags&unix.MS_SHARED != 0:
		name = "shared"
	case flags&unix.MS_SLAVE != 0:
		name = "slave"
	case flags&unix.MS_PRIVATE != 0:
		name = "private"
	case flags&unix.MS_UNBINDABLE != 0:
		name = "unbindable"
	}
	if flags&unix.MS_REC != 0 {
		return "r" + name
	}
	return name
}

const pivotHint = "the host's root cannot be pivoted away, perhaps an initramfs: try --no-pivot"
