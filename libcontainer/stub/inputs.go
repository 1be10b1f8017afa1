package stub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/plan"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

type (
	// An Opener opens an input of a plan that only its caller knows.
	Opener func(plan.Input) (*os.File, error)

	// An IDMapper writes the id maps of a process in a new user namespace.
	IDMapper func(pid int, maps *specs.Linux) error
)

// Inputs opens what a plan refers to.
type Inputs struct {
	Own    Opener   // or nil, if the plan has no input of that kind
	MapIDs IDMapper // or nil, if it has no id-mapped mount

	wantsJoined bool                // a mount takes the mapping of the user namespace that the plan joins
	joined      *os.File            // that user namespace, once it is open
	made        map[string]*os.File // user namespaces with other mappings
}

// Close closes what Inputs keeps for later ones.
func (i *Inputs) Close() {
	for _, f := range i.made {
		f.Close()
	}
	if i.joined != nil {
		i.joined.Close()
	}
	i.made, i.joined = nil, nil
}

// expect notes what the list will need beyond its own inputs.
func (i *Inputs) expect(list []plan.Input) {
	i.wantsJoined = slices.ContainsFunc(list, func(in plan.Input) bool { return in.IDMap != nil && in.IDMap.Namespace != "" })
}

// with calls use with the descriptors of what the list names, open; -1 is for what the stub opens.
func (i *Inputs) with(list []plan.Input, use func(fds []int) error) error {
	fds, bare := make([]int, 0, len(list)), make([]int, 0, len(list))
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
		sys.CloseAll(bare)
	}()
	for _, in := range list {
		switch {
		case in.Inside:
			fds = append(fds, -1)
		case in.Kind == plan.Tasks || in.Kind == plan.Tree && in.IDMap == nil:
			fd, err := openBare(in)
			if err != nil {
				return explain(in, err)
			}
			fds, bare = append(fds, fd), append(bare, fd)
		default:
			f, err := i.Open(in)
			if err != nil {
				return err
			}
			fds, files = append(fds, int(f.Fd())), append(files, f)
		}
	}
	return use(fds)
}

// openBare opens an input that only the stub uses, without a file of Go's, for which the kernel would be asked for its flags.
func openBare(in plan.Input) (int, error) {
	switch {
	case in.Kind == plan.Tasks:
		return sys.OpenKernelBare(in.Path, unix.O_WRONLY)
	case in.Root != "":
		return sys.OpenTreeBelowBare(in.Root, in.Path, in.Recursive)
	}
	return sys.OpenTreeBare(in.Path, in.Recursive)
}

// Open opens one input. The caller closes it.
func (i *Inputs) Open(in plan.Input) (*os.File, error) {
	f, err := i.openKind(in)
	if err == nil {
		if err = i.finish(in, f); err != nil {
			f.Close()
		}
	}
	return f, explain(in, err)
}

// explain adds to an error what of the configuration it is about, and a hint.
func explain(in plan.Input, err error) error {
	if err != nil && in.Pointer != "" {
		err = fmt.Errorf("%w (%s)", err, in.Pointer)
	}
	switch {
	case errors.Is(err, unix.EMFILE):
		err = hint.With(err, filesHint)
	case in.Kind == plan.Tree && errors.Is(err, unix.ENOSPC): // a detached mount has a mount namespace
		err = hint.With(err, nsenter.MountsHint)
	}
	return err
}

// finish keeps a user namespace for the mounts that take its mapping, and maps the ids of a mount.
func (i *Inputs) finish(in plan.Input, f *os.File) error {
	if err := i.noteJoined(in, f); err != nil {
		return err
	}
	if in.IDMap == nil || in.Kind == plan.MapOfIDs {
		return nil
	}
	return i.mapMount(f, in)
}

func (i *Inputs) openKind(in plan.Input) (*os.File, error) {
	switch in.Kind {
	case plan.Tree:
		if in.Root != "" {
			return sys.OpenTreeBelow(in.Root, in.Path, in.Recursive)
		}
		return sys.OpenTree(in.Path, in.Recursive)
	case plan.NewFS:
		return newFS(in.FS)
	case plan.MapOfIDs:
		ns, err := i.namespace(in.IDMap)
		if err != nil {
			return nil, err
		}
		return sys.Duplicate(ns)
	case plan.Namespace:
		return OpenNamespace(in)
	case plan.Directory:
		return sys.Open(in.Path, unix.O_PATH|unix.O_DIRECTORY)
	case plan.CgroupDir:
		return i.openCgroup(in)
	case plan.Tasks:
		return sys.OpenKernelFile(in.Path, unix.O_WRONLY)
	case plan.FIFO:
		return openFIFO(in.Path)
	default:
		return i.Own(in)
	}
}

// openCgroup opens the cgroup, or if it is gone the one that Own knows in its place.
func (i *Inputs) openCgroup(in plan.Input) (*os.File, error) {
	f, err := OpenCgroup(in.Path)
	if !errors.Is(err, fs.ErrNotExist) || i.Own == nil {
		return f, err
	}
	other, ownErr := i.Own(in)
	if errors.Is(ownErr, fs.ErrNotExist) {
		return nil, err
	}
	return other, ownErr
}

// OpenCgroup opens a cgroup's directory by a mount of its own, above which there is nothing. A process in the container's pid namespace
// holds it for a moment; one that may look into that process (CAP_SYS_PTRACE, no user namespace) finds no way up to the host.
func OpenCgroup(path string) (*os.File, error) {
	tree, err := sys.OpenTreeBare(path, false)
	// An ordinary user may not clone mounts, and its containers have a user namespace. A clone counts as a mount namespace: if there
	// may be no more of them, the step that makes one says so.
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		return sys.Open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(tree)
	return sys.OpenAt(tree, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// OpenNamespace opens a namespace by its path. It must be of the input's type, and not the host's if the input says so.
func OpenNamespace(in plan.Input) (*os.File, error) {
	f, err := sys.OpenNamespace(in.Path)
	if err != nil {
		return nil, err
	}
	if err := checkNamespace(f, in); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkNamespace(f *os.File, in plan.Input) error {
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err == nil && uint64(kind) != in.Type {
		err = errors.New("it is a namespace of another type")
	} else if errors.Is(err, unix.ENOTTY) {
		err = errors.New("it is not a namespace")
	}
	if err != nil {
		return fmt.Errorf("join namespace %s: %w", in.Path, err)
	}
	if in.NotHosts == "" {
		return nil
	}
	hosts, err := sys.IsHostNamespace(f, in.Type)
	if err == nil && hosts {
		err = errors.New(in.NotHosts)
	}
	return err
}

// newFS makes a file system outside, as the host's root.
func newFS(fs *plan.NewMount) (*os.File, error) {
	options := make([]sys.FSOption, len(fs.Options))
	for i, o := range fs.Options {
		options[i] = sys.FSOption{Key: o.Key, Value: o.Value}
	}
	return sys.NewFS(fs.Type, options, int(fs.Attrs))
}
