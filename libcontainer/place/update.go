package place

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
	"rt/libcontainer/intelrdt"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Update changes those limits of the container that are given, all of them or none: in its cgroup, in its unit, and in its resctrl group,
// for which rdt may be nil.
func (p *Place) Update(r *specs.LinuxResources, rdt *specs.LinuxIntelRdt) error {
	schemata, err := p.rdtChange(rdt)
	if err != nil {
		return err
	}
	cg, err := p.MustHaveCgroup("update limits")
	if err != nil {
		return err
	}
	if r, err = cg.WithMemoryLimit(r); err != nil {
		return err
	}
	if p.Unit != "" {
		if r, err = withBandwidth(cg, r); err != nil {
			return err
		}
	}
	var undo []func() error
	err = p.warnOf(cg.ApplyNoted(r, func(before []cgroups.Change) error {
		if err := p.noteUpdate(updateJournal{before, schemata}); err != nil {
			return err
		}
		if schemata != nil {
			undo = append(undo, func() error { return p.Rdt().Restore(*schemata) })
			if err := p.Rdt().Write(schemata.New); err != nil {
				return err
			}
		}
		back, err := p.setProperties(r) // before the files, which systemd would write again
		if back != nil {
			undo = append(undo, back)
		}
		return err
	}))
	if err != nil {
		for _, back := range undo {
			err = errors.Join(err, back())
		}
	}
	return errors.Join(err, p.endUpdate())
}

// warnOf passes on the warnings of a change of the cgroup, and returns its error.
func (p *Place) warnOf(warnings []string, err error) error {
	for _, w := range warnings {
		p.Root.Warn("%s", w)
	}
	return err
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

func (p *Place) noteUpdate(j updateJournal) error {
	if len(j.Files) == 0 && j.Schemata == nil {
		return nil
	}
	data, err := json.Marshal(j)
	if err == nil {
		err = sys.ReplaceFile(filepath.Join(p.Dir, state.UpdateFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write update journal: %w", err)
	}
	return nil
}

// endUpdate: as long as the journal is there, the next command takes the update back.
func (p *Place) endUpdate() error {
	path := filepath.Join(p.Dir, state.UpdateFile)
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove update journal %s: %w", path, err)
	}
	return nil
}

// FinishUpdate takes back an update that was killed: a container has the limits of before or those of after. What the
// kernel or systemd refuses to have back is told, and stays as it is: a container that can no longer be paused or
// started would be worse. It is for who holds the lock.
func (p *Place) FinishUpdate() error {
	path := filepath.Join(p.Dir, state.UpdateFile)
	data, err := p.ReadFile(state.UpdateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take back an update that was interrupted: %w", err)
	}
	var j updateJournal
	if err := json.Unmarshal(data, &j); err != nil {
		p.notTakenBack(fmt.Errorf("%s: %w", path, err))
	}
	cg, err := p.Cgroup()
	if err != nil {
		return err
	}
	if cg.Exists() {
		p.restore(cg, j.Files)
	}
	if j.Schemata != nil && p.Rdt().Exists() {
		if err := p.Rdt().Restore(*j.Schemata); err != nil {
			p.notTakenBack(err)
		}
	}
	return p.endUpdate()
}

func (p *Place) notTakenBack(err error) {
	p.Root.Warn("take back an update that was interrupted: %v", err)
}

// restore writes the old limits, and tells systemd of them.
func (p *Place) restore(cg *cgroups.Cgroup, changes []cgroups.Change) {
	done, problems := cg.Restore(changes)
	for _, err := range problems {
		p.notTakenBack(err)
	}
	if p.Unit == "" {
		return
	}
	settings := make([]translate.Setting, len(done))
	for i, x := range done {
		settings[i] = translate.Setting{File: filepath.Base(x.Path), Value: x.Old}
	}
	if err := p.setUnit(systemd.Limits(settings, cg.Read, 0)); err != nil {
		p.notTakenBack(err)
	}
}
