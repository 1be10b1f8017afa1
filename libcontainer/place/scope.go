package place

import (
	"errors"
	"fmt"
	"path/filepath"

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
	r       *Reservation
	unit    systemd.Unit
	systemd *systemd.Manager // until the unit is started
	started bool             // the unit may be there
	up      bool             // it is: systemd has said so
	soon    *nsenter.Soon    // the anchor, on its way
	anchor  *nsenter.Stub
	outside bool // the anchor becomes the container's process: see IsOutside
}

// choose names the container's unit, and finds the cgroup that systemd will make for it.
func (s *scope) choose() (cg *cgroups.Cgroup, err error) {
	user := systemd.IsUsers()
	if user && s.r.host.Mode != cgroups.V2 {
		return nil, errors.New("--systemd-cgroup: a user's systemd has no controllers on cgroup v1")
	}
	if s.unit, err = systemd.UnitOf(s.r.Spec.Linux.CgroupsPath, s.r.ID, user); err != nil {
		return nil, err
	}
	if s.systemd, err = systemd.Connect(user); err != nil {
		return nil, fmt.Errorf("--systemd-cgroup: %w", err)
	}
	s.r.undo.Add(s.systemd.Close)
	dir, err := s.systemd.Root()
	if err != nil {
		return nil, err
	}
	return cgroups.New(s.r.host, filepath.Join(dir, s.unit.Path()), s.r.ID)
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
	s.r.Unit = s.unit.Name
	return nil
}

// start starts the unit, makes what systemd does not make of the cgroup, and writes all limits.
func (s *scope) start() (err error) {
	if s.anchor, err = s.soon.Stub(); err != nil {
		s.soon = nil
		return err
	}
	s.r.undo.Add(s.remove)
	properties, err := s.properties(s.anchor.Pid)
	if err != nil {
		return err
	}
	s.started = true
	if err := s.systemd.Start(s.r.Unit, properties); err != nil {
		s.started = !errors.Is(err, systemd.ErrExists) && !systemd.Refused(err)
		return err
	}
	s.up = true
	s.systemd.Close()
	if err := s.checkPlace(); err != nil {
		return err
	}
	if err := s.r.warnOf(s.r.cgroup.Adopt(s.resources(), s.anchor.Pid)); err != nil {
		return err
	}
	s.outside = s.bornOutside(s.r.cgroup.MayJoin)
	return delegate(s.r.cgroup, s.r.Spec)
}

// bornOutside says whether the anchor becomes the container's process, for rt may move none into the scope. mayJoin asks the kernel that:
// root need not ask.
func (s *scope) bornOutside(mayJoin func(*cgroups.Host) error) bool {
	return !s.r.Privileges.Admin() && !s.unit.IsSlice() && mayJoin(s.r.host) != nil
}

// checkPlace refuses a unit in another cgroup than rt expects.
func (s *scope) checkPlace() error {
	if s.unit.IsSlice() {
		return nil // it has no process of its own
	}
	in, err := s.r.cgroup.Holds(s.anchor.Pid)
	if err != nil || in {
		return err
	}
	err = fmt.Errorf("start unit %s: systemd has not made it in %s", s.r.Unit, s.r.cgroup.Dirs()[0])
	return hint.With(err, "/proc/self/cgroup and /proc/1/cgroup may tell whether rt and systemd see the same cgroups")
}

// remove takes back start.
func (s *scope) remove() {
	ours := s.started && (s.up || s.isPlaced())
	s.r.EndAnchor()
	if !s.started {
		return
	}
	s.r.undo.Result(s.r.stopUnit(ours))
	s.r.removeCgroup()
}

// isPlaced says whether systemd has moved the anchor into the unit: if its answer did not come, another container's unit may have
// the name.
func (s *scope) isPlaced() bool {
	if s.anchor == nil || s.unit.IsSlice() {
		return false
	}
	in, err := s.r.cgroup.Holds(s.anchor.Pid)
	return err == nil && in
}

func (s *scope) properties(pid int) ([]systemd.Property, error) {
	list := systemd.Base(s.unit, "rt container "+s.r.ID, pid, s.r.host.Mode == cgroups.V2)
	limits, err := s.r.limitProperties(s.systemd, s.resources())
	if err != nil {
		return nil, err
	}
	list = systemd.With(list, limits...)
	list = systemd.With(list, deviceProperties(s.r.Spec.Linux.Resources.Devices)...)
	asked, err := systemd.Annotations(s.r.Spec.Annotations)
	return systemd.With(list, asked...), err
}

// resources are those of the configuration, with a quota that systemd and the cgroup's files both have.
func (s *scope) resources() *specs.LinuxResources { return systemdQuota(s.r.Spec.Linux.Resources) }

// deviceProperties: rules that a v1 devices cgroup cannot express are beyond systemd, too.
func deviceProperties(rules []specs.LinuxDeviceCgroup) []systemd.Property {
	_, settings, err := translate.Devices(rules)
	if err != nil {
		settings = []translate.Setting{{}}
	}
	return systemd.Devices(settings)
}
