package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"rt/cgroups"
	"rt/cgroups/systemd"
	"rt/cgroups/translate"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/intelrdt"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Update changes the limits of a container that are given in resources, and no others: all of them, or none. Nothing of it
// is written down: the kernel holds the limits, and what depends on the present one asks it. rdt, which may be nil, has the
// schemata l3CacheSchema and memBwSchema of the container's resctrl group.
//
// Device rules are left as they are. Engines send those that they know with every update, and what was
// allowed since, by a hook that hands out a GPU for one, would be lost.
func (r *Runtime) Update(id string, resources *specs.LinuxResources, rdt *specs.LinuxIntelRdt) error {
	if problems := bundle.CheckRdt(rdt); len(problems) > 0 {
		return bundle.Join(problems)
	}
	c, err := r.open(id, true)
	if err != nil {
		return err
	}
	defer c.Release()
	if err := c.MustRun(); err != nil {
		return err
	}
	schemata, err := c.rdtChange(rdt)
	if err != nil {
		return err
	}
	return c.applyResources(changes(resources), schemata)
}

// changes leaves out what update does not change: devices, and a realtime runtime of 0.
func changes(r *specs.LinuxResources) *specs.LinuxResources {
	one := *r
	one.Devices = nil
	if one.CPU != nil && one.CPU.RealtimeRuntime != nil && *one.CPU.RealtimeRuntime == 0 {
		cpu := *one.CPU
		cpu.RealtimeRuntime, one.CPU = nil, &cpu
	}
	return &one
}

// applyResources is the one place where limits of a container that exists are changed.
func (c *container) applyResources(r *specs.LinuxResources, schemata *intelrdt.Change) error {
	cg, err := c.mustHaveCgroup("update limits")
	if err != nil {
		return err
	}
	if r, err = cg.WithMemoryLimit(r); err != nil {
		return err
	}
	if c.Unit != "" {
		if r, err = withBandwidth(cg, r); err != nil {
			return err
		}
	}
	var undo []func() error
	warnings, err := cg.ApplyNoted(r, func(before []cgroups.Change) error {
		if err := c.noteUpdate(updateJournal{before, schemata}); err != nil {
			return err
		}
		if schemata != nil {
			undo = append(undo, func() error { return c.rdt().Restore(*schemata) })
			if err := c.rdt().Write(schemata.New); err != nil {
				return err
			}
		}
		back, err := c.setProperties(r) // before the files, which systemd would write again
		if back != nil {
			undo = append(undo, back)
		}
		return err
	})
	for _, w := range warnings {
		c.rt.Warn("%s", w)
	}
	if err != nil {
		for _, back := range undo {
			err = errors.Join(err, back())
		}
	}
	return errors.Join(err, c.endUpdate())
}

// withBandwidth adds the quota and period in force to a change of any of a CPU's limits, and rounds the quota. systemd writes
// all of these files when it is told of one, its quota in whole percent of a CPU and, where there is none, its period.
func withBandwidth(cg *cgroups.Cgroup, r *specs.LinuxResources) (*specs.LinuxResources, error) {
	if r.CPU == nil {
		return r, nil
	}
	quota, period, err := cg.Bandwidth()
	if err != nil || period == 0 {
		return r, err
	}
	cpu, all := *r.CPU, *r
	if cpu.Quota == nil || *cpu.Quota == 0 {
		cpu.Quota = &quota
	}
	if cpu.Period == nil || *cpu.Period == 0 {
		cpu.Period = &period
	}
	all.CPU = &cpu
	return systemdQuota(&all), nil
}

// An updateJournal is what an update that is killed leaves to be taken back.
type updateJournal struct {
	Files    []cgroups.Change `json:"files"`
	Schemata *intelrdt.Change `json:"schemata,omitempty"`
}

func (c *container) noteUpdate(j updateJournal) error {
	if len(j.Files) == 0 && j.Schemata == nil {
		return nil
	}
	data, err := json.Marshal(j)
	if err == nil {
		err = sys.ReplaceFile(filepath.Join(c.Dir, state.UpdateFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write update journal: %w", err)
	}
	return nil
}

// endUpdate: as long as the journal is there, the next command takes the update back.
func (c *container) endUpdate() error {
	path := filepath.Join(c.Dir, state.UpdateFile)
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove update journal %s: %w", path, err)
	}
	return nil
}

// finishUpdate takes back an update that was killed: a container has the limits of before or those of after. What the
// kernel or systemd refuses to have back is told, and stays as it is: a container that can no longer be paused or
// started would be worse. It is for who holds the lock.
func (c *container) finishUpdate() error {
	path := filepath.Join(c.Dir, state.UpdateFile)
	data, err := c.ReadFile(state.UpdateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take back an update that was interrupted: %w", err)
	}
	var j updateJournal
	if err := json.Unmarshal(data, &j); err != nil {
		c.notTakenBack(fmt.Errorf("%s: %w", path, err))
	}
	cg, err := c.cgroup()
	if err != nil {
		return err
	}
	if cg.Exists() {
		c.restore(cg, j.Files)
	}
	if j.Schemata != nil && c.rdt().Exists() {
		if err := c.rdt().Restore(*j.Schemata); err != nil {
			c.notTakenBack(err)
		}
	}
	return c.endUpdate()
}

func (c *container) notTakenBack(err error) {
	c.rt.Warn("take back an update that was interrupted: %v", err)
}

// restore writes the old limits, and tells systemd of them.
func (c *container) restore(cg *cgroups.Cgroup, changes []cgroups.Change) {
	done, problems := cg.Restore(changes)
	for _, err := range problems {
		c.notTakenBack(err)
	}
	if c.Unit == "" {
		return
	}
	if err := c.restoreProperties(cg, done); err != nil {
		c.notTakenBack(err)
	}
}

func (c *container) restoreProperties(cg *cgroups.Cgroup, changes []cgroups.Change) error {
	settings := make([]translate.Setting, len(changes))
	for i, x := range changes {
		settings[i] = translate.Setting{File: filepath.Base(x.Path), Value: x.Old}
	}
	before := systemd.Limits(settings, cg.Read, 0)
	if len(before) == 0 {
		return nil
	}
	m, err := systemd.Connect(systemd.IsUsers())
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Set(c.Unit, systemd.Sorted(before))
}
