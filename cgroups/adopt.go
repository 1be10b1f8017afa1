package cgroups

import (
	"errors"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// With the systemd driver some of the directories are systemd's to make: v2's and, on v1, those of its own hierarchy
// name=systemd. It may make others, as far as it knows the controllers; that is no matter here.

// BesidesSystemd is the part of the cgroup that systemd leaves to others: v1 controllers. nil if that is nothing.
func (c *Cgroup) BesidesSystemd() *Cgroup {
	rest := &Cgroup{host: c.host}
	for _, m := range c.members {
		if !m.ofSystemd() {
			rest.members = append(rest.members, m)
		}
	}
	if len(rest.members) == 0 {
		return nil
	}
	return rest
}

func (m *member) ofSystemd() bool { return m.v2 || slices.Contains(m.controllers, "name=systemd") }

// Make makes some of the cgroup's directories, and no more of them. made is what to remove, last first, if it was in vain.
func (c *Cgroup) Make(dirs []string) (made []string, err error) {
	for i := range c.members {
		if m := &c.members[i]; slices.Contains(dirs, m.dir) {
			if _, err := m.make(&made); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// Adopt applies r, which may be nil, to a cgroup that others have made and that has the container's process in it
// already. Like a new cgroup it gets the default device rules.
func (c *Cgroup) Adopt(r *specs.LinuxResources) (warnings []string, err error) {
	if r == nil {
		r = &specs.LinuxResources{}
	}
	t, err := c.translate(r, true)
	if err != nil {
		return t.warnings, err
	}
	defer t.filter.close()
	if m := c.memberOf(""); m != nil {
		t.enabling = m.enable(t.wanted(false))
		if err := t.filter.attach(m.dir, true); err != nil {
			return t.warnings, err
		}
	}
	return t.warnings, c.write(t)
}

// Settings are the settings that r is for this host's hierarchies, without device rules. Values that depend on what
// the files hold are completed, if there are files.
func (c *Cgroup) Settings(r *specs.LinuxResources) ([]Setting, error) {
	if r == nil {
		return nil, nil
	}
	r1, r2 := c.split(r)
	var list []Setting
	for _, side := range []struct {
		r         *specs.LinuxResources
		translate func(*specs.LinuxResources) ([]Setting, []string, error)
	}{{r1, SettingsV1}, {r2, SettingsV2}} {
		if side.r == nil {
			continue
		}
		more, _, err := side.translate(side.r)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	for i := range list {
		s := &list[i]
		m := c.memberOf(s.Controller)
		if m == nil {
			m = c.memberOf("")
		}
		if m == nil {
			continue
		}
		value, err := s.complete(m.dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			s.Value, s.KeepFirst, s.AtLeastUsed = value, false, ""
		}
	}
	return list, nil
}

// Read is what a file of the cgroup holds, in whichever hierarchy has it; "" if none has.
func (c *Cgroup) Read(file string) string {
	for _, m := range c.members {
		if text, err := readShort(m.dir + "/" + file); err == nil {
			return text
		}
	}
	return ""
}

// Move moves a process into the directories that systemd makes.
func (c *Cgroup) Move(pid int) error {
	for _, m := range c.members {
		if m.ofSystemd() {
			if err := writeFile(m.dir+"/cgroup.procs", itoa(int64(pid))); err != nil {
				return err
			}
		}
	}
	return nil
}

// Holds says whether a process is in the directories that systemd makes; false if they are not there.
func (c *Cgroup) Holds(pid int) (bool, error) {
	pids, err := c.procs(false, (*member).ofSystemd)
	return err == nil && slices.Contains(pids, pid), err
}
