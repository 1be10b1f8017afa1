package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"rt/internal/bug"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// dirMode is the mode of a container's directory. No other user can reach the files in it: to the socket for READY=1 all users of the
// container may send. The sticky bit forbids nothing here: it marks an empty directory as that of a killed create. An older rt made
// directories with olderDirMode.
const (
	dirMode      = unix.S_ISVTX | 0o700
	olderDirMode = 0o711
)

// Names in a container's directory.
const (
	StateFile   = "state.json"
	ConfigFile  = "config.json"
	JournalFile = "journal"
	StartSocket = "start.sock"      // at which a created container waits for its start
	AskSocket   = "namespaces.sock" // at which init hands out its namespaces, if a rootless rt may not open them
	NotifyDir   = "notify"          // of the socket for READY=1
	UpdateFile  = "update"          // what to take back if an update is killed
	devicesFile = "netdevs"         // network devices that a create has moved until it is done
	holderFile  = "holder"
)

// Mount points for CRIU in a container's directory. The mounts are in a mount namespace of CRIU's, and end with it. The rootfs is at
// CriuRoot, for CRIU needs a mount point whose parent is not mounted over. At CriuMounts is what of the host is mounted in the container:
// trees that rt has opened by the rules of create.
const (
	CriuRoot   = "criu-root"
	CriuMounts = "criu-mounts"
)

// fileNames are all names that rt gives to files in a container's directory, temporary files included.
func fileNames() []string {
	return []string{StateFile, ConfigFile, JournalFile, StartSocket, AskSocket, holderFile, NotifyDir, UpdateFile, devicesFile, CriuRoot, CriuMounts,
		"." + StateFile, "." + JournalFile, "." + UpdateFile, "." + devicesFile}
}

// IsFileName says whether rt gives this name to a file in a container's directory.
func IsFileName(name string) bool { return slices.Contains(fileNames(), name) }

// maxFile bounds what is read of one file, in bytes.
const maxFile = 64 << 20

// MakeDir creates the container's directory and locks it. Between the two a delete may take the empty directory for that of a killed
// create and remove it: MakeDir then tries again. Only a locked directory may be removed by its name.
func (c *Container) MakeDir() error {
	for range 100 {
		err := sys.MakeDir(c.Dir, dirMode)
		if errors.Is(err, fs.ErrExist) {
			return ErrExists
		}
		if err != nil {
			return WithRootHint(fmt.Errorf("make container directory: %w", err))
		}
		if err = c.lockNew(); err == nil || err == ErrExists {
			return err
		}
		if !errors.Is(err, ErrNotExist) {
			_ = unix.Rmdir(c.Dir) // harmless: if another create has made it again, it has files by now or makes it once more
			return err
		}
	}
	return fmt.Errorf("make container directory: %s: somebody removes it each time", c.Dir)
}

// lockNew locks a directory that was just created, if it is still empty. A concurrent delete and create may have replaced the
// directory: the create that locks it first owns it.
func (c *Container) lockNew() (err error) {
	defer bug.Catch(&err)
	if err := c.Acquire(LockWait); err != nil {
		return err
	}
	var buf [512]byte
	n, err := unix.ReadDirent(int(c.lock.Fd()), buf[:])
	if err != nil {
		c.Release()
		return fmt.Errorf("look into container directory %s: %w", c.Dir, err)
	}
	if _, _, names := unix.ParseDirent(buf[:n], 1, nil); len(names) > 0 {
		c.Release()
		return ErrExists
	}
	return nil
}

// RemoveDir removes the container's directory. It begins with the usual files, so that most often it need not read the directory.
func (c *Container) RemoveDir() error {
	for _, name := range [...]string{ConfigFile, StartSocket, AskSocket, StateFile, JournalFile, holderFile} {
		if err := unix.Unlink(filepath.Join(c.Dir, name)); err != nil && err != unix.ENOENT {
			break
		}
	}
	err := unix.Rmdir(c.Dir)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	return os.RemoveAll(c.Dir)
}

// HasOnlyOwnFiles says whether only rt has put files into the container's directory. An empty directory must be that of a killed create.
func (c *Container) HasOnlyOwnFiles() bool {
	entries, err := sys.ReadDir(c.Dir)
	if err == nil && len(entries) == 0 {
		return c.isAbandoned()
	}
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !IsFileName(e.Name()) })
}

// isAbandoned says whether an empty directory was left by a killed create. A mistyped --root has other empty directories. A create
// that runs may still put its first file into a new one.
func (c *Container) isAbandoned() bool {
	const after = 5 * time.Second
	var st unix.Stat_t
	err := unix.Lstat(c.Dir, &st)
	ours := st.Mode == unix.S_IFDIR|dirMode || st.Mode == unix.S_IFDIR|olderDirMode
	return err == nil && ours && int(st.Uid) == os.Geteuid() && time.Since(time.Unix(st.Mtim.Unix())) > after
}

// RestrictDir denies other users of the host the way into the directory, which an older rt gave them. The container must be locked.
func (c *Container) RestrictDir() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(c.lock.Fd()), &st); err != nil {
		return fmt.Errorf("look at container directory %s: %w", c.Dir, err)
	}
	if st.Mode&0o077 == 0 {
		return nil
	}
	if err := unix.Fchmod(int(c.lock.Fd()), dirMode); err != nil {
		return fmt.Errorf("keep other users out of container directory %s: %w", c.Dir, err)
	}
	return nil
}

// SocketAddress is that of a socket in the directory of a locked container. It leads through the directory's descriptor, for the
// path of a socket may have 107 bytes only (unix(7)).
func (c *Container) SocketAddress(name string) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(int(c.lock.Fd())) + "/" + name}
}

// AwaitsStart says whether init waits for `rt start`.
func (c *Container) AwaitsStart() (bool, error) {
	dirfd, path := c.at(StartSocket)
	err := unix.Faccessat(dirfd, path, unix.F_OK, 0)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		err = fmt.Errorf("look for %s: %w", filepath.Join(c.Dir, StartSocket), err)
	}
	return err == nil, err
}

// at names a file in the container's directory, for openat(2) and similar calls.
func (c *Container) at(name string) (dirfd int, path string) {
	if c.Root == nil || c.Root.opened == nil {
		return unix.AT_FDCWD, filepath.Join(c.Dir, name)
	}
	return int(c.Root.opened.Fd()), filepath.Base(c.Dir) + "/" + name
}

// ReadFile reads a file in the container's directory, which must have been checked.
func (c *Container) ReadFile(name string) ([]byte, error) {
	dirfd, path := c.at(name)
	data, err := sys.ReadOwnAt(dirfd, path, c.Owner, c.own, maxFile)
	if owner := new(sys.OwnerError); errors.As(err, &owner) {
		err = &trustError{"container", c.Dir, fmt.Errorf("%s: %w", name, err)}
	}
	return data, err
}
