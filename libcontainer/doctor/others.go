package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/intelrdt"
	"rt/libcontainer/state"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// rdtGroups are groups of resctrl with rt's mark and without a container.
func (s *search) rdtGroups() (found []Finding, err error) {
	root, err := intelrdt.Root()
	if sys.Unseen(err) {
		return nil, err
	}
	if err != nil {
		return nil, nil // it is not mounted
	}
	for _, pattern := range []string{"mon_groups/*", "*/mon_groups/*", "*"} { // what lies inside goes first
		dirs, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, dir := range dirs {
			text, trusted, err := sys.Mark(dir)
			if err != nil {
				return nil, err
			}
			if m, ok := state.ParseMark(text, trusted); ok && !m.IsForeign() && trusted && !s.MayLive(m, nil) {
				found = append(found, Finding{Kind: "resctrl", Paths: []string{dir}, Why: whyMarked(m), Fix: "remove it",
					fix: func() error {
						if s.MayLive(m, nil) {
							return errAlive
						}
						return intelrdt.Group{Dir: dir, Own: true}.Remove(nil)
					}})
			}
		}
	}
	return found, nil
}

// mounts are mounts in the directories of containers that do not exist. rt makes none there: those of its containers are in mount
// namespaces of their own.
func (s *search) mounts() (found []Finding, err error) {
	root, err := filepath.EvalSymlinks(s.Dir) // as the kernel names mount points
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var mounts []*mountinfo.Info
	if err == nil {
		mounts, err = mountinfo.GetMounts(mountinfo.PrefixFilter(root))
	}
	if err != nil {
		return nil, fmt.Errorf("look at the mounts below %s: %w", s.Dir, err)
	}
	for _, m := range mounts {
		rest := strings.TrimPrefix(m.Mountpoint, root+"/")
		id, inside, deeper := strings.Cut(rest, "/")
		if rest == m.Mountpoint || !deeper || !state.IsFileName(strings.Split(inside, "/")[0]) {
			continue
		}
		if _, err := s.OpenContainer(id, false); !errors.Is(err, state.ErrNotExist) {
			continue
		}
		point := m.Mountpoint
		found = append(found, Finding{Kind: "mount", Paths: []string{point}, Why: "it is in the directory of a container that does not exist",
			Fix: "unmount it", fix: func() error { return unmount(point) }})
	}
	return found, nil
}

func unmount(point string) error {
	if err := sys.Retry(func() error { return unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) }); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return nil
}
