package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkMasks requires the null device or an empty read-only directory at each masked path in init's mount namespace, and read-only mounts
// at the read-only paths. Paths that do not exist are left out, as create does.
func (r *restored) checkMasks() error {
	if !bundle.HasNamespace(r.Spec, specs.MountNamespace) {
		return nil
	}
	root, err := sys.Open("/proc/"+strconv.Itoa(r.init)+"/root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer root.Close()
	for i, path := range r.Spec.Linux.MaskedPaths {
		if err := checkPath(root, path, isMasked); err != nil {
			return fmt.Errorf("%s %w (/linux/maskedPaths/%d)", path, err, i)
		}
	}
	for i, path := range r.Spec.Linux.ReadonlyPaths {
		if err := checkPath(root, path, isReadonly); err != nil {
			return fmt.Errorf("%s %w (/linux/readonlyPaths/%d)", path, err, i)
		}
	}
	return nil
}

// checkPath calls check with what is at a path of the container, links followed within it.
func checkPath(root *os.File, path string, check func(int) error) error {
	f, err := sys.OpenAt(int(root.Fd()), path, unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot be looked at: %w", err)
	}
	defer f.Close()
	return check(int(f.Fd()))
}

var (
	errNotMasked   = errors.New("is not masked")
	errNotReadonly = errors.New("can be written to")
)

func isMasked(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR {
		if st.Rdev != unix.Mkdev(1, 3) {
			return errNotMasked
		}
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || fs.Type != unix.TMPFS_MAGIC || st.Nlink > 2 {
		return errNotMasked
	}
	return isReadonly(fd)
}

func isReadonly(fd int) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if fs.Flags&unix.ST_RDONLY == 0 {
		return errNotReadonly
	}
	return nil
}

// protectRoot makes the root read-only, if that is configured. CRIU needs to create directories in it, and leaves its attributes as they are.
func (r *restored) protectRoot() error {
	if !r.Spec.Root.Readonly || !bundle.HasNamespace(r.Spec, specs.MountNamespace) {
		return nil
	}
	err := inMountNamespace("/proc/"+strconv.Itoa(r.init), func() error {
		return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	})
	if err != nil {
		return fmt.Errorf("make the root read-only: %w (/root/readonly)", err)
	}
	return nil
}
