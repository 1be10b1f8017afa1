package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/internal/names"

	"github.com/moby/sys/mountinfo"
)

// CRIU makes the mounts of a restored container by paths, which the container had chosen, and resolves them in a copy of the host's tree. So
// the mounts are compared with the configuration, by device and root, before any process of the container runs. The comparison, in this
// file, makes no system call.

// A device is the number of a file system (proc_pid_mountinfo(5), major:minor).
type device struct{ Major, Minor int }

// deviceOf is that of a mount's file system.
func deviceOf(m *mountinfo.Info) device { return device{m.Major, m.Minor} }

// A hostSource is a tree of the host that the configuration shows in the container.
type hostSource struct {
	Target string // mount point in the container
	Device device
	Root   string // directory in the file system
	Attrs  uint64 // MOUNT_ATTR_* that restrict a mount of it
}

// A fileSystem is one that the configuration mounts.
type fileSystem struct {
	Target, Type, Source string
	Options              []string // the file system's own, KEY or KEY=VALUE
}

// mountRules are what may be mounted in a container.
type mountRules struct {
	Sources []hostSource
	Mounts  []fileSystem
	Host    map[device]bool // file systems that are mounted on the host
	Cgroups []cgroupPath    // the container's own, as mountinfo shows them to rt
	HostsIn map[string]bool // types of which the container's instance is the host's: it has no such namespace of its own
}

// A cgroupPath is that of a process in one hierarchy, a line of /proc/PID/cgroup.
type cgroupPath struct {
	Hierarchy string // its controllers or its name, with commas between; "" for cgroup v2
	Path      string
}

// parseCgroups reads a /proc/PID/cgroup.
func parseCgroups(text string) (list []cgroupPath) {
	for names, own := range cgroups.PathsOf(text) {
		list = append(list, cgroupPath{names, own})
	}
	return list
}

// shows says whether a mount shows the cgroup or one below. In another hierarchy the same path is another one's cgroup, and / the host's root.
func (c *cgroupPath) shows(m *mountinfo.Info) bool {
	if !within(m.Root, c.Path) || (m.FSType == "cgroup2") != (c.Hierarchy == "") {
		return false
	}
	options := strings.Split(m.VFSOptions, ",")
	for o := range strings.SplitSeq(c.Hierarchy, ",") {
		if o != "" && !slices.Contains(options, o) {
			return false
		}
	}
	return true
}

// fresh are types of file systems that show nothing of the host if they are not the host's own instance: their options name no paths.
var fresh = []string{"tmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue", "hugetlbfs"}

// single are types that have one instance on a machine, and options that name no paths.
var single = []string{"devtmpfs", "securityfs", "debugfs", "tracefs", "pstore", "fusectl", "binfmt_misc", "configfs", "efivarfs", "bpf"}

// pathOptions are options of overlay that name directories.
var pathOptions = []string{"lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir"}

// check says which of a list of mounts, a mount namespace's, the container may not have.
func (r *mountRules) check(list []*mountinfo.Info) error {
	for _, m := range list {
		if !r.allowed(m, list) {
			return notGiven(m)
		}
	}
	return nil
}

func (r *mountRules) ownCgroup(m *mountinfo.Info) bool {
	return slices.ContainsFunc(r.Cgroups, func(c cgroupPath) bool { return c.shows(m) })
}

func notGiven(m *mountinfo.Info) error {
	return hint.With(fmt.Errorf("a mount at %s shows %s of %s (%s, device %d:%d), which the configuration does not give to the container",
		m.Mountpoint, m.Root, m.Source, m.FSType, m.Major, m.Minor),
		"a mount that the container has made itself can be restored if it shows a part of the container's own tree, or is of type tmpfs, proc, sysfs, devpts or mqueue")
}

func (r *mountRules) allowed(m *mountinfo.Info, list []*mountinfo.Info) bool {
	device := deviceOf(m)
	if len(r.of(m)) > 0 {
		return true
	}
	switch {
	case m.FSType == "cgroup" || m.FSType == "cgroup2":
		return r.ownCgroup(m)
	case !slices.Contains(fresh, m.FSType):
	case !r.Host[device]:
		return true
	case !r.HostsIn[m.FSType]:
		return false
	}
	// What has one instance, or options with paths, is the configuration's, or a part of that in its place.
	for _, top := range list {
		if deviceOf(top) == device && top.Root == "/" && within(m.Mountpoint, top.Mountpoint) && r.configured(top) {
			return true
		}
	}
	return false
}

// checkMade is Check for mounts that are not at their places yet, before CRIU makes files on them: none shows a file system of the host
// that has files of its own, but for a part of a source.
func (r *mountRules) checkMade(list []*mountinfo.Info) error {
	for _, m := range list {
		switch {
		case len(r.of(m)) > 0, !r.Host[deviceOf(m)], r.HostsIn[m.FSType]:
		case (m.FSType == "cgroup" || m.FSType == "cgroup2") && (len(r.Cgroups) == 0 || r.ownCgroup(m)):
		case slices.ContainsFunc(r.Mounts, func(fs fileSystem) bool { return fs.Type == m.FSType && slices.Contains(single, fs.Type) }):
		default:
			return notGiven(m)
		}
	}
	return nil
}

// configured says whether a mount is one that the configuration makes, at its place.
func (r *mountRules) configured(m *mountinfo.Info) bool {
	return slices.ContainsFunc(r.Mounts, func(fs fileSystem) bool {
		if fs.Type != m.FSType || fs.Target != m.Mountpoint {
			return false
		}
		switch {
		case r.HostsIn[fs.Type], slices.Contains(single, fs.Type):
			return true
		case fs.Type == "overlay":
			return slices.Equal(paths(strings.Split(m.VFSOptions, ",")), paths(fs.Options))
		}
		return false
	})
}

// paths are the options of an overlay that name directories, in one order.
func paths(options []string) (list []string) {
	for _, o := range options {
		if key, _, _ := strings.Cut(o, "="); slices.Contains(pathOptions, key) {
			list = append(list, o)
		}
	}
	slices.Sort(list)
	return list
}

// of are the sources that a mount shows a part of: those with the longest root.
func (r *mountRules) of(m *mountinfo.Info) (list []hostSource) {
	longest := 0
	for _, s := range r.Sources {
		if s.Device != deviceOf(m) || !within(m.Root, s.Root) {
			continue
		}
		if len(s.Root) > longest {
			longest, list = len(s.Root), nil
		}
		if len(s.Root) == longest {
			list = append(list, s)
		}
	}
	return list
}

// within says whether a path is dir or lies below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// A weakMount is a mount that lacks attributes.
type weakMount struct {
	ID         int
	Mountpoint string
	Missing    uint64 // MOUNT_ATTR_*
}

// weaker lists the mounts that may do more than the configuration says. Of a source that is mounted in several places, each has what
// is said for it; what else shows it has what is said for all of them.
func (r *mountRules) weaker(list []*mountinfo.Info) (weaker []weakMount) {
	for _, m := range list {
		sources := r.of(m)
		if len(sources) == 0 {
			continue
		}
		want := ^uint64(0)
		for _, s := range sources {
			if s.Target == m.Mountpoint && s.Root == m.Root {
				want = s.Attrs
				break
			}
			want &= s.Attrs
		}
		if missing := want &^ attributesOf(m); missing != 0 {
			weaker = append(weaker, weakMount{m.ID, m.Mountpoint, missing})
		}
	}
	return weaker
}

// attributesOf are those of a mount that restrict it.
func attributesOf(m *mountinfo.Info) (attrs uint64) {
	for word := range strings.SplitSeq(m.Options, ",") {
		if o := names.MountOption(word); o.Kind == names.Attr {
			attrs |= o.Set
		}
	}
	return attrs & names.Restricting()
}

// checkDump says which of a container's mounts could not be restored: restore would have to let CRIU look for the paths that their
// options name. Known are the file systems of the host.
func checkDump(list []*mountinfo.Info, known map[device]bool, configured []fileSystem) error {
	r := mountRules{Mounts: configured}
	for _, m := range list {
		switch {
		case known[deviceOf(m)], slices.Contains(fresh, m.FSType), m.FSType == "cgroup", m.FSType == "cgroup2":
		case r.partOfConfigured(m, list):
		default:
			return hint.With(fmt.Errorf("a mount at %s is a file system of type %s, whose paths or devices a restore would look for on the host", m.Mountpoint, m.FSType),
				"unmount it in the container before the checkpoint")
		}
	}
	return nil
}

func (r *mountRules) partOfConfigured(m *mountinfo.Info, list []*mountinfo.Info) bool {
	return slices.ContainsFunc(list, func(top *mountinfo.Info) bool { return deviceOf(top) == deviceOf(m) && r.configured(top) })
}

// checkKey refuses a name of an external mount that CRIU would take for another: it keeps mnt[KEY]:VALUE as one string, and ends KEY at
// the first "]:" (CVE-2026-119101, CVE-2026-119614).
func checkKey(key string) error {
	if !strings.HasPrefix(key, "/") || strings.Contains(key, "]:") {
		return fmt.Errorf("the mount point %q cannot be the name of an external mount in CRIU's images", key)
	}
	return nil
}

// A savedMount is a mount as the images have it.
type savedMount struct {
	Type       string // "" if it can only be a bind mount
	Device     uint64
	Mountpoint string
	Source     string
	Options    string
	External   bool
	Key        string
}

// A superblock is what CRIU knows one by. Mounts that differ in it are none of the same file system to it, whatever their device is.
type superblock struct {
	device                uint64
	kind, source, options string
}

func (m *savedMount) superblock() superblock {
	return superblock{m.Device, m.Type, m.Source, m.Options}
}

// checkSaved says which of the mounts of images, by mount namespace and init's first, CRIU must not make: it would look on the host for
// the paths that the options of the file system name, and may change what is there. What has the superblock of the root, or of
// what is mounted from outside, is a bind mount.
func checkSaved(namespaces [][]savedMount, configured []fileSystem) error {
	r := mountRules{Mounts: configured}
	bound := map[superblock]bool{}
	for i, list := range namespaces {
		for _, m := range list {
			if m.External || i == 0 && m.Mountpoint == "/" {
				bound[m.superblock()] = true
			}
		}
	}
	for _, list := range namespaces {
		for _, m := range list {
			// CRIU has names of its own, by which it mounts a source that the images name.
			if m.Key != "" && checkKey(m.Key) != nil {
				return fmt.Errorf("the images have a mount at %s from outside by the name %.256q, which is no mount point", m.Mountpoint, m.Key)
			}
			switch m.Type {
			case "", "cgroup", "cgroup2":
				continue
			}
			like := mountinfo.Info{FSType: m.Type, Mountpoint: m.Mountpoint, VFSOptions: m.Options}
			if m.External || bound[m.superblock()] || slices.Contains(fresh, m.Type) || r.configured(&like) {
				continue
			}
			return hint.With(fmt.Errorf("the images have a mount at %s of type %s, whose paths or devices CRIU would look for on the host", m.Mountpoint, m.Type),
				"unmount it in the container before the checkpoint")
		}
	}
	return nil
}
