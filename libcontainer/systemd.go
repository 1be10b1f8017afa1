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

// A scope is the unit of a container that is being made.
//
// systemd has no empty scopes: one is started around a process and ends with its last. That process is the anchor, a
// stub without a plan. It holds the scope while the plan opens the cgroup's directories and the container's process is
// born there like any other. The process that clones is never in it, and neither is what the namespaces take.
type scope struct {
	unit    systemd.Unit
	systemd *systemd.Manager // until the unit is started
	started bool             // the unit may be there
	up      bool             // it is: systemd has said so
	soon    *nsenter.Soon    // the anchor, on its way
	anchor  *nsenter.Stub
	outside bool // rt may move nothing from its own cgroup into the scope: the anchor becomes the container's process
}

// chooseUnit names the container's unit, and finds the cgroup that systemd will make for it.
func (k *making) chooseUnit() (cg *cgroups.Cgroup, err error) {
	user := systemd.IsUsers()
	if user && k.host.Mode != cgroups.V2 {
		return nil, errors.New("--systemd-cgroup: a user's systemd has no controllers on cgroup v1")
	}
	if k.unit, err = systemd.UnitOf(k.spec.Linux.CgroupsPath, k.c.ID, user); err != nil {
		return nil, err
	}
	if k.systemd, err = systemd.Connect(user); err != nil {
		return nil, fmt.Errorf("--systemd-cgroup: %w", err)
	}
	k.undo.add(k.systemd.Close)
	dir, err := k.systemd.Root()
	if err != nil {
		return nil, err
	}
	return cgroups.New(k.host, filepath.Join(dir, k.unit.Path()), k.c.ID)
}

// takeUnit sees that neither the unit nor its cgroup exists.
func (k *making) takeUnit(cg *cgroups.Cgroup) error {
	// That it is taken is to be known before the journal says that it is ours, and before systemd has a unit to end, which
	// takes the cgroup with it.
	if err := cg.Unused(); err != nil {
		return hint.With(err, "systemctl status "+k.unit.Name+" may tell whose it is; give another linux.cgroupsPath")
	}
	if err := k.systemd.Free(k.unit.Name); err != nil {
		return err
	}
	k.c.Unit = k.unit.Name
	return nil
}

// startAnchor does so while the configuration is read.
func (k *making) startAnchor(extra int) {
	if k.c.rt.SystemdCgroup {
		k.soon = nsenter.StartSoon(k.streams.Child, extra)
		k.undo.add(k.endAnchor)
	}
}

// insider is the stub that gets the plan. Systemd moves a process of the user's from anywhere into a scope of the user's
// own, which the kernel lets nobody do who has no write access to a cgroup above both, as in a login session.
func (k *making) insider(soon *nsenter.Soon) *nsenter.Soon {
	if !k.outside {
		return soon
	}
	soon.Abandon()
	soon = k.anchor.Soon()
	k.anchor, k.soon = nil, nil
	return soon
}

// endAnchor ends the anchor, once the container's process is in the scope. It also ends by itself if rt does.
func (k *making) endAnchor() {
	switch {
	case k.anchor != nil:
		k.anchor.Abandon()
	case k.soon != nil:
		k.soon.Abandon()
	}
	k.anchor, k.soon = nil, nil
}

// startUnit starts the unit, makes what systemd does not make of the cgroup, and writes all limits.
func (k *making) startUnit() (err error) {
	c := k.c
	if k.anchor, err = k.soon.Stub(); err != nil {
		k.soon = nil
		return err
	}
	k.undo.add(k.removeUnit)
	properties, err := k.properties(k.anchor.Pid)
	if err != nil {
		return err
	}
	k.started = true
	if err := k.systemd.Start(c.Unit, properties); err != nil {
		k.started = !errors.Is(err, systemd.ErrExists) && !systemd.Refused(err)
		return err
	}
	k.up = true
	k.systemd.Close()
	if err := k.checkPlace(); err != nil {
		return err
	}
	warnings, err := c.cg.Adopt(k.resources(), k.anchor.Pid)
	for _, w := range warnings {
		c.rt.Warn("%s", w)
	}
	if err != nil {
		return err
	}
	k.outside = k.bornOutside(c.cg.MayJoin(k.host))
	return delegate(c.cg, k.spec)
}

// bornOutside says whether the anchor becomes the container's process: joining is why rt may not move one into the scope, or nil.
func (k *making) bornOutside(joining error) bool {
	return !k.priv.Admin() && !k.unit.IsSlice() && joining != nil
}

// checkPlace: rt and systemd must mean the same cgroup.
func (k *making) checkPlace() error {
	if k.unit.IsSlice() {
		return nil // it has no process of its own
	}
	in, err := k.c.cg.Holds(k.anchor.Pid)
	if err != nil || in {
		return err
	}
	err = fmt.Errorf("start unit %s: systemd has not made it in %s", k.c.Unit, k.c.cg.Dirs()[0])
	return hint.With(err, "/proc/self/cgroup and /proc/1/cgroup may tell whether rt and systemd see the same cgroups")
}

// removeUnit undoes startUnit.
func (k *making) removeUnit() {
	ours := k.started && (k.up || k.isPlaced())
	k.endAnchor()
	if !k.started {
		return
	}
	k.undone(k.c.stopUnit(ours))
	k.removeCgroup()
}

// isPlaced says whether systemd has moved the anchor into the unit: if its answer did not come, another container's unit may have
// the name.
func (k *making) isPlaced() bool {
	if k.anchor == nil || k.unit.IsSlice() {
		return false
	}
	in, err := k.c.cg.Holds(k.anchor.Pid)
	return err == nil && in
}

func (k *making) properties(pid int) ([]systemd.Property, error) {
	list := systemd.Base(k.unit, "rt container "+k.c.ID, pid, k.host.Mode == cgroups.V2)
	var rules []specs.LinuxDeviceCgroup
	if r := k.spec.Linux.Resources; r != nil {
		rules = r.Devices
	}
	limits, err := k.c.limitProperties(k.systemd, k.resources())
	if err != nil {
		return nil, err
	}
	list = systemd.With(list, limits...)
	list = systemd.With(list, deviceProperties(rules)...)
	asked, err := systemd.Annotations(k.spec.Annotations)
	return systemd.With(list, asked...), err
}

// resources are those of the configuration, with a quota that systemd and the cgroup's files both have.
func (k *making) resources() *specs.LinuxResources { return systemdQuota(k.spec.Linux.Resources) }

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
