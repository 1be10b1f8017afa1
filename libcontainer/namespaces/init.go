// Package namespaces opens the namespaces of a container's init for a process that joins the container. They must be those that the
// container was created with: an init that has moved itself would choose what such a process meets there.
package namespaces

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"rt/internal/sys"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Init is what a process that joins a container opens of its init: all of it is of the process that the state names.
type Init struct {
	Proc  *os.File            // its directory in /proc, O_PATH
	ns    map[uint64]*os.File // CLONE_NEW* -> namespace
	asked *handed             // what it has handed out, if rt may not look below Proc; else nil

	cgroup func(in plan.Input) (*os.File, error)
}

// Close closes what is still open. What Open and Root have returned is their callers'.
func (i *Init) Close() {
	i.Proc.Close()
	for _, ns := range i.ns {
		ns.Close()
	}
	if i.asked != nil {
		i.asked.close()
	}
}

// Open opens an input of a plan that joins the container: it is a stub.Opener. The caller closes it.
func (i *Init) Open(in plan.Input) (*os.File, error) {
	switch in.Kind {
	case plan.InitRoot:
		return i.Root()
	case plan.CgroupDir:
		return i.cgroup(in)
	}
	ns := i.ns[in.Type]
	if in.Kind != plan.InitNamespace || ns == nil {
		return nil, fmt.Errorf("open %s %s: %w", in.Kind, in.Path, unix.EINVAL)
	}
	delete(i.ns, in.Type)
	return ns, nil
}

// Root opens init's root directory, O_PATH. The caller closes it.
func (i *Init) Root() (*os.File, error) {
	if i.asked != nil {
		return sys.Duplicate(i.asked.root)
	}
	return sys.OpenAt(int(i.Proc.Fd()), "root", unix.O_PATH|unix.O_DIRECTORY, 0)
}

// Options are what OpenInit needs besides the container and its configuration.
type Options struct {
	Cgroup func(in plan.Input) (*os.File, error) // opens init's cgroup, if the container's is gone
	Warn   func(format string, args ...any)      // gets the warnings
}

// OpenInit opens init's namespaces of the types that the container does not share with the host. All of init's namespaces must be those
// that the container was created with.
func OpenInit(c *state.Container, spec *specs.Spec, o Options) (*Init, error) {
	proc, err := c.InitProcess().Dir()
	if err != nil {
		return nil, err
	}
	i := &Init{Proc: proc, ns: map[uint64]*os.File{}, cgroup: o.Cgroup}
	err = i.openNamespaces(spec)
	if sys.IsForbidden(err) {
		err = i.askNamespaces(c, spec, err)
	}
	if err == nil {
		err = i.compare(c, o.Warn)
	}
	if err == nil {
		err = i.dropOwnUser()
	}
	if err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

func (i *Init) openNamespaces(spec *specs.Spec) error {
	for _, ns := range spec.Linux.Namespaces {
		file, err := openNamespaceAt(int(i.Proc.Fd()), "ns/"+plan.NamespaceFile(ns.Type))
		if err != nil {
			return fmt.Errorf("join the container's %s namespace: %w", ns.Type, err)
		}
		i.ns[plan.NamespaceFlag(ns.Type)] = file
	}
	return nil
}

// askNamespaces is openNamespaces for an init that rt may not look into; refused is the reason.
func (i *Init) askNamespaces(c *state.Container, spec *specs.Spec, refused error) (err error) {
	if i.asked, err = askInit(c); errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return refused
	} else if err != nil {
		return err
	}
	for _, ns := range spec.Linux.Namespaces {
		flag := plan.NamespaceFlag(ns.Type)
		if i.ns[flag] != nil {
			continue
		}
		file := i.asked.ns[flag]
		if file == nil {
			return fmt.Errorf("join the container's %s namespace: init does not hand it out", ns.Type)
		}
		if i.ns[flag], err = sys.Duplicate(file); err != nil {
			return err
		}
	}
	return nil
}

// dropOwnUser: a process cannot join the user namespace that it is in (setns(2)).
func (i *Init) dropOwnUser() error {
	file := i.ns[unix.CLONE_NEWUSER]
	if file == nil {
		return nil
	}
	theirs, err := sys.NamespaceOf(file)
	if err != nil {
		return err
	}
	if own, err := sys.NamespaceInode(unix.AT_FDCWD, "/proc/self/ns/user"); err == nil && own == theirs.Inode {
		file.Close()
		delete(i.ns, unix.CLONE_NEWUSER)
	}
	return nil
}

// Flags are the types of the namespaces that a process is to join, as CLONE_NEW* flags.
func (i *Init) Flags() (flags uint64) {
	for flag := range i.ns {
		flags |= flag
	}
	return flags
}
