package place

import (
	"os"
	"path/filepath"
	"slices"

	"rt/cgroups"
	"rt/libcontainer/bundle"
	"rt/libcontainer/facts"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// delegate gives a container that has a cgroup namespace of its own and a writable cgroup mount the v2 cgroup it
// sees there (config-linux.md, "Cgroup ownership").
func delegate(cg *cgroups.Cgroup, spec *specs.Spec) error {
	if cg.BornDir() == "" || len(cg.TaskFiles()) > 0 || !writesCgroups(spec) {
		return nil // cgroup v1 cannot be delegated safely
	}
	if os.Geteuid() != 0 {
		return nil // a user cannot give away what it has made
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
	host, ok := facts.OuterID(spec.Linux.UIDMappings, uid)
	return int(host), ok
}
