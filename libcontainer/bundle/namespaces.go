package bundle

import (
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The namespace types, as indexes into namespaces.
const (
	pidNS = iota
	networkNS
	mountNS
	ipcNS
	utsNS
	userNS
	cgroupNS
	timeNS
	nsTypes
)

// namespaces is linux.namespaces by type.
type namespaces [nsTypes]struct {
	listed bool
	path   string // "" if it is to be made
}

// has says that the container has this namespace apart from the runtime's, made or joined.
func (n *namespaces) has(kind int) bool { return n[kind].listed }

// makes says that the namespace is new.
func (n *namespaces) makes(kind int) bool { return n[kind].listed && n[kind].path == "" }

// joins says that the namespace is one that exists.
func (n *namespaces) joins(kind int) bool { return n[kind].path != "" }

const addMountNS = `add {"type": "mount"} to /linux/namespaces`

func namespaceKind(t specs.LinuxNamespaceType) int {
	switch t {
	case specs.PIDNamespace:
		return pidNS
	case specs.NetworkNamespace:
		return networkNS
	case specs.MountNamespace:
		return mountNS
	case specs.IPCNamespace:
		return ipcNS
	case specs.UTSNamespace:
		return utsNS
	case specs.UserNamespace:
		return userNS
	case specs.CgroupNamespace:
		return cgroupNS
	case specs.TimeNamespace:
		return timeNS
	}
	return -1
}

// namespaces checks linux.namespaces (config-linux.md, "Namespaces") and returns them by type.
func (c *checker) namespaces(l *specs.Linux) (ns namespaces) {
	for i := range l.Namespaces {
		n := &l.Namespaces[i]
		kind := namespaceKind(n.Type)
		if kind < 0 {
			c.fail(at("/linux/namespaces", i, "type"), "unknown namespace type %s", quote(n.Type))
			continue
		}
		if ns[kind].listed {
			c.fail(at("/linux/namespaces", i, "type"), "namespace %s is given more than once", n.Type)
			continue
		}
		if n.Path != "" && !path.IsAbs(n.Path) {
			c.fail(at("/linux/namespaces", i, "path"), "%s must be an absolute path", quote(n.Path))
		}
		ns[kind].listed, ns[kind].path = true, n.Path
	}
	return ns
}

// timeOffsets follows time_namespaces(7): offsets can be written only before the first process is in.
func (c *checker) timeOffsets(offsets map[string]specs.LinuxTimeOffset, ns namespaces) {
	if len(offsets) == 0 {
		return
	}
	switch {
	case ns.joins(timeNS):
		c.fail("/linux/timeOffsets", "the offsets of a time namespace that exists cannot be changed")
	case !ns.has(timeNS):
		c.failHint(`add {"type": "time"} to /linux/namespaces`, "/linux/timeOffsets", "time offsets need a time namespace")
	}
	for _, clock := range sorted(offsets) {
		if clock != "monotonic" && clock != "boottime" {
			c.fail(at("/linux/timeOffsets", clock), "unknown clock %s: must be monotonic or boottime", quote(clock))
		}
		if n := offsets[clock].Nanosecs; n >= 1e9 {
			c.fail(at("/linux/timeOffsets", clock, "nanosecs"), "%d is not less than a second", n)
		}
	}
}
