package cgroups

import (
	"path"
	"strings"
)

// OOMKilled says whether the kernel's out-of-memory killer has ended a process of the cgroup: the count in
// memory.events (v2) or memory.oom_control (v1, since Linux 4.13).
func (c *Cgroup) OOMKilled() (bool, error) {
	dir, file := c.dirOf("memory"), "memory.oom_control"
	if dir == "" {
		dir, file = c.dirOf(""), "memory.events"
	}
	if dir == "" {
		return false, nil
	}
	text, err := readFile(path.Join(dir, file))
	if err != nil {
		if gone(err) {
			return false, nil
		}
		return false, err
	}
	for line := range strings.SplitSeq(text, "\n") {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return n != "0", nil
		}
	}
	return false, nil
}
