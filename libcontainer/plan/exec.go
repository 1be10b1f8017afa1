package plan

import (
	"strings"

	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Exec compiles a process to be run in a container that exists. spec is the container's configuration with its
// Process replaced by the new one.
func Exec(spec *specs.Spec, opts Options, facts Facts) (*Plan, error) {
	b := &builder{spec: spec, opts: opts, facts: facts}
	if spec.Linux == nil {
		b.spec.Linux = &specs.Linux{}
	}
	for _, stage := range []func() error{
		b.joinContainer,
		b.finalAffinity,
		b.execSession,
		b.execConsole,
		b.beforeStart,
		b.callerFiles,
		b.becomeProgram,
	} {
		if err := stage(); err != nil {
			return nil, err
		}
	}
	return &b.Plan, nil
}

// joinContainer enters by the pidfd of init: first what only children see, then, already in the container's
// cgroup, the rest, user namespace included.
func (b *builder) joinContainer() error {
	b.join(b.labels)
	return nil
}

// join is joinContainer with something to be done in the cgroup, still in the host's tree.
func (b *builder) join(before func()) {
	pidfd := b.input(Input{Kind: Process})
	children := b.facts.Namespace & (unix.CLONE_NEWPID | unix.CLONE_NEWTIME)
	if b.facts.Namespace&unix.CLONE_NEWUSER == 0 && !b.facts.OpenInside {
		// A process that may ptrace sees what is in its pid namespace through /proc/PID/root, and only a user namespace
		// keeps it from this one: it must not be there with the host's root. (Hotplug opens its trees outside.)
		children |= b.facts.Namespace & unix.CLONE_NEWNS
	}
	children = b.withUser(b.facts.Namespace, children)
	if children != 0 {
		b.add("", nsenter.JoinPidfd{Pidfd: pidfd, Flags: children, Kinds: kinds(children)})
	}
	born := nsenter.NoSlot
	if b.facts.BornDir != "" {
		born = b.input(Input{Kind: CgroupDir, Path: b.facts.BornDir})
	}
	b.add("", nsenter.Clone{Cgroup: born})
	b.joinTasks()
	before()
	rest := b.facts.Namespace &^ children
	if rest != 0 { // else setns(2) would refuse
		b.add("", nsenter.JoinPidfd{Pidfd: pidfd, Flags: rest, Kinds: kinds(rest)})
	}
	if b.facts.Root != "" {
		dir := b.input(Input{Kind: Directory, Path: b.facts.Root})
		b.add("", nsenter.Chroot{Dir: dir, Path: b.facts.Root})
	}
	if b.facts.Namespace&unix.CLONE_NEWUSER != 0 {
		b.add("", b.insideIDs())
	}
}

// finalAffinity stops where the process is in its cgroup and its pid is known: rt sets the affinity.
func (b *builder) finalAffinity() error {
	if a := b.spec.Process.ExecCPUAffinity; a != nil && strings.TrimSpace(a.Final) != "" {
		b.add("/process/execCPUAffinity/final", nsenter.Sync{Point: nsenter.SyncAffinity})
	}
	return nil
}

func (b *builder) execSession() error {
	b.add("", nsenter.Setsid{})
	if !b.opts.NoNewKeyring {
		b.add("", nsenter.Keyring{Keyring: "_ses." + b.opts.ID})
	}
	return nil
}

func (b *builder) execConsole() error {
	if b.spec.Process.Terminal {
		b.add("/process/terminal", b.consoleStep(false))
	}
	return nil
}

// Hook compiles a createContainer or startContainer hook: a process in the namespaces of the container that spec is of.
func Hook(spec *specs.Spec, h specs.Hook, facts Facts) *Plan {
	b := &builder{spec: spec, facts: facts}
	_ = b.joinContainer() // never fails
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	b.add("", nsenter.Umask{Mask: defaultUmask})
	b.add("", nsenter.FindExec{Arg: h.Path, Candidates: []string{h.Path}})
	_ = b.callerFiles() // never fails
	b.add("", nsenter.CloseFds{First: 3})
	b.add("", nsenter.Sync{Point: nsenter.SyncExec, GoOn: true})
	b.add("", nsenter.Exec{Args: args, Env: h.Env})
	return &b.Plan
}
