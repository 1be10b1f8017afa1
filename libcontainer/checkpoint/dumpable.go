package checkpoint

import (
	"fmt"
	"path"
	"slices"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// checkMounts refuses what restore could not bring back: file systems whose options name paths, and a source that lies at the place of
// another: CRIU knows mounts by their mount points, which the container can move by renaming directories above them.
func checkMounts(c *state.Container, spec *specs.Spec, table *mountTable) error {
	host, err := mountsOf("/proc/self")
	if err != nil {
		return err
	}
	known := map[device]bool{}
	for _, m := range host {
		known[deviceOf(m)] = true
	}
	configured, err := configuredMounts(spec, table)
	if err != nil {
		return err
	}
	pids, err := sys.Descendants(c.Pid)
	if err != nil {
		return fmt.Errorf("list the container's processes: %w", err)
	}
	all, err := mountNamespaces(pids, false)
	if err != nil {
		return fmt.Errorf("read the container's mounts: %w", err)
	}
	for _, ns := range all {
		if len(ns.list) > 0 {
			known[deviceOf(rootOf(ns.list))] = true
		}
	}
	for _, ns := range all {
		if err := checkDump(ns.list, known, configured); err != nil {
			return err
		}
	}
	return checkSources(c, spec, table)
}

// rootOf is the mount at /.
func rootOf(list []*mountinfo.Info) *mountinfo.Info {
	for _, m := range slices.Backward(list) {
		if m.Mountpoint == "/" {
			return m
		}
	}
	return list[0]
}

// checkSources compares what is mounted at the place of each source with that source.
func checkSources(c *state.Container, spec *specs.Spec, table *mountTable) error {
	ids, err := c.MountIDs()
	if err != nil {
		return err
	}
	for i, m := range spec.Mounts {
		bind, ok := plan.BindOf(m, c.Bundle)
		if !ok {
			continue
		}
		target := path.Join("/", m.Destination)
		at, err := table.look(target, mountID)
		if err != nil {
			return err
		}
		if at == nil {
			continue
		}
		same := slices.Contains(ids[target], at.Mnt_id)
		if len(ids[target]) == 0 { // made by an rt that did not note them
			if same, err = table.shows(target, bind.Source); err != nil {
				return err
			}
		}
		if !same {
			return hint.With(fmt.Errorf("what is mounted at %s is not %s, which the configuration has there (/mounts/%d)", target, bind.Source, i),
				"the container has moved or covered the mount: its checkpoint would be restored with another source there")
		}
	}
	return nil
}
