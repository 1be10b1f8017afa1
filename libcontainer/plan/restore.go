package plan

import (
	"path"

	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Mountpoints compiles a configuration into the plan of a process that does to the rootfs what Create does: it makes what is
// missing for mounts and devices, in the same order and by the same rules, in a mount namespace that ends with it. A restored
// container's own mounts are CRIU's business, which expects all of that to be there. At the end the process waits, so that
// the mounts can be looked at.
func Mountpoints(spec *specs.Spec, opts Options, facts Facts) (*Plan, error) {
	b := &builder{spec: spec, opts: opts, facts: facts}
	b.add("", nsenter.Inputs{})
	b.add("", nsenter.Clone{Flags: unix.CLONE_NEWNS, Kinds: string(specs.MountNamespace), Cgroup: nsenter.NoSlot})
	b.openAt = len(b.Items)
	if err := inOrder(b.root, b.mounts, b.devices, b.readonlyMounts); err != nil {
		return nil, err
	}
	b.add("", nsenter.Sync{Point: nsenter.SyncReady})
	if err := b.keepMounts(); err != nil {
		return nil, err
	}
	b.openInside()
	return &b.Plan, nil
}

// A Bind is a mount of the configuration that shows something of the host.
type Bind struct {
	Target    string // in the container
	Source    string // absolute
	Named     string // the same as it was given, which may hold ".."
	Recursive bool
}

// BindOf is what mount m binds; false if it is another kind of mount, or changes one that is there.
func BindOf(m specs.Mount, bundle string) (Bind, bool) {
	f := parseOptions(m.Options)
	if f.remount || !IsBind(m) {
		return Bind{}, false
	}
	return Bind{Target: path.Join("/", m.Destination), Named: bindSource(&m, bundle), Source: path.Clean(bindSource(&m, bundle)), Recursive: f.rbind}, true
}

// DevicePaths are where the devices of a container are, which may be bind mounts of the host's.
func DevicePaths(spec *specs.Spec) (paths []string) {
	for _, d := range defaultDevices {
		paths = append(paths, d.path)
	}
	for _, d := range spec.Linux.Devices {
		paths = append(paths, path.Join("/", d.Path))
	}
	return paths
}
