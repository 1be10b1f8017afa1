// Package state is what rt keeps on disk about its containers: the directory of each, with its state, journal and lock. It also decides
// whose directories rt trusts.
package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"

	"golang.org/x/sys/unix"
)

// Errors that engines know by their text.
var (
	ErrExists     = errors.New("container with given ID already exists")
	ErrNotExist   = errors.New("container does not exist")
	ErrNotRunning = errors.New("container not running")
)

// A Root is the directory that holds one directory per container (--root). Dir and Warn must be set.
type Root struct {
	Dir     string                           // absolute path
	Reading bool                             // nothing will be changed: the host's root may read the containers of another user
	Brief   bool                             // of states only what the status of a container depends on is needed: see State.decode
	Warn    func(format string, args ...any) // gets the warnings

	Deadline time.Time // of delete --force; zero for other verbs: see Left

	checked   map[string]rootCheck // by path: see check
	boot      string               // see BootID
	bootKnown bool
	opened    *os.File // Dir, between OpenDir and CloseDir
	host      *cgroups.Host
}

// Path is the directory of a container.
func (r *Root) Path(id string) string { return filepath.Join(r.Dir, id) }

// Container is the container with an ID. Nothing of it has been read.
func (r *Root) Container(id string) *Container { return r.ContainerAt(r.Path(id)) }

// ContainerAt is the container whose directory is dir, which may be below another --root.
func (r *Root) ContainerAt(dir string) *Container {
	return &Container{State: State{ID: filepath.Base(dir)}, Dir: dir, Root: r}
}

// OpenContainer reads the state of a container. With lock it takes the container's lock first, so that no other rt changes the
// container, and records this process as the holder.
func (r *Root) OpenContainer(id string, lock bool) (*Container, error) {
	if err := bundle.CheckID(id); err != nil {
		return nil, err
	}
	c := r.Container(id)
	opened := false
	defer func() { // also after a panic: the undo takes the lock again
		if !opened {
			c.Release()
		}
	}()
	if lock {
		if err := c.Acquire(LockWait); err != nil {
			return nil, err
		}
		c.RecordHolder()
	}
	if err := c.Load(); err != nil {
		return nil, err
	}
	opened = true
	return c, nil
}

// OpenDir keeps the directory open until CloseDir, which saves the kernel a path walk for each file of each container.
func (r *Root) OpenDir() (err error) {
	r.opened, err = sys.Open(r.Dir, unix.O_PATH|unix.O_DIRECTORY)
	return err
}

// CloseDir ends what OpenDir began.
func (r *Root) CloseDir() {
	r.opened.Close()
	r.opened = nil
}

// Hierarchies are the host's cgroup hierarchies, which it looks for once. That a directory below them is still a container's own is asked
// of the directory itself, by its inode and mark.
func (r *Root) Hierarchies() (host *cgroups.Host, err error) {
	if r.host == nil {
		r.host, err = cgroups.Probe()
	}
	return r.host, err
}

// Make creates the directory and what is missing of the path to it. In $XDG_RUNTIME_DIR old files may be removed unless they have
// the sticky bit (XDG Base Directory Specification).
func (r *Root) Make() error {
	err := r.check(r.Dir, 0o700).err
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); err == nil && xdg != "" && r.Dir == filepath.Join(xdg, "rt") {
		_ = sys.ChmodDir(r.Dir, unix.S_ISVTX|0o700)
	}
	if err != nil && !Distrusted(err) {
		err = fmt.Errorf("make root directory: %w", err)
	}
	return WithRootHint(err)
}

// WithRootHint adds a hint for a user without a runtime directory, whose default --root is that of the host's root user.
func WithRootHint(err error) error {
	if (errors.Is(err, unix.EACCES) || Distrusted(err)) && os.Getenv("XDG_RUNTIME_DIR") == "" && os.Geteuid() != 0 {
		return hint.With(err, "set XDG_RUNTIME_DIR to a directory of your own, or give --root")
	}
	return err
}

// BootID identifies this boot of the machine; "" if the kernel does not say.
func (r *Root) BootID() string {
	_ = r.ReadBootID()
	return r.boot
}

// ReadBootID reads what BootID returns, once. It fails if the file cannot be read.
func (r *Root) ReadBootID() error {
	if r.bootKnown {
		return nil
	}
	id, err := sys.ReadKernelLine("/proc/sys/kernel/random/boot_id")
	if sys.Unseen(err) {
		return fmt.Errorf("tell this boot of the machine from others: %w", err)
	}
	r.boot, r.bootKnown = strings.TrimSpace(id), true
	return nil
}
