package nsenter

import "golang.org/x/sys/unix"

// The steps that mount and remount: mounts.c.

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
	r.set(kOpenTree, slot(s.Tree), b2u(s.Recursive), b2u(s.Below))
	r.source(s.Path, s.Root)
}

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
	r.set(kMountFS, s.Attrs, b2u(s.NoLinks), s.Propagation, b2u(s.Recursive), uint64(s.CopyUp), b2u(s.ByMount)|b2u(s.ReadonlyFS)<<1, b2u(s.Keep), b2u(s.Tell))
	r.str(s.Type, s.Target, s.Source, s.Data, s.Label)
	if s.ReadonlyFS && !s.ByMount {
		r.options([]Option{{Key: "ro"}})
	}
	if s.Source != "" {
		r.str("source", s.Source)
	}
	r.options(s.Options)
}

// MountTree attaches a bind mount.
type MountTree struct {
	Tree           Slot
	Target, Source string
	Set, Clear     uint64 // MOUNT_ATTR_* of the top
	Implied        uint64 `json:",omitempty"` // to clear as well, but for what the kernel has locked
	Back           uint64 `json:",omitempty"` // access times that must not be locked, if something else is
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
	r.set(kMountTree, slot(s.Tree), s.Set, s.Clear|s.Implied<<32, s.SetAll, s.ClrAll,
		s.Place<<32|s.Propagation, b2u(s.Recursive)|b2u(s.PropagateAll)<<1|b2u(s.Keep)<<2, b2u(s.NoLinks)|b2u(s.Tell)<<1|b2u(s.Private)<<2|s.Back<<32)
	r.str(s.Target, s.Source)
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
	r.set(kRemount, s.Set, s.Clear, s.Propagation, b2u(s.Recursive), b2u(s.Superblock), b2u(s.Own))
	r.str(s.Target)
	r.options(s.Options)
}

// ReadonlyMount makes the mount read-only that the plan has made at Target, unless a later one covers it.
type ReadonlyMount struct{ Target string }

func (ReadonlyMount) Name() string     { return "readonly-mount" }
func (s ReadonlyMount) String() string { return "make mount " + s.Target + " read-only" }

func (s ReadonlyMount) encode(r *record) {
	r.set(kRemount, unix.MOUNT_ATTR_RDONLY, 0, 0, 0, 0, 2)
	r.str(s.Target)
}

// Relatime stands in Back for MOUNT_ATTR_RELATIME, which is 0.
const Relatime = 0x40

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
