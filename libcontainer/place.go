package libcontainer

import (
	"fmt"
	"path/filepath"
	"strings"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Where a container that is being made has its place: its directory, its cgroup. The journal knows before it is taken.

// reserve takes the id by making its directory, and writes down what create will make outside of it.
func (k *making) reserve() error {
	c := k.c
	if err := c.rt.Make(); err != nil {
		return err
	}
	if err := k.c.MakeDir(); err != nil {
		return err
	}
	k.undo.add(k.removeDir)
	c.RecordHolder()
	if err := c.rt.ReadBootID(); err != nil {
		return err
	}
	c.BootID, c.PidNamespace = c.rt.BootID(), state.OwnPidNamespace()
	if err := c.findRdt(k.spec); err != nil {
		return err
	}
	if err := k.placeCgroup(); err != nil {
		return err
	}
	if err := sys.CreateFile(filepath.Join(c.Dir, state.ConfigFile), k.b.Raw, 0o600); err != nil {
		return fmt.Errorf("copy config.json: %w", err)
	}
	if k.sure() {
		return nil
	}
	return k.takeLimits()
}

// sure says whether the container's cgroup is the one that the journal knows, or none. Else it is not known, and the plan
// cannot be made, before it was tried to make it.
func (k *making) sure() bool { return k.c.Unit == "" && !k.c.rt.tolerant(k.priv) }

// takeLimits makes what limits the container: its cgroup, its resctrl group.
func (k *making) takeLimits() error {
	if err := k.makeCgroup(); err != nil {
		return err
	}
	return k.makeRdt()
}

func (k *making) placeCgroup() error {
	cg, err := k.chooseCgroup()
	if err == nil && k.systemd != nil {
		err = k.takeUnit(cg)
	}
	if err != nil {
		return err
	}
	return k.setCgroup(cg)
}

// chooseCgroup finds the cgroup that the container is to have. It makes nothing.
func (k *making) chooseCgroup() (cg *cgroups.Cgroup, err error) {
	if k.host, err = cgroups.Probe(); err != nil {
		return nil, err
	}
	if k.c.rt.NoCgroup {
		return k.goWithoutCgroup()
	}
	if k.c.SystemdCgroup {
		return k.chooseUnit()
	}
	cg, err = cgroups.New(k.host, k.spec.Linux.CgroupsPath, k.c.ID)
	if err != nil && k.c.rt.tolerant(k.priv) && asksForCgroup(k.spec.Linux) == "" && !unseen(err) {
		return cgroups.Load(k.host, nil), nil
	}
	return cg, err
}

func (k *making) makeCgroup() error {
	if k.c.Unit != "" {
		return k.startUnit()
	}
	if len(k.c.Cgroups) == 0 {
		return nil
	}
	warnings, err := k.c.cg.Create(k.spec.Linux.Resources)
	for _, w := range warnings {
		k.c.rt.Warn("%s", w)
	}
	if err == nil && k.c.rt.tolerant(k.priv) {
		if err = k.c.cg.MayJoin(k.host); err != nil && !k.removed() {
			return err
		}
	}
	if mayNotMake(err) {
		return k.withoutCgroup(err)
	}
	if err != nil {
		return err
	}
	k.undo.add(k.removeCgroup)
	return delegate(k.c.cg, k.spec)
}

// withoutCgroup is what follows when the container's cgroup cannot be had: an error if it was asked for; else one
// below rt's own, which limits nothing but holds the container's processes together; else none.
func (k *making) withoutCgroup(reason error) error {
	cg, err := k.instead(reason)
	if err != nil {
		return err
	}
	if len(cg.Paths()) > 0 {
		if err = k.useCgroup(cg); err == nil || k.left || unseen(err) {
			return err
		}
		cg = cgroups.Load(k.host, nil)
	}
	return k.setCgroup(cg)
}

// instead is the cgroup to try next: one below rt's own, which comes after the one that was chosen, then none.
func (k *making) instead(reason error) (*cgroups.Cgroup, error) {
	if !k.c.rt.tolerant(k.priv) {
		return nil, reason
	}
	if pointer := asksForCgroup(k.spec.Linux); pointer != "" {
		if !strings.Contains(reason.Error(), pointer) {
			reason = fmt.Errorf("%w (%s)", reason, pointer)
		}
		return nil, hint.With(reason, delegateHint)
	}
	if k.host.Mode == cgroups.V2 {
		cg, err := cgroups.Below(k.host, k.c.ID)
		if err == nil || unseen(err) {
			return cg, err
		}
	}
	return cgroups.Load(k.host, nil), nil
}

// goWithoutCgroup is --cgroup-manager disabled: what needs a cgroup is refused, but for the path and the device rules,
// which are in every configuration that an engine writes.
func (k *making) goWithoutCgroup() (*cgroups.Cgroup, error) {
	linux := *k.spec.Linux
	linux.CgroupsPath = ""
	if linux.Resources != nil {
		limits := *linux.Resources
		limits.Devices = nil
		linux.Resources = &limits
	}
	if pointer := asksForCgroup(&linux); pointer != "" {
		return nil, fmt.Errorf("--cgroup-manager disabled: the container asks for a limit (%s)", pointer)
	}
	return cgroups.Load(k.host, nil), nil
}

func (k *making) useCgroup(cg *cgroups.Cgroup) error {
	if err := k.setCgroup(cg); err != nil {
		return err
	}
	if _, err := cg.Create(nil); err != nil {
		return err
	}
	if err := cg.MayJoin(k.host); err != nil {
		k.removed()
		return err
	}
	k.undo.add(k.removeCgroup)
	return nil
}

// setCgroup makes cg the container's, on disk first.
func (k *making) setCgroup(cg *cgroups.Cgroup) error {
	c := k.c
	c.cg, c.Cgroups, c.Taken, c.Mark = cg, cg.Paths(), cg.Intended(), c.MarkText()
	c.PrivatePid = bundle.MakesNamespace(k.spec, specs.PIDNamespace)
	c.setClaim(cg)
	return c.WriteJournal()
}

func (k *making) removeCgroup() { k.undone(k.c.removeCgroup()) }

// removed is removeCgroup for a create that may go on without: not if it failed, for no other place may take that of this
// one in the journal then.
func (k *making) removed() bool {
	k.removeCgroup()
	return !k.left
}

// undone notes what could not be undone.
func (k *making) undone(err error) {
	if err != nil {
		k.left = true
		k.c.rt.Warn("%v; delete --force tries again", err)
	}
}

// removeDir keeps the journal if something that it knows is left: delete --force finds it by that alone.
func (k *making) removeDir() {
	if !k.left {
		k.undone(k.c.RemoveDir())
	}
}
