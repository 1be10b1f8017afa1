package facts

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// insideRootfs are those paths of a configuration that lead into the rootfs under another name than its own: by a link of the host,
// one of procfs, or a mount that shows it elsewhere. What is behind the rootfs in such a path is the image's. pointer is the list's.
func insideRootfs(spec *specs.Spec, bundleDir, rootfs, pointer string) (map[string]plan.Inside, error) {
	w := hostWalk{rootfs: rootfs, seen: map[string]sight{}}
	found := map[string]plan.Inside{}
	for _, p := range plan.HostPaths(spec, bundleDir, pointer) {
		if strings.HasPrefix(path.Clean(p.Path), rootfs+"/") {
			continue // the plan knows
		}
		from := p.Path
		if !path.IsAbs(from) { // the kernel takes it from rt's directory
			dir, err := os.Getwd()
			if err != nil {
				return nil, fmt.Errorf("find the current directory: %w (%s)", err, p.Pointer)
			}
			from = dir + "/" + from
		}
		in, ok, err := w.walk(from)
		if err != nil {
			return nil, fmt.Errorf("look whether %s leads into the rootfs: %w (%s)", p.Path, err, p.Pointer)
		}
		if ok {
			found[p.Path] = in
		}
	}
	return found, nil
}

// A hostWalk follows paths as the kernel does, up to the rootfs: to there they are the host's, and no image has a hand in them.
type hostWalk struct {
	rootfs string // a path without links
	root   *unix.Stat_t
	seen   map[string]sight
}

// A sight is what was seen at a path.
type sight struct {
	rootfs bool
	link   string // what a link says, "" if it is none
	magic  bool   // a link of procfs that leads where its text does not
}

const mostLinks = 40 // MAXSYMLINKS

func (w *hostWalk) walk(p string) (in plan.Inside, ok bool, err error) {
	rest := strings.Split(p, "/")
	at := "" // what was followed, without links; "" is the root
	magic := false
	for links := 0; len(rest) > 0; {
		name := rest[0]
		next := at + "/" + name
		switch {
		case name == "" || name == ".":
			rest = rest[1:]
			continue
		case name == ".." && magic:
			at, rest = next, rest[1:]
			continue
		case name == "..":
			at, rest = at[:max(strings.LastIndexByte(at, '/'), 0)], rest[1:]
			continue
		case strings.HasPrefix(w.rootfs, next+"/"): // a directory above it, and no link
			at, rest = next, rest[1:]
			continue
		}
		s, err := w.look(next)
		if unfollowed(err) {
			break
		}
		if err != nil {
			return in, false, err
		}
		rest = rest[1:]
		if s.rootfs {
			at = next
			below := path.Clean(strings.TrimLeft(strings.Join(rest, "/"), "/"))
			if below == "." {
				return plan.Inside{Path: at}, true, nil
			}
			if rest = strings.Split(below, "/"); rest[0] != ".." {
				return plan.Inside{Root: at, Path: at + "/" + below}, true, nil
			}
			ok = true // the path leads out again, and by no link of the image
			continue
		}
		if s.link == "" {
			at, magic = next, magic || s.magic
			continue
		}
		if links++; links > mostLinks { // ELOOP
			rest = append([]string{name}, rest...)
			break
		}
		if path.IsAbs(s.link) {
			at, magic = "", false
		}
		rest = append(strings.Split(s.link, "/"), rest...)
	}
	return plan.Inside{Path: path.Join("/", at) + strings.Join(append([]string{""}, rest...), "/")}, ok, nil
}

// unfollowed says that the kernel cannot follow a path either, and that who opens it will hear so: rt's rights are all that he has.
func unfollowed(err error) bool {
	for _, errno := range [...]unix.Errno{unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ENAMETOOLONG, unix.ELOOP} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (w *hostWalk) look(at string) (sight, error) {
	if at == w.rootfs {
		return sight{rootfs: true}, nil
	}
	if s, ok := w.seen[at]; ok {
		return s, nil
	}
	s, err := w.lookAt(at)
	if err == nil {
		w.seen[at] = s
	}
	return s, err
}

func (w *hostWalk) lookAt(at string) (s sight, err error) {
	if w.root == nil {
		var st unix.Stat_t
		if err := sys.Retry(func() error { return unix.Lstat(w.rootfs, &st) }); err != nil && !unfollowed(err) {
			return s, &os.PathError{Op: "stat", Path: w.rootfs, Err: err}
		}
		w.root = &st // of inode 0 if there is none any more
	}
	var st unix.Stat_t
	if err := sys.Retry(func() error { return unix.Lstat(at, &st) }); err != nil {
		return s, &os.PathError{Op: "stat", Path: at, Err: err}
	}
	s.rootfs = st.Dev == w.root.Dev && st.Ino == w.root.Ino
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return s, nil
	}
	if s.link, err = os.Readlink(at); err != nil || st.Size > 0 || !path.IsAbs(s.link) {
		return s, err
	}
	// It may be a magic link, as /proc/PID/root: it leads to a directory, which may have its name in another mount namespace.
	var there, named unix.Statx_t
	if err := follow(at, &there); err != nil {
		return s, err
	}
	err = follow(s.link, &named)
	if err != nil && !unfollowed(err) {
		return s, err
	}
	if err != nil || !samePlace(&there, &named) {
		s.link, s.magic = "", true
		s.rootfs = unix.Mkdev(there.Dev_major, there.Dev_minor) == w.root.Dev && there.Ino == w.root.Ino
	}
	return s, nil
}

func follow(at string, st *unix.Statx_t) error {
	err := sys.Retry(func() error { return unix.Statx(unix.AT_FDCWD, at, 0, unix.STATX_INO|unix.STATX_MNT_ID, st) })
	if err != nil {
		return &os.PathError{Op: "stat", Path: at, Err: err}
	}
	return nil
}

func samePlace(a, b *unix.Statx_t) bool {
	return a.Dev_major == b.Dev_major && a.Dev_minor == b.Dev_minor && a.Ino == b.Ino && a.Mnt_id == b.Mnt_id
}
