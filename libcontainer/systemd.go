package libcontainer

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"rt/cgroups"
	"rt/cgroups/systemd"
	"rt/cgroups/translate"
	"rt/internal/hint"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// With --systemd-cgroup the container's cgroup is that of a systemd unit. Only what makes, changes or removes the unit
// talks to systemd; everything else works on the directories that the state records.

// A scope is the unit of a container that is set up.
//
// systemd has no empty scopes: one is started around a process and ends with its last. That process is the anchor, a stub without a plan.
// It holds the scope until the container's process has been cloned into the cgroup's directories like any other. The process that clones
// is never in it, and the memory of the namespaces is not charged to it.
type scope struct {
	*place
	unit    systemd.Unit
	systemd *systemd.Manager // until the unit is started
	started bool             // the unit may be there
	up      bool             // it is: systemd has said so
	soon    *nsenter.Soon    // the anchor, on its way
	anchor  *nsenter.Stub
	outside bool // the anchor becomes the container's process: see isOutside
}

// choose names the container's unit, and finds the cgroup that systemd will make for it.
func (s *scope) choose() (cg *cgroups.Cgroup, err error) {
	user := systemd.IsUsers()
	if user && s.host.Mode != cgroups.V2 {
		return nil, errors.New("--systemd-cgroup: a user's systemd has no controllers on cgroup v1")
	}
	if s.unit, err = systemd.UnitOf(s.spec.Linux.CgroupsPath, s.c.ID, user); err != nil {
		return nil, err
	}
	if s.systemd, err = systemd.Connect(user); err != nil {
		return nil, fmt.Errorf("--systemd-cgroup: %w", err)
	}
	s.undo.add(s.systemd.Close)
	dir, err := s.systemd.Root()
	if err != nil {
		return nil, err
	}
	return cgroups.New(s.host, filepath.Join(dir, s.unit.Path()), s.c.ID)
}

// take sees that neither the unit nor its cgroup exists.
func (s *scope) take(cg *cgroups.Cgroup) error {
	// That it is taken is to be known before the journal says that it is ours, and before systemd has a unit to end, which
	// takes the cgroup with it.
	if err := cg.Unused(); err != nil {
		return hint.With(err, "systemctl status "+s.unit.Name+" may tell whose it is; give another linux.cgroupsPath")
	}
	if err := s.systemd.Free(s.unit.Name); err != nil {
		return err
	}
	s.c.Unit = s.unit.Name
	return nil
}

// startAnchor starts the anchor, if there is to be a scope, while the configuration is read.
func (p *place) startAnchor(stdio nsenter.Stdio, extra int) {
	if p.scope != nil {
		p.scope.soon = nsenter.StartSoon(stdio, extra)
		p.undo.add(p.endAnchor)
	}
}

// insider is the stub that gets the plan: soon, or the anchor. Systemd moves a process of a user's from anywhere into a scope of that user's.
// The kernel lets no other process do that without write access to a cgroup above both, as in a login session.
func (p *place) insider(soon *nsenter.Soon) *nsenter.Soon {
	if !p.isOutside() {
		return soon
	}
	soon.Abandon()
	soon = p.scope.anchor.Soon()
	p.scope.anchor, p.scope.soon = nil, nil
	return soon
}

// isOutside says whether rt may move no process from its own cgroup into the container's.
func (p *place) isOutside() bool { return p.scope != nil && p.scope.outside }

// hasUnit says whether the container's cgroup is to be that of a unit.
func (p *place) hasUnit() bool { return p.scope != nil && p.scope.systemd != nil }

// endAnchor ends the anchor, once the container's process is in the scope. It also ends by itself if rt does.
func (p *place) endAnchor() {
	s := p.scope
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

// start starts the unit, makes what systemd does not make of the cgroup, and writes all limits.
func (s *scope) start() (err error) {
	c := s.c
	if s.anchor, err = s.soon.Stub(); err != nil {
		s.soon = nil
		return err
	}
	s.undo.add(s.remove)
	properties, err := s.properties(s.anchor.Pid)
	if err != nil {
		return err
	}
	s.started = true
	if err := s.systemd.Start(c.Unit, properties); err != nil {
		s.started = !errors.Is(err, systemd.ErrExists) && !systemd.Refused(err)
		return err
	}
	s.up = true
	s.systemd.Close()
	if err := s.checkPlace(); err != nil {
		return err
	}
	warnings, err := c.cg.Adopt(s.resources(), s.anchor.Pid)
	for _, w := range warnings {
		c.rt.Warn("%s", w)
	}
	if err != nil {
		return err
	}
	s.outside = s.bornOutside(c.cg.MayJoin)
	return delegate(c.cg, s.spec)
}

// bornOutside says whether the anchor becomes the container's process, for rt may move none into the scope. mayJoin asks the kernel that:
// root need not ask.
func (s *scope) bornOutside(mayJoin func(*cgroups.Host) error) bool {
	return !s.priv.Admin() && !s.unit.IsSlice() && mayJoin(s.host) != nil
}

// checkPlace refuses a unit in another cgroup than rt expects.
func (s *scope) checkPlace() error {
	if s.unit.IsSlice() {
		return nil // it has no process of its own
	}
	in, err := s.c.cg.Holds(s.anchor.Pid)
	if err != nil || in {
		return err
	}
	err = fmt.Errorf("start unit %s: systemd has not made it in %s", s.c.Unit, s.c.cg.Dirs()[0])
	return hint.With(err, "/proc/self/cgroup and /proc/1/cgroup may tell whether rt and systemd see the same cgroups")
}

// remove takes back start.
func (s *scope) remove() {
	ours := s.started && (s.up || s.isPlaced())
	s.endAnchor()
	if !s.started {
		return
	}
	s.undo.result(s.c.stopUnit(ours))
	s.removeCgroup()
}

// isPlaced says whether systemd has moved the anchor into the unit: if its answer did not come, another container's unit may have
// the name.
func (s *scope) isPlaced() bool {
	if s.anchor == nil || s.unit.IsSlice() {
		return false
	}
	in, err := s.c.cg.Holds(s.anchor.Pid)
	return err == nil && in
}

func (s *scope) properties(pid int) ([]systemd.Property, error) {
	list := systemd.Base(s.unit, "rt container "+s.c.ID, pid, s.host.Mode == cgroups.V2)
	limits, err := s.c.limitProperties(s.systemd, s.resources())
	if err != nil {
		return nil, err
	}
	list = systemd.With(list, limits...)
	list = systemd.With(list, deviceProperties(s.spec.Linux.Resources.Devices)...)
	asked, err := systemd.Annotations(s.spec.Annotations)
	return systemd.With(list, asked...), err
}

// resources are those of the configuration, with a quota that systemd and the cgroup's files both have.
func (s *scope) resources() *specs.LinuxResources { return systemdQuota(s.spec.Linux.Resources) }

// systemdQuota rounds the CPU quota as systemd does. A quota that linux.resources.unified gives stays as it is.
func systemdQuota(r *specs.LinuxResources) *specs.LinuxResources {
	if r == nil || r.CPU == nil || r.CPU.Quota == nil {
		return r
	}
	var period uint64
	if r.CPU.Period != nil {
		period = *r.CPU.Period
	}
	quota := systemd.Quota(*r.CPU.Quota, period)
	all, cpu := *r, *r.CPU
	cpu.Quota, all.CPU = &quota, &cpu
	return &all
}

// deviceProperties: rules that a v1 devices cgroup cannot express are beyond systemd, too.
func deviceProperties(rules []specs.LinuxDeviceCgroup) []systemd.Property {
	_, settings, err := translate.Devices(rules)
	if err != nil {
		settings = []translate.Setting{{}}
	}
	return systemd.Devices(settings)
}

func (c *container) limitProperties(m *systemd.Manager, r *specs.LinuxResources) ([]systemd.Property, error) {
	settings, err := c.cg.Settings(r)
	if err != nil {
		return nil, err
	}
	version := 0
	if r != nil && r.CPU != nil && r.CPU.Idle != nil {
		version = m.Version()
	}
	return systemd.Limits(settings, c.cg.Read, version), nil
}

// setProperties tells systemd of changed limits, as far as it has properties for them: it writes them into the files
// at once, and what it rounds or does not know is written after. undo sets back what it changed.
func (c *container) setProperties(r *specs.LinuxResources) (undo func() error, err error) {
	undo = func() error { return nil }
	if c.Unit == "" {
		return undo, nil
	}
	m, err := systemd.Connect(systemd.IsUsers())
	if err != nil {
		return nil, err
	}
	defer m.Close()
	after, err := c.limitProperties(m, r)
	if err != nil || len(after) == 0 {
		return undo, err
	}
	before := systemd.Limits(c.present(r), c.cg.Read, 0)
	if len(before) > 0 {
		undo = func() error {
			m, err := systemd.Connect(systemd.IsUsers())
			if err != nil {
				return err
			}
			defer m.Close()
			return m.Set(c.Unit, systemd.Sorted(before))
		}
	}
	return undo, m.Set(c.Unit, systemd.Sorted(after))
}

// present are the files that r changes, with what they hold now.
func (c *container) present(r *specs.LinuxResources) []translate.Setting {
	settings, _ := c.cg.Settings(r)
	for i := range settings {
		settings[i] = translate.Setting{File: settings[i].File, Value: c.cg.Read(settings[i].File)}
	}
	return settings
}

// stopUnit ends the container's unit: what is left in it is killed, and systemd forgets it. started: it is certain that rt has
// started it. Else its cgroup tells: a scope ends with its last process, and another one of that name is not the container's.
func (c *container) stopUnit(started bool) error {
	if c.Unit == "" {
		return nil
	}
	cg, err := c.cgroup()
	if err != nil {
		return err
	}
	there := cg.Exists()
	if there {
		ours := started
		err := cg.Locked(func(own *cgroups.Cgroup) error {
			ours = ours || own.IsUnit()
			if !own.Exists() {
				return nil
			}
			_, err := c.killIn(own)
			return err
		})
		if err != nil {
			return err
		}
		if !ours && !(c.Early && !cg.IsTaken() && isEmpty(cg)) {
			return nil
		}
	}
	m, err := systemd.ConnectWithin(systemd.IsUsers(), c.rt.left(stopTimeout))
	if err != nil {
		// The container is to go all the same; its cgroup is removed as any other. A systemd that comes back finds
		// the scope empty, which is its end.
		c.rt.Warn("stop unit %s: %v", c.Unit, err)
		return nil
	}
	defer m.Close()
	if !there {
		return m.Forget(c.Unit)
	}
	if err := m.Stop(c.Unit); err != nil && !errors.Is(err, systemd.ErrUnreachable) {
		// Its processes have been killed. What systemd does about the unit then is no reason to keep the container.
		c.rt.Warn("%v", err)
	}
	return nil
}

// stopTimeout bounds all that is said to systemd at a deletion, which must end within five seconds.
const stopTimeout = 3 * time.Second

// isEmpty: create was killed before it knew that systemd has started the unit. One that is in use is another's.
func isEmpty(cg *cgroups.Cgroup) bool {
	pids, others, err := cg.Everybody()
	return err == nil && len(pids) == 0 && !others
}
