package checkpoint

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/criu"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CRIU creates deleted files that a process has open again, for a moment, at the paths that they had. A link of the container in such a path
// can lead it to the host, where it is root. So the host's mounts are read-only in CRIU's mount namespace.

// tmpDir is where CRIU makes directories when it looks at what the kernel can do.
const tmpDir = "/tmp"

// kernelTypes are file systems of the kernel that CRIU writes to, and on which it makes no files.
var kernelTypes = []string{"proc", "sysfs", "cgroup", "cgroup2", "securityfs", "selinuxfs"}

// shutHost makes the host read-only for CRIU, but for the directories of images, which it writes to. What is mounted in the container is
// open already, and is mounted afterwards.
func (r *Restoration) shutHost() error {
	s := r.Session
	return shutBut(append(s.images.Paths(), s.work.Paths()...), []string{s.program, r.Dir})
}

// makeXtablesLock creates the file that iptables locks. iptables cannot create it in CRIU's mount namespace. If rt cannot either, iptables
// says so.
func (r *Restoration) makeXtablesLock(method int) {
	locks := criu.NetworkLocks()
	if method != locks[""] && method != locks["iptables"] || !bundle.HasNamespace(r.Spec, specs.NetworkNamespace) {
		return
	}
	if _, err := exec.LookPath("iptables-restore"); err == nil {
		_ = sys.CreateFile("/run/xtables.lock", nil, 0o600)
	}
}

// shutBut makes all mounts of the calling thread's mount namespace read-only but those at and below the directories to keep, and those of
// the kernel's file systems. CRIU makes directories in /tmp: it gets one of its own, if nothing is there that it uses; else the host's.
func shutBut(keep, used []string) error {
	own := !slices.ContainsFunc(append(used, keep...), func(path string) bool { return strings.HasPrefix(path, tmpDir+"/") })
	if !own {
		keep = append([]string{tmpDir}, keep...)
	}
	list, err := mountsOf("/proc/thread-self")
	if err != nil {
		return err
	}
	trees := make([]*os.File, len(keep))
	for i, dir := range keep {
		if trees[i], err = sys.OpenTree(dir, true); err != nil {
			return err
		}
		defer trees[i].Close()
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make the host's mounts read-only for criu: %w", err)
	}
	for _, m := range list {
		if slices.Contains(kernelTypes, m.FSType) && attributesOf(m)&unix.MOUNT_ATTR_RDONLY == 0 {
			if err := makeWritable(m); err != nil {
				return fmt.Errorf("make %s writable for criu: %w", m.Mountpoint, err)
			}
		}
	}
	if own {
		if err := unix.Mount("tmpfs", tmpDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777"); err != nil {
			return fmt.Errorf("mount a tmpfs at %s for criu: %w", tmpDir, err)
		}
	}
	for i, tree := range trees {
		if err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, keep[i], unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s for criu: %w", keep[i], err)
		}
	}
	return nil
}

// makeWritable clears the attribute of a mount, if it is not covered.
func makeWritable(m *mountinfo.Info) error {
	f, err := sys.OpenAt(unix.AT_FDCWD, m.Mountpoint, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil || st.Mnt_id != uint64(m.ID) {
		return err
	}
	return unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
}
