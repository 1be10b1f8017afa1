package libcontainer

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/criu"
	"rt/libcontainer/facts"
	"rt/libcontainer/notify"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What of the host is mounted in a container is not in its checkpoint, but a name that stands for it: the mount point, as runc
// has it. Dump and restore both find the mounts in a mount namespace that has them in place, of the container or of a process
// that has made its mount points.

// A mountTable is the mounts below a directory in the mount namespace of a process.
type mountTable struct {
	root   *os.File // the directory
	prefix string   // its path there, without a final slash
	byID   map[int]*mountinfo.Info
	list   []*mountinfo.Info
}

func readMounts(pid int, dir string) (*mountTable, error) {
	proc := "/proc/" + strconv.Itoa(pid)
	text, err := sys.ReadKernelFile(proc+"/mountinfo", maxFile)
	if err != nil {
		return nil, err
	}
	t := &mountTable{prefix: strings.TrimSuffix(dir, "/"), byID: map[int]*mountinfo.Info{}}
	if t.list, err = mountinfo.GetMountsFromReader(strings.NewReader(string(text)), nil); err != nil {
		return nil, fmt.Errorf("read %s/mountinfo: %w", proc, err)
	}
	for _, m := range t.list {
		t.byID[m.ID] = m
	}
	t.root, err = sys.Open(proc+"/root"+t.prefix, unix.O_PATH|unix.O_DIRECTORY)
	return t, err
}

func (t *mountTable) close() { t.root.Close() }

// at is the mount whose root is at a path of the container, links followed as the container would; nil if there is none.
func (t *mountTable) at(target string) (*mountinfo.Info, error) {
	st, err := t.look(target, unix.STATX_MNT_ID)
	if st == nil || err != nil {
		return nil, err
	}
	return t.byID[int(st.Mnt_id)], nil
}

// look is what statx(2) says of the root of a mount that is at a path of the container; nil if there is none.
func (t *mountTable) look(target string, mask int) (*unix.Statx_t, error) {
	f, err := sys.OpenAt(int(t.root.Fd()), target, unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil && !sys.Unseen(err) {
		return nil, nil
	}
	var st unix.Statx_t
	if err == nil {
		defer f.Close()
		err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, mask, &st)
	}
	if err != nil {
		return nil, fmt.Errorf("look for a mount at %s: %w", target, err)
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil, nil
	}
	return &st, nil
}

// name is a mount's point as the container sees it.
func (t *mountTable) name(m *mountinfo.Info) string {
	return path.Join("/", strings.TrimPrefix(m.Mountpoint, t.prefix))
}

// hasRootOf says whether the whole file system of a mount is mounted, too.
func (t *mountTable) hasRootOf(m *mountinfo.Info) bool {
	return slices.ContainsFunc(t.list, func(e *mountinfo.Info) bool { return e.Major == m.Major && e.Minor == m.Minor && e.Root == "/" })
}

// within lists the mounts that were mounted on top of m as part of its tree: not those that taken knows, nor what is on them.
func (t *mountTable) within(m *mountinfo.Info, taken map[int]bool) (list []*mountinfo.Info) {
	for _, e := range t.list {
		for up := e; up != nil && !(taken[up.ID] && up != m); up = t.byID[up.Parent] {
			if up == m {
				if e != m {
					list = append(list, e)
				}
				break
			}
			if up.Parent == up.ID {
				break
			}
		}
	}
	return list
}

// allAt is at for each of a list of paths.
func (t *mountTable) allAt(targets []string) (list []*mountinfo.Info, err error) {
	list = make([]*mountinfo.Info, len(targets))
	for i := range targets {
		if list[i], err = t.at(targets[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// An external is a mount of the host in a container: Key is its name, Value the path on the host.
type external struct {
	criu.Pair
	mount int    // of the configuration, or -1
	below string // where it lies in the tree of a recursive one, or ""
	attrs uint64 // MOUNT_ATTR_* that restrict it
}

// externals are the mounts of the host in a container.
func (c *container) externals(spec *specs.Spec, t *mountTable, view plan.CgroupView) (list []external, err error) {
	defer func() {
		for i := range list {
			if err == nil {
				err = checkpoint.CheckKey(list[i].Key)
			}
		}
	}()
	destinations, devices := make([]string, len(spec.Mounts)), plan.DevicePaths(spec)
	for i, m := range spec.Mounts {
		destinations[i] = path.Join("/", m.Destination)
	}
	found, err := t.allAt(slices.Concat(destinations, spec.Linux.MaskedPaths, devices, []string{notify.ContainerDir}))
	if err != nil {
		return nil, err
	}
	mounts, rest := found[:len(destinations)], found[len(destinations)+len(spec.Linux.MaskedPaths):]
	taken := map[int]bool{}
	for _, m := range found[:len(found)-len(rest)] {
		if m != nil {
			taken[m.ID] = true
		}
	}
	add := func(m *mountinfo.Info, source string, mount int, below string) {
		list = append(list, external{criu.Pair{Key: t.name(m), Value: source}, mount, below, checkpoint.Attributes(m)})
	}
	for i, p := range devices {
		if m := rest[i]; m != nil && !taken[m.ID] {
			taken[m.ID] = true
			add(m, p, -1, "")
		}
	}
	for _, m := range found[len(destinations) : len(found)-len(rest)] { // a mask by runc, whose images restore takes too: the host's null device
		if m != nil && !t.hasRootOf(m) {
			add(m, "/dev/null", -1, "")
		}
	}
	for i, m := range spec.Mounts {
		switch bind, ok := plan.BindOf(m, c.Bundle); {
		case mounts[i] == nil:
		case ok:
			add(mounts[i], bind.Source, i, "")
			if !bind.Recursive {
				continue
			}
			for _, sub := range t.within(mounts[i], taken) {
				below := strings.TrimPrefix(sub.Mountpoint, mounts[i].Mountpoint)
				if bundle.HasNamespace(spec, specs.UserNamespace) {
					return nil, hint.With(fmt.Errorf("mount at %s: CRIU restores no mount below the source of an rbind in a user namespace (/mounts/%d)", path.Join(bind.Source, below), i),
						"unmount it on the host, or configure bind instead of rbind: the kernel lets the root of a user namespace clone no mount without what covers a part of it")
				}
				add(sub, path.Join(bind.Source, below), i, below)
			}
		case m.Type == "cgroup" || m.Type == "cgroup2":
			for _, p := range t.cgroupBinds(mounts[i], spec, view) {
				list = append(list, external{p, -1, "", 0})
			}
		}
	}
	if m := rest[len(devices)]; m != nil && !taken[m.ID] {
		add(m, path.Join(c.Dir, state.NotifyDir), -1, "")
	}
	return list, nil
}

// cgroupBinds are the container's cgroups, where it has no cgroup namespace: then its mounts of them are the host's.
func (t *mountTable) cgroupBinds(top *mountinfo.Info, spec *specs.Spec, view plan.CgroupView) (list []criu.Pair) {
	if bundle.HasNamespace(spec, specs.CgroupNamespace) {
		return nil
	}
	if top.FSType == "cgroup2" || top.FSType == "cgroup" {
		return []criu.Pair{{Key: t.name(top), Value: view.Shown()}}
	}
	for _, h := range view.Hierarchies {
		list = append(list, criu.Pair{Key: path.Join(t.name(top), h.Dir), Value: h.Path})
	}
	return list
}

// cgroupBindView is what the container's mounts of cgroups show, if they are bind mounts.
func (c *container) cgroupBindView(spec *specs.Spec) (plan.CgroupView, error) {
	if bundle.HasNamespace(spec, specs.CgroupNamespace) || !facts.MountsCgroup(spec) {
		return plan.CgroupView{}, nil
	}
	host, err := cgroups.Probe()
	if err != nil {
		return plan.CgroupView{}, err
	}
	if _, err := c.cgroup(); err != nil {
		return plan.CgroupView{}, err
	}
	return c.cgroupView(host, facts.OwnPrivileges())
}

// externalNamespaces are those that the container joins and that stay outside of a checkpoint, with the names that runc
// gives them.
func externalNamespaces() map[specs.LinuxNamespaceType]string {
	return map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "extRootNetNS", specs.PIDNamespace: "extRootPidNS"}
}
