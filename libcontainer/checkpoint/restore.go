package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"rt/cgroups"
	"rt/internal/bug"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/criu"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Restoration is a container whose processes CRIU restores, with what the verb knows of it. Each method is a step of the verb, in the
// order Prepare, Start, JoinCgroup, Run.
type Restoration struct {
	*state.Container
	Session         *Session
	Spec            *specs.Spec
	Streams         [3]*os.File     // rt's, for the container's stdin, stdout and stderr
	Joined          Joined          // see there
	Cgroup          *cgroups.Cgroup // the container's own
	Root            string          // --root
	LSMProfile      string          // TYPE:NAME instead of the one in the images
	LSMMountContext string
	Privileges      facts.Privileges                 // of rt
	Warn            func(format string, args ...any) // gets the warnings

	sources   *sources    // what of the host may be mounted; nil: the container has no mount namespace
	inherited []inherited // what of Streams stands for descriptors of the images
	extra     []*os.File  // descriptors that CRIU inherits
	null      *os.File    // that rt has made, or nil
	passed    bool        // the processes have passed the checks before they resume
	yard      string      // name of a directory that CRIU, which rt has killed, has left
}

// Events are what the verb does while CRIU restores.
type Events interface {
	// Terminal takes the master of the first terminal of the images.
	Terminal(master *os.File) error
	// Furnish prepares the new namespaces of init, as create does: CRIU has restored nothing yet that needs what is in them.
	Furnish(pid int) error
	// Restored is called when memory, mounts and descriptors of the processes are restored.
	Restored(pid int) error
}

// cgroupsIgnored says whether CRIU leaves cgroups and their namespaces as they are.
func (s *Session) cgroupsIgnored() bool { return s.opts.ManageCgroup == criu.CgroupsIgnored }

// A Mountpoints is a process in a mount namespace that has the new container's mount points in place.
type Mountpoints struct {
	Pid    int
	Inputs []plan.Input    // of the plan that has made them
	View   plan.CgroupView // what mounts of cgroups show
}

// Prepare sets CRIU's options, checks the images, and opens what CRIU is to inherit. Without mount namespace at is nil.
func (r *Restoration) Prepare(at *Mountpoints) (err error) {
	r.Session.opts.RstSibling, r.Session.opts.EvasiveDevices = true, true
	r.Session.opts.Root = filepath.Join(r.Dir, state.CriuRoot)
	r.Session.opts.LSMProfile, r.Session.opts.LSMMountContext = r.LSMProfile, r.LSMMountContext
	if at != nil {
		if r.sources, err = r.findSources(at); err != nil {
			return err
		}
		if err := r.sources.checkImages(r.Session.images); err != nil {
			return err
		}
	}
	if err := r.inheritStdio(); err != nil {
		return err
	}
	for _, in := range r.inherited {
		fd, err := unix.FcntlInt(in.file.Fd(), unix.F_DUPFD_CLOEXEC, 3) // CRIU closes each
		if err != nil {
			return fmt.Errorf("duplicate %s: %w", stdioNames[in.number], err)
		}
		r.inherit(in.name, os.NewFile(uintptr(fd), in.name))
	}
	return r.joinNamespaces()
}

// inherit has CRIU inherit a descriptor, which the images name by key.
func (r *Restoration) inherit(key string, f *os.File) {
	r.Session.opts.InheritFd = append(r.Session.opts.InheritFd, criu.Inherited{Key: key, Fd: criu.NumberOf(len(r.extra))})
	r.extra = append(r.extra, f)
}

// Close closes what Prepare has opened.
func (r *Restoration) Close() {
	closeAll(r.extra)
	r.null.Close()
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Start starts CRIU in a mount namespace of its own with the rootfs at CriuRoot, so that this mount is gone when CRIU is, also if
// rt is killed meanwhile. Mounts that the host makes later reach the container all the same: the trees that it gets are slaves. The rest
// of the namespace is private, so that it keeps what the host had mounted: if the host unmounts a file system meanwhile, a new one of
// the container's cannot get its device number, by which the host's are known (sources.learn).
func (r *Restoration) Start() error { return r.Session.explain(r.startCriu()) }

func (r *Restoration) startCriu() (err error) {
	stdin, stdout := os.Stdin, os.Stdout
	if !r.Session.opts.ShellJob || r.Spec.Process.Terminal { // else CRIU restores what it has there as the terminal of the image
		null, err := sys.OpenNull()
		if err != nil {
			return err
		}
		defer null.Close()
		stdin, stdout = null, null
	}
	r.makeXtablesLock(r.Session.opts.NetworkLock)
	sys.OnThread(func() {
		defer bug.Catch(&err)
		var trees sourceTrees
		defer trees.close()
		if err = enterCopy(); err == nil {
			trees, err = r.openSources()
		}
		if err == nil {
			err = leaveGroups()
		}
		if err == nil && r.sources != nil {
			err = r.shutHost()
		}
		if err == nil {
			err = r.Session.reopen() // before stage: the directories may be below --root
		}
		if err == nil {
			r.Session.opts.ExtMounts, err = r.stage(trees)
		}
		if err == nil {
			err = r.newKeyring()
		}
		if err == nil {
			err = dropGroups(r.Privileges)
		}
		if err == nil {
			err = r.Session.start(stdin, stdout, r.extra...)
		}
		if err == nil && r.sources != nil {
			r.sources.criu = r.Session.Pid
		}
	})
	return err
}

// enterCopy moves the calling thread into a copy of the mount namespace.
func enterCopy() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace for criu: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make the mounts slaves of the host's: %w", err)
	}
	return nil
}

// leaveGroups makes the mounts of the calling thread's mount namespace private. Trees that have been opened stay slaves.
func leaveGroups() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private for criu: %w", err)
	}
	return nil
}

// JoinCgroup moves CRIU into the container's cgroup, in which it then creates the processes, and names the cgroup as the root of those
// that CRIU makes. The journal must know CRIU already.
func (r *Restoration) JoinCgroup() error {
	if err := r.Cgroup.JoinAll(r.Session.Pid); err != nil {
		return err
	}
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(r.Session.Pid)+"/cgroup", maxFile)
	if err != nil {
		return err
	}
	own := parseCgroups(string(text))
	for _, cg := range own {
		for name := range strings.SplitSeq(cg.Hierarchy, ",") {
			r.Session.opts.CgroupRoots = append(r.Session.opts.CgroupRoots, criu.Pair{Key: name, Value: cg.Path})
		}
	}
	if r.sources != nil {
		r.sources.rules.Cgroups = own
	}
	return nil
}

// Run has CRIU restore the processes, and checks them before they run.
func (r *Restoration) Run(e Events) error {
	pid, err := r.Session.Do(criu.Restore, &r.Session.opts, func(n criu.Notification) error { return r.serve(n, e) })
	if err != nil {
		return r.Session.explain(r.removeYard(err))
	}
	if r.Pid == 0 || pid != r.Pid {
		return fmt.Errorf("criu has restored process %d and told of %d before", pid, r.Pid)
	}
	return nil
}

// Passed is an error if the processes were not checked before they resumed.
func (r *Restoration) Passed() error {
	if !r.passed {
		return errors.New("criu has resumed the processes and not asked before: they are killed")
	}
	return nil
}

// removeYard removes the directory that a CRIU which was killed for a reason has left among its files.
func (r *Restoration) removeYard(reason error) error {
	if r.yard == "" {
		return reason
	}
	for _, dir := range []*criu.Directory{r.Session.work, r.Session.images} {
		if err := dir.RemoveYard(r.yard); err != nil {
			return fmt.Errorf("%w; and then %w", reason, err)
		}
	}
	return reason
}

// serve does rt's part at a point that CRIU has reached.
func (r *Restoration) serve(n criu.Notification, e Events) error {
	switch n.Script {
	case "orphan-pts-master":
		return r.takeTerminal(n.Fd, e)
	case "setup-namespaces":
		if err := r.checkPid(n.Pid); err != nil {
			return err
		}
		return e.Furnish(n.Pid)
	case "post-setup-namespaces":
		return r.checkMade()
	case "post-restore":
		if err := r.checkPid(n.Pid); err != nil {
			return err
		}
		if err := e.Restored(n.Pid); err != nil {
			return err
		}
		if err := r.recordTimeNamespace(); err != nil {
			return err
		}
		return r.runChecks(checksAfterRestore())
	case "pre-resume":
		return r.beforeResume()
	}
	if n.Fd >= 0 {
		unix.Close(n.Fd)
	}
	return nil
}

// takeTerminal hands the verb the first terminal of the images, which is the container's.
func (r *Restoration) takeTerminal(fd int, e Events) error {
	if fd < 0 {
		return errors.New("criu has sent no terminal")
	}
	if err := e.Terminal(os.NewFile(uintptr(fd), "/dev/pts/0")); err != nil {
		return err
	}
	if !r.Spec.Process.Terminal {
		return errors.New("the image has a terminal, and /process/terminal is not true")
	}
	return nil
}

// recordTimeNamespace records whether init is in a time namespace that the configuration does not have. CRIU restores every container in
// one, so that its monotonic clocks go on from where they were. A process that joins the container later must join that, too: in another
// one it has other clocks, and CRIU saves no container with two.
func (r *Restoration) recordTimeNamespace() error {
	its, known := r.Namespaces[string(specs.TimeNamespace)]
	if !known || bundle.HasNamespace(r.Spec, specs.TimeNamespace) {
		return nil
	}
	own, err := sys.NamespaceInode(unix.AT_FDCWD, "/proc/self/ns/time")
	if err != nil {
		return fmt.Errorf("look at rt's time namespace: %w", err)
	}
	r.TimeNamespace = its != strconv.FormatUint(own, 10)
	return nil
}
