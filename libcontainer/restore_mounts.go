package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rt/internal/bug"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/criu"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A restored container's mounts are made by CRIU, as root and by paths. restoredMounts says what they may be.
type restoredMounts struct {
	list   []external // what of the host is mounted, by names that the images have
	inputs []plan.Input
	rules  checkpoint.Rules

	dir, rootfs string // where the sources and the rootfs are mounted for CRIU
	criu        int    // pid
	staged      []staged
	slaves      slaves
	pinned      []*os.File
}

// checkImages refuses what CRIU must not even try to mount.
func (r *restoredMounts) checkImages(images *criu.Directory) error {
	if err := images.CheckNames(); err != nil {
		return err
	}
	saved, err := images.ReadMounts()
	if err != nil {
		return err
	}
	list := make([][]checkpoint.Saved, len(saved))
	for i := range saved {
		for _, m := range saved[i].Mounts {
			list[i] = append(list[i], checkpoint.Saved{Type: m.Type, Device: m.Device, Mountpoint: m.Mountpoint, Source: m.Source, Options: m.Options,
				External: m.External, Key: m.Key})
		}
	}
	r.slaves = findSlaves(saved)
	return checkpoint.CheckImages(list, r.rules.Mounts)
}

// sourceTrees are the rootfs and what of the host is mounted in the container, as detached trees.
type sourceTrees struct {
	rootfs *os.File
	list   []*os.File // in the order of restoredMounts.list; nil for what lies below another one
}

func (s *sourceTrees) close() {
	s.rootfs.Close()
	closeAll(s.list)
}

// openSources opens the rootfs and the sources in CRIU's mount namespace, which the calling thread is in.
func (k *making) openSources() (s sourceTrees, err error) {
	if s.rootfs, err = sys.OpenTree(k.c.Rootfs, true); err != nil || k.sources == nil {
		return s, err
	}
	r, inputs := k.sources, stub.Inputs{Own: openNothing, MapIDs: facts.MapIDs}
	defer inputs.Close()
	s.list = make([]*os.File, len(r.list))
	for i := range r.list {
		if r.list[i].below == "" {
			if s.list[i], err = r.open(&r.list[i], &inputs); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// stage mounts the rootfs and the sources where CRIU is to find them. The calling thread is in CRIU's mount namespace. There a tmpfs covers
// --root, for no other user may enter that or the container's directory: CRIU opens sources as the root of the container's user namespace.
func (k *making) stage(trees sourceTrees, root string, images *criu.Directory) (pairs []criu.Pair, err error) {
	r := k.sources
	if r == nil {
		r = &restoredMounts{}
	}
	r.dir, r.rootfs = filepath.Join(k.c.Dir, state.CriuMounts), root
	if err := coverRoot(k.c); err != nil {
		return nil, err
	}
	if err := sys.MakeDir(r.dir, 0o711); err != nil {
		return nil, err
	}
	if err := r.slaves.coverImages(images, k.c.Dir); err != nil {
		return nil, err
	}
	if err := attachTree(trees.rootfs, root); err != nil {
		return nil, fmt.Errorf("mount rootfs %s: %w", k.c.Rootfs, err)
	}
	if pairs, err = r.attach(trees.list); err != nil || k.sources == nil {
		return nil, err
	}
	if err := r.pin("/proc/thread-self"); err != nil {
		return nil, err
	}
	return pairs, r.learn("/proc/thread-self") // after pin: what has gone before is not in the list, and nothing comes into a private namespace
}

// resolveCached is RESOLVE_CACHED of openat2(2): no file system is asked.
const resolveCached = 0x20

// pin holds the host's file systems that have no device, until the mounts have been compared: a file system that the container has made
// must not get the number of one that has gone. The copy of the mounts alone does not hold them: the kernel unmounts in all namespaces where
// a mount point is removed in one. What cannot be opened without waiting for a file system is not held.
func (r *restoredMounts) pin(proc string) error {
	list, err := mountsOf(proc)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Major != 0 || strings.HasPrefix(m.Mountpoint, r.dir+"/") || strings.HasPrefix(m.Mountpoint, r.rootfs) {
			continue // it has a device, or is not the host's
		}
		if f, err := sys.OpenAt(unix.AT_FDCWD, m.Mountpoint, unix.O_PATH|unix.O_NOFOLLOW, resolveCached); err == nil {
			r.pinned = append(r.pinned, f)
		}
	}
	return nil
}

// coverRoot covers the directory of all containers by a tmpfs, and makes a container's in it.
func coverRoot(c *container) error {
	over := c.rt.Dir
	if over == "/" { // a mount there would hide nothing from those who have it as their root
		over = c.Dir
	}
	if err := unix.Mount("tmpfs", over, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=711"); err != nil {
		return fmt.Errorf("mount a tmpfs for criu: %w", err)
	}
	if over == c.Dir {
		return nil
	}
	return sys.MakeDir(c.Dir, 0o711)
}

// attach mounts the sources, and opens those that lie below others.
func (r *restoredMounts) attach(trees []*os.File) (pairs []criu.Pair, err error) {
	within := map[int]string{} // where the tree of a bind mount of the configuration is
	for i, e := range r.list {
		at := filepath.Join(r.dir, strconv.Itoa(i))
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
func (r *restoredMounts) open(e *external, inputs *stub.Inputs) (*os.File, error) {
	if e.mount >= 0 {
		pointer := fmt.Sprintf("/mounts/%d/source", e.mount)
		for _, in := range r.inputs {
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
func (r *restoredMounts) learn(proc string) error {
	list, err := mountsOf(proc)
	if err != nil {
		return err
	}
	if r.rules.Host == nil {
		r.rules.Host = map[checkpoint.Device]bool{}
	}
	r.rules.Sources, r.staged = nil, nil
	for _, m := range list {
		name, isSource := strings.CutPrefix(m.Mountpoint, r.dir+"/")
		target, isRoot := strings.CutPrefix(m.Mountpoint, r.rootfs)
		source := checkpoint.Source{Device: checkpoint.DeviceOf(m), Root: m.Root}
		switch {
		case isSource:
			name, below, _ := strings.Cut(name, "/")
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(r.list) {
				return fmt.Errorf("mount sources for criu: there is a mount at %s", m.Mountpoint)
			}
			if below != "" {
				continue // one of the list as well, if the container had it
			}
			source.Target, source.Attrs = r.list[i].Key, r.list[i].attrs
		case isRoot && (target == "" || target[0] == '/'):
			source.Target = path.Join("/", target)
		default:
			r.rules.Host[source.Device] = true
			continue
		}
		r.rules.Sources = append(r.rules.Sources, source)
		r.staged = append(r.staged, staged{source.Target, m})
	}
	return nil
}

// mountsOf reads the mountinfo of a process's directory.
func mountsOf(proc string) ([]*mountinfo.Info, error) {
	text, err := sys.ReadKernelFile(proc+"/mountinfo", maxFile)
	if err != nil {
		return nil, err
	}
	return parseMounts(text, proc)
}

func parseMounts(text []byte, proc string) ([]*mountinfo.Info, error) {
	list, err := mountinfo.GetMountsFromReader(strings.NewReader(string(text)), nil)
	if err != nil {
		return nil, fmt.Errorf("read %s/mountinfo: %w", proc, err)
	}
	return list, nil
}

// configuredMounts are the file systems that the configuration mounts, by where they are in the container now.
func configuredMounts(spec *specs.Spec, t *mountTable) (list []checkpoint.FileSystem, err error) {
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
			list = append(list, checkpoint.FileSystem{Target: t.name(at), Type: m.Type, Source: m.Source, Options: m.Options})
		}
	}
	return list, nil
}

// hostsIn are the types of which a container shows the host's own instance, for it has no such namespace.
func hostsIn(spec *specs.Spec) map[string]bool {
	return map[string]bool{"proc": !bundle.HasNamespace(spec, specs.PIDNamespace), "sysfs": !bundle.HasNamespace(spec, specs.NetworkNamespace),
		"mqueue": !bundle.HasNamespace(spec, specs.IPCNamespace)}
}

// A taskMounts is the mount namespace of a thread.
type taskMounts struct {
	task string // directory below /proc
	list []*mountinfo.Info
}

// mountNamespaces are those of the threads of some processes, in their order. With alive a process that has ended meanwhile is an error,
// and so is a mount that a thread sees and the root of its mount namespace does not lead to.
func mountNamespaces(pids []int, alive bool) (found []taskMounts, err error) {
	known := map[string]map[int]bool{} // by namespace: ids of its mounts
	err = eachTask(pids, alive, func(task string) error {
		name, err := os.Readlink(task + "/ns/mnt")
		if err != nil {
			return err
		}
		if known[name] == nil {
			list, err := allMounts(task)
			if err != nil {
				return err
			}
			found = append(found, taskMounts{task, list})
			known[name] = map[int]bool{}
			for _, m := range list {
				known[name][m.ID] = true
			}
		}
		if !alive {
			return nil
		}
		return seesOnly(task, known[name])
	})
	return found, err
}

// allMounts lists the mounts of a thread's mount namespace from its root on: in the thread's own mountinfo is only what is below the
// thread's root, which chroot(2) changes.
func allMounts(task string) (list []*mountinfo.Info, err error) {
	proc, err := sys.Open("/proc", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	err = inMountNamespace(task, func() error {
		text, err := sys.ReadKernelFileAt(int(proc.Fd()), "thread-self/mountinfo", maxFile)
		if err == nil {
			list, err = parseMounts(text, task)
		}
		return err
	})
	return list, err
}

// inMountNamespace calls f at the root of a thread's mount namespace.
func inMountNamespace(task string, f func() error) (err error) {
	ns, err := sys.OpenKernelFile(task+"/ns/mnt", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer ns.Close()
	sys.OnThread(func() {
		defer bug.Catch(&err)
		if err = unix.Unshare(unix.CLONE_FS); err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)
		}
		if err == nil {
			err = f()
		}
	})
	return err
}

// seesOnly refuses a mount that a thread sees and that is not known: what is mounted on the root of a mount namespace hides others from
// those who enter it, and not from those who were there before.
func seesOnly(task string, known map[int]bool) error {
	list, err := mountsOf(task)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !known[m.ID] {
			return fmt.Errorf("a mount at %s is hidden from the root of its mount namespace", m.Mountpoint)
		}
	}
	return nil
}

// eachTask calls f with the directory below /proc of each thread of some processes.
func eachTask(pids []int, alive bool, f func(task string) error) error {
	gone := func(err error) bool {
		return !alive && (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL))
	}
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid) + "/task"
		threads, err := sys.ReadDir(dir)
		if err != nil && !gone(err) {
			return fmt.Errorf("list the threads of process %d: %w", pid, err)
		}
		for _, thread := range threads {
			task := dir + "/" + thread.Name()
			dead, err := isZombie(task)
			if err == nil && !dead {
				err = f(task)
			}
			if err != nil && !gone(err) {
				return err
			}
		}
	}
	return nil
}

// isZombie: it has no namespaces any more.
func isZombie(task string) (bool, error) {
	text, err := sys.ReadKernelFile(task+"/stat", 4096)
	if err != nil {
		return false, err
	}
	rest := string(text)
	rest = strings.TrimLeft(rest[strings.LastIndexByte(rest, ')')+1:], " ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X"), nil
}

// checkRoot refuses an init whose root is another than that of its mount namespace, as CRIU does at the dump: masks and what else the
// configuration has at a path would be looked for below that root.
func (k *restored) checkRoot(root *os.File) error {
	var has, want unix.Statx_t
	const mask = unix.STATX_INO | unix.STATX_MNT_ID
	if err := unix.Statx(int(root.Fd()), "", unix.AT_EMPTY_PATH, mask, &has); err != nil {
		return fmt.Errorf("look at init's root: statx: %w", err)
	}
	err := inMountNamespace("/proc/"+strconv.Itoa(k.init), func() error { return unix.Statx(unix.AT_FDCWD, "/", 0, mask, &want) })
	if err != nil {
		return fmt.Errorf("look at the root of init's mount namespace: %w", err)
	}
	if has.Mnt_id != want.Mnt_id || has.Ino != want.Ino {
		return errors.New("init has another root than its mount namespace")
	}
	return nil
}

// compareMounts compares every mount of a restored container with the configuration, and gives each the attributes that it is to have.
// No process of the container runs: CRIU waits at post-restore.
func (k *restored) compareMounts() error {
	r := k.sources
	if r == nil {
		return nil
	}
	table, err := readMounts(k.init, "")
	if err != nil {
		return err
	}
	defer table.close()
	if err := k.checkRoot(table.root); err != nil {
		return err
	}
	if r.rules.Mounts, err = configuredMounts(k.spec, table); err != nil {
		return err
	}
	if err := r.learn("/proc/" + strconv.Itoa(r.criu)); err != nil {
		return fmt.Errorf("read the mounts of criu: %w", err)
	}
	if len(r.rules.Cgroups) == 0 { // it has none of its own
		if r.rules.Cgroups, err = cgroupsOf(k.init); err != nil {
			return err
		}
	}
	all, err := mountNamespaces(k.pids, true)
	closeAll(r.pinned)
	r.pinned = nil
	if err != nil {
		return fmt.Errorf("read the mounts of the restored container: %w", err)
	}
	for _, ns := range all {
		if err := r.rules.Check(ns.list); err != nil {
			return err
		}
		if err := strengthen(ns.task, r.rules.Weaker(ns.list)); err != nil {
			return err
		}
		if err := r.enslave(ns); err != nil {
			return err
		}
	}
	return k.noteRestored(table)
}

// cgroupsOf are those of a process's cgroups.
func cgroupsOf(pid int) ([]checkpoint.Cgroup, error) {
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(pid)+"/cgroup", maxFile)
	return checkpoint.ParseCgroups(string(text)), err
}

// mountID asks statx(2) for the id that the stub tells, too: one that is never used again, from Linux 6.8 on.
const mountID = unix.STATX_MNT_ID | unix.STATX_MNT_ID_UNIQUE

// noteRestored notes which mounts are those of the configuration, as create does. The next checkpoint compares them.
func (k *making) noteRestored(table *mountTable) error {
	c := k.c
	c.Mounts = map[string]string{}
	for i := range k.spec.Mounts {
		target := path.Join("/", k.spec.Mounts[i].Destination)
		st, err := table.look(target, mountID)
		if err != nil {
			return err
		}
		if st != nil {
			c.Mounts[target] = strconv.FormatUint(st.Mnt_id, 10)
		}
	}
	return nil
}

// strengthen adds attributes to mounts of the mount namespace of a thread, each by its own descriptor.
func strengthen(task string, list []checkpoint.Weaker) error {
	if len(list) == 0 {
		return nil
	}
	return inMountNamespace(task, func() error {
		for i := range list {
			if err := addAttributes(&list[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// openMount opens a mount of the calling thread's mount namespace by its mount point, and compares its id.
func openMount(mountpoint string, id int) (*os.File, error) {
	f, err := sys.OpenAt(unix.AT_FDCWD, mountpoint, unix.O_PATH, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return nil, err
	}
	var st unix.Statx_t
	err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	if err == nil && st.Mnt_id != uint64(id) {
		err = unix.ESTALE
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "look for the mount at", Path: mountpoint, Err: err}
	}
	return f, nil
}

func addAttributes(w *checkpoint.Weaker) error {
	f, err := openMount(w.Mountpoint, w.ID)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: w.Missing})
	if errors.Is(err, unix.EBUSY) {
		return hint.With(fmt.Errorf("make the mount at %s read-only again: %w", w.Mountpoint, err), "the container has a file there open for writing, which the configuration does not allow")
	}
	if err != nil {
		return fmt.Errorf("give the mount at %s its attributes: %w", w.Mountpoint, err)
	}
	return nil
}

// checkMounts refuses what restore could not bring back: file systems whose options name paths, and a source that lies at the place of
// another: CRIU knows mounts by their mount points, which the container can move by renaming directories above them.
func (c *container) checkMounts(spec *specs.Spec, table *mountTable) error {
	host, err := mountsOf("/proc/self")
	if err != nil {
		return err
	}
	known := map[checkpoint.Device]bool{}
	for _, m := range host {
		known[checkpoint.DeviceOf(m)] = true
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
			known[checkpoint.DeviceOf(rootOf(ns.list))] = true
		}
	}
	for _, ns := range all {
		if err := checkpoint.CheckDump(ns.list, known, configured); err != nil {
			return err
		}
	}
	return c.sameSources(spec, table)
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

// sameSources: what is mounted at the place of a source is that source.
func (c *container) sameSources(spec *specs.Spec, table *mountTable) error {
	ids, err := c.mountIDs()
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

// shows says whether what is at a path of the container is what is at a path of the host.
func (t *mountTable) shows(target, source string) (bool, error) {
	f, err := sys.OpenAt(int(t.root.Fd()), target, unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var there, want unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &there); err != nil {
		return false, &os.PathError{Op: "stat", Path: target, Err: err}
	}
	if err := unix.Stat(source, &want); err != nil {
		return false, &os.PathError{Op: "stat", Path: source, Err: err}
	}
	return there.Dev == want.Dev && there.Ino == want.Ino, nil
}
