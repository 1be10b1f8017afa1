package facts

import (
	"maps"
	"path/filepath"
	"slices"

	"rt/cgroups"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ViewOf is what the mounts of type cgroup of a container in cg are to show: its own cgroup or, if it has none, rt's, read-only.
func ViewOf(host *cgroups.Host, cg *cgroups.Cgroup, p Privileges) (plan.CgroupView, error) {
	if len(cg.Paths()) > 0 {
		return viewOf(host, cg, p), nil
	}
	own, err := cgroups.Own(host)
	if err != nil {
		return plan.CgroupView{}, err
	}
	view := viewOf(host, own, p)
	view.Foreign, view.Whole = true, ""
	return view, nil
}

func viewOf(host *cgroups.Host, cg *cgroups.Cgroup, p Privileges) plan.CgroupView {
	paths := cg.Paths()
	view := plan.CgroupView{V2: host.Mode == cgroups.V2, Path: paths[""]}
	if p.HostRoot() {
		view.Whole = host.Unified
	}
	if view.V2 {
		return view
	}
	byMount := make(map[string][]string)
	for controller, mount := range host.V1 {
		if paths[controller] != "" {
			byMount[mount] = append(byMount[mount], controller)
		}
	}
	for _, mount := range slices.Sorted(maps.Keys(byMount)) {
		names := byMount[mount]
		slices.Sort(names)
		view.Hierarchies = append(view.Hierarchies, plan.Hierarchy{
			Dir: filepath.Base(mount), Controllers: names, Path: paths[names[0]],
		})
	}
	return view
}

// MountsCgroup says whether the configuration has a mount of type cgroup.
func MountsCgroup(spec *specs.Spec) bool {
	for _, m := range spec.Mounts {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			return true
		}
	}
	return false
}
