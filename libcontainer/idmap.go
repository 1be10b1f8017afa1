package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/plan"
	"rt/nsenter"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// idMaps are the user namespaces that id-mapped mounts take their mappings from.
type idMaps struct {
	made   map[string]*os.File // one for each mapping
	joined *os.File            // the one that the plan joins, or nil
	wanted bool                // a mount takes the mapping of that
}

func (m *idMaps) close() {
	for _, f := range m.made {
		f.Close()
	}
	if m.joined != nil {
		m.joined.Close()
	}
	m.made, m.joined = nil, nil
}

// note keeps the user namespace that a plan joins, for the mounts that take its mapping. The process that its path leads to may have
// entered another one by the time that they are made, with a mapping of its own choice.
func (m *idMaps) note(in plan.Input, f *os.File) (err error) {
	if m.wanted && m.joined == nil && in.Type == unix.CLONE_NEWUSER && (in.Kind == plan.Namespace || in.Kind == plan.InitNamespace) {
		m.joined, err = sys.Duplicate(f)
	}
	return err
}

// apply maps the ids of a detached tree: mount_setattr(2), MOUNT_ATTR_IDMAP.
func (m *idMaps) apply(tree *os.File, in plan.Input) error {
	ns, err := m.namespace(in.IDMap)
	if err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	flags := uint(unix.AT_EMPTY_PATH)
	if in.IDMap.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(int(tree.Fd()), "", flags, &attr); err != nil {
		return explainIDMap(err, in)
	}
	return nil
}

// explainIDMap: the kernel has EINVAL for a file system without FS_ALLOW_IDMAP, and EPERM for who may not, and for a
// mount that is mapped already.
func explainIDMap(err error, in plan.Input) error {
	fstype := ""
	if in.FS != nil {
		fstype = in.FS.Type
	} else {
		fstype = fsTypeAt(in.Path)
	}
	failed := fmt.Errorf("id-map %s (%s): %w", in.Path, fstype, err)
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return failed
	}
	if text := idMapHint(errno, fstype, in.IDMap.Recursive && in.Recursive); text != "" {
		return hint.With(failed, text)
	}
	return failed
}

func idMapHint(errno unix.Errno, fstype string, recursive bool) string {
	switch {
	case errno == unix.EINVAL && recursive:
		return "the file system, or one of those mounted below it, does not support id-mapped mounts; idmap instead of ridmap maps the top only"
	case errno == unix.EINVAL:
		return "file systems of type " + fstype + " do not support id-mapped mounts on this kernel"
	case errno == unix.EPERM:
		return "it takes root outside of any user namespace, and a mount that is not id-mapped already"
	}
	return ""
}

// fsTypeAt is for an error: mountinfo is not read otherwise.
func fsTypeAt(path string) string {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil {
		return "unknown"
	}
	found, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return uint64(i.ID) != st.Mnt_id, uint64(i.ID) == st.Mnt_id
	})
	if err != nil || len(found) == 0 {
		return "unknown"
	}
	return found[0].FSType
}

// namespace is a user namespace with a mapping: the one that the plan joins, or one that a short-lived process makes.
func (m *idMaps) namespace(want *plan.IDMap) (ns *os.File, err error) {
	if want.Namespace != "" {
		if m.joined == nil {
			return nil, fmt.Errorf("map ids as %s does: it has not been opened", want.Namespace)
		}
		return m.joined, nil
	}
	key := fmt.Sprint(want.UIDs, want.GIDs)
	if ns = m.made[key]; ns != nil {
		return ns, nil
	}
	if ns, err = makeUserNamespace(&specs.Linux{UIDMappings: want.UIDs, GIDMappings: want.GIDs}); err != nil {
		return nil, err
	}
	if m.made == nil {
		m.made = map[string]*os.File{}
	}
	m.made[key] = ns
	return ns, nil
}

// makeUserNamespace has a stub enter a new user namespace, maps its ids, and keeps the namespace without the process.
func makeUserNamespace(maps *specs.Linux) (ns *os.File, err error) {
	stub, err := nsenter.Start(callerStdio(), 0)
	if err != nil {
		return nil, err
	}
	in, err := enter(stub, &plan.Plan{Items: []plan.Item{
		{Step: nsenter.Clone{Flags: unix.CLONE_NEWUSER, Kinds: "user", Cgroup: nsenter.NoSlot}},
		{Step: nsenter.Sync{Point: nsenter.SyncMapIDs}},
	}}, nil)
	if err != nil {
		return nil, err
	}
	defer in.abandon()
	if err := in.until(nsenter.SyncMapIDs, nil); err != nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	if err := ownPrivileges().mapIDs(in.pid, maps); err != nil {
		return nil, err
	}
	return sys.OpenKernelFile("/proc/"+strconv.Itoa(in.pid)+"/ns/user", unix.O_RDONLY)
}

// newFS makes a file system outside, as the host's root.
func newFS(fs *plan.NewMount) (*os.File, error) {
	options := make([]sys.FSOption, len(fs.Options))
	for i, o := range fs.Options {
		options[i] = sys.FSOption{Key: o.Key, Value: o.Value}
	}
	return sys.NewFS(fs.Type, options, int(fs.Attrs))
}
