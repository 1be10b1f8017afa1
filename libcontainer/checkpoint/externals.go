package checkpoint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"rt/internal/hint"
	"rt/libcontainer/bundle"
	"rt/libcontainer/criu"
	"rt/libcontainer/notify"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A checkpoint does not hold what of the host is mounted in a container, but a name for it: its mount point, as with runc. Dump and restore
// find the mounts in a mount namespace that has them in place: that of the container, or of a process that has made its mount points.

// An external is a mount of the host in a container: Key is its name, Value the path on the host.
type external struct {
	criu.Pair
	mount int    // of the configuration, or -1
	below string // where it lies in the tree of a recursive one, or ""
	attrs uint64 // MOUNT_ATTR_* that restrict it
}

// externals are the mounts of the host in a container.
func externals(c *state.Container, spec *specs.Spec, t *mountTable, view plan.CgroupView) (list []external, err error) {
	defer func() {
		for i := range list {
			if err == nil {
				err = checkKey(list[i].Key)
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
		list = append(list, external{criu.Pair{Key: t.name(m), Value: source}, mount, below, attributesOf(m)})
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

// externalNamespaces are those that the container joins and that stay outside of a checkpoint, with the names that runc
// gives them.
func externalNamespaces() map[specs.LinuxNamespaceType]string {
	return map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "extRootNetNS", specs.PIDNamespace: "extRootPidNS"}
}
