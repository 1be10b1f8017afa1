package nsenter

import (
	"fmt"
	"strconv"
	"strings"
)

// A Slot is the position of a descriptor among those sent with a plan; NoSlot is none.
type Slot int

// NoSlot says that a step has no descriptor to work on.
const NoSlot Slot = -1

// A Step is one thing that the stub does. String says what, for plans and errors: verb and object.
type Step interface {
	fmt.Stringer
	Name() string
	encode(r *record)
}

// Sync points: what the stub has reached when it waits for rt's word.
const (
	SyncMapIDs     = iota + 1 // in a new user namespace without mappings
	SyncTime                  // a new time namespace for children is ready for its offsets
	SyncCgroup                // a process that must be moved into its cgroup v2 directory
	SyncHooks                 // the mounts are there, the root is not pivoted yet
	SyncReady                 // everything is set up: the container is created
	SyncAffinity              // in the cgroup, to be given its final CPU affinity
	SyncExec                  // the user's program comes next; the stub does not wait
	SyncGate                  // a Gate is next, then the program
	SyncNamespaces            // all namespaces are there, and rt may still look at them
	SyncFiltered              // a filter is loaded, and its listener closed; the stub does not wait
)

// ListenerClosed is the text of a ReplyListener that SyncFiltered follows. That of an older rt's stub has none.
const ListenerClosed = "SYNC_FILTERED follows"

type (
	// JoinNS enters a namespace: setns(2) on its file.
	JoinNS struct {
		File Slot
		Type uint64
		Kind string
		Path string
	}
	// TakeRoot makes the root of the mount namespace just joined the one below which paths are looked for.
	TakeRoot struct{}
	// DropGroups gives up the supplementary groups of rt's caller.
	DropGroups struct{}
	// Unshare makes new namespaces for this process.
	Unshare struct {
		Flags uint64
		Kinds string
	}
	// Clone goes on in a new process in new namespaces; Cgroup is the v2 directory that it is born in.
	Clone struct {
		Flags  uint64
		Kinds  string
		Cgroup Slot
	}
	// Inputs waits for the descriptors that did not come with the plan: those of the slots from Early on.
	Inputs struct {
		Early int
	}
	// Sync tells rt that a point has been reached, and waits unless GoOn. With Heed a signal ends the process from then on, until
	// AwaitStart is over.
	Sync struct {
		Point  int
		GoOn   bool
		Heed   bool
		Mounts bool `json:",omitempty"` // tell the ids of the mounts with Tell
	}
	// Dumpable lets an rt without privileges write the process's id maps and join it (proc(5), ptrace(2)).
	Dumpable struct{}
	// OpenTree clones the mount at a path of the host into Tree, where rt may not do it; with Below at a path below the container's
	// root, which is what an earlier step has mounted there. Path lies below Root, if that is not "", and no link leads out of it.
	OpenTree struct {
		Tree      Slot
		Path      string
		Root      string `json:",omitempty"`
		Recursive bool
		Below     bool `json:",omitempty"`
	}
	// Opener forks the process that opens the trees of RequestTree, in a copy of the host's mounts that belongs to a new user
	// namespace in which there is nobody else. It has the credentials that the stub has now, or with Inside, where those do not allow
	// to enter that copy, is itself in that user namespace, with no more rights than the stub's user.
	Opener struct{ Inside bool }
	// RequestTree has the opener clone the mount at a path of the host into Tree. Root is as in OpenTree.
	RequestTree struct {
		Tree      Slot
		Path      string
		Root      string `json:",omitempty"`
		Recursive bool
		Map       Slot // a user namespace by which the ids of the tree are mapped
		MapAll    bool // of every mount of the tree
	}
	// MapTree has a tree that OpenTree has opened show its ids as the user namespace Map has them, every mount of it with All.
	MapTree struct {
		Tree, Map Slot
		All       bool `json:",omitempty"`
		Path      string
	}
	// OpenerEnd waits until the opener has ended.
	OpenerEnd struct{}
	// SetIDs makes the process uid and gid of the user namespace it has entered, and lets nobody look into it, or with Dumpable who
	// may look into a process of that user.
	SetIDs struct {
		UID, GID uint32
		Dumpable bool `json:",omitempty"`
	}
	// CgroupJoin enters a cgroup v1 directory by its tasks file.
	CgroupJoin struct {
		Tasks Slot
		Path  string
	}
	// Setsid starts a new session.
	Setsid struct{}
	// Keyring joins a new session keyring.
	Keyring struct{ Keyring string }
	// LoopbackUp brings up lo.
	LoopbackUp struct{}
	// Hostname sets the UTS namespace's host name.
	Hostname struct{ Value string }
	// Domainname sets the UTS namespace's NIS domain name.
	Domainname struct{ Value string }
	// Propagation sets the propagation of every mount of the namespace.
	Propagation struct{ Flags uint64 }
	// StagingRoot makes a mount namespace without the host's tree: nothing but a directory for the rootfs, a procfs and, if the
	// container mounts one, a sysfs. The container's is a copy of it.
	StagingRoot struct {
		Sysfs bool `json:",omitempty"`
	}
	// AttachRoot mounts the rootfs onto its own path, or onto the directory that StagingRoot has made. HostAPI is as in MoveRoot, for what lies below that path.
	AttachRoot struct {
		Tree        Slot
		Propagation uint64
		Path        string
		Shared      bool     `json:",omitempty"` // volumes may be peers of the host's mounts
		Staged      bool     `json:",omitempty"`
		HostAPI     []string `json:",omitempty"`
	}
	// MountFS mounts a new instance of a file system.
	MountFS struct {
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
	// MountTree attaches a bind mount.
	MountTree struct {
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
	// Remount changes a mount that is there.
	Remount struct {
		Target      string
		Set, Clear  uint64
		Propagation uint64
		Recursive   bool
		Superblock  bool
		Options     []Option
		Own         bool `json:",omitempty"` // the mount that the plan has made at Target, wherever that is by now
	}
	// ReadonlyMount makes the mount read-only that the plan has made at Target, unless a later one covers it.
	ReadonlyMount struct{ Target string }
	// Mkdir makes a directory and those above it.
	Mkdir struct {
		Path string
		Mode uint32
	}
	// Symlink makes a symbolic link, unless something is there; with Must that must be such a link.
	Symlink struct {
		Path, Target string
		Must         bool `json:",omitempty"`
	}
	// Mknod makes a device node, or binds the host's where it may not.
	Mknod struct {
		Path     string
		Mode     uint32 // with the S_IF* type
		Dev      uint64
		UID, GID uint32
		HostNode Slot
		Bind     bool
		HostPath string
	}
	// Console opens a terminal, hands its master to rt and makes it the controlling one.
	Console struct {
		Rows, Cols uint32
		UID        uint32
		DevConsole bool
	}
	// Pivot makes the container's root the root.
	Pivot struct{}
	// MoveRoot is what --no-pivot does instead. HostAPI is where the host has procfs and sysfs, the one on top first: they are unmounted.
	MoveRoot struct {
		HostAPI []string `json:",omitempty"`
	}
	// CloneRoot mounts a clone of the host's tree over its root, and goes there. HostAPI is as in MoveRoot, for what the clone covers.
	CloneRoot struct {
		HostAPI []string `json:",omitempty"`
	}
	// Chroot is for a container without a mount namespace.
	Chroot struct {
		Dir  Slot
		Path string
	}
	// RootAttr sets attributes and propagation of the root mount.
	RootAttr struct {
		Set         uint64
		Propagation uint64
		Recursive   bool
	}
	// Sysctl writes a file below /proc/sys.
	Sysctl struct{ Path, Value string }
	// Label writes a security attribute of the process: Text to File below /proc/self/attr. Outside says that the process has
	// not left the host's mount namespace yet, whose /proc will do.
	Label struct {
		Kind, Value, File, Text string
		Outside                 bool `json:",omitempty"`
	}
	// ReadonlyPath makes a path read-only.
	ReadonlyPath struct {
		Path string
		Keep bool `json:",omitempty"` // later steps refer to the mount
	}
	// MaskPath hides a path.
	MaskPath struct {
		Path  string
		Label string `json:",omitempty"` // SELinux label of what covers a directory
	}
	// Umask sets the file mode creation mask.
	Umask struct{ Mask uint32 }
	// Personality sets the execution domain.
	Personality struct{ Domain uint64 }
	// MemPolicy sets the NUMA memory policy: set_mempolicy(2).
	MemPolicy struct {
		Mode  uint32   // MPOL_* with its flags
		Nodes []uint64 // a bit for each node
		Text  string   // what was asked for
	}
	// Scheduler sets policy and attributes: sched_setattr(2).
	Scheduler struct {
		Policy                     uint32
		Flags                      uint64
		Nice                       int32
		Priority                   uint32
		Runtime, Deadline, Period_ uint64
	}
	// IOPriority sets class and level: ioprio_set(2).
	IOPriority struct{ Class, Level uint32 }
	// ChownStdio gives pipes and sockets among stdio to the user, and puts the container's null device in place of the host's.
	ChownStdio struct{ UID, GID uint32 }
	// Chdir enters the working directory.
	Chdir struct {
		Path  string
		Retry bool // EACCES is fine: Chdir comes again after Credentials
	}
	// ChdirRootfs enters the rootfs by its path in the mount namespace: no links lead there, and it is the directory with these numbers.
	ChdirRootfs struct {
		Path     string
		Dev, Ino uint64
	}
	// FindExec chooses the program.
	FindExec struct {
		Arg        string // args[0]
		Candidates []string
	}
	// AwaitStart waits for `rt start`.
	AwaitStart struct{ Listener Slot }
	// Rlimit sets a resource limit.
	Rlimit struct {
		Type       string
		Number     int
		Soft, Hard uint64
	}
	// NoNewPrivs forbids gaining privileges by execve.
	NoNewPrivs struct{}
	// Seccomp loads a filter.
	Seccomp struct {
		Program []byte
		Flags   uint32
		Notify  bool // rt is to have its listener
		Send    bool // which is sent, for rt may not take it
	}
	// Bounding cuts the capability bounding set down to Keep.
	Bounding struct{ Keep uint64 }
	// Credentials sets groups, gid and uid, sees that the process has them, and lets nobody look into it.
	Credentials struct {
		UID, GID   uint32
		Groups     []uint32
		KeepGroups bool
		TryGroups  bool `json:",omitempty"` // set them unless the user namespace denies setgroups(2)
	}
	// SetUser is Credentials for a process that goes on setting things up: its capabilities stay, all of them effective.
	SetUser Credentials
	// Capabilities sets the other four sets, and sees that the process has no more.
	Capabilities struct{ Effective, Permitted, Inheritable, Ambient uint64 }
	// Capset is Capabilities without the ambient set, and without a look.
	Capset struct{ Effective, Permitted, Inheritable uint64 }
	// CloseFds hides every descriptor from First on from the program.
	CloseFds struct{ First int }
	// Undo lets a failure of the plan take back the mounts that come after this step, MaxUndo of them at most.
	Undo struct{ Proc Slot }
	// Unmount detaches the mount at a path, or with Check only sees whether it is there.
	Unmount struct {
		Target string
		Check  bool
		ID     uint64 // of the mount that it must be
	}
	// HandOut lets the process give the descriptors of its namespaces and its root to who asks at a listening socket, while it waits in
	// AwaitStart, and as an init.
	HandOut struct{ Listener Slot }
	// Gate holds Exec up until somebody has read a byte from the FIFO, which has room for one write.
	Gate struct {
		FIFO Slot
		Path string
	}
	// Undumpable undoes what a change of ids or of the user namespace may have done (proc(5), /proc/sys/fs/suid_dumpable).
	Undumpable struct{}
	// Init goes on with the next Steps in a child, which becomes the program; the process itself skips them, and stays
	// as the container's init when the plan is at its end.
	Init struct {
		Steps    int
		Terminal bool
	}
)

// MaxMade is how many mounts a plan can make that later steps may lead into.
const MaxMade = 1000

// MaxUndo is how many mounts a plan with Undo can make.
const MaxUndo = 64

// Relatime stands in Back for MOUNT_ATTR_RELATIME, which is 0.
const Relatime = 0x40

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

func (JoinNS) Name() string        { return "join-namespace" }
func (TakeRoot) Name() string      { return "take-root" }
func (DropGroups) Name() string    { return "drop-groups" }
func (Unshare) Name() string       { return "unshare" }
func (Clone) Name() string         { return "clone" }
func (Inputs) Name() string        { return "inputs" }
func (Sync) Name() string          { return "sync" }
func (Dumpable) Name() string      { return "dumpable" }
func (OpenTree) Name() string      { return "open-tree" }
func (Opener) Name() string        { return "opener" }
func (RequestTree) Name() string   { return "request-tree" }
func (MapTree) Name() string       { return "map-tree" }
func (OpenerEnd) Name() string     { return "opener-end" }
func (SetIDs) Name() string        { return "set-ids" }
func (CgroupJoin) Name() string    { return "join-cgroup" }
func (Setsid) Name() string        { return "setsid" }
func (Keyring) Name() string       { return "keyring" }
func (LoopbackUp) Name() string    { return "loopback-up" }
func (Hostname) Name() string      { return "hostname" }
func (Domainname) Name() string    { return "domainname" }
func (Propagation) Name() string   { return "propagation" }
func (StagingRoot) Name() string   { return "staging-root" }
func (AttachRoot) Name() string    { return "attach-root" }
func (MountFS) Name() string       { return "mount" }
func (MountTree) Name() string     { return "bind" }
func (Remount) Name() string       { return "remount" }
func (ReadonlyMount) Name() string { return "readonly-mount" }
func (Mkdir) Name() string         { return "mkdir" }
func (Symlink) Name() string       { return "symlink" }
func (Mknod) Name() string         { return "mknod" }
func (Console) Name() string       { return "console" }
func (Pivot) Name() string         { return "pivot-root" }
func (CloneRoot) Name() string     { return "clone-root" }
func (MoveRoot) Name() string      { return "move-root" }
func (Chroot) Name() string        { return "chroot" }
func (RootAttr) Name() string      { return "root-attributes" }
func (Sysctl) Name() string        { return "sysctl" }
func (Label) Name() string         { return "label" }
func (ReadonlyPath) Name() string  { return "readonly-path" }
func (MaskPath) Name() string      { return "mask-path" }
func (Umask) Name() string         { return "umask" }
func (Personality) Name() string   { return "personality" }
func (MemPolicy) Name() string     { return "memory-policy" }
func (Scheduler) Name() string     { return "scheduler" }
func (IOPriority) Name() string    { return "io-priority" }
func (ChownStdio) Name() string    { return "chown-stdio" }
func (Chdir) Name() string         { return "chdir" }
func (ChdirRootfs) Name() string   { return "chdir-rootfs" }
func (FindExec) Name() string      { return "find-executable" }
func (AwaitStart) Name() string    { return "await-start" }
func (Rlimit) Name() string        { return "rlimit" }
func (NoNewPrivs) Name() string    { return "no-new-privileges" }
func (Seccomp) Name() string       { return "seccomp" }
func (Bounding) Name() string      { return "bounding-set" }
func (Credentials) Name() string   { return "credentials" }
func (SetUser) Name() string       { return "set-user" }
func (Capabilities) Name() string  { return "capabilities" }
func (Capset) Name() string        { return "capset" }
func (CloseFds) Name() string      { return "close-fds" }
func (Undo) Name() string          { return "undo" }
func (Unmount) Name() string       { return "unmount" }
func (HandOut) Name() string       { return "hand-out" }
func (Gate) Name() string          { return "gate" }
func (Undumpable) Name() string    { return "undumpable" }
func (Init) Name() string          { return "init" }

func (s JoinNS) String() string   { return "join " + s.Kind + " namespace " + s.Path }
func (TakeRoot) String() string   { return "take the root of the mount namespace" }
func (DropGroups) String() string { return "give up supplementary groups" }
func (s Unshare) String() string  { return "make new namespaces " + s.Kinds }
func (s Clone) String() string {
	if s.Kinds == "" {
		return "clone a process"
	}
	return "clone into new namespaces " + s.Kinds
}

var syncNames = [...]string{"", "map ids", "set time offsets", "move it to its cgroup", "run hooks", "report that the container is created", "set the final CPU affinity", "announce the program", "hand over what is waited for", "note the namespaces"}

func (Inputs) String() string   { return "wait for cgroups and trees of mounts" }
func (s Sync) String() string   { return "let rt " + syncNames[s.Point] }
func (Dumpable) String() string { return "let rt look into the process until it is the program" }
func (s OpenTree) String() string {
	if s.Below {
		return "open " + s.Path + " below the container's root"
	}
	return openBelow(s.Path, s.Root)
}
func openBelow(path, root string) string {
	if root == "" {
		return "open " + path
	}
	return "open " + path + ", by no link that leads out of " + root
}
func (s Opener) String() string {
	if s.Inside {
		return "start a process that opens trees of mounts in a copy of the host's, by the rights of rt's user"
	}
	return "start a process that opens trees of mounts in a copy of the host's"
}
func (s RequestTree) String() string { return openBelow(s.Path, s.Root) }
func (s MapTree) String() string     { return "map the ids of " + s.Path }
func (OpenerEnd) String() string     { return "wait for the end of the opener" }
func (s SetIDs) String() string {
	return fmt.Sprintf("become uid %d gid %d of the user namespace", s.UID, s.GID)
}
func (s CgroupJoin) String() string { return "join cgroup " + s.Path }
func (Setsid) String() string       { return "start a session" }
func (s Keyring) String() string    { return "join session keyring " + s.Keyring }
func (LoopbackUp) String() string   { return "bring up lo" }
func (s Hostname) String() string   { return "set hostname " + s.Value }
func (s Domainname) String() string { return "set domainname " + s.Value }
func (s Propagation) String() string {
	return "set propagation of every mount to " + propagationName(s.Flags)
}
func (StagingRoot) String() string     { return "make a mount namespace without the host's tree" }
func (s AttachRoot) String() string    { return "mount rootfs " + s.Path }
func (s MountFS) String() string       { return "mount " + s.Type + " at " + s.Target }
func (s MountTree) String() string     { return "bind " + s.Source + " at " + s.Target }
func (s Remount) String() string       { return "remount " + s.Target }
func (s ReadonlyMount) String() string { return "make mount " + s.Target + " read-only" }
func (s Mkdir) String() string         { return "make directory " + s.Path }
func (s Symlink) String() string       { return "make link " + s.Path + " to " + s.Target }
func (s Mknod) String() string         { return "make device " + s.Path }
func (Console) String() string         { return "open a terminal" }
func (Pivot) String() string           { return "pivot to the rootfs" }
func (CloneRoot) String() string {
	return "mount a clone of the host's tree over its root, to be pivoted away"
}
func (MoveRoot) String() string { return "move the rootfs to /" }
func (s Chroot) String() string { return "chroot to " + s.Path }
func (RootAttr) String() string { return "set attributes of the root mount" }
func (s Sysctl) String() string { return "write sysctl " + strings.ReplaceAll(s.Path, "/", ".") }
func (s Label) String() string {
	return "apply " + s.Kind + " " + s.Value + " to `/proc/self/attr/" + s.File + "`" // in backquotes, for Podman
}
func (s ReadonlyPath) String() string { return "make read-only " + s.Path }
func (s MaskPath) String() string     { return "mask " + s.Path }
func (s Umask) String() string        { return fmt.Sprintf("set umask %04o", s.Mask) }
func (Personality) String() string    { return "set personality" }
func (s MemPolicy) String() string    { return "set memory policy " + s.Text }
func (Scheduler) String() string      { return "set scheduler" }
func (s IOPriority) String() string   { return "set io priority" }
func (s ChownStdio) String() string   { return "give stdio to uid " + strconv.Itoa(int(s.UID)) }
func (s Chdir) String() string {
	return "chdir to cwd (" + strconv.Quote(s.Path) + ") set in config.json"
}
func (s ChdirRootfs) String() string { return "chdir to rootfs " + s.Path }
func (s FindExec) String() string    { return "find executable " + s.Arg }
func (AwaitStart) String() string    { return "wait for start" }
func (s Rlimit) String() string      { return fmt.Sprintf("set rlimit %s %d:%d", s.Type, s.Soft, s.Hard) }
func (NoNewPrivs) String() string    { return "set no_new_privs" }
func (Seccomp) String() string       { return "load seccomp filter" }
func (s Bounding) String() string {
	return fmt.Sprintf("keep capabilities %#x in the bounding set", s.Keep)
}
func (s Credentials) String() string {
	return fmt.Sprintf("become uid %d gid %d groups %v", s.UID, s.GID, s.Groups)
}
func (s SetUser) String() string {
	return fmt.Sprintf("become uid %d gid %d groups %v with all capabilities", s.UID, s.GID, s.Groups)
}
func (Capabilities) String() string { return "apply caps" }
func (s Capset) String() string {
	return fmt.Sprintf("have capabilities %#x in effect", s.Effective)
}
func (s CloseFds) String() string { return "close descriptors from " + strconv.Itoa(s.First) }
func (Undo) String() string       { return "take back the mounts if one fails" }
func (s Unmount) String() string {
	if s.Check {
		return "look for a mount at " + s.Target
	}
	return "unmount " + s.Target
}
func (Undumpable) String() string { return "let nobody look into the process" }
func (HandOut) String() string    { return "let rt's user have the namespaces" }
func (s Gate) String() string     { return "hold the program until " + s.Path + " is read" }
func (s Init) String() string     { return "stay as init; the program is a child" }
