package cgroups

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Settings are the settings that r is for this host's hierarchies, without device rules. Values that depend on what
// the files hold are completed, if there are files.
func (c *Cgroup) Settings(r *specs.LinuxResources) ([]Setting, error) {
	if r == nil {
		return nil, nil
	}
	r1, r2, err := c.split(r)
	if err != nil {
		return nil, err
	}
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
			w := writer{c: c}
			return nil, w.explain(m, *s, s.Value, err)
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

// Bandwidth is the CPU time of the cgroup's processes that is in force: microseconds in each period of so many, quota -1
// for no limit. false: the kernel has no such limits.
func (c *Cgroup) Bandwidth() (quota int64, period uint64, ok bool) {
	text := c.Read("cpu.max")
	if text == "" {
		text = c.Read("cpu.cfs_quota_us") + " " + c.Read("cpu.cfs_period_us")
	}
	words := strings.Fields(strings.Replace(text, "max", "-1", 1))
	if len(words) != 2 {
		return 0, 0, false
	}
	quota, err1 := strconv.ParseInt(words[0], 10, 64)
	period, err2 := strconv.ParseUint(words[1], 10, 64)
	return quota, period, err1 == nil && err2 == nil
}

// Holds says whether a process is in the cgroup where systemd keeps its units: in v2, or v1's name=systemd.
func (c *Cgroup) Holds(pid int) (bool, error) {
	pids, err := c.procs(false, func(m *member) bool { return m.v2 || slices.Contains(m.controllers, "name=systemd") })
	return err == nil && slices.Contains(pids, pid), err
}
