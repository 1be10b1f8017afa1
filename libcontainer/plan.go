package libcontainer

import (
	"fmt"
	"os"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"

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
	defer k.endPlanned()
	if err := k.look(); err != nil {
		return nil, err
	}
	filter, err := k.priv.Filter(k.spec)
	if err != nil {
		return nil, err
	}
	return k.facts(filter).Plan()
}

// plannedCreation is a creation that goes as far as anything can be found out without making it.
func (r *Runtime) plannedCreation(o CreateOptions) *making {
	c := r.newContainer(placeholderID)
	c.Keyring, c.SystemdCgroup = facts.KeyringPlaceholder(placeholderID), r.SystemdCgroup
	return &making{o: o, await: true, detached: true, c: c}
}

// endPlanned closes the connection to systemd, if there is one.
func (k *making) endPlanned() {
	if k.systemd != nil {
		k.systemd.Close()
	}
}

// look does what create does before it makes anything.
func (k *making) look() error {
	if _, err := facts.ExtraFds(k.o.PreserveFds); err != nil {
		return err
	}
	b, err := bundle.LoadFile(k.o.Bundle, k.o.Config)
	if err != nil {
		return err
	}
	if err := k.check(b); err != nil {
		return err
	}
	k.c.Bundle = b.Dir
	if err := k.findRootfs(); err != nil {
		return err
	}
	cg, err := k.expectCgroup()
	if err == nil {
		k.c.cg, k.c.Cgroups = cg, cg.Paths()
	}
	return err
}

// expectCgroup is the cgroup that the container will have. If rt goes without one that it may not make, permissions tell
// what it may make.
func (k *making) expectCgroup() (*cgroups.Cgroup, error) {
	cg, err := k.chooseCgroup()
	if err != nil {
		return nil, err
	}
	if k.systemd != nil {
		k.outside = k.bornOutside(cg.MayReach(k.host))
		return cg, nil
	}
	if len(cg.Paths()) == 0 || !k.c.rt.tolerant(k.priv) {
		return cg, nil
	}
	if err = k.mayCreate(cg); err == nil || !mayNotMake(err) {
		return cg, err
	}
	cg, err = k.instead(err)
	if err != nil || len(cg.Paths()) == 0 {
		return cg, err
	}
	if err = k.mayCreate(cg); err != nil && !unseen(err) {
		return cgroups.Load(k.host, nil), nil
	}
	return cg, err
}

// mayCreate asks whether rt may make a cgroup. Root of the host is not excused from its device rules: v1 takes them from a
// process with CAP_SYS_ADMIN only, and v2 takes CAP_BPF and CAP_NET_ADMIN as well.
func (k *making) mayCreate(cg *cgroups.Cgroup) error {
	p := k.priv
	program := k.host.Mode == cgroups.V2 && p.Has(unix.CAP_BPF) && p.Has(unix.CAP_NET_ADMIN)
	if os.Geteuid() == 0 && p.First && !p.Admin() && !program {
		return fmt.Errorf("set device rules (/linux/resources/devices): %w", unix.EPERM)
	}
	return cg.MayCreate(k.host)
}

// PlanExec compiles the plan that Exec would send for the process of a file, in a container created from a bundle.
func (r *Runtime) PlanExec(dir, file string) (*plan.Plan, error) {
	k := r.plannedCreation(CreateOptions{Bundle: dir})
	defer k.endPlanned()
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
	if err := facts.CheckLabels(&specs.Spec{Process: process}); err != nil {
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
func (k *making) expectJoining(spec *specs.Spec) (*facts.Joining, error) {
	known := k.facts(nil)
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
