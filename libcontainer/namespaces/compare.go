package namespaces

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// types are all kinds of namespaces, in which a container's init can be.
var types = [...]specs.LinuxNamespaceType{
	specs.CgroupNamespace, specs.IPCNamespace, specs.MountNamespace, specs.NetworkNamespace, specs.PIDNamespace,
	specs.TimeNamespace, specs.UserNamespace, specs.UTSNamespace,
}

// Record notes the namespaces that init was created in. It is a child of this process and has executed nothing yet. A
// rootless rt may not look at one that is not dumpable; then nothing is recorded.
func Record(c *state.Container) error {
	if c.Namespaces != nil {
		return nil
	}
	found, dir := map[string]string{}, "/proc/"+strconv.Itoa(c.Pid)+"/ns/"
	for _, kind := range types {
		ns, err := sys.Namespace{}, error(nil)
		if kind == specs.MountNamespace {
			ns, err = mountNamespaceAt(unix.AT_FDCWD, dir+"mnt")
			c.MountNamespaceID = ns.ID
		} else {
			ns.Inode, err = sys.NamespaceInode(unix.AT_FDCWD, dir+plan.NamespaceFile(kind))
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // the kernel has none of the type
			continue
		case sys.IsForbidden(err):
			c.MountNamespaceID = 0
			return nil
		case err != nil:
			return fmt.Errorf("record the container's %s namespace: %w", kind, err)
		}
		found[string(kind)] = strconv.FormatUint(ns.Inode, 10)
	}
	c.Namespaces = found
	return nil
}

// look names the namespace of a type that init is in, by the descriptor that will be joined if there is one.
func (i *Init) look(kind specs.LinuxNamespaceType) (sys.Namespace, error) {
	file := i.ns[plan.NamespaceFlag(kind)]
	if file == nil && i.asked != nil {
		file = i.asked.ns[plan.NamespaceFlag(kind)]
	}
	switch {
	case file == nil && kind == specs.MountNamespace:
		return mountNamespaceAt(int(i.Proc.Fd()), "ns/mnt")
	case file == nil:
		inode, err := sys.NamespaceInode(int(i.Proc.Fd()), "ns/"+plan.NamespaceFile(kind))
		return sys.Namespace{Inode: inode}, err
	case kind == specs.MountNamespace:
		return sys.MountNamespaceOf(file)
	}
	return sys.NamespaceOf(file)
}

func mountNamespaceAt(dir int, path string) (sys.Namespace, error) {
	file, err := openNamespaceAt(dir, path)
	if err != nil {
		return sys.Namespace{}, err
	}
	defer file.Close()
	return sys.MountNamespaceOf(file)
}

// openNamespaceAt opens a namespace of a process, below its directory in /proc.
func openNamespaceAt(dir int, path string) (*os.File, error) {
	fd, err := sys.OpenKernelFd(dir, path, unix.O_RDONLY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// compare refuses an init that has left a namespace since create, be it one that it shared with the host: a process that
// may unshare would choose what is executed with the rights of rt's caller.
func (i *Init) compare(c *state.Container, warn func(format string, args ...any)) error {
	if len(c.Namespaces) == 0 {
		warn("the state does not say which namespaces the container was created with: only the pid namespace is compared")
		return i.comparePid(c)
	}
	for _, kind := range types {
		want, recorded := c.Namespaces[string(kind)]
		if !recorded {
			continue
		}
		now, err := i.look(kind)
		if err != nil {
			return fmt.Errorf("compare the container's %s namespace: %w", kind, err)
		}
		known := c.MountNamespaceID != 0 && now.ID != 0 && kind == specs.MountNamespace
		if strconv.FormatUint(now.Inode, 10) != want || known && now.ID != c.MountNamespaceID {
			return errOtherNamespace(kind)
		}
	}
	return nil
}

func errOtherNamespace(kind specs.LinuxNamespaceType) error {
	return hint.With(fmt.Errorf("join the container's %s namespace: init is not in the one that it was created in", kind),
		"the container's init has moved itself (unshare(2), setns(2), nsenter(1)), and rt does not follow it; nsenter(1) on the host does")
}

// comparePid is for a container of an rt that recorded no namespaces.
func (i *Init) comparePid(c *state.Container) error {
	theirs, err := i.look(specs.PIDNamespace)
	if err != nil {
		return fmt.Errorf("compare the container's pid namespace: %w", err)
	}
	shares, joins := theirs.Inode == state.OwnPidNamespace(), i.ns[unix.CLONE_NEWPID] != nil
	if shares && c.PrivatePid || !shares && !joins {
		return errOtherNamespace(specs.PIDNamespace)
	}
	return nil
}
