package plan

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"rt/internal/hint"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// AddMounts compiles mounts for a container that exists. spec is the container's configuration with its Mounts replaced by
// the new ones. All of them are made, or none.
func AddMounts(spec *specs.Spec, opts Options, facts Facts) (*Plan, error) {
	b, err := hotplug(spec, opts, facts)
	if err != nil {
		return nil, err
	}
	for i := range spec.Mounts {
		if err := hotMount(&spec.Mounts[i], fmt.Sprintf("/%d", i)); err != nil {
			return nil, err
		}
	}
	b.facts.Namespace &^= unix.CLONE_NEWPID // out of it nobody of the container sees the process
	binds := slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool { _, ok := BindOf(m, ""); return ok })
	if binds && (facts.Namespace&unix.CLONE_NEWUSER != 0 || facts.OpenInside) {
		b.addOpener()
	}
	b.joinUnseen()
	b.add("", nsenter.Undo{Proc: b.input(Input{Kind: Directory, Path: "/proc"})})
	before := len(b.Items)
	for i := range spec.Mounts {
		if err := b.mount(&spec.Mounts[i], fmt.Sprintf("/%d", i)); err != nil {
			return nil, err
		}
	}
	made := 0
	for _, it := range b.Items[before:] {
		if _, ok := it.Step.(nsenter.RequestTree); !ok {
			made++
		}
	}
	if made > nsenter.MaxUndo {
		return nil, fmt.Errorf("more than %d mounts at once cannot be undone", nsenter.MaxUndo)
	}
	_ = b.endOpener()                                 // never fails
	b.add("", nsenter.Sync{Point: nsenter.SyncReady}) // rt notes what was made; if it dies first, that is taken back
	if err := b.keepMounts(); err != nil {
		return nil, err
	}
	b.tellMounts()
	return &b.Plan, nil
}

// RemoveMounts compiles the end of mounts, the last one first. Nothing is unmounted if one of them is not there.
func RemoveMounts(spec *specs.Spec, opts Options, facts Facts) (*Plan, error) {
	b, err := hotplug(spec, opts, facts)
	if err != nil {
		return nil, err
	}
	b.facts.Namespace &= unix.CLONE_NEWNS | unix.CLONE_NEWUSER
	b.joinUnseen()
	b.add("", nsenter.Undo{Proc: b.input(Input{Kind: Directory, Path: "/proc"})}) // the descriptors' links, by which it unmounts
	for _, check := range []bool{true, false} {
		before := map[string]int{}
		for i, m := range slices.Backward(spec.Mounts) {
			target := path.Join("/", m.Destination)
			if err := removable(target, b.spec.Linux); err != nil {
				return nil, fmt.Errorf("/%d/destination: %w", i, err)
			}
			ids, n := facts.MountIDs[target], before[target]
			if n >= len(ids) {
				return nil, hint.With(fmt.Errorf("/%d: unmount %s: rt knows of no mount that it has made for that destination", i, target),
					"name the destination as it was given; of a container that was restored, or that an older rt has made, only what mounts add has mounted since can be unmounted")
			}
			before[target]++
			if n == 0 || !check { // not the one below that
				b.add(fmt.Sprintf("/%d", i), nsenter.Unmount{Target: target, Check: check, ID: ids[len(ids)-1-n]})
			}
		}
	}
	b.add("", nsenter.Sync{Point: nsenter.SyncReady, GoOn: true})
	return &b.Plan, nil
}

// Removed are the ids of the mounts that RemoveMounts unmounts.
func (p *Plan) Removed() (ids []uint64) {
	for _, it := range p.Items {
		if s, ok := it.Step.(nsenter.Unmount); ok && !s.Check {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func hotplug(spec *specs.Spec, opts Options, facts Facts) (*builder, error) {
	b := &builder{spec: spec, opts: opts, facts: facts, hot: true}
	if facts.Namespace&unix.CLONE_NEWNS == 0 {
		return nil, errors.New("the container has no mount namespace of its own: its mounts are the host's")
	}
	b.facts.Namespace &^= unix.CLONE_NEWTIME
	return b, nil
}

// pathless are the file systems that take neither a path nor a descriptor. Of others (overlay's lowerdir, a device, fd= of fuse) the
// kernel would look for those in the container, which could lead them to what is below a mask.
var pathless = map[string]bool{"tmpfs": true, "ramfs": true, "hugetlbfs": true, "mqueue": true, "devpts": true, "sysfs": true}

// hotMount refuses what could not be taken back, or what would look twice at a tree that changes.
func hotMount(m *specs.Mount, pointer string) error {
	f := parseOptions(m.Options)
	switch {
	case f.remount:
		return fmt.Errorf("%s/options: a mount that is there already cannot be changed", pointer)
	case f.copyLink:
		return fmt.Errorf("%s/options: a link cannot be taken back, so that copy-symlink is only for a container that is being created", pointer)
	case f.copyUp: // of what a running container might put in the place
		return fmt.Errorf("%s/options: tmpcopyup is only for a container that is being created", pointer)
	case m.Type == "proc": // it would take a process with descriptors of the host into the container's pid namespace
		return fmt.Errorf("%s/type: a procfs can be mounted only when the container is created", pointer)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		return fmt.Errorf("%s/type: cgroups can be mounted only when the container is created", pointer)
	case !IsBind(*m) && !pathless[m.Type]:
		return hint.With(fmt.Errorf("%s/type: a mount of type %s can be made only when the container is created", pointer, m.Type),
			"its source and its options may be paths, which would be those of the container: mount it on the host, and bind it")
	case hasLong(append(f.superblock, f.data...)) || len(m.Source) > maxOption && !IsBind(*m):
		return fmt.Errorf("%s/options: no option may be longer than %d bytes here", pointer, maxOption)
	}
	return nil
}

// removable says why a mount has to stay: the container's confinement hangs on it.
func removable(target string, l *specs.Linux) error {
	for _, dir := range []string{"/proc", "/sys"} {
		if target == dir || strings.HasPrefix(target, dir+"/") {
			return fmt.Errorf("%s cannot be unmounted", target)
		}
	}
	if target == "/" {
		return errors.New("the root cannot be unmounted")
	}
	for _, p := range slices.Concat(l.MaskedPaths, l.ReadonlyPaths) {
		if path.Join("/", p) == target {
			return hint.With(fmt.Errorf("%s cannot be unmounted", target), "linux.maskedPaths or linux.readonlyPaths protects it")
		}
	}
	return nil
}
