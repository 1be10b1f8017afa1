package cgroups

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

func (c *Cgroup) setMarks() {
	for _, m := range c.members {
		if c.claim.Mark != "" {
			sys.SetMark(m.dir, c.claim.Mark)
		}
	}
}

// Marked is a directory with a mark.
type Marked struct {
	Dir     string
	Name    string // path below the root of its hierarchy
	Text    string
	Trusted bool // by sys.Mark
}

// FindMarked walks all hierarchies of the host. Directories that are gone, of others, or deeper than PATH_MAX are left out.
func (h *Host) FindMarked() (found []Marked, err error) {
	var roots []string
	for _, mount := range h.V1 {
		roots = append(roots, mount)
	}
	if h.Unified != "" {
		roots = append(roots, h.Unified)
	}
	slices.Sort(roots)
	for _, root := range slices.Compact(roots) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case path != root && (gone(err) || isErrno(err, unix.EACCES, unix.ENAMETOOLONG)): // that hides no other
				return fs.SkipDir
			case err != nil:
				return err
			case !d.IsDir() || path == root:
				return nil
			}
			text, trusted, err := sys.Mark(path)
			if err != nil && !isErrno(err, unix.EACCES, unix.ENAMETOOLONG) {
				return err
			}
			if text != "" {
				found = append(found, Marked{path, strings.TrimPrefix(path, root), text, trusted})
			}
			return nil
		})
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// LoadDirs is the cgroup that consists of these directories, each below a hierarchy of h.
func LoadDirs(h *Host, dirs []string) *Cgroup {
	paths := map[string]string{}
	for _, dir := range dirs {
		for name, mount := range h.V1 {
			if below(dir, mount) != "" {
				paths[name] = dir
			}
		}
		if below(dir, h.Unified) != "" {
			paths[""] = dir
		}
	}
	return Load(h, paths)
}
