package libcontainer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/console"
	"rt/libcontainer/facts"
	"rt/libcontainer/notify"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What is not known before a container is created has a placeholder in its plan: the id, the keyring's name, init's pid.
const (
	placeholderID   = "ID"
	placeholderRoot = "/proc/PID/root"
)

// Plan compiles the plan that Create would send to the stub, by the same functions. It makes nothing.
func (r *Runtime) Plan(o CreateOptions) (*plan.Plan, error) {
	k := r.plannedCreation(o)
	defer k.undo.Run()
	if err := k.look(); err != nil {
		return nil, err
	}
	filter, err := k.priv.Filter(k.spec)
	if err != nil {
		return nil, err
	}
	return k.facts(filter, k.await).Plan()
}

// compile makes the plan of the container, and the directory of the NOTIFY_SOCKET proxy that it mounts.
func (k *creation) compile() (err error) {
	filter, err := k.priv.Filter(k.spec)
	if err != nil {
		return err
	}
	if filter != nil && filter.Notify { // start connects
		if err := console.Look(k.spec.Linux.Seccomp.ListenerPath); err != nil {
			return fmt.Errorf("send seccomp listener (/linux/seccomp/listenerPath): %w", err)
		}
	}
	if filter != nil {
		k.c.rt.warnAll(filter.Warnings)
	}
	if dir := k.c.proxyDir(); dir != "" {
		if err := notify.MakeDir(dir); err != nil {
			return err
		}
	}
	if k.plan, err = k.facts(filter, k.await).Plan(); err != nil {
		return err
	}
	k.c.rt.warnAll(slices.DeleteFunc(slices.Clone(k.plan.Warnings), func(w string) bool { return slices.Contains(k.warned, w) }))
	return nil
}

// facts are what is known of the container, for its plan. await: its process is to wait for `rt start`.
func (s *setup) facts(filter *seccomp.Program, await bool) *facts.Creation {
	c := s.c
	cg := c.Recorded()
	cgroup := facts.Cgroup{Dir: cg.BornDir(), Tasks: cg.TaskFiles(), Moved: c.transfer}
	if s.place.IsOutside() {
		cgroup.Dir = ""
	}
	return &facts.Creation{
		Cgroup: cgroup, Spec: s.spec, ID: c.ID, Bundle: c.Bundle, Rootfs: c.Rootfs, Keyring: c.Keyring, NotifyDir: c.proxyDir(),
		NoPivot: s.o.NoPivot, NoNewKeyring: s.o.NoNewKeyring, Init: c.Init, Await: await, PreserveFds: s.o.PreserveFds,
		Filter: filter, Privileges: s.priv, Warn: c.rt.Warn,
		View: s.place.View,
	}
}

// proxyDir is the directory of the NOTIFY_SOCKET proxy, "" if rt's caller gives no such socket.
func (c *container) proxyDir() string {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return ""
	}
	return filepath.Join(c.Dir, state.NotifyDir)
}

// plannedCreation is a creation that goes as far as anything can be found out without making it.
func (r *Runtime) plannedCreation(o CreateOptions) *creation {
	k := &creation{setup: newSetup(r, placeholderID, o), await: true}
	k.detached = true
	return k
}

// look does what create does before it makes anything.
func (k *creation) look() error {
	for _, step := range []func() error{k.begin, k.load, k.checkBundle, k.findRootfs} {
		if err := step(); err != nil {
			return err
		}
	}
	k.c.Bundle, k.c.Keyring, k.c.SystemdCgroup = k.b.Dir, facts.KeyringPlaceholder(placeholderID), k.rt.SystemdCgroup
	return k.place.Expect()
}

// PlanExec compiles the plan that Exec would send for the process of a file, in a container created from a bundle.
func (r *Runtime) PlanExec(dir, file string) (*plan.Plan, error) {
	k := r.plannedCreation(CreateOptions{Bundle: dir})
	defer k.undo.Run()
	if err := k.look(); err != nil {
		return nil, err
	}
	process, err := bundle.LoadProcess(file, k.spec.Process)
	if err != nil {
		return nil, err
	}
	if err := bundle.Join(bundle.CheckProcess(process, "")); err != nil {
		return nil, err
	}
	spec := *k.spec
	spec.Process = process
	if err := facts.CheckProcessLabels(process); err != nil {
		return nil, err
	}
	filter, err := k.priv.Filter(&spec)
	if err != nil {
		return nil, err
	}
	j, err := k.expectJoining(&spec)
	if err != nil {
		return nil, err
	}
	return j.Exec(facts.Execution{Filter: filter})
}

// expectJoining is what joining will find of the container.
func (k *creation) expectJoining(spec *specs.Spec) (*facts.Joining, error) {
	known := k.facts(nil, k.await)
	j := &facts.Joining{
		Cgroup: known.Cgroup, Spec: spec, ID: known.ID, Keyring: known.Keyring, NoNewKeyring: known.NoNewKeyring,
		Privileges: k.priv, Home: known.Home, Warn: known.Warn,
	}
	for _, ns := range spec.Linux.Namespaces {
		j.Namespace |= plan.NamespaceFlag(ns.Type)
	}
	if shared, err := isOwnUser(bundle.JoinedNamespace(spec, specs.UserNamespace)); err != nil {
		return nil, err
	} else if shared {
		j.Namespace &^= unix.CLONE_NEWUSER
	}
	if j.Namespace&unix.CLONE_NEWNS == 0 {
		j.Root = placeholderRoot
	}
	j.KeepGroups = known.KeepGroups()
	return j, nil
}

// isOwnUser says whether a path is rt's own user namespace, which no process of rt can join.
func isOwnUser(path string) (bool, error) {
	if path == "" {
		return false, nil
	}
	its, err := sys.NamespaceInode(unix.AT_FDCWD, path)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", path, err)
	}
	own, err := sys.NamespaceInode(unix.AT_FDCWD, "/proc/self/ns/user")
	return its == own && err == nil, nil
}
