package nsenter

// #include "steps.h"
import "C"

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The steps that mount and remount: mounts.c.

// MountFS mounts a new instance of a file system.
type MountFS struct {
	Type, Target, Source string
	Options              []Option
	Attrs                uint64 // MOUNT_ATTR_*
	ReadonlyFS           bool   `json:",omitempty"` // the file system is read-only, not this mount of it alone
	Propagation          uint64
	Recursive            bool   // of Propagation
	NoLinks              bool   // no symbolic link may lead to Target
	Keep                 bool   `json:",omitempty"` // later steps refer to the mount
	Tell                 bool   `json:",omitempty"` // rt is to know its id
	CopyUp               CopyUp `json:",omitempty"`
	ByMount              bool   `json:",omitempty"` // made by mount(2), for what is too long for fsconfig(2)
	Data                 string `json:",omitempty"` // then all options, as mount(2) takes them
	Label                string `json:",omitempty"` // SELinux label for the root directory
}

func (MountFS) Name() string     { return "mount" }
func (s MountFS) String() string { return "mount " + s.Type + " at " + s.Target }

func (s MountFS) encode(r *record) {
	set(r, C.K_mount_fs, C.struct_args_mount_fs{
		attributes: r.low(s.Attrs), propagation: r.low(s.Propagation), recursive: truth(s.Recursive), no_links: truth(s.NoLinks),
		copy_up: u32(s.CopyUp), by_mount: truth(s.ByMount), readonly: truth(s.ReadonlyFS), keep: truth(s.Keep), tell: truth(s.Tell),
	})
	r.str(s.Type, s.Target, s.Source, s.Data, s.Label)
	if s.ReadonlyFS && !s.ByMount {
		r.options([]Option{{Key: "ro"}})
	}
	if s.Source != "" {
		r.str("source", s.Source)
	}
	r.options(s.Options)
}

func (s MountFS) hint(call string, errno unix.Errno) string {
	switch {
	case errno == unix.ENODEV:
		return "this kernel has no file system " + s.Type
	case errno == unix.EINVAL && hasIDs(s.Options) && // found at the option, or by older kernels at the end
		(strings.HasPrefix(call, "gid") || strings.HasPrefix(call, "uid") || strings.HasPrefix(call, "fsconfig")):
		return "an id is not mapped in the user namespace: leave the option out, or map the id"
	case errno != unix.EPERM:
		return ""
	case s.Type == "sysfs":
		return "sysfs belongs to the owner of the network namespace; bind mount /sys instead"
	case s.Type == "proc":
		return "a new /proc would show what is covered in the one that rt sees: in a container, it must be mounted without masked paths"
	case s.Type == "mqueue":
		return `an mqueue belongs to the owner of the ipc namespace: add {"type": "ipc"} to /linux/namespaces`
	case strings.HasPrefix(s.Type, "cgroup"):
		return `a cgroup mount belongs to the owner of the cgroup namespace: add {"type": "cgroup"} to /linux/namespaces`
	}
	return ""
}

// MountTree attaches a bind mount.
type MountTree struct {
	Tree           Slot
	Target, Source string
	Set, Clear     uint64 // MOUNT_ATTR_* of the top
	Implied        uint64 `json:",omitempty"` // to clear as well, but for what the kernel has locked
	Back           uint64 `json:",omitempty"` // access times that must not be locked, if something else is: MOUNT_ATTR_*, names.Relatime
	SetAll, ClrAll uint64 // of every mount of the tree
	Place          uint64 // propagation by where it is mounted, for the whole tree: MS_PRIVATE, MS_SLAVE, or MS_SHARED for its source's own
	Propagation    uint64 // propagation that was asked for
	PropagateAll   bool   // of Propagation
	Recursive      bool   // the tree includes what is mounted below Source
	NoLinks        bool
	Keep           bool `json:",omitempty"` // later steps refer to the mount
	Tell           bool `json:",omitempty"` // rt is to know its id
	Private        bool `json:",omitempty"` // no mount of the configuration: the host must not get it, whatever it is mounted in
}

func (MountTree) Name() string     { return "bind" }
func (s MountTree) String() string { return "bind " + s.Source + " at " + s.Target }

func (s MountTree) encode(r *record) {
	set(r, C.K_mount_tree, C.struct_args_mount_tree{
		tree: slot(s.Tree), set: r.low(s.Set), clear: r.low(s.Clear), implied: r.low(s.Implied), back: r.low(s.Back), set_all: r.low(s.SetAll),
		clear_all: r.low(s.ClrAll), place: r.low(s.Place), propagation: r.low(s.Propagation), propagate_all: truth(s.PropagateAll),
		no_links: truth(s.NoLinks), keep: truth(s.Keep), tell: truth(s.Tell), own: truth(s.Private),
	})
	r.str(s.Target)
}

func (s MountTree) hint(_ string, errno unix.Errno) string {
	if errno == unix.EPERM && s.Clear|s.ClrAll != 0 {
		return lockedHint
	}
	return ""
}

// Remount changes a mount that is there.
type Remount struct {
	Target      string
	Set, Clear  uint64
	Propagation uint64
	Recursive   bool
	Superblock  bool
	Options     []Option
	Own         bool `json:",omitempty"` // the mount that the plan has made at Target, wherever that is by now
}

func (Remount) Name() string     { return "remount" }
func (s Remount) String() string { return "remount " + s.Target }

func (s Remount) encode(r *record) {
	set(r, C.K_remount, C.struct_args_remount{
		set: r.low(s.Set), clear: r.low(s.Clear), propagation: r.low(s.Propagation), recursive: truth(s.Recursive), superblock: truth(s.Superblock), own: truth(s.Own),
	})
	r.str(s.Target)
	r.options(s.Options)
}

func (s Remount) hint(_ string, errno unix.Errno) string {
	if errno == unix.EPERM && s.Clear != 0 {
		return lockedHint
	}
	return ""
}

// ReadonlyMount makes the mount read-only that the plan has made at Target, unless a later one covers it.
type ReadonlyMount struct{ Target string }

func (ReadonlyMount) Name() string     { return "readonly-mount" }
func (s ReadonlyMount) String() string { return "make mount " + s.Target + " read-only" }

func (s ReadonlyMount) encode(r *record) {
	set(r, C.K_remount, C.struct_args_remount{set: unix.MOUNT_ATTR_RDONLY, own: 1, if_there: 1})
	r.str(s.Target)
}

// MaxMade is how many mounts a plan can make that later steps may lead into.
const MaxMade = 1000

// CopyUp says what a new file system takes over from the directory that it hides.
type CopyUp uint8

// The bits of CopyUp, as in stub.h. Extended attributes go with the owner.
const (
	CopyContent CopyUp = 1 << iota
	CopyOwner
	CopyMode
)

// An Option is a file system's mount option; a nil Value is a flag.
type Option struct {
	Key   string
	Value *string `json:",omitempty"`
}

func (o Option) String() string {
	if o.Value == nil {
		return o.Key
	}
	return o.Key + "=" + *o.Value
}

func (r *record) options(opts []Option) {
	for i := range opts {
		r.strs = append(r.strs, &opts[i].Key, opts[i].Value)
	}
}

const lockedHint = "a user namespace cannot take off what the host's mount has: ro, nosuid, nodev, noexec or its access times"

func hasIDs(options []Option) bool {
	return slices.ContainsFunc(options, func(o Option) bool { return o.Key == "gid" || o.Key == "uid" })
}
