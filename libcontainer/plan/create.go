package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"rt/libcontainer/bundle"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Create compiles a checked configuration into the plan of a new container. This is the order that matters for
// security; each line is a function below or in the file named after its subject.
func Create(spec *specs.Spec, opts Options, facts Facts) (*Plan, error) {
	b := &builder{spec: spec, opts: opts, facts: facts, waits: true}
	b.opts.WaitFIFO = "" // start is what it waits for
	err := inOrder(
		// Still in the host's namespaces, as rt's own identity.
		b.raiseLimits,
		b.startOpener,
		b.stageRoot,
		b.joinNamespaces,
		b.newNamespaces,
		// A process of the container: ids, cgroups, session.
		b.enterUser,
		b.enterCgroups,
		b.newSession,
		b.handOut,
		// The tree of mounts, every path below the rootfs through a descriptor.
		b.root,
		b.mounts,
		b.devices,
		b.endOpener,
		b.hooks,
		b.switchRoot,
		// In the container's root.
		b.console,
		b.readonlyMounts,
		b.rootAttributes,
		b.names,
		b.sysctls,
		b.protectedPaths,
		b.beforeStart,
		b.callerFiles,
		// The rights of the program, the wait for start, the filter, execve.
		b.becomeProgram,
		b.keepMounts,
	)
	if err != nil {
		return nil, err
	}
	b.tellMounts()
	b.openInside()
	return &b.Plan, nil
}

// inOrder compiles a plan's stages up to the first error.
func inOrder(stages ...func() error) error {
	for _, stage := range stages {
		if err := stage(); err != nil {
			return err
		}
	}
	return nil
}

// AfterStart compiles the end of Create's plan only: what the stub still has to do when it is told to start.
func AfterStart(spec *specs.Spec, opts Options, facts Facts) (*Plan, error) {
	b := &builder{spec: spec, opts: opts, facts: facts, waits: true}
	b.opts.Await = true
	if err := b.becomeProgram(); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(b.Items, func(it Item) bool { _, ok := it.Step.(nsenter.AwaitStart); return ok })
	return &Plan{Items: b.Items[at+1:]}, nil
}

// afterClone are namespaces that must be entered by the container's own process: a process is moved into its
// cgroup by somebody who sees both ends.
const afterClone = unix.CLONE_NEWCGROUP

func (b *builder) joinNamespaces() error {
	b.dropGroups()
	b.beforeOthers()
	b.cloneRoot()
	for _, t := range b.joinOrder() {
		ns, at, ok := bundle.NamespaceOf(b.spec, t.kind)
		if !ok || ns.Path == "" || t.flag&afterClone != 0 {
			continue
		}
		b.joinNamespace(ns, at)
	}
	if b.joinedUser() { // before anybody in a pid namespace that is joined sees the process: see join
		b.add("", b.insideIDs())
	}
	return nil
}

// joinNamespace joins ns, entry number at of linux.namespaces.
func (b *builder) joinNamespace(ns specs.LinuxNamespace, at int) {
	pointer, flag := fmt.Sprintf("/linux/namespaces/%d/path", at), NamespaceFlag(ns.Type)
	file := b.input(Input{Kind: Namespace, Path: ns.Path, Type: flag, NotHosts: NotHosts(b.spec, ns.Type), Pointer: pointer})
	b.add(pointer, nsenter.JoinNS{File: file, Type: flag, Kind: string(ns.Type), Path: ns.Path})
}

func (b *builder) newNamespaces() error {
	var flags uint64
	for _, t := range nsTypes {
		if b.isNew(t.kind) && t.flag&(afterClone|b.afterIDs()) == 0 {
			flags |= t.flag
		}
	}
	// A time namespace takes its offsets before the first process is in it (time_namespaces(7)).
	offsets := flags&unix.CLONE_NEWTIME != 0 && len(b.spec.Linux.TimeOffsets) > 0
	now := flags &^ unix.CLONE_NEWPID
	if b.has(specs.UserNamespace) { // what belongs to it is made with it
		now = flags & unix.CLONE_NEWTIME
	}
	if now != 0 {
		now = b.withUser(flags, now)
		// While rt makes the cgroup: a network namespace takes as long.
		b.add("/linux/namespaces", nsenter.Unshare{Flags: now, Kinds: kinds(now)})
		flags &^= now
	}
	b.add("", nsenter.Inputs{Early: len(b.Inputs)})
	if offsets {
		b.add("/linux/timeOffsets", nsenter.Sync{Point: nsenter.SyncTime})
	}
	b.add("/linux/namespaces", nsenter.Clone{Flags: flags, Kinds: kinds(flags), Cgroup: b.bornIn()})
	b.openAt = len(b.Items)
	return nil
}

// bornIn is the slot of the cgroup v2 directory. After a user namespace was joined the kernel would ask for
// that namespace's permission on the directory; then rt moves the process (enterCgroups).
func (b *builder) bornIn() nsenter.Slot {
	if b.facts.BornDir == "" || b.facts.Moved || b.joinedUser() {
		return nsenter.NoSlot
	}
	return b.input(Input{Kind: CgroupDir, Path: b.facts.BornDir})
}

func (b *builder) joinedUser() bool {
	return b.has(specs.UserNamespace) && !b.isNew(specs.UserNamespace)
}

func (b *builder) enterUser() error {
	if b.isNew(specs.UserNamespace) {
		b.add("/linux/uidMappings", nsenter.Sync{Point: nsenter.SyncMapIDs})
		ids := b.insideIDs()
		ids.Dumpable = b.facts.Unprivileged // rt goes on looking into it: see beforeOthers
		b.add("", ids)
	}
	if flags := b.afterIDs(); flags != 0 {
		b.add("/linux/namespaces", nsenter.Unshare{Flags: flags, Kinds: kinds(flags)})
	}
	return nil
}

// afterIDs are namespaces that are made by the user namespace's root: the kernel mounts an mqueue with an ipc
// namespace, and its directory belongs for good to who made it.
func (b *builder) afterIDs() uint64 {
	if b.has(specs.UserNamespace) && b.isNew(specs.IPCNamespace) {
		return unix.CLONE_NEWIPC
	}
	return 0
}

func (b *builder) enterCgroups() error {
	if b.facts.BornDir != "" && (b.facts.Moved || b.joinedUser()) {
		b.add("", nsenter.Sync{Point: nsenter.SyncCgroup})
	}
	b.joinTasks()
	for _, t := range nsTypes {
		ns, at, ok := bundle.NamespaceOf(b.spec, t.kind)
		switch {
		case !ok || t.flag&afterClone == 0:
		case ns.Path == "":
			b.add(fmt.Sprintf("/linux/namespaces/%d", at), nsenter.Unshare{Flags: t.flag, Kinds: string(t.kind)})
		default:
			b.joinNamespace(ns, at)
		}
	}
	return nil
}

func (b *builder) joinTasks() {
	for _, path := range b.facts.Tasks {
		b.add("", nsenter.CgroupJoin{Tasks: b.input(Input{Kind: Tasks, Path: path}), Path: path})
	}
}

func (b *builder) newSession() error {
	b.labels(false)
	_ = b.session() // never fails
	b.keyring()
	if b.isNew(specs.NetworkNamespace) {
		b.add("", nsenter.LoopbackUp{})
	}
	return nil
}

func (b *builder) session() error {
	b.add("", nsenter.Setsid{})
	return nil
}

func (b *builder) keyring() {
	if b.opts.NoNewKeyring {
		return
	}
	name := b.opts.Keyring
	if name == "" {
		name = "_ses." + b.opts.ID
	}
	b.add("", nsenter.Keyring{Keyring: name})
}

// handOut: the process is not dumpable while it waits for start, nor is an init. A rootless rt notes its namespaces before, and asks
// it for what it cannot open later.
func (b *builder) handOut() error {
	if !b.facts.HandOut {
		return nil
	}
	b.add("", nsenter.Sync{Point: nsenter.SyncNamespaces})
	if b.opts.Await || b.opts.Init {
		b.add("", nsenter.HandOut{Listener: b.input(Input{Kind: Asked})})
	}
	return nil
}

// hooks: prestart, createRuntime and createContainer see the mounts and the limits, and the old root.
func (b *builder) hooks() error {
	if b.hooksBeforeSwitch() {
		b.add("/hooks", nsenter.Sync{Point: nsenter.SyncHooks})
	}
	return nil
}

func (b *builder) hooksBeforeSwitch() bool {
	h := b.spec.Hooks
	//nolint:staticcheck // prestart is deprecated and must still run
	return len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0
}

func (b *builder) names() error {
	if b.spec.Hostname != "" {
		b.add("/hostname", nsenter.Hostname{Value: b.spec.Hostname})
	}
	if b.spec.Domainname != "" {
		b.add("/domainname", nsenter.Domainname{Value: b.spec.Domainname})
	}
	return nil
}

func (b *builder) protectedPaths() error {
	for i, p := range b.spec.Linux.ReadonlyPaths {
		b.add(fmt.Sprintf("/linux/readonlyPaths/%d", i), nsenter.ReadonlyPath{Path: protectedPath(p)})
	}
	masked := map[string]bool{} // once each
	for i, p := range b.spec.Linux.MaskedPaths {
		name := protectedPath(p)
		if !strings.Contains(name, "..") { // which may lead elsewhere, behind a link
			name = path.Clean(name)
		}
		if masked[name] {
			continue
		}
		masked[name] = true
		b.add(fmt.Sprintf("/linux/maskedPaths/%d", i), nsenter.MaskPath{Path: protectedPath(p), Label: b.spec.Linux.MountLabel})
	}
	return nil
}

// protectedPath is what the stub looks for: below /proc and /sys in the mounts there, which "/proc/../etc" would not leave.
func protectedPath(p string) string {
	api := func(p string) bool { return strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/sys/") }
	if clean := path.Clean(p); api(p) || api(clean) {
		return clean
	}
	return p
}

// ready is where a container is created.
func (b *builder) ready() (steps []nsenter.Step) {
	if !b.waits {
		return nil
	}
	steps = append(steps, nsenter.Sync{Point: nsenter.SyncReady, Heed: b.opts.Await})
	if b.opts.Await {
		steps = append(steps, nsenter.AwaitStart{Listener: b.input(Input{Kind: Listener})})
	}
	return steps
}
