package plan

import (
	"slices"
	"strings"

	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Exec compiles a process to be run in a container that exists. spec is the container's configuration with its
// Process replaced by the new one.
func Exec(spec *specs.Spec, opts Options, facts Facts) (*Plan, error) {
	b := &builder{spec: spec, opts: opts, facts: facts}
	err := inOrder(
		b.joinAsUser,
		b.finalAffinity,
		b.session,
		b.execConsole,
		b.beforeStart,
		b.callerFiles,
		b.becomeProgram,
	)
	if err != nil {
		return nil, err
	}
	return &b.Plan, nil
}

// joinAsUser brings the process into the container as the user that it is to be.
func (b *builder) joinAsUser() error {
	user, err := b.user()
	if err != nil {
		return err
	}
	nproc, err := b.processLimit()
	if err != nil {
		return err
	}
	_ = b.raiseLimits() // never fails
	b.join(func() {
		b.keyring() // the container's own, which belongs to who set it up
		if nproc == nil {
			b.add("/process/user", nsenter.SetUser(user))
			return
		}
		b.add(b.pointer(*nproc), b.processes(min(nproc.Soft, b.hard(unix.RLIMIT_NPROC, b.facts.Processes))))
		b.add("/process/user", nsenter.SetUser(user))
		b.add("", b.processes(b.facts.Processes.Soft))
	})
	return nil
}

// join brings the process into the container. Until it is cloned the container does not see it; from then on all that can be
// seen of it without any right (/proc/PID/net, mountinfo, status) is the container's, and nobody there may trace it: ids do not
// change any more, for such a change makes a process what fs.suid_dumpable says. ids are the last steps before that.
func (b *builder) join(ids func()) {
	b.labels(true)
	b.dropGroups()
	b.joinInit(b.facts.Namespace &^ afterClone)
	b.takeRoot()
	b.enterRootfs()
	b.setupIDs()
	ids()
	b.add("", nsenter.Undumpable{})
	b.cloneInto(b.facts.Namespace&unix.CLONE_NEWUSER != 0)
	b.joinInit(b.facts.Namespace & afterClone)
}

// joinUnseen is join for a process that stays out of the container's pid namespace, so that it may be cloned first.
func (b *builder) joinUnseen() {
	b.dropGroups()
	user := b.withUser(b.facts.Namespace, 0)
	b.joinInit(user)
	b.cloneInto(false)
	b.joinInit(b.facts.Namespace &^ user)
	b.takeRoot()
	b.setupIDs()
}

// joinInit joins namespaces that the container's init is in.
func (b *builder) joinInit(flags uint64) {
	for _, t := range b.joinOrder() {
		if flags&t.flag == 0 {
			continue
		}
		b.add("", nsenter.JoinNS{File: b.initNamespace(t.kind), Type: t.flag, Kind: string(t.kind), Path: "of the container"})
	}
}

func (b *builder) initNamespace(kind specs.LinuxNamespaceType) nsenter.Slot {
	flag := NamespaceFlag(kind)
	slot, there := b.init[flag]
	if !there {
		slot = b.input(Input{Kind: InitNamespace, Path: NamespaceFile(kind), Type: flag})
		if b.init == nil {
			b.init = map[uint64]nsenter.Slot{}
		}
		b.init[flag] = slot
	}
	return slot
}

// takeRoot: the mount namespace's root, or that of an init which is in the host's mount namespace.
func (b *builder) takeRoot() {
	if b.facts.Root == "" {
		b.add("", nsenter.TakeRoot{})
		return
	}
	b.add("", nsenter.Chroot{Dir: b.input(Input{Kind: InitRoot, Path: b.facts.Root}), Path: b.facts.Root})
}

// enterRootfs: a createContainer hook begins in the rootfs, which is not the root yet, as with runc. It is entered by its path in the
// container's mount namespace, where it is a mount, and must be the very directory that create has opened.
func (b *builder) enterRootfs() {
	if d := b.facts.HookDir; d.Path != "" {
		b.add("/root/path", nsenter.ChdirRootfs{Path: d.Path, Dev: d.Dev, Ino: d.Ino})
	}
}

func (b *builder) setupIDs() {
	if b.facts.Namespace&unix.CLONE_NEWUSER != 0 {
		b.add("", b.insideIDs())
	}
}

// cloneInto makes the process in the container's cgroup. As the container's user it must not open that directory, where it is
// root's: rt moves it.
func (b *builder) cloneInto(asUser bool) {
	moved := (b.facts.Moved || asUser && !b.facts.Unprivileged) && b.facts.BornDir != ""
	born := nsenter.NoSlot
	if b.facts.BornDir != "" && !moved {
		born = b.input(Input{Kind: CgroupDir, Path: b.facts.BornDir})
	}
	b.add("", nsenter.Clone{Cgroup: born})
	if moved {
		b.add("", nsenter.Sync{Point: nsenter.SyncCgroup})
	}
	b.joinTasks()
}

// processLimit is the program's RLIMIT_NPROC, or nil. When the user is set the kernel looks whether it is exceeded, and remembers that
// until execve (EAGAIN). It must not be in force at the clone: the process that clones would count as well.
func (b *builder) processLimit() (*nsenter.Rlimit, error) {
	all, err := b.rlimits()
	if i := slices.IndexFunc(all, func(l nsenter.Rlimit) bool { return l.Number == unix.RLIMIT_NPROC }); i >= 0 {
		return &all[i], err
	}
	return nil, err
}

func (b *builder) processes(soft uint64) nsenter.Rlimit {
	return nsenter.Rlimit{Type: "RLIMIT_NPROC", Number: unix.RLIMIT_NPROC, Soft: soft, Hard: b.hard(unix.RLIMIT_NPROC, b.facts.Processes)}
}

// finalAffinity stops where the process is in its cgroup and its pid is known: rt sets the affinity.
func (b *builder) finalAffinity() error {
	if a := b.spec.Process.ExecCPUAffinity; a != nil && strings.TrimSpace(a.Final) != "" {
		b.add("/process/execCPUAffinity/final", nsenter.Sync{Point: nsenter.SyncAffinity})
	}
	return nil
}

func (b *builder) execConsole() error {
	if b.spec.Process.Terminal {
		b.add("/process/terminal", b.consoleStep(false))
	}
	return nil
}

// StartHook compiles a startContainer hook: a program that the image supplies, as the process is, so with all of its rights. It is
// what Exec would run of the configured process, but for the terminal.
func StartHook(spec *specs.Spec, h specs.Hook, opts Options, facts Facts) (*Plan, error) {
	b := &builder{spec: spec, opts: opts, facts: facts, hook: &h}
	err := inOrder(
		b.joinAsUser,
		b.session,
		b.beforeStart,
		b.callerFiles,
		b.becomeProgram,
	)
	if err != nil {
		return nil, err
	}
	return &b.Plan, nil
}

// CreateHook compiles a createContainer hook: a program of the host's in the namespaces of a container whose root is still the
// host's (config.md, POSIX-platform Hooks). It has rt's rights.
func CreateHook(spec *specs.Spec, h specs.Hook, facts Facts) *Plan {
	b := &builder{spec: spec, facts: facts, hook: &h}
	b.join(func() {})
	b.add("", nsenter.Umask{Mask: defaultUmask})
	b.add("", nsenter.FindExec{Arg: h.Path, Candidates: []string{h.Path}})
	_ = b.callerFiles() // never fails
	b.add("", nsenter.CloseFds{First: 3})
	b.add("", nsenter.Sync{Point: nsenter.SyncExec, GoOn: true})
	b.add("", nsenter.ExecHost{Args: b.arguments(), Env: h.Env})
	return &b.Plan
}
