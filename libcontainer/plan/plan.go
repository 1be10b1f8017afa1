// Package plan compiles a configuration into the steps that the stub executes. It is pure: it makes no system
// call and opens nothing; what it has to know about the host comes in Facts, and what has to be opened for the
// stub is listed in Inputs. create.go and exec.go are the two orders of steps.
package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"rt/internal/text"
	"rt/libcontainer/bundle"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Plan is what the stub is to do, and the descriptors it needs for that.
type Plan struct {
	Inputs   []Input  // Inputs[i] is what nsenter.Slot i refers to
	Items    []Item   // in this order
	Warnings []string // what was asked for and is done otherwise
}

// An Item is a step and the place in the configuration that it comes from.
type Item struct {
	Step    nsenter.Step
	Pointer string // JSON pointer, "" for what comes from no single field
}

// InputKind says how an Input is opened.
type InputKind string

// The kinds of inputs.
const (
	Tree          InputKind = "tree"           // open_tree(2) clone of Path, with what is mounted below if Recursive
	Namespace     InputKind = "namespace"      // a namespace file of type Type
	InitNamespace InputKind = "init-namespace" // the namespace of type Type that the container's init is in
	InitRoot      InputKind = "init-root"      // the root directory of the container's init, O_PATH
	Directory     InputKind = "directory"      // O_PATH
	Tasks         InputKind = "tasks"          // a cgroup v1 tasks file, for writing
	CgroupDir     InputKind = "cgroup"         // a cgroup v2 directory
	Listener      InputKind = "listener"       // the container's start socket
	Asked         InputKind = "asked"          // the socket at which its namespaces are handed out
	FIFO          InputKind = "fifo"           // open for reading and writing, with room for one write
	MapOfIDs      InputKind = "id-map"         // a user namespace with the mapping IDMap
	NewFS         InputKind = "new-fs"         // a detached mount of the new file system FS, for which Path is a name
)

// An Input is a descriptor that is opened outside and handed to the stub.
type Input struct {
	Kind      InputKind `json:"kind"`
	Path      string    `json:"path,omitempty"`
	Root      string    `json:"root,omitempty"` // a Tree: a directory that Path lies below, and that no link leads out of
	Type      uint64    `json:"type,omitempty"`
	Recursive bool      `json:"recursive,omitempty"`
	Inside    bool      `json:"inside,omitempty"` // a Tree that the stub opens, by a step OpenTree or RequestTree
	FS        *NewMount `json:"fs,omitempty"`
	IDMap     *IDMap    `json:"idmap,omitempty"`
	NotHosts  string    `json:"notHosts,omitempty"` // a Namespace: the error if it is the host's own
	Pointer   string    `json:"at,omitempty"`
}

// A NewMount is a file system that rt makes outside, because the stub in its namespaces may not do with it what is asked.
type NewMount struct {
	Type    string           `json:"type"`
	Options []nsenter.Option `json:"options,omitempty"`
	Attrs   uint64           `json:"attrs,omitempty"` // MOUNT_ATTR_*
}

// An IDMap says which ids a mount shows for those of its file system: ContainerID is the id on the disk, HostID the
// one that it is to be, as in a user namespace of that mapping.
type IDMap struct {
	Namespace string                 `json:"namespace,omitempty"` // a user namespace's file, if it is its mapping
	UIDs      []specs.LinuxIDMapping `json:"uids,omitempty"`
	GIDs      []specs.LinuxIDMapping `json:"gids,omitempty"`
	Recursive bool                   `json:"recursive,omitempty"`
}

// Early is how many of the inputs the stub wants with the plan; the others it takes at the step Inputs.
func (p *Plan) Early() int {
	for _, it := range p.Items {
		if s, ok := it.Step.(nsenter.Inputs); ok {
			return s.Early
		}
	}
	return len(p.Inputs)
}

// Facts are what a plan depends on besides the configuration.
type Facts struct {
	Bounding  uint64   // capabilities that rt itself may have
	NoAmbient bool     // the securebits of rt's caller forbid ambient capabilities
	BornDir   string   // cgroup v2 directory to be born in, "" for none
	Moved     bool     // rt moves the process into BornDir
	Tasks     []string // cgroup v1 tasks files to join
	Cgroups   CgroupView
	Home      string // HOME from the container's passwd
	Namespace uint64 // exec: CLONE_NEW* flags of the namespaces of init that are joined
	Root      string // exec: init's root directory, if the container has no mount namespace to take it from

	Unprivileged bool // rt may do nothing in its own user namespace: that of the container comes first
	OpenInside   bool // rt may not clone mounts of its mount namespace
	Nested       bool // rt is in a user namespace, not the host's first one
	DropGroups   bool // rt may give up its own supplementary groups
	HandOut      bool // rt may not look into a process that is not dumpable
	KeepGroups   bool // the container's user namespace may deny setgroups(2)

	Links map[string]string // sources of bind mounts that are symbolic links, and what they say, for copy-symlink

	Nodes map[string]Node // the host's nodes that devices of the configuration may be bound to

	Inside map[string]Inside // those of HostPaths that lead into the rootfs under another name than its own

	MountIDs map[string][]uint64 // mounts remove: the mounts that were made at a destination, in that order
	HostAPI  []string            // with NoPivot: where the host has procfs and sysfs outside of the rootfs, the one on top first
	RootAPI  []string            // with NoPivot: the same below the rootfs

	Files     Limit // RLIMIT_NOFILE of rt's caller
	Processes Limit // exec: RLIMIT_NPROC of rt's caller, if the process has one of its own

	// Hard limits of the process above those of rt's caller, where only the host's root may raise them, with the caller's soft ones.
	Raised  []nsenter.Rlimit
	HookDir RootDir // createContainer hook: the rootfs

	NoAppArmor bool // AppArmor is not enabled, and the process is to be unconfined

	OriginalGroups bool // the process keeps the supplementary groups of rt's caller, and additionalGids do not count
}

// A Node is what a device of the host has.
type Node struct{ Mode, UID, GID uint32 }

// A RootDir is the directory of a rootfs by its path, on the way to which there are no links, and its numbers.
type RootDir struct {
	Path     string
	Dev, Ino uint64
}

// A Limit is one of getrlimit(2).
type Limit struct{ Soft, Hard uint64 }

// CgroupView is what a mount of type cgroup shows.
type CgroupView struct {
	V2          bool   // there is nothing but v2
	Path        string // the container's own cgroup in v2, "" if the host has none
	Whole       string // what a container without a cgroup namespace sees in its place, v2's mount point; "" if rt is not the host's root
	Foreign     bool   // the container has none of its own and sees rt's: read-only
	Hierarchies []Hierarchy
}

// Shown is the directory of v2 that a container without a cgroup namespace sees. As runc's, containers of the host's root see the
// whole hierarchy: a nested engine that shares the host's cgroups makes its own where /proc/self/cgroup says that it is. A user's
// see their own cgroup (CVE-2023-25809).
func (v *CgroupView) Shown() string {
	if v.Whole != "" {
		return v.Whole
	}
	return v.Path
}

// A Hierarchy is one cgroup v1 mount of the host.
type Hierarchy struct {
	Dir         string   // its name below /sys/fs/cgroup, "cpu,cpuacct"
	Controllers []string // mount options that name it: controllers, or none and name=systemd
	Path        string   // the container's own cgroup in it
}

// Options are what the caller of rt asked for.
type Options struct {
	ID           string
	Bundle       string // absolute; relative sources of bind mounts start here
	Rootfs       string // absolute
	NoPivot      bool
	NoNewKeyring bool
	Keyring      string // name of the session keyring; "" is _ses.ID
	ExtraFds     int    // LISTEN_FDS and --preserve-fds
	Init         bool   // the program is a child of a minimal init
	Await        bool   // wait for `rt start` after the container is created
	Filter       *seccomp.Program
	NotifyDir    string // the NOTIFY_SOCKET proxy's directory on the host
	ListenFds    int
	WaitFIFO     string // exec: path of a FIFO that holds the program until it is read, "" for none
}

type builder struct {
	Plan
	hot        bool                    // the container runs: what a path leads to may change
	init       map[uint64]nsenter.Slot // init's namespaces among the inputs
	waits      bool                    // the process is a new container's, which is created before its program runs
	hook       *specs.Hook             // what to run instead of the process, with its rights
	openAt     int                     // where the steps that open trees belong
	opener     bool                    // trees are opened by the opener
	mounted    []string                // targets of mounts of the configuration that come before the one in hand
	lateMounts []lateMount             // those of a new file system that is to be filled
	spec       *specs.Spec
	opts       Options
	facts      Facts
}

func (b *builder) add(pointer string, steps ...nsenter.Step) {
	for _, s := range steps {
		b.Items = append(b.Items, Item{s, pointer})
	}
}

func (b *builder) input(in Input) nsenter.Slot {
	b.Inputs = append(b.Inputs, in)
	return nsenter.Slot(len(b.Inputs) - 1)
}

func (b *builder) warn(format string, args ...any) {
	b.Warnings = append(b.Warnings, fmt.Sprintf(format, args...))
}

// Steps are the plan's steps without their origin.
func (p *Plan) Steps() []nsenter.Step {
	steps := make([]nsenter.Step, len(p.Items))
	for i := range p.Items {
		steps[i] = p.Items[i].Step
	}
	return steps
}

// Text shows the plan to a person, a line each.
func (p *Plan) Text() string {
	var b strings.Builder
	for i, in := range p.Inputs {
		kind := string(in.Kind)
		if in.Inside {
			kind += " (inside)"
		}
		fmt.Fprintf(&b, "open %3d  %-20s %s\n", i, kind, printable(in.Path))
	}
	for i, it := range p.Items {
		fmt.Fprintf(&b, "step %3d  %-20s %s", i, it.Step.Name(), printable(it.Step.String()))
		if it.Pointer != "" {
			fmt.Fprintf(&b, "  [%s]", printable(it.Pointer))
		}
		b.WriteByte('\n')
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", printable(w))
	}
	return b.String()
}

// printable escapes what would break a line or what a terminal would act on.
func printable(s string) string { return text.Quoted(s, unicode.IsControl) }

// MarshalJSON shows the plan to a program.
func (p *Plan) MarshalJSON() ([]byte, error) {
	type item struct {
		Step string       `json:"step"`
		Does string       `json:"does"`
		At   string       `json:"at,omitempty"`
		Args nsenter.Step `json:"args"`
	}
	items := make([]item, len(p.Items))
	for i, it := range p.Items {
		items[i] = item{it.Step.Name(), it.Step.String(), it.Pointer, it.Step}
	}
	return json.Marshal(struct {
		Inputs   []Input  `json:"inputs"`
		Steps    []item   `json:"steps"`
		Warnings []string `json:"warnings,omitempty"`
	}{p.Inputs, items, p.Warnings})
}

// nsType is one kind of namespace.
type nsType struct {
	kind specs.LinuxNamespaceType
	flag uint64
}

// The order in which joined namespaces are entered; user comes last, for its creator's privileges end there.
var nsTypes = [...]nsType{
	{specs.IPCNamespace, unix.CLONE_NEWIPC},
	{specs.UTSNamespace, unix.CLONE_NEWUTS},
	{specs.NetworkNamespace, unix.CLONE_NEWNET},
	{specs.TimeNamespace, unix.CLONE_NEWTIME},
	{specs.PIDNamespace, unix.CLONE_NEWPID},
	{specs.MountNamespace, unix.CLONE_NEWNS},
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP},
	{specs.UserNamespace, unix.CLONE_NEWUSER},
}

// NamespaceFlag is the CLONE_NEW* flag of a namespace type, 0 if there is no such type.
func NamespaceFlag(kind specs.LinuxNamespaceType) uint64 {
	for _, t := range nsTypes {
		if t.kind == kind {
			return t.flag
		}
	}
	return 0
}

func kinds(flags uint64) string {
	var names []string
	for _, t := range nsTypes {
		if flags&t.flag != 0 {
			names = append(names, string(t.kind))
		}
	}
	return strings.Join(names, ",")
}

func (b *builder) has(kind specs.LinuxNamespaceType) bool {
	return bundle.HasNamespace(b.spec, kind)
}

func (b *builder) isNew(kind specs.LinuxNamespaceType) bool {
	return bundle.MakesNamespace(b.spec, kind)
}

// SortedKeys are a map's keys in order.
func SortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// NamespaceFile is a namespace type's name below /proc/PID/ns.
func NamespaceFile(kind specs.LinuxNamespaceType) string {
	switch kind {
	case specs.NetworkNamespace:
		return "net"
	case specs.MountNamespace:
		return "mnt"
	}
	return string(kind)
}

// IsBind says whether a mount is a bind mount, by its type or its options. "rbind" is an option only, as with runc.
func IsBind(m specs.Mount) bool {
	f := parseOptions(m.Options)
	return f.bind || m.Type == "bind"
}
