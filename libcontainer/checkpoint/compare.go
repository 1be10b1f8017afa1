package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// checkRoot refuses an init whose root is another than that of its mount namespace, as CRIU does at the dump: masks and what else the
// configuration has at a path would be looked for below that root.
func (r *restored) checkRoot(root *os.File) error {
	var has, want unix.Statx_t
	const mask = unix.STATX_INO | unix.STATX_MNT_ID
	if err := unix.Statx(int(root.Fd()), "", unix.AT_EMPTY_PATH, mask, &has); err != nil {
		return fmt.Errorf("look at init's root: statx: %w", err)
	}
	err := inMountNamespace("/proc/"+strconv.Itoa(r.init), func() error { return unix.Statx(unix.AT_FDCWD, "/", 0, mask, &want) })
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
func (r *restored) compareMounts() error {
	s := r.sources
	if s == nil {
		return nil
	}
	table, err := readMounts(r.init, "")
	if err != nil {
		return err
	}
	defer table.close()
	if err := r.checkRoot(table.root); err != nil {
		return err
	}
	if s.rules.Mounts, err = configuredMounts(r.Spec, table); err != nil {
		return err
	}
	if err := s.learn("/proc/" + strconv.Itoa(s.criu)); err != nil {
		return fmt.Errorf("read the mounts of criu: %w", err)
	}
	if len(s.rules.Cgroups) == 0 { // it has none of its own
		if s.rules.Cgroups, err = cgroupsOf(r.init); err != nil {
			return err
		}
	}
	all, err := mountNamespaces(r.pids, true)
	closeAll(s.pinned)
	s.pinned = nil
	if err != nil {
		return fmt.Errorf("read the mounts of the restored container: %w", err)
	}
	for _, ns := range all {
		if err := s.rules.check(ns.list); err != nil {
			return err
		}
		if err := strengthen(ns.task, s.rules.weaker(ns.list)); err != nil {
			return err
		}
		if err := s.enslave(ns); err != nil {
			return err
		}
	}
	return r.recordMounts(table)
}

// cgroupsOf are those of a process's cgroups.
func cgroupsOf(pid int) ([]cgroupPath, error) {
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(pid)+"/cgroup", maxFile)
	return parseCgroups(string(text)), err
}

// mountID asks statx(2) for the id that the stub tells, too: one that is never used again, from Linux 6.8 on.
const mountID = unix.STATX_MNT_ID | unix.STATX_MNT_ID_UNIQUE

// recordMounts records which mounts are those of the configuration, as create does. The next checkpoint compares them.
func (r *Restoration) recordMounts(table *mountTable) error {
	r.Mounts = map[string]string{}
	for i := range r.Spec.Mounts {
		target := path.Join("/", r.Spec.Mounts[i].Destination)
		st, err := table.look(target, mountID)
		if err != nil {
			return err
		}
		if st != nil {
			r.Mounts[target] = strconv.FormatUint(st.Mnt_id, 10)
		}
	}
	return nil
}

// strengthen adds attributes to mounts of the mount namespace of a thread, each by its own descriptor.
func strengthen(task string, list []weakMount) error {
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

func addAttributes(w *weakMount) error {
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
