package cgroups

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A new v1 cpuset has no cpus and no memory nodes, and no process can join it (ENOSPC) before it has both.
// They are copied from the parent, for every directory that was made on the way, and for a directory that
// an interrupted Create left empty.

// inheritCpuset fills the member's cpuset, except for what c sets itself, which is written later.
func (m *member) inheritCpuset(made []string, c *specs.LinuxCPU) error {
	for i, file := range [...]string{"/cpuset.cpus", "/cpuset.mems"} {
		set := c != nil && (i == 0 && c.Cpus != "" || i == 1 && c.Mems != "")
		parent := path.Dir(m.dir)
		switch {
		case !set && slices.Contains(made, m.dir):
			value, err := m.filled(parent, file)
			if err == nil {
				err = writeFile(m.dir+file, value)
			}
			if err != nil {
				return err
			}
		case !set:
			if _, err := m.filled(m.dir, file); err != nil {
				return err
			}
		case parent != m.mount: // the root always has all
			if _, err := m.filled(parent, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// filled returns the content of dir's file, filled from the parent first when it is empty.
func (m *member) filled(dir, file string) (string, error) {
	value, err := readShort(dir + file)
	if err != nil || value != "" || m.mount == "" || !strings.HasPrefix(dir, m.mount+"/") {
		return value, err
	}
	if value, err = m.filled(path.Dir(dir), file); err != nil {
		return "", err
	}
	return value, writeFile(dir+file, value)
}
