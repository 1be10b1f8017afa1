package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rt/cgroups"
	"rt/cgroups/systemd"
	"rt/internal/hint"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// With --systemd-cgroup the container's cgroup is that of a systemd unit. Only what makes, changes or removes the unit
// talks to systemd; everything else works on the directories that the state records.

// A scope is the unit of a container that is being made.
type scope struct {
	unit    systemd.Unit
	systemd *systemd.Manager // until the unit is started
	started bool             // the unit may be there
}

// usersManager says which systemd is ours: that of the calling user, or the system's. Root of a user namespace is
// somebody else outside, unless USER says that it is a machine of its own, such as a system container.
func usersManager() bool {
	if os.Geteuid() != 0 {
		return true
	}
	user := os.Getenv("USER")
	if user == "" || user == "root" {
		return false
	}
	m, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(m)), " ") != "0 0 4294967295"
}

// nameCgroup decides where the container's cgroup is going to be. Nothing is made.
func (k *making) nameCgroup() (err error) {
	c := k.c
	if c.SystemdCgroup {
		return k.nameUnit()
	}
	c.cg, err = cgroups.New(k.host, k.spec.Linux.CgroupsPath, c.ID)
	return err
}

func (k *making) nameUnit() (err error) {
	c, user := k.c, usersManager()
	if user && k.host.Mode != cgroups.V2 {
		return errors.New("--systemd-cgroup: a user's systemd has no controllers on cgroup v1")
	}
	if k.unit, err = systemd.UnitOf(k.spec.Linux.CgroupsPath, c.ID, user); err != nil {
		return err
	}
	if k.systemd, err = systemd.Connect(user); err != nil {
		return fmt.Errorf("--systemd-cgroup: %w", err)
	}
	k.undo = append(k.undo, k.systemd.Close)
	dir, err := k.systemd.Root()
	if err != nil {
		return err
	}
	// That it is taken is to be known before the journal says that it is ours.
	if err := k.systemd.Free(k.unit.Name); err != nil {
		return err
	}
	c.Unit = k.unit.Name
	c.cg, err = cgroups.New(k.host, filepath.Join(dir, k.unit.Path()), c.ID)
	return err
}

// unitFacts tell the plan that the process is moved into its cgroup: the unit is started around it.
func (k *making) unitFacts() (moved bool, tasks []string) {
	if rest := k.c.cg.BesidesSystemd(); rest != nil {
		tasks = rest.TaskFiles()
	}
	return true, tasks
}

// makeRest makes those of the cgroup's directories that systemd does not.
func (k *making) makeRest() ([]string, error) {
	if rest := k.c.cg.BesidesSystemd(); rest != nil {
		return rest.Create(nil) // the settings follow when all of it is there
	}
	return nil, nil
}

// makeOpened makes those of systemd's directories that the plan opens before systemd makes them: sources of mounts, in
// a container without a cgroup namespace of its own. systemd takes what is there for its own.
func (k *making) makeOpened(inputs []plan.Input) error {
	if k.c.Unit == "" {
		return nil
	}
	var dirs []string
	for _, dir := range k.c.cg.Dirs() {
		if slices.ContainsFunc(inputs, func(in plan.Input) bool { return in.Path == dir }) {
			dirs = append(dirs, dir)
		}
	}
	made, err := k.c.cg.Make(dirs)
	k.undo = append(k.undo, func() {
		for _, dir := range slices.Backward(made) {
			_ = unix.Rmdir(dir) // a slice that systemd has something else in stays
		}
	})
	return err
}

// startUnit starts the unit with the container's process in it. The process has done nothing yet, is alone, and waits.
// It comes after the clone, so that the cloning process and the namespaces are not the container's and no limit,
// however small, is in their way.
func (k *making) startUnit(pid int) error {
	c, r := k.c, k.spec.Linux.Resources
	properties, err := k.properties(pid)
	if err != nil {
		return err
	}
	k.started = true
	if err := k.systemd.Start(c.Unit, properties); err != nil {
		k.started = !errors.Is(err, systemd.ErrExists)
		return err
	}
	k.systemd.Close()
	if k.unit.IsSlice() {
		if err := c.cg.Move(pid); err != nil {
			return err
		}
	}
	in, err := c.cg.Holds(pid)
	if err != nil {
		return err
	}
	if !in {
		err := fmt.Errorf("start unit %s: systemd has not put the container's process into %s", c.Unit, c.cg.Dirs()[0])
		return hint.With(err, "/proc/self/cgroup and /proc/1/cgroup may tell whether rt and systemd see the same cgroups")
	}
	warnings, err := c.cg.Adopt(r)
	for _, w := range warnings {
		c.rt.Warn("%s", w)
	}
	return err
}

func (k *making) properties(pid int) ([]systemd.Property, error) {
	list := systemd.Base(k.unit, "rt container "+k.c.ID, pid, k.host.Mode == cgroups.V2)
	var rules []specs.LinuxDeviceCgroup
	if r := k.spec.Linux.Resources; r != nil {
		rules = r.Devices
	}
	limits, err := k.c.limitProperties(k.systemd, k.spec.Linux.Resources)
	if err != nil {
		return nil, err
	}
	list = systemd.With(list, limits...)
	list = systemd.With(list, deviceProperties(rules)...)
	asked, err := systemd.Annotations(k.spec.Annotations)
	return systemd.With(list, asked...), err
}

// deviceProperties: rules that a v1 devices cgroup cannot express are beyond systemd, too.
func deviceProperties(rules []specs.LinuxDeviceCgroup) []systemd.Property {
	settings, err := cgroups.DeviceSettings(rules)
	if err != nil {
		settings = []cgroups.Setting{{}}
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
	m, err := systemd.Connect(usersManager())
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
			m, err := systemd.Connect(usersManager())
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
func (c *container) present(r *specs.LinuxResources) []cgroups.Setting {
	settings, _ := c.cg.Settings(r)
	for i := range settings {
		settings[i] = cgroups.Setting{File: settings[i].File, Value: c.cg.Read(settings[i].File)}
	}
	return settings
}

// stopUnit ends the container's unit: what is left in it is killed, and systemd forgets it.
func (c *container) stopUnit() error {
	if c.Unit == "" {
		return nil
	}
	cg, err := c.cgroup()
	if err != nil {
		return err
	}
	if cg.Exists() {
		if err := cg.Kill(unix.SIGKILL); err != nil {
			return err
		}
	}
	m, err := systemd.Connect(usersManager())
	if err != nil {
		// The container is to go all the same; its cgroup is removed as any other. A systemd that comes back finds
		// the scope empty, which is its end.
		c.rt.Warn("stop unit %s: %v", c.Unit, err)
		return nil
	}
	defer m.Close()
	return m.Stop(c.Unit)
}
