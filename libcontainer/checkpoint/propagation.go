package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/criu"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// On a host with shared mounts the rootfs and the volumes of a container are slaves of the host's mounts. CRIU copies the master of all
// mounts that have the same one from one of their sources (MOVE_MOUNT_SET_GROUP). The kernel takes only a source whose root is above
// that of each mount, and what CRIU is given are trees whose root is a volume's. So CRIU restores these mounts as private ones, from
// images without masters, and rt copies the master of each from its own source.

// A staged is a mount that rt has made for CRIU.
type staged struct {
	target string // mount point in the container
	*mountinfo.Info
}

// slaves are the mounts of images whose master CRIU cannot restore.
type slaves struct {
	images map[string][]byte // what CRIU reads instead, by name
	points map[string]bool   // true if all mounts there are such, and none is shared
}

// A propagation is that of the mounts of some images.
type propagation struct {
	widest map[uint64]*criu.Mount // by peer group: the mount that CRIU copies from
	last   uint64                 // number of a peer group
}

func propagationOf(images []criu.MountsImage) propagation {
	p := propagation{widest: map[uint64]*criu.Mount{}}
	for i := range images {
		for j := range images[i].Mounts {
			m := &images[i].Mounts[j]
			p.last = max(p.last, m.Shared, m.Master)
			if w := p.widest[m.Shared]; m.Shared != 0 && (w == nil || len(m.Root) < len(w.Root)) {
				p.widest[m.Shared] = m
			}
		}
	}
	return p
}

// copies says whether CRIU can copy from a peer group to a mount. It cannot if the host is in the group, too, as with shared volumes: then
// mounts of other directories, and of other file systems, may have the group, or have it as their master.
func (p *propagation) copies(group uint64, m *criu.Mount) bool {
	w := p.widest[group]
	return w != nil && w.Device == m.Device && isBelow(m.Root, w.Root)
}

// restorable are the groups that CRIU is to restore a mount with: no master from outside, and a peer group of its own if it cannot have the
// one it had.
func (p *propagation) restorable(m *criu.Mount) (shared, master uint64) {
	shared, master = m.Shared, m.Master
	if shared != 0 && !p.copies(shared, m) && p.last < math.MaxInt32 {
		p.last++
		shared = p.last
	}
	if master != 0 && !p.copies(master, m) {
		master = 0
	}
	return shared, master
}

// findSlaves finds the mounts whose master CRIU cannot restore, and makes images that CRIU can restore.
func findSlaves(images []criu.MountsImage) slaves {
	p := propagationOf(images)
	s := slaves{map[string][]byte{}, map[string]bool{}}
	for i := range images {
		changed := false
		data := images[i].Encode(func(m *criu.Mount) (shared, master uint64) {
			shared, master = p.restorable(m)
			changed = changed || shared != m.Shared || master != m.Master
			slave, known := s.points[m.Mountpoint]
			s.points[m.Mountpoint] = master != m.Master && m.Shared == 0 && (slave || !known)
			return shared, master
		})
		if changed {
			s.images[images[i].Name] = data
		}
	}
	return s
}

// coverImages mounts the other images over those of the directory, which is open in the mount namespace of the calling thread. dir
// is where their files are made.
func (s *slaves) coverImages(images *criu.Directory, dir string) error {
	for name, data := range s.images {
		if err := coverImage(images, name, filepath.Join(dir, name), data); err != nil {
			return fmt.Errorf("cover %s for criu: %w", images.Within(name), err)
		}
	}
	return nil
}

func coverImage(images *criu.Directory, name, file string, data []byte) error {
	if err := sys.CreateFile(file, data, 0o600); err != nil {
		return err
	}
	tree, err := sys.OpenTree(file, false)
	if err != nil {
		return err
	}
	defer tree.Close()
	at, err := sys.OpenAt(int(images.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return err
	}
	defer at.Close()
	return unix.MoveMount(int(tree.Fd()), "", int(at.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// masterOf is the mount of CRIU's namespace that has the master which a restored mount is to have: that of its own place, else the one
// with the nearest root above. It is a slave of the host's, and the peer of no other mount.
func (s *sources) masterOf(m *mountinfo.Info) (found *staged) {
	for i := range s.staged {
		s := &s.staged[i]
		if !isBelow(m.Root, s.Root) || deviceOf(m) != deviceOf(s.Info) || !isSlave(s.Info) {
			continue
		}
		if s.target == m.Mountpoint {
			return s
		}
		if found == nil || len(s.Root) > len(found.Root) {
			found = s
		}
	}
	return found
}

// isBelow says whether a root is the other one or below it.
func isBelow(root, other string) bool {
	return root == other || strings.HasPrefix(root, strings.TrimSuffix(other, "/")+"/")
}

// isSlave says whether a mount has a master and no peers.
func isSlave(m *mountinfo.Info) bool {
	return strings.Contains(m.Optional, "master:") && !strings.Contains(m.Optional, "shared:")
}

// enslave makes the private mounts of a restored mount namespace that were slaves of the host's slaves of the same again.
func (s *sources) enslave(ns taskMounts) error {
	var mounts []*mountinfo.Info
	var masters []*staged
	for _, m := range ns.list {
		if !s.slaves.points[m.Mountpoint] || m.Optional != "" {
			continue
		}
		if s := s.masterOf(m); s != nil {
			mounts, masters = append(mounts, m), append(masters, s)
		}
	}
	if len(mounts) == 0 {
		return nil
	}
	files := make([]*os.File, len(masters))
	defer closeAll(files)
	err := inMountNamespace(fmt.Sprintf("/proc/%d", s.criu), func() (err error) {
		for i, s := range masters {
			if files[i], err = openMount(s.Mountpoint, s.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open the sources of mounts: %w", err)
	}
	return inMountNamespace(ns.task, func() error {
		for i, m := range mounts {
			if err := copyMaster(files[i], m); err != nil {
				return fmt.Errorf("make the mount at %s a slave again: %w", m.Mountpoint, err)
			}
		}
		return nil
	})
}

// moveMountSetGroup is of Linux 5.15 (linux/mount.h).
const moveMountSetGroup = 0x100

// copyMaster gives a private mount the master of another one. The kernel refuses it, and the mount stays private, before Linux 5.15 and
// where the other one has mounts below that a user namespace locks.
func copyMaster(from *os.File, m *mountinfo.Info) error {
	to, err := openMount(m.Mountpoint, m.ID)
	if err != nil {
		return err
	}
	defer to.Close()
	err = unix.MoveMount(int(from.Fd()), "", int(to.Fd()), "", moveMountSetGroup|unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
