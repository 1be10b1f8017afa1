package criu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// CRIU has all the rights of rt: it writes through a link that has the name of its log, waits for the other side of a FIFO that
// has the name of an image, and makes of images what they say. So who could have put anything into the directory, or another
// directory in its place, must be trusted.

// OpenDirectory opens a directory that belongs to root or to rt's user, whom alone every directory and link on the way to it
// lets change it, as with --root. With make, what is missing of the path is made, with no access for other users: images
// hold memory.
func OpenDirectory(path string, make bool) (*Directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return openDirectory(path, make)
}

// openDirectory takes .. in the path for what the kernel takes it for.
func openDirectory(path string, make bool) (*Directory, error) {
	made, mode := false, uint32(0)
	if make {
		_, err := os.Stat(path)
		made, mode = errors.Is(err, os.ErrNotExist), 0o700
	}
	if err := sys.Along(path, mode, seeWay(path)); err != nil {
		return nil, err
	}
	f, err := sys.Open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	if err := checkOwner(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &Directory{File: f, Made: made, path: path}, nil
}

// checkOwner: only root or rt's user may put files in the directory. Its group may search it, as after Share.
func checkOwner(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Uid == 0 {
		return sys.CheckOwner(&st, 0)
	}
	return sys.CheckOwner(&st, uint32(os.Geteuid()))
}

// seeWay judges the directories and links on the way to a directory.
func seeWay(dir string) func(path string, st *unix.Stat_t, last bool) error {
	return func(path string, st *unix.Stat_t, last bool) error {
		if last {
			return nil // checkOwner judges what has been opened
		}
		if err := judgeWay(path, st); err != nil {
			err = fmt.Errorf("open %s: %s: %w", dir, path, err)
			return hint.With(err, "give a directory that only root or rt's user can change, with every directory above it")
		}
		return nil
	}
}

func judgeWay(path string, st *unix.Stat_t) error {
	root, rootGroup := sys.HostRoot()
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if st.Uid != 0 && st.Uid != root && int(st.Uid) != os.Geteuid() {
		return &sys.OwnerError{UID: st.Uid, Want: 0, Link: link}
	}
	return sys.CheckWay(path, st, st.Gid == 0 || st.Gid == rootGroup || int(st.Gid) == os.Getegid())
}

// Names in a directory of images that are no regular files.
const (
	parentLink = "parent"            // to the directory of the pre-dump that these images add to
	lazySocket = "lazy-pages.socket" // of the daemon that brings the memory of lazy pages
	yardPrefix = ".criu.cgyard."     // a directory of CRIU's, which one that is killed leaves; the next one makes another
)

// maxParents bounds a chain of pre-dumps.
const maxParents = 1000

// CheckImages refuses a directory of images that has anything but regular files in it, such as an archive can hold. With lazy the
// socket of CRIU's daemon may be there. The directories of earlier pre-dumps are judged as this one is.
func (d *Directory) CheckImages(lazy bool) error {
	at := d
	for range maxParents {
		parent, err := at.checkNames(lazy)
		if at != d {
			at.Close()
		}
		if err != nil || parent == "" {
			return err
		}
		if at, err = openDirectory(parent, false); err != nil {
			return fmt.Errorf("look at %s: %w", parentLink, err)
		}
		d.parents = append(d.parents, at.path)
	}
	at.Close()
	return fmt.Errorf("look at %s: more than %d directories, each the parent of the one before", d.Within(parentLink), maxParents)
}

// Paths are the directory's and those of the earlier pre-dumps that CheckImages has seen.
func (d *Directory) Paths() []string { return append([]string{d.path}, d.parents...) }

// checkNames looks at all names in the directory, and gives the path that parent leads to, if it is there.
func (d *Directory) checkNames(lazy bool) (parent string, err error) {
	list, err := sys.ReadDir(fmt.Sprintf("/proc/self/fd/%d", d.Fd()))
	if err != nil {
		return "", fmt.Errorf("list %s: %w", d.path, err)
	}
	for _, e := range list {
		switch kind := e.Type(); {
		case kind.IsRegular():
		case e.Name() == parentLink && kind == os.ModeSymlink:
			target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), parentLink))
			if err != nil {
				return "", fmt.Errorf("look at %s: %w", d.Within(parentLink), err)
			}
			if parent = target; !filepath.IsAbs(target) {
				parent = d.path + "/" + target
			}
		case e.Name() == lazySocket && kind == os.ModeSocket && lazy:
		case IsYard(e.Name()) && kind.IsDir():
		default:
			return "", d.errNotRegular(e.Name())
		}
	}
	return parent, nil
}

// IsYard says whether a name is that of a directory on which CRIU mounts cgroups.
func IsYard(name string) bool { return strings.HasPrefix(name, yardPrefix) }

// RemoveYard removes such a directory, if it is in this one.
func (d *Directory) RemoveYard(name string) error {
	err := unix.Unlinkat(int(d.Fd()), name, unix.AT_REMOVEDIR)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	return fmt.Errorf("remove %s: %w", d.Within(name), err)
}

// CheckParent judges the directory that is to become the parent, by its path from this one on.
func (d *Directory) CheckParent(path string) error {
	parent, err := openDirectory(d.path+"/"+path, false)
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.CheckImages(false)
}

// CheckWork refuses a directory of work files, which may have other files, too, if one that CRIU writes is anything but a regular
// file.
func (d *Directory) CheckWork(log string) error {
	for _, name := range []string{log, "stats-dump", "stats-restore"} {
		var st unix.Stat_t
		err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", d.Within(name), err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return d.errNotRegular(name)
		}
	}
	return nil
}

func (d *Directory) errNotRegular(name string) error {
	return hint.With(fmt.Errorf("%s: not a regular file", d.Within(name)), "nothing but images and logs may be in the directory, for CRIU follows links and waits for FIFOs")
}
