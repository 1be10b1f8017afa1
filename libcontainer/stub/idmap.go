package stub

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

// noteJoined keeps the user namespace that a plan joins, for the mounts that take its mapping. The process that its path leads to may
// have entered another one by the time that they are made, with a mapping of its own choice.
func (i *Inputs) noteJoined(in plan.Input, f *os.File) (err error) {
	if i.wantsJoined && i.joined == nil && in.Type == unix.CLONE_NEWUSER && (in.Kind == plan.Namespace || in.Kind == plan.InitNamespace) {
		i.joined, err = sys.Duplicate(f)
	}
	return err
}

// mapMount maps the ids of a detached mount: mount_setattr(2), MOUNT_ATTR_IDMAP.
func (i *Inputs) mapMount(tree *os.File, in plan.Input) error {
	ns, err := i.namespace(in.IDMap)
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

// explainIDMap adds a hint. The kernel has EINVAL for a file system without FS_ALLOW_IDMAP, and EPERM for a caller that may not, and
// for a mount that is mapped already.
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

// fsTypeAt names the file system at a path for an error: mountinfo is not read otherwise.
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
func (i *Inputs) namespace(want *plan.IDMap) (ns *os.File, err error) {
	if want.Namespace != "" {
		if i.joined == nil {
			return nil, fmt.Errorf("map ids as %s does: it has not been opened", want.Namespace)
		}
		return i.joined, nil
	}
	key := fmt.Sprint(want.UIDs, want.GIDs)
	if ns = i.made[key]; ns != nil {
		return ns, nil
	}
	if ns, err = i.makeNamespace(&specs.Linux{UIDMappings: want.UIDs, GIDMappings: want.GIDs}); err != nil {
		return nil, err
	}
	if i.made == nil {
		i.made = map[string]*os.File{}
	}
	i.made[key] = ns
	return ns, nil
}

// makeNamespace has a stub enter a new user namespace, maps its ids, and keeps the namespace without the process.
func (i *Inputs) makeNamespace(maps *specs.Linux) (ns *os.File, err error) {
	conv, err := nsenter.Start(nsenter.Stdio{os.Stdin, os.Stdout, os.Stderr}, 0)
	if err != nil {
		return nil, err
	}
	s, err := Enter(conv, &plan.Plan{Items: []plan.Item{
		{Step: nsenter.Clone{Flags: unix.CLONE_NEWUSER, Kinds: "user", Cgroup: nsenter.NoSlot}},
		{Step: nsenter.Sync{Point: nsenter.SyncMapIDs}},
	}}, Options{})
	if err != nil {
		return nil, err
	}
	defer s.Abandon()
	if err := s.Until(nsenter.SyncMapIDs, None{}); err != nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	if err := i.MapIDs(s.pid, maps); err != nil {
		return nil, err
	}
	return sys.OpenKernelFile("/proc/"+strconv.Itoa(s.pid)+"/ns/user", unix.O_RDONLY)
}
