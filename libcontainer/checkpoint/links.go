package checkpoint

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"rt/internal/hint"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Once CRIU has made the mounts of a container, and before its processes enter their mount namespaces, CRIU creates the deleted files that
// they have open again: as root, by the paths that the files had, below a directory with the container's mounts. A link of the container
// in such a path can lead the host's root anywhere. /proc/1/root is writable even where all mounts of CRIU's mount
// namespace are not. So no link is followed on these mounts, and none of them shows the host.

// madePrefix begins the name of the directory below which CRIU makes the mounts of a container; six random characters follow.
const madePrefix = "/tmp/.criu.mntns."

// checkMade looks at the mounts that CRIU has made and moved nothing of the container to. CRIU waits for the answer, and makes no files before
// it; on an error it kills what it has made.
func (r *Restoration) checkMade() error {
	s := r.sources
	if s == nil || r.Pid == 0 {
		return nil
	}
	task := "/proc/" + strconv.Itoa(r.Pid)
	list, err := allMounts(task)
	if err != nil {
		return fmt.Errorf("read the mounts that criu has made: %w", err)
	}
	if err := s.learn("/proc/" + strconv.Itoa(s.criu)); err != nil {
		return fmt.Errorf("read the mounts of criu: %w", err)
	}
	if len(list) > 0 && s.isRootfs(rootOf(list)) {
		return nil // init is in the container's tree, where links lead no further
	}
	made := slices.DeleteFunc(list, func(m *mountinfo.Info) bool { return !strings.HasPrefix(m.Mountpoint, madePrefix) })
	if len(made) == 0 {
		return errors.New("criu has made no mounts at " + madePrefix + "*")
	}
	if err := s.rules.checkMade(made); err != nil {
		return err
	}
	return inMountNamespace(task, func() error { return followNoLinks(made) })
}

// isRootfs says whether a mount shows the container's rootfs.
func (s *sources) isRootfs(m *mountinfo.Info) bool {
	return slices.ContainsFunc(s.staged, func(s staged) bool {
		return s.target == "/" && deviceOf(s.Info) == deviceOf(m) && s.Root == m.Root
	})
}

// followNoLinks has the kernel follow no link on the mounts in CRIU's directory, in the calling thread's mount namespace. Those that the
// processes enter are copies that have been made before.
func followNoLinks(made []*mountinfo.Info) error {
	tops := 0
	for _, m := range made {
		if path.Dir(m.Mountpoint) != path.Dir(madePrefix) {
			continue // the directory's own mount is changed with all below it
		}
		tops++
		top, err := openMount(m.Mountpoint, m.ID)
		if err != nil {
			return err
		}
		err = unix.MountSetattr(int(top.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSYMFOLLOW})
		top.Close()
		if errors.Is(err, unix.EINVAL) {
			return hint.With(fmt.Errorf("have criu follow no link of the container: %w", err), "restore needs Linux 5.14 or later")
		}
		if err != nil {
			return fmt.Errorf("have criu follow no link of the container: %w", err)
		}
	}
	if tops == 0 {
		return errors.New("have criu follow no link of the container: its directory is no mount point")
	}
	return nil
}
