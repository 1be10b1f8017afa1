package cgroups

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// Below is where in the cgroup a process is: "/" for the cgroup itself, else the path below it, in the first
// hierarchy where it is not in the cgroup itself. It is what /proc/PID/cgroup says if that cannot be compared,
// and "" if the process is in none of the cgroup's directories.
func (c *Cgroup) Below(pid int) (string, error) {
	text, err := readFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", err
	}
	return c.below(text), nil
}

func (c *Cgroup) below(text string) (where string) {
	for names, own := range PathsOf(text) {
		m := c.memberNamed(names)
		if m == nil || m.mount == "" {
			continue
		}
		rest, ok := strings.CutPrefix(path.Join(m.mount, own)+"/", m.dir+"/")
		switch rest = "/" + strings.TrimSuffix(rest, "/"); {
		case !ok:
		case rest != "/":
			return rest
		default:
			where = rest
		}
	}
	return where
}

// memberNamed is the one for the controllers of a line of /proc/PID/cgroup.
func (c *Cgroup) memberNamed(names string) *member {
	if names == "" {
		return c.memberOf("")
	}
	for name := range strings.SplitSeq(names, ",") {
		if i := slices.IndexFunc(c.members, func(m member) bool { return slices.Contains(m.controllers, name) }); i >= 0 {
			return &c.members[i]
		}
	}
	return nil
}
