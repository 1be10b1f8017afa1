package place

import (
	"errors"
	"time"

	"rt/cgroups"
	"rt/cgroups/systemd"
	"rt/cgroups/translate"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

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

func (p *Place) limitProperties(m *systemd.Manager, r *specs.LinuxResources) ([]systemd.Property, error) {
	settings, err := p.cgroup.Settings(r)
	if err != nil {
		return nil, err
	}
	version := 0
	if r != nil && r.CPU != nil && r.CPU.Idle != nil {
		version = m.Version()
	}
	return systemd.Limits(settings, p.cgroup.Read, version), nil
}

// setProperties tells systemd of changed limits, as far as it has properties for them: it writes them into the files
// at once, and what it rounds or does not know is written after. undo sets back what it changed.
func (p *Place) setProperties(r *specs.LinuxResources) (undo func() error, err error) {
	undo = func() error { return nil }
	if p.Unit == "" {
		return undo, nil
	}
	m, err := systemd.Connect(systemd.IsUsers())
	if err != nil {
		return nil, err
	}
	defer m.Close()
	after, err := p.limitProperties(m, r)
	if err != nil || len(after) == 0 {
		return undo, err
	}
	before := systemd.Limits(p.present(r), p.cgroup.Read, 0)
	return func() error { return p.setUnit(before) }, m.Set(p.Unit, systemd.Sorted(after))
}

// present are the files that r changes, with what they hold now.
func (p *Place) present(r *specs.LinuxResources) []translate.Setting {
	settings, _ := p.cgroup.Settings(r)
	for i := range settings {
		settings[i] = translate.Setting{File: settings[i].File, Value: p.cgroup.Read(settings[i].File)}
	}
	return settings
}

// setUnit tells systemd of limits that the files have again.
func (p *Place) setUnit(limits []systemd.Property) error {
	if len(limits) == 0 {
		return nil
	}
	m, err := systemd.Connect(systemd.IsUsers())
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Set(p.Unit, systemd.Sorted(limits))
}

// stopUnit ends the container's unit: what is left in it is killed, and systemd forgets it. started: it is certain that rt has
// started it. Else its cgroup tells: a scope ends with its last process, and another one of that name is not the container's.
func (p *Place) stopUnit(started bool) error {
	if p.Unit == "" {
		return nil
	}
	cg, err := p.Cgroup()
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
			_, err := p.killIn(own)
			return err
		})
		if err != nil {
			return err
		}
		if !ours && !(p.Early && !cg.IsTaken() && isEmpty(cg)) {
			return nil
		}
	}
	m, err := systemd.ConnectWithin(systemd.IsUsers(), p.Root.Left(stopTimeout))
	if err != nil {
		// The container is to go all the same; its cgroup is removed as any other. A systemd that comes back finds
		// the scope empty, which is its end.
		p.Root.Warn("stop unit %s: %v", p.Unit, err)
		return nil
	}
	defer m.Close()
	if !there {
		return m.Forget(p.Unit)
	}
	if err := m.Stop(p.Unit); err != nil && !errors.Is(err, systemd.ErrUnreachable) {
		// Its processes have been killed. What systemd does about the unit then is no reason to keep the container.
		p.Root.Warn("%v", err)
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
