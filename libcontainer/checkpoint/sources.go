package checkpoint

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/criu"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// sources say what of the host may be mounted in a restored container. CRIU makes the mounts, as root and by paths.
type sources struct {
	list   []external // what of the host is mounted, by names that the images have
	inputs []plan.Input
	rules  mountRules

	dir, rootfs string // where the sources and the rootfs are mounted for CRIU
	criu        int    // pid
	staged      []staged
	slaves      slaves
	pinned      []*os.File
}

// findSources finds what of the host is to be mounted in the new container. runc's images know masks by another name.
func (r *Restoration) findSources(at *Mountpoints) (*sources, error) {
	mounts, err := readMounts(at.Pid, r.Rootfs)
	if err != nil {
		return nil, err
	}
	defer mounts.close()
	list, err := externals(r.Container, r.Spec, mounts, at.View)
	if err != nil {
		return nil, err
	}
	const null = "/dev/null"
	for _, p := range append([]string{null}, r.Spec.Linux.MaskedPaths...) {
		if p = path.Clean(p); !slices.ContainsFunc(list, func(e external) bool { return e.Key == p }) {
			list = append(list, external{criu.Pair{Key: p, Value: null}, -1, "", 0})
		}
	}
	for _, e := range list {
		if err := checkKey(e.Key); err != nil {
			return nil, err
		}
	}
	configured, err := configuredMounts(r.Spec, mounts)
	if err != nil {
		return nil, err
	}
	return &sources{list: list, inputs: at.Inputs, rules: mountRules{HostsIn: hostsIn(r.Spec), Mounts: configured}}, nil
}

// checkImages refuses what CRIU must not even try to mount.
func (s *sources) checkImages(images *criu.Directory) error {
	if err := images.CheckNames(); err != nil {
		return err
	}
	saved, err := images.ReadMounts()
	if err != nil {
		return err
	}
	list := make([][]savedMount, len(saved))
	for i := range saved {
		for _, m := range saved[i].Mounts {
			list[i] = append(list[i], savedMount{Type: m.Type, Device: m.Device, Mountpoint: m.Mountpoint, Source: m.Source, Options: m.Options,
				External: m.External, Key: m.Key})
		}
	}
	s.slaves = findSlaves(saved)
	return checkSaved(list, s.rules.Mounts)
}

// sourceTrees are the rootfs and what of the host is mounted in the container, as detached trees.
type sourceTrees struct {
	rootfs *os.File
	list   []*os.File // in the order of sources.list; nil for what lies below another one
}

func (s *sourceTrees) close() {
	s.rootfs.Close()
	closeAll(s.list)
}

// openSources opens the rootfs and the sources in CRIU's mount namespace, which the calling thread is in.
func (r *Restoration) openSources() (trees sourceTrees, err error) {
	if trees.rootfs, err = sys.OpenTree(r.Rootfs, true); err != nil || r.sources == nil {
		return trees, err
	}
	inputs := stub.Inputs{Own: openNothing, MapIDs: facts.MapIDs}
	defer inputs.Close()
	list := r.sources.list
	trees.list = make([]*os.File, len(list))
	for i := range list {
		if list[i].below == "" {
			if trees.list[i], err = r.sources.open(&list[i], &inputs); err != nil {
				return trees, err
			}
		}
	}
	return trees, nil
}

// openNothing is for plans without inputs that only their caller knows.
func openNothing(plan.Input) (*os.File, error) { return nil, unix.EINVAL }

// stage mounts the rootfs and the sources where CRIU is to find them. The calling thread is in CRIU's mount namespace. There a tmpfs covers
// --root, for no other user may enter that or the container's directory: CRIU opens sources as the root of the container's user namespace.
func (r *Restoration) stage(trees sourceTrees) (pairs []criu.Pair, err error) {
	s, root := r.sources, r.Session.opts.Root
	if s == nil {
		s = &sources{}
	}
	s.dir, s.rootfs = filepath.Join(r.Dir, state.CriuMounts), root
	if err := r.coverRoot(); err != nil {
		return nil, err
	}
	if err := sys.MakeDir(s.dir, 0o711); err != nil {
		return nil, err
	}
	if err := s.slaves.coverImages(r.Session.images, r.Dir); err != nil {
		return nil, err
	}
	if err := attachTree(trees.rootfs, root); err != nil {
		return nil, fmt.Errorf("mount rootfs %s: %w", r.Rootfs, err)
	}
	if pairs, err = s.attach(trees.list); err != nil || r.sources == nil {
		return nil, err
	}
	if err := s.pin("/proc/thread-self"); err != nil {
		return nil, err
	}
	return pairs, s.learn("/proc/thread-self") // after pin: what has gone before is not in the list, and nothing comes into a private namespace
}

// resolveCached is RESOLVE_CACHED of openat2(2): no file system is asked.
const resolveCached = 0x20

// pin holds the host's file systems that have no device, until the mounts have been compared: a file system that the container has made
// must not get the number of one that has gone. The copy of the mounts alone does not hold them: the kernel unmounts in all namespaces where
// a mount point is removed in one. What cannot be opened without waiting for a file system is not held.
func (s *sources) pin(proc string) error {
	list, err := mountsOf(proc)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Major != 0 || strings.HasPrefix(m.Mountpoint, s.dir+"/") || strings.HasPrefix(m.Mountpoint, s.rootfs) {
			continue // it has a device, or is not the host's
		}
		if f, err := sys.OpenAt(unix.AT_FDCWD, m.Mountpoint, unix.O_PATH|unix.O_NOFOLLOW, resolveCached); err == nil {
			s.pinned = append(s.pinned, f)
		}
	}
	return nil
}

// coverRoot covers the directory of all containers by a tmpfs, and makes a container's in it.
func (r *Restoration) coverRoot() error {
	over := r.Root
	if over == "/" { // a mount there would hide nothing from those who have it as their root
		over = r.Dir
	}
	if err := unix.Mount("tmpfs", over, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=711"); err != nil {
		return fmt.Errorf("mount a tmpfs for criu: %w", err)
	}
	if over == r.Dir {
		return nil
	}
	return sys.MakeDir(r.Dir, 0o711)
}

// attach mounts the sources, and opens those that lie below others.
func (s *sources) attach(trees []*os.File) (pairs []criu.Pair, err error) {
	within := map[int]string{} // where the tree of a bind mount of the configuration is
	for i, e := range s.list {
		at := filepath.Join(s.dir, strconv.Itoa(i))
		if e.below != "" {
			if trees[i], err = sys.OpenSubmount(within[e.mount] + e.below); err != nil {
				return nil, err
			}
		} else if e.mount >= 0 {
			within[e.mount] = at
		}
		// What is read-only in the container is so for CRIU, too: a link of the container may lead it here.
		if err := unix.MountSetattr(int(trees[i].Fd()), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: e.attrs}); err != nil {
			return nil, fmt.Errorf("set attributes of %s for criu: %w", e.Value, err)
		}
		if err := attachTree(trees[i], at); err != nil {
			return nil, fmt.Errorf("mount %s for criu: %w", e.Value, err)
		}
		pairs = append(pairs, criu.Pair{Key: e.Key, Value: at})
	}
	return pairs, nil
}

// open opens the source of a mount by the rules of create.
func (s *sources) open(e *external, inputs *stub.Inputs) (*os.File, error) {
	if e.mount >= 0 {
		pointer := fmt.Sprintf("/mounts/%d/source", e.mount)
		for _, in := range s.inputs {
			if in.Kind == plan.Tree && in.Pointer == pointer {
				return inputs.Open(in)
			}
		}
	}
	return sys.OpenTree(e.Value, false)
}

// attachTree mounts a detached tree at a path that is made for it.
func attachTree(tree *os.File, at string) error {
	var st unix.Stat_t
	err := unix.Fstat(int(tree.Fd()), &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		err = sys.MakeDir(at, 0o755)
	default:
		err = sys.CreateFile(at, nil, 0o600)
	}
	if err == nil {
		err = unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	return err
}

// learn reads what has been mounted below dir and at rootfs, by the mountinfo of a process: that, and no more of the host, may be in the
// container. A root in mountinfo is the path that the directory has now, so that this is read again when a container is compared: others may
// have renamed a directory above.
func (s *sources) learn(proc string) error {
	list, err := mountsOf(proc)
	if err != nil {
		return err
	}
	if s.rules.Host == nil {
		s.rules.Host = map[device]bool{}
	}
	s.rules.Sources, s.staged = nil, nil
	for _, m := range list {
		name, isSource := strings.CutPrefix(m.Mountpoint, s.dir+"/")
		target, isRoot := strings.CutPrefix(m.Mountpoint, s.rootfs)
		source := hostSource{Device: deviceOf(m), Root: m.Root}
		switch {
		case isSource:
			name, below, _ := strings.Cut(name, "/")
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(s.list) {
				return fmt.Errorf("mount sources for criu: there is a mount at %s", m.Mountpoint)
			}
			if below != "" {
				continue // one of the list as well, if the container had it
			}
			source.Target, source.Attrs = s.list[i].Key, s.list[i].attrs
		case isRoot && (target == "" || target[0] == '/'):
			source.Target = path.Join("/", target)
		default:
			s.rules.Host[source.Device] = true
			continue
		}
		s.rules.Sources = append(s.rules.Sources, source)
		s.staged = append(s.staged, staged{source.Target, m})
	}
	return nil
}

// configuredMounts are the file systems that the configuration mounts, by where they are in the container now.
func configuredMounts(spec *specs.Spec, t *mountTable) (list []fileSystem, err error) {
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if plan.IsBind(*m) {
			continue
		}
		at, err := t.at(path.Join("/", m.Destination))
		if err != nil {
			return nil, err
		}
		if at != nil {
			list = append(list, fileSystem{Target: t.name(at), Type: m.Type, Source: m.Source, Options: m.Options})
		}
	}
	return list, nil
}

// hostsIn are the types of which a container shows the host's own instance, for it has no such namespace.
func hostsIn(spec *specs.Spec) map[string]bool {
	return map[string]bool{"proc": !bundle.HasNamespace(spec, specs.PIDNamespace), "sysfs": !bundle.HasNamespace(spec, specs.NetworkNamespace),
		"mqueue": !bundle.HasNamespace(spec, specs.IPCNamespace)}
}
