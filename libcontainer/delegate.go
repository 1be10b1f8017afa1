package libcontainer

import (
	"os"
	"path/filepath"
	"slices"

	"rt/cgroups"
	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// delegate gives a container that has a cgroup namespace of its own and a writable cgroup mount the v2 cgroup it
// sees there (config-linux.md, "Cgroup ownership").
func delegate(cg *cgroups.Cgroup, spec *specs.Spec) error {
	if cg.BornDir() == "" || len(cg.TaskFiles()) > 0 || !writesCgroups(spec) {
		return nil // cgroup v1 cannot be delegated safely
	}
	if os.Geteuid() != 0 {
		return nil // what a user made is his, and he can give nothing away
	}
	uid, ok := hostUID(spec)
	if !ok {
		return nil // nobody of the host
	}
	return cg.Delegate(uid)
}

func writesCgroups(spec *specs.Spec) bool {
	return bundle.MakesNamespace(spec, specs.CgroupNamespace) && slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return (m.Type == "cgroup" || m.Type == "cgroup2") && filepath.Join("/", m.Destination) == "/sys/fs/cgroup" &&
			!slices.Contains(m.Options, "ro") && !slices.Contains(m.Options, "rro")
	})
}

// hostUID is the host's id of the user that runs the container's process. false: it has none, or it is not known,
// in a user namespace joined by path.
func hostUID(spec *specs.Spec) (int, bool) {
	uid := spec.Process.User.UID
	if !bundle.HasNamespace(spec, specs.UserNamespace) {
		return int(uid), true
	}
	for _, m := range spec.Linux.UIDMappings {
		if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
			return int(m.HostID + uid - m.ContainerID), true
		}
	}
	return 0, false
}
