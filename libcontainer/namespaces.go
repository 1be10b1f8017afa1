package libcontainer

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

// namespaceTypes are all kinds of namespaces, in which a container's init can be.
var namespaceTypes = [...]specs.LinuxNamespaceType{
	specs.CgroupNamespace, specs.IPCNamespace, specs.MountNamespace, specs.NetworkNamespace, specs.PIDNamespace,
	specs.TimeNamespace, specs.UserNamespace, specs.UTSNamespace,
}

// initFiles are what a process that joins the container opens of its init: all of it is the process that the state names.
type initFiles struct {
	proc  *os.File            // its directory in /proc, O_PATH
	ns    map[uint64]*os.File // CLONE_NEW* -> namespace
	asked *handed             // what it has handed out, where rt may not look below proc; else nil

	cgroup func(in plan.Input) (*os.File, error) // opens its cgroup in place of the container's, which is gone
}

func (f *initFiles) close() {
	f.proc.Close()
	for _, ns := range f.ns {
		ns.Close()
	}
	if f.asked != nil {
		f.asked.close()
	}
}

// open is the opener of a plan's inputs. What it returns is closed by the caller.
func (f *initFiles) open(in plan.Input) (*os.File, error) {
	switch in.Kind {
	case plan.InitRoot:
		return f.root()
	case plan.CgroupDir:
		return f.cgroup(in)
	}
	ns := f.ns[in.Type]
	if in.Kind != plan.InitNamespace || ns == nil {
		return nil, fmt.Errorf("open %s %s: %w", in.Kind, in.Path, unix.EINVAL)
	}
	delete(f.ns, in.Type)
	return ns, nil
}

func (f *initFiles) root() (*os.File, error) {
	if f.asked != nil {
		return sys.Duplicate(f.asked.root)
	}
	return sys.OpenAt(int(f.proc.Fd()), "root", unix.O_PATH|unix.O_DIRECTORY, 0)
}

// openInit opens init's namespaces of the types that the container does not share with the host, and sees that all of them are
// those that the container was created with.
func (c *container) openInit(spec *specs.Spec) (*initFiles, error) {
	proc, err := c.InitProcess().Dir()
	if err != nil {
		return nil, err
	}
	f := &initFiles{proc: proc, ns: map[uint64]*os.File{}, cgroup: c.openInitCgroup}
	err = f.openNamespaces(spec)
	if sys.IsForbidden(err) {
		err = c.askNamespaces(f, spec, err)
	}
	if err == nil {
		err = c.checkNamespaces(f)
	}
	if err == nil {
		err = f.dropOwnUser()
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *initFiles) openNamespaces(spec *specs.Spec) error {
	for _, ns := range spec.Linux.Namespaces {
		file, err := openNamespaceAt(int(f.proc.Fd()), "ns/"+plan.NamespaceFile(ns.Type))
		if err != nil {
			return fmt.Errorf("join the container's %s namespace: %w", ns.Type, err)
		}
		f.ns[plan.NamespaceFlag(ns.Type)] = file
	}
	return nil
}

// askNamespaces is openNamespaces of an init that rt may not look into, for which refused is the reason.
func (c *container) askNamespaces(f *initFiles, spec *specs.Spec, refused error) (err error) {
	if f.asked, err = c.askInit(); errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return refused
	} else if err != nil {
		return err
	}
	for _, ns := range spec.Linux.Namespaces {
		flag := plan.NamespaceFlag(ns.Type)
		if f.ns[flag] != nil {
			continue
		}
		file := f.asked.ns[flag]
		if file == nil {
			return fmt.Errorf("join the container's %s namespace: init does not hand it out", ns.Type)
		}
		if f.ns[flag], err = sys.Duplicate(file); err != nil {
			return err
		}
	}
	return nil
}

// dropOwnUser: a process cannot join the user namespace that it is in (setns(2)).
func (f *initFiles) dropOwnUser() error {
	file := f.ns[unix.CLONE_NEWUSER]
	if file == nil {
		return nil
	}
	theirs, err := sys.NamespaceOf(file)
	if err != nil {
		return err
	}
	if own, err := sys.NamespaceInode(unix.AT_FDCWD, "/proc/self/ns/user"); err == nil && own == theirs.Inode {
		file.Close()
		delete(f.ns, unix.CLONE_NEWUSER)
	}
	return nil
}

// flags are the types that are open.
func (f *initFiles) flags() (flags uint64) {
	for flag := range f.ns {
		flags |= flag
	}
	return flags
}

// look names the namespace of a type that init is in, by the descriptor that will be joined if there is one.
func (f *initFiles) look(kind specs.LinuxNamespaceType) (sys.Namespace, error) {
	file := f.ns[plan.NamespaceFlag(kind)]
	if file == nil && f.asked != nil {
		file = f.asked.ns[plan.NamespaceFlag(kind)]
	}
	switch {
	case file == nil && kind == specs.MountNamespace:
		return mountNamespaceAt(int(f.proc.Fd()), "ns/mnt")
	case file == nil:
		inode, err := sys.NamespaceInode(int(f.proc.Fd()), "ns/"+plan.NamespaceFile(kind))
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

// checkNamespaces refuses an init that has left a namespace since create, be it one that it shared with the host: a process that
// may unshare would choose what is executed with the rights of rt's caller.
func (c *container) checkNamespaces(f *initFiles) error {
	if len(c.Namespaces) == 0 {
		c.rt.Warn("the state does not say which namespaces the container was created with: only the pid namespace is compared")
		return c.checkPid(f)
	}
	for _, kind := range namespaceTypes {
		want, recorded := c.Namespaces[string(kind)]
		if !recorded {
			continue
		}
		now, err := f.look(kind)
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

// checkPid is for a container of an rt that recorded no namespaces.
func (c *container) checkPid(f *initFiles) error {
	theirs, err := f.look(specs.PIDNamespace)
	if err != nil {
		return fmt.Errorf("compare the container's pid namespace: %w", err)
	}
	shares, joins := theirs.Inode == state.OwnPidNamespace(), f.ns[unix.CLONE_NEWPID] != nil
	if shares && c.PrivatePid || !shares && !joins {
		return errOtherNamespace(specs.PIDNamespace)
	}
	return nil
}

// recordNamespaces notes the namespaces that init was created in. It is a child of this process and has executed nothing yet. A
// rootless rt may not look at one that is not dumpable; then nothing is recorded.
func (c *container) recordNamespaces() error {
	if c.Namespaces != nil {
		return nil
	}
	found, dir := map[string]string{}, "/proc/"+strconv.Itoa(c.Pid)+"/ns/"
	for _, kind := range namespaceTypes {
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
