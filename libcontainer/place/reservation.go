package place

import (
	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// CgroupOptions are the flags that say whether a container gets a cgroup, and who makes it.
type CgroupOptions struct {
	SystemdCgroup bool   // --systemd-cgroup
	NoCgroup      bool   // --cgroup-manager disabled: containers are made without a cgroup
	Rootless      string // true, false or auto (""): whether to go without a cgroup that cannot be had
}

// A Reservation takes a place for a container that is created or restored. The journal has each part of it before it is taken.
type Reservation struct {
	*Place
	Spec       *specs.Spec      // set before Intend
	Privileges facts.Privileges // set before Intend

	options CgroupOptions
	host    *cgroups.Host
	undo    *Undo
	scope   *scope // with --systemd-cgroup, else nil
}

// Begin begins the reservation of a container's place, of which there is nothing yet. undo takes back what is made.
func (r *Reservation) Begin(p *Place, o CgroupOptions, undo *Undo) {
	*r = Reservation{Place: p, options: o, undo: undo}
	if o.SystemdCgroup {
		r.scope = &scope{r: r}
	}
}

// Reserve takes the id by making its directory.
func (r *Reservation) Reserve() error {
	if err := r.Root.Make(); err != nil {
		return err
	}
	if err := r.MakeDir(); err != nil {
		return err
	}
	r.undo.Add(r.removeDir)
	r.RecordHolder()
	if err := r.Root.ReadBootID(); err != nil {
		return err
	}
	r.BootID, r.PidNamespace = r.Root.BootID(), state.OwnPidNamespace()
	return nil
}

// Intend chooses what Make will make, and writes it into the journal.
func (r *Reservation) Intend() error {
	if err := r.findRdt(); err != nil {
		return err
	}
	cg, err := r.choose()
	if err == nil && r.hasUnit() {
		err = r.scope.take(cg)
	}
	if err != nil {
		return err
	}
	return r.setCgroup(cg)
}

// CgroupIsFinal says whether the container's cgroup is the one that the journal has, or none. Else another one may take its place when it
// is made: it is made before the plan.
func (r *Reservation) CgroupIsFinal() bool { return r.Unit == "" && !r.isTolerant() }

// Make makes what limits the container: its cgroup, its resctrl group.
func (r *Reservation) Make() error {
	if err := r.makeCgroup(); err != nil {
		return err
	}
	return r.makeRdt()
}

// View is what the container's mounts of type cgroup show.
func (r *Reservation) View() (plan.CgroupView, error) {
	return facts.ViewOf(r.host, r.cgroup, r.Privileges)
}

// StartAnchor starts the anchor of a systemd scope, if there is to be one, while the configuration is read.
func (r *Reservation) StartAnchor(stdio nsenter.Stdio, extra int) {
	if r.scope != nil {
		r.scope.soon = nsenter.StartSoon(stdio, extra)
		r.undo.Add(r.EndAnchor)
	}
}

// Stub is the stub that gets the plan: soon, or the anchor. Systemd moves a process of a user's from anywhere into a scope of that user's.
// The kernel lets no other process do that without write access to a cgroup above both, as in a login session.
func (r *Reservation) Stub(soon *nsenter.Soon) *nsenter.Soon {
	if !r.IsOutside() {
		return soon
	}
	soon.Abandon()
	soon = r.scope.anchor.Soon()
	r.scope.anchor, r.scope.soon = nil, nil
	return soon
}

// IsOutside says whether rt may move no process from its own cgroup into the container's.
func (r *Reservation) IsOutside() bool { return r.scope != nil && r.scope.outside }

// EndAnchor ends the anchor, once the container's process is in the scope. It also ends by itself if rt does.
func (r *Reservation) EndAnchor() {
	s := r.scope
	if s == nil {
		return
	}
	switch {
	case s.anchor != nil:
		s.anchor.Abandon()
	case s.soon != nil:
		s.soon.Abandon()
	}
	s.anchor, s.soon = nil, nil
}

// hasUnit says whether the container's cgroup is to be that of a unit.
func (r *Reservation) hasUnit() bool { return r.scope != nil && r.scope.systemd != nil }

// choose finds the cgroup that the container is to have. It makes nothing.
func (r *Reservation) choose() (cg *cgroups.Cgroup, err error) {
	if r.host, err = r.Root.Hierarchies(); err != nil {
		return nil, err
	}
	if r.options.NoCgroup {
		return r.goWithoutCgroup()
	}
	if r.SystemdCgroup {
		return r.scope.choose()
	}
	cg, err = cgroups.New(r.host, r.Spec.Linux.CgroupsPath, r.ID)
	if err != nil && r.isTolerant() && asksForCgroup(r.Spec.Linux) == "" && !isUnseen(err) {
		return cgroups.Load(r.host, nil), nil
	}
	return cg, err
}

func (r *Reservation) makeCgroup() error {
	if r.Unit != "" {
		return r.scope.start()
	}
	if len(r.Cgroups) == 0 {
		return nil
	}
	err := r.warnOf(r.cgroup.Create(r.Spec.Linux.Resources))
	if err == nil && r.isTolerant() {
		if err = r.cgroup.MayJoin(r.host); err != nil && !r.removed() {
			return err
		}
	}
	if sys.IsForbidden(err) {
		return r.withoutCgroup(err)
	}
	if err != nil {
		return err
	}
	r.undo.Add(r.removeCgroup)
	return delegate(r.cgroup, r.Spec)
}

// setCgroup makes cg the container's, on disk first.
func (r *Reservation) setCgroup(cg *cgroups.Cgroup) error {
	r.cgroup, r.Cgroups, r.Taken, r.Mark = cg, cg.Paths(), cg.Intended(), r.MarkText()
	r.PrivatePid = bundle.MakesNamespace(r.Spec, specs.PIDNamespace)
	r.setClaim(cg)
	return r.WriteJournal()
}

func (r *Reservation) removeCgroup() { r.undo.Result(r.RemoveCgroup()) }

// removed is removeCgroup for a create that may go on without: not if it failed, for no other place may take that of this
// one in the journal then.
func (r *Reservation) removed() bool {
	r.removeCgroup()
	return !r.undo.left
}

// removeDir keeps the journal if something that it knows is left: delete --force finds it by that alone.
func (r *Reservation) removeDir() {
	if !r.undo.left {
		r.undo.Result(r.RemoveDir())
	}
}
