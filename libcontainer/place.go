package libcontainer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/facts"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A place is what a container takes on the host: its directory, its cgroup and its resctrl group. The journal has each before it is taken.
type place struct {
	c     *container
	spec  *specs.Spec
	priv  facts.Privileges
	host  *cgroups.Host
	undo  *undo
	scope *scope // with --systemd-cgroup, else nil
}

func (p *place) begin(c *container, u *undo) {
	*p = place{c: c, undo: u}
	if c.rt.SystemdCgroup {
		p.scope = &scope{place: p}
	}
}

// reserve takes the id by making its directory.
func (p *place) reserve() error {
	c := p.c
	if err := c.rt.Make(); err != nil {
		return err
	}
	if err := c.MakeDir(); err != nil {
		return err
	}
	p.undo.add(p.removeDir)
	c.RecordHolder()
	if err := c.rt.ReadBootID(); err != nil {
		return err
	}
	c.BootID, c.PidNamespace = c.rt.BootID(), state.OwnPidNamespace()
	return nil
}

// intend chooses what make will make, and writes it into the journal.
func (p *place) intend() error {
	if err := p.c.findRdt(p.spec); err != nil {
		return err
	}
	cg, err := p.choose()
	if err == nil && p.hasUnit() {
		err = p.scope.take(cg)
	}
	if err != nil {
		return err
	}
	return p.setCgroup(cg)
}

// cgroupIsFinal says whether the container's cgroup is the one that the journal has, or none. Else another one may take its place when it
// is made: it is made before the plan.
func (p *place) cgroupIsFinal() bool { return p.c.Unit == "" && !p.c.rt.tolerant(p.priv) }

// make makes what limits the container: its cgroup, its resctrl group.
func (p *place) make() error {
	if err := p.makeCgroup(); err != nil {
		return err
	}
	return p.makeRdt()
}

// choose finds the cgroup that the container is to have. It makes nothing.
func (p *place) choose() (cg *cgroups.Cgroup, err error) {
	if p.host, err = cgroups.Probe(); err != nil {
		return nil, err
	}
	if p.c.rt.NoCgroup {
		return p.goWithoutCgroup()
	}
	if p.c.SystemdCgroup {
		return p.scope.choose()
	}
	cg, err = cgroups.New(p.host, p.spec.Linux.CgroupsPath, p.c.ID)
	if err != nil && p.c.rt.tolerant(p.priv) && asksForCgroup(p.spec.Linux) == "" && !unseen(err) {
		return cgroups.Load(p.host, nil), nil
	}
	return cg, err
}

func (p *place) makeCgroup() error {
	if p.c.Unit != "" {
		return p.scope.start()
	}
	if len(p.c.Cgroups) == 0 {
		return nil
	}
	warnings, err := p.c.cg.Create(p.spec.Linux.Resources)
	for _, w := range warnings {
		p.c.rt.Warn("%s", w)
	}
	if err == nil && p.c.rt.tolerant(p.priv) {
		if err = p.c.cg.MayJoin(p.host); err != nil && !p.removed() {
			return err
		}
	}
	if sys.IsForbidden(err) {
		return p.withoutCgroup(err)
	}
	if err != nil {
		return err
	}
	p.undo.add(p.removeCgroup)
	return delegate(p.c.cg, p.spec)
}

// withoutCgroup is what follows when the container's cgroup cannot be had: an error if it was asked for; else one
// below rt's own, which limits nothing but holds the container's processes together; else none.
func (p *place) withoutCgroup(reason error) error {
	cg, err := p.instead(reason)
	if err != nil {
		return err
	}
	if len(cg.Paths()) > 0 {
		if err = p.useCgroup(cg); err == nil || p.undo.left || unseen(err) {
			return err
		}
		cg = cgroups.Load(p.host, nil)
	}
	return p.setCgroup(cg)
}

// instead is the cgroup to try next: one below rt's own, which comes after the one that was chosen, then none.
func (p *place) instead(reason error) (*cgroups.Cgroup, error) {
	if !p.c.rt.tolerant(p.priv) {
		return nil, reason
	}
	if pointer := asksForCgroup(p.spec.Linux); pointer != "" {
		if !strings.Contains(reason.Error(), pointer) {
			reason = fmt.Errorf("%w (%s)", reason, pointer)
		}
		return nil, hint.With(reason, delegateHint)
	}
	if p.host.Mode == cgroups.V2 {
		cg, err := cgroups.Below(p.host, p.c.ID)
		if err == nil || unseen(err) {
			return cg, err
		}
	}
	return cgroups.Load(p.host, nil), nil
}

// goWithoutCgroup is --cgroup-manager disabled: what needs a cgroup is refused, but for the path and the device rules,
// which are in every configuration that an engine writes.
func (p *place) goWithoutCgroup() (*cgroups.Cgroup, error) {
	linux := *p.spec.Linux
	linux.CgroupsPath = ""
	limits := *linux.Resources
	limits.Devices = nil
	linux.Resources = &limits
	if pointer := asksForCgroup(&linux); pointer != "" {
		return nil, fmt.Errorf("--cgroup-manager disabled: the container asks for a limit (%s)", pointer)
	}
	return cgroups.Load(p.host, nil), nil
}

func (p *place) useCgroup(cg *cgroups.Cgroup) error {
	if err := p.setCgroup(cg); err != nil {
		return err
	}
	if _, err := cg.Create(nil); err != nil {
		return err
	}
	if err := cg.MayJoin(p.host); err != nil {
		p.removed()
		return err
	}
	p.undo.add(p.removeCgroup)
	return nil
}

// setCgroup makes cg the container's, on disk first.
func (p *place) setCgroup(cg *cgroups.Cgroup) error {
	c := p.c
	c.cg, c.Cgroups, c.Taken, c.Mark = cg, cg.Paths(), cg.Intended(), c.MarkText()
	c.PrivatePid = bundle.MakesNamespace(p.spec, specs.PIDNamespace)
	c.setClaim(cg)
	return c.WriteJournal()
}

func (p *place) removeCgroup() { p.undo.result(p.c.removeCgroup()) }

// removed is removeCgroup for a create that may go on without: not if it failed, for no other place may take that of this
// one in the journal then.
func (p *place) removed() bool {
	p.removeCgroup()
	return !p.undo.left
}

// removeDir keeps the journal if something that it knows is left: delete --force finds it by that alone.
func (p *place) removeDir() {
	if !p.undo.left {
		p.undo.result(p.c.RemoveDir())
	}
}

// delegate gives a container that has a cgroup namespace of its own and a writable cgroup mount the v2 cgroup it
// sees there (config-linux.md, "Cgroup ownership").
func delegate(cg *cgroups.Cgroup, spec *specs.Spec) error {
	if cg.BornDir() == "" || len(cg.TaskFiles()) > 0 || !writesCgroups(spec) {
		return nil // cgroup v1 cannot be delegated safely
	}
	if os.Geteuid() != 0 {
		return nil // a user cannot give away what it has made
	}
	uid, ok := hostUID(spec)
	if !ok {
		return nil // nobody of the host
	}
	return cg.Delegate(uid)
}

func writesCgroups(spec *specs.Spec) bool {
	return bundle.MakesNamespace(spec, specs.CgroupNamespace) && slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return (m.Type == "cgroup" || m.Type == "cgroup2") && filepath.Join("/", m.Destination) == "/sys/fs/cgroup" &&
			!slices.Contains(m.Options, "ro") && !slices.Contains(m.Options, "rro")
	})
}

// hostUID is the host's id of the user that runs the container's process. false: it has none, or it is not known,
// in a user namespace joined by path.
func hostUID(spec *specs.Spec) (int, bool) {
	uid := spec.Process.User.UID
	if !bundle.HasNamespace(spec, specs.UserNamespace) {
		return int(uid), true
	}
	for _, m := range spec.Linux.UIDMappings {
		if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
			return int(m.HostID + uid - m.ContainerID), true
		}
	}
	return 0, false
}
