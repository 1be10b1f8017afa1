package cgroups

import (
	"errors"
	"os"
	"slices"
	"strings"

	"rt/cgroups/translate"
	"rt/internal/names"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Settings are the settings that r is for this host's hierarchies, without device rules. Values that depend on what
// the files hold are completed, if there are files.
func (c *Cgroup) Settings(r *specs.LinuxResources) ([]translate.Setting, error) {
	if r == nil {
		return nil, nil
	}
	r1, r2, err := c.split(r)
	if err != nil {
		return nil, err
	}
	var list []translate.Setting
	for _, side := range []struct {
		r        *specs.LinuxResources
		settings func(*specs.LinuxResources) ([]translate.Setting, []string, error)
	}{{r1, translate.V1}, {r2, translate.V2}} {
		if side.r == nil {
			continue
		}
		more, _, err := side.settings(side.r)
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
		value, err := complete(s, m.dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			w := writer{c: c}
			return nil, w.explain(m, *s, s.Value, err)
		}
		if err == nil {
			s.Value, s.KeepFirst, s.Memory, s.MemorySwap = value, false, 0, 0
		}
	}
	return list, nil
}

// Read is what a file of the cgroup holds, in whichever hierarchy has it; "" if none has, or it cannot be read.
func (c *Cgroup) Read(file string) string { text, _ := c.read(file); return text }

func (c *Cgroup) read(file string) (string, error) {
	for _, m := range c.members {
		text, err := readShort(m.dir + "/" + file)
		if err == nil || notGone(err) != nil {
			return text, err
		}
	}
	return "", nil
}

// Bandwidth is the CPU time of the cgroup's processes that is in force: microseconds in each period of so many, quota -1
// for no limit; a period of 0 says that the kernel has no such limits.
func (c *Cgroup) Bandwidth() (quota int64, period uint64, err error) {
	var words []string
	for _, file := range []string{"cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"} { // of v2, or of v1
		text, err := c.read(file)
		if err != nil {
			return 0, 0, err
		}
		words = append(words, strings.Fields(text)...)
	}
	if len(words) != 2 {
		return 0, 0, nil
	}
	if words[0] == "max" {
		words[0] = "-1"
	}
	if quota, err = names.Signed(words[0], 64); err != nil {
		return 0, 0, err
	}
	period, err = names.Unsigned(words[1], 64)
	return quota, period, err
}

// Holds says whether a process is in the cgroup where systemd keeps its units: in v2, or v1's name=systemd.
func (c *Cgroup) Holds(pid int) (bool, error) {
	pids, err := c.procs(false, func(m *member) bool { return m.v2 || slices.Contains(m.controllers, "name=systemd") })
	return err == nil && slices.Contains(pids, pid), err
}
