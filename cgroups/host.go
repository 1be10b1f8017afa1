package cgroups

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Mode is how cgroups are mounted on a host.
type Mode int

// The modes of a host.
const (
	V1     Mode = iota // v1 hierarchies only
	Hybrid             // v1 hierarchies with a v2 hierarchy beside them
	V2                 // the v2 hierarchy only
)

func (m Mode) String() string {
	switch m {
	case V1:
		return "v1"
	case Hybrid:
		return "hybrid"
	case V2:
		return "v2"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// A Host is where the cgroup hierarchies are mounted.
type Host struct {
	Mode    Mode
	Root    string            // /sys/fs/cgroup
	V1      map[string]string // controller or "name=systemd" to the mount point of its hierarchy
	Unified string            // mount point of v2, "" if there is none

	own map[string]string // the caller's own cgroups, as V1 and "" for v2; read when nil
}

// Probe finds the hierarchies that are mounted below /sys/fs/cgroup. On v2 it costs one statfs; else it
// reads /proc/self/cgroup and checks the directories named after the controllers. /proc/self/mountinfo,
// which grows with the number of containers, is read only if one of them is not there.
func Probe() (*Host, error) { return probe("/sys/fs/cgroup", "/proc/self/cgroup") }

func probe(root, selfCgroup string) (*Host, error) {
	magic, err := fsMagic(root)
	if err != nil {
		return nil, err
	}
	if magic == unix.CGROUP2_SUPER_MAGIC {
		return &Host{Mode: V2, Root: root, Unified: root}, nil
	}
	text, err := (*Root)(nil).readOnce(selfCgroup)
	if err != nil {
		return nil, err
	}
	h := &Host{Root: root, V1: map[string]string{}, own: map[string]string{}}
	var missing []string
	for names, own := range PathsOf(text) {
		if strings.HasPrefix(names, "name=") && names != "name=systemd" {
			continue // a named hierarchy is its owner's affair
		}
		mount := mountByName(root, names)
		if mount == "" {
			missing = append(missing, names)
		}
		h.record(names, mount, own)
	}
	if len(missing) > 0 {
		if err := h.probeMountinfo(missing); err != nil {
			return nil, err
		}
	}
	if h.Unified != "" {
		h.Mode = Hybrid
	}
	if len(h.V1) == 0 && h.Unified == "" {
		return nil, fmt.Errorf("no cgroup hierarchy is mounted below %s", root)
	}
	return h, nil
}

// record notes one hierarchy: names as in /proc/self/cgroup ("cpu,cpuacct", "name=systemd", "" for v2).
func (h *Host) record(names, mount, own string) {
	for name := range strings.SplitSeq(names, ",") {
		if own != "" {
			h.own[name] = own
		}
		switch {
		case mount == "":
		case name == "":
			h.Unified = mount
		default:
			h.V1[name] = mount
		}
	}
}

// PathsOf reads the text of a /proc/PID/cgroup, whose lines are "id:controllers:path": of each hierarchy its controllers, with commas
// between, or its name ("name=systemd"), "" for cgroup v2, and the path of the process's cgroup, which may hold colons.
func PathsOf(text string) iter.Seq2[string, string] {
	return func(yield func(names, own string) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			if f := strings.SplitN(line, ":", 3); len(f) == 3 && strings.HasPrefix(f[2], "/") && !yield(f[1], f[2]) {
				return
			}
		}
	}
}

// mountByName looks for a hierarchy where every distribution mounts it: <root>/<controllers>, in the order
// of the mount or with a link for each, <root>/systemd, <root>/unified. "" if it is not there.
func mountByName(root, names string) string {
	want := int64(unix.CGROUP_SUPER_MAGIC)
	dirs := []string{strings.TrimPrefix(names, "name=")}
	switch first, rest, several := strings.Cut(names, ","); {
	case names == "":
		want, dirs[0] = unix.CGROUP2_SUPER_MAGIC, "unified"
	case several:
		dirs = append(dirs, rest+","+first, first)
	}
	for _, dir := range dirs {
		if magic, err := fsMagic(path.Join(root, dir)); err == nil && magic == want {
			return path.Join(root, dir)
		}
	}
	return ""
}

func fsMagic(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := sys.Retry(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Type), nil
}

// probeMountinfo looks for hierarchies that are mounted under other names. One that is mounted nowhere is
// left out: a v1 controller can be bound to a hierarchy that has no mount.
func (h *Host) probeMountinfo(missing []string) error {
	mounts, err := readMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return err
	}
	for _, names := range missing {
		for _, m := range mounts {
			if hasHierarchy(m, names) && visible(m) {
				h.record(names, m.Mountpoint, "")
				break
			}
		}
	}
	return nil
}

func readMounts(filter mountinfo.FilterFunc) ([]*mountinfo.Info, error) {
	const path = "/proc/thread-self/mountinfo"
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(text), filter)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return mounts, nil
}

// visible says whether the mount point is that mount, or another cgroup mount on top of it: in a container a tmpfs
// may cover what came with the host's /sys.
func visible(m *mountinfo.Info) bool {
	magic, err := fsMagic(m.Mountpoint)
	return err == nil && (magic == unix.CGROUP_SUPER_MAGIC || magic == unix.CGROUP2_SUPER_MAGIC)
}

func hasHierarchy(m *mountinfo.Info, names string) bool {
	if names == "" {
		return m.FSType == "cgroup2"
	}
	first, _, _ := strings.Cut(names, ",")
	return m.FSType == "cgroup" && strings.Contains(","+m.VFSOptions+",", ","+first+",")
}

// ownDir is the directory of the caller's own cgroup in the hierarchy name, mounted at mount. Without a
// cgroup namespace of its own a container sees the host's path in /proc/self/cgroup but only its own part
// of the tree is mounted: then the mount's root is taken off the path.
func (h *Host) ownDir(name, mount string) (string, error) {
	if h.own == nil {
		if err := h.readOwn("/proc/self/cgroup"); err != nil {
			return "", err
		}
	}
	own := path.Join("/", h.own[name])
	if own == "/" {
		return mount, nil
	}
	if dir := path.Join(mount, own); exists(dir) {
		return dir, nil
	}
	mounts, err := readMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != mount, false })
	if err != nil {
		return "", err
	}
	if n := len(mounts); n > 0 { // the last is on top: in a rootless container the host's own may lie below
		if rest, ok := strings.CutPrefix(own+"/", strings.TrimSuffix(mounts[n-1].Root, "/")+"/"); ok {
			if dir := path.Join(mount, rest); exists(dir) {
				return dir, nil
			}
		}
	}
	return "", hint.With(fmt.Errorf("own cgroup %s below %s: %w", own, mount, os.ErrNotExist), "give an absolute linux.cgroupsPath")
}

func (h *Host) readOwn(file string) error {
	text, err := readFile(file)
	if err != nil {
		return err
	}
	own := map[string]string{}
	for names, dir := range PathsOf(text) {
		for name := range strings.SplitSeq(names, ",") {
			own[name] = dir
		}
	}
	if len(own) == 0 {
		return errors.New("read " + file + ": no cgroup found")
	}
	h.own = own
	return nil
}
