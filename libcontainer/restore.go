package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rt/internal/bug"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/console"
	"rt/libcontainer/criu"
	"rt/libcontainer/facts"
	"rt/libcontainer/netdev"
	"rt/libcontainer/notify"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// RestoreOptions are the flags of restore.
type RestoreOptions struct {
	CriuOptions
	Bundle          string // directory; "" is the current one
	ConsoleSocket   string
	PidFile         string
	Detach          bool
	NoSubreaper     bool
	LSMProfile      string // TYPE:NAME instead of the one in the image
	LSMMountContext string
}

// Restore brings back what Checkpoint has saved, as a container of this id and the bundle. Detached it returns when the
// processes run; else it waits as Run does.
func (r *Runtime) Restore(id string, o RestoreOptions) (status int, err error) {
	var signals *console.Signals
	if !o.Detach {
		var err error
		if signals, err = console.CatchSignals(); err != nil {
			return -1, err
		}
		if !o.NoSubreaper {
			if err := becomeSubreaper(); err != nil {
				return -1, err
			}
		}
	}
	defer func() { signals.Stop() }()
	created := CreateOptions{Bundle: o.Bundle, ConsoleSocket: o.ConsoleSocket, PidFile: o.PidFile}
	k := &making{o: created, out: created.handOver(), detached: o.Detach}
	defer bug.Then(func(broken error) { status, err = -1, k.broken(broken) })
	if err := r.restore(id, k, o); err != nil {
		return -1, err
	}
	r.warnStreams(k.streams, k.spec.Process)
	giveStreams(k.streams, k.c.Pid, k.spec.Process)
	fg := &foreground{streams: k.streams}
	if err := k.out.giveTerminal(fg, k.spec.Process); err != nil {
		return -1, k.fail(err)
	}
	if err := k.keepMoved(); err != nil {
		return -1, k.fail(err)
	}
	k.c.Release()
	if err := k.out.writePidFile(k.c.Pid); err != nil {
		return -1, k.fail(err)
	}
	if o.Detach {
		return 0, nil
	}
	status, err = fg.wait(k.c.Pid, signals, !o.NoSubreaper)
	if err != nil {
		return -1, err
	}
	defer fg.finish(r, signals)
	return r.ended(k.c, RunOptions{}, status)
}

// restore takes a container to the point where its processes run and its state is saved. On error nothing of it is left.
func (r *Runtime) restore(id string, k *making, o RestoreOptions) error {
	if err := bundle.CheckID(id); err != nil {
		return err
	}
	k.c = r.newContainer(id)
	k.c.Restored = true
	if err := k.openStreams(); err != nil {
		return fmt.Errorf("restore container: %w", err)
	}
	k.startAnchor(0)
	err := k.prepare()
	if err == nil && k.sure() {
		err = k.takeLimits()
	}
	if err == nil {
		err = k.revive(o)
	}
	if err != nil {
		return fmt.Errorf("restore container: %w", k.fail(err))
	}
	return nil
}

func (k *making) revive(o RestoreOptions) error {
	t, err := k.c.talk(&o.CriuOptions, restoreLog, false)
	if err != nil {
		return err
	}
	defer t.close()
	k.cgroupsIgnored = t.opts.ManageCgroup == criu.CgroupsIgnored
	k.c.know(k.spec)
	if err := k.openJoined(); err != nil {
		return err
	}
	defer k.joined.close()
	extra, err := k.setRestore(t, o)
	defer closeAll(extra)
	if err != nil {
		return err
	}
	k.undo.add(k.killAll)
	k.owes = true
	if err := k.startCriu(t, extra); err != nil {
		return t.explain(err)
	}
	k.streams.Given()
	if err := k.moveCriu(t); err != nil {
		return err
	}
	pid, err := t.Do(criu.Restore, &t.opts, func(n criu.Notification) error { return k.serveCriu(n, t.Pid) })
	if err != nil {
		err = t.clear(k.yard, err)
		return t.explain(err)
	}
	if k.c.Pid == 0 || pid != k.c.Pid {
		return fmt.Errorf("criu has restored process %d and told of %d before", pid, k.c.Pid)
	}
	k.endAnchor()
	if !k.checked {
		return errors.New("criu has resumed the processes and not asked before: they are killed")
	}
	return nil
}

// clear removes the directory that a CRIU which was killed for a reason has left among its files.
func (t *talk) clear(yard string, reason error) error {
	if yard == "" {
		return reason
	}
	for _, dir := range []*criu.Directory{t.work, t.images} {
		if err := dir.RemoveYard(yard); err != nil {
			return fmt.Errorf("%w; and then %w", reason, err)
		}
	}
	return reason
}

// protectRoot makes the root read-only, if it is to be: CRIU has to make directories in it, and leaves its attributes as they are.
func (k *restored) protectRoot() error {
	if !k.spec.Root.Readonly || !bundle.HasNamespace(k.spec, specs.MountNamespace) {
		return nil
	}
	err := inMountNamespace("/proc/"+strconv.Itoa(k.init), func() error {
		return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	})
	if err != nil {
		return fmt.Errorf("make the root read-only: %w (/root/readonly)", err)
	}
	return nil
}

// know sets what the state says about a container, and create learns while it compiles the plan.
func (c *container) know(spec *specs.Spec) {
	c.PrivatePid = c.PrivatePid || bundle.MakesNamespace(spec, specs.PIDNamespace)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// setRestore sets the options, and opens what CRIU is to inherit.
func (k *making) setRestore(t *talk, o RestoreOptions) (extra []*os.File, err error) {
	c, opts := k.c, &t.opts
	opts.RstSibling, opts.EvasiveDevices = true, true
	opts.Root = filepath.Join(c.Dir, state.CriuRoot)
	opts.LSMProfile, opts.LSMMountContext = o.LSMProfile, o.LSMMountContext
	k.lsmProfile = o.LSMProfile
	if k.sources, err = k.hostMounts(); err != nil {
		return nil, err
	}
	if k.sources != nil {
		if err := k.sources.checkImages(t.images); err != nil {
			return nil, err
		}
	}
	if err := k.inheritStdio(t.images); err != nil {
		return nil, err
	}
	inherit := func(key string, f *os.File) {
		opts.InheritFd = append(opts.InheritFd, criu.Inherited{Key: key, Fd: criu.NumberOf(len(extra))})
		extra = append(extra, f)
	}
	for _, in := range k.inherited {
		fd, err := unix.FcntlInt(in.file.Fd(), unix.F_DUPFD_CLOEXEC, 3) // CRIU closes each
		if err != nil {
			return extra, fmt.Errorf("duplicate %s: %w", stdioNames[in.number], err)
		}
		inherit(in.name, os.NewFile(uintptr(fd), in.name))
	}
	return extra, k.joinNamespaces(opts, inherit)
}

// joinedNamespaces are the namespaces that the configuration names by paths, by their types. Each is opened once: a path can lead to
// another one by the time that CRIU starts.
type joinedNamespaces map[specs.LinuxNamespaceType]*os.File

func (j joinedNamespaces) close() {
	for _, f := range j {
		f.Close()
	}
}

// openJoined opens them by the rules of create.
func (k *making) openJoined() error {
	k.joined = joinedNamespaces{}
	for i, ns := range k.spec.Linux.Namespaces {
		if ns.Path == "" {
			continue
		}
		f, err := stub.OpenNamespace(plan.Input{Path: ns.Path, Type: plan.NamespaceFlag(ns.Type), NotHosts: plan.NotHosts(k.spec, ns.Type)})
		if err == nil {
			k.joined[ns.Type] = f
			switch ns.Type {
			case specs.CgroupNamespace, specs.MountNamespace, specs.TimeNamespace, specs.UserNamespace:
				err = fmt.Errorf("CRIU restores nothing into a %s namespace that is there already", ns.Type)
			}
		}
		if err != nil {
			k.joined.close()
			return fmt.Errorf("%w (/linux/namespaces/%d/path)", err, i)
		}
	}
	return nil
}

// joinNamespaces has the processes restored in the namespaces that have been opened. CRIU inherits some, and opens the others from rt's
// descriptors.
func (k *making) joinNamespaces(opts *criu.Options, inherit func(key string, f *os.File)) error {
	for _, ns := range k.spec.Linux.Namespaces {
		f := k.joined[ns.Type]
		if f == nil {
			continue
		}
		key, ok := externalNamespaces()[ns.Type]
		if !ok {
			opts.JoinNS = append(opts.JoinNS, criu.Pair{Key: plan.NamespaceFile(ns.Type), Value: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())})
			continue
		}
		f, err := sys.Duplicate(f) // CRIU closes it
		if err != nil {
			return err
		}
		inherit(key, f)
	}
	return nil
}

// hostMounts makes the mount points of the new container, and says what of the host is to be mounted there. Masks are known
// to runc's images by another name.
func (k *making) hostMounts() (*restoredMounts, error) {
	c := k.c
	if !bundle.HasNamespace(k.spec, specs.MountNamespace) {
		return nil, nil
	}
	known := k.facts(nil)
	known.NotifyDir = filepath.Join(c.Dir, state.NotifyDir)
	if err := notify.MakeDir(known.NotifyDir); err != nil {
		return nil, err
	}
	p, view, err := known.Mountpoints()
	if err != nil {
		return nil, err
	}
	process, err := nsenter.Start(callerStdio(), 0)
	if err != nil {
		return nil, err
	}
	in, err := stub.Enter(process, p, stub.Options{Open: openNothing, MapIDs: facts.MapIDs})
	if err != nil {
		return nil, err
	}
	defer in.Abandon()
	if err := in.Until(nsenter.SyncReady, stub.None{}); err != nil {
		return nil, fmt.Errorf("make mount points: %w", err)
	}
	mounts, err := readMounts(in.Pid(), c.Rootfs)
	if err != nil {
		return nil, err
	}
	defer mounts.close()
	list, err := c.externals(k.spec, mounts, view)
	if err != nil {
		return nil, err
	}
	const null = "/dev/null"
	for _, p := range append([]string{null}, k.spec.Linux.MaskedPaths...) {
		if p = path.Clean(p); !slices.ContainsFunc(list, func(e external) bool { return e.Key == p }) {
			list = append(list, external{criu.Pair{Key: p, Value: null}, -1, "", 0})
		}
	}
	for _, e := range list {
		if err := checkpoint.CheckKey(e.Key); err != nil {
			return nil, err
		}
	}
	configured, err := configuredMounts(k.spec, mounts)
	if err != nil {
		return nil, err
	}
	return &restoredMounts{list: list, inputs: p.Inputs, rules: checkpoint.Rules{HostsIn: hostsIn(k.spec), Mounts: configured}}, nil
}

// openNothing is for a plan without inputs that only its caller knows.
func openNothing(plan.Input) (*os.File, error) { return nil, unix.EINVAL }

// startCriu starts CRIU in a mount namespace of its own with the rootfs at CriuRoot, so that this mount is gone when CRIU is, also if
// rt is killed meanwhile. Mounts that the host makes later reach the container all the same: the trees that it gets are slaves. The rest
// of the namespace is private, so that it keeps what the host had mounted: if the host unmounts a file system meanwhile, a new one of
// the container's cannot get its device number, by which the host's are known (restoredMounts.learn).
func (k *making) startCriu(t *talk, extra []*os.File) (err error) {
	stdin, stdout := os.Stdin, os.Stdout
	if !t.opts.ShellJob || k.spec.Process.Terminal { // else CRIU restores what it has there as the terminal of the image
		null, err := sys.OpenNull()
		if err != nil {
			return err
		}
		defer null.Close()
		stdin, stdout = null, null
	}
	k.makeXtablesLock(t.opts.NetworkLock)
	sys.OnThread(func() {
		defer bug.Catch(&err)
		var trees sourceTrees
		defer trees.close()
		if err = enterCopy(); err == nil {
			trees, err = k.openSources()
		}
		if err == nil {
			err = leaveGroups()
		}
		if err == nil && k.sources != nil {
			err = k.shutHost(t)
		}
		if err == nil {
			err = t.reopen() // before stage: the directories may be below --root
		}
		if err == nil {
			t.opts.ExtMounts, err = k.stage(trees, t.opts.Root, t.images)
		}
		if err == nil {
			err = k.newKeyring()
		}
		if err == nil {
			err = dropGroups(k.priv)
		}
		if err == nil {
			err = t.start(stdin, stdout, extra...)
		}
		if err == nil && k.sources != nil {
			k.sources.criu = t.Pid
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

// moveCriu moves CRIU into the container's cgroup, where what it restores is born, and names the cgroup as the root of those
// that it makes.
func (k *making) moveCriu(t *talk) (err error) {
	c := k.c
	if err := c.rdt().Join(t.Pid); err != nil {
		return err
	}
	if len(c.Cgroups) == 0 {
		return nil
	}
	if k.outside {
		return hint.With(errors.New("rt may move no process into the container's cgroup"), "run rt as root, or in a cgroup that is delegated")
	}
	if c.Helper, err = sys.Identify(t.Pid); err != nil {
		return err
	}
	if err := c.WriteJournal(); err != nil {
		return err
	}
	if err := c.cg.JoinAll(t.Pid); err != nil {
		return err
	}
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(t.Pid)+"/cgroup", maxFile)
	if err != nil {
		return err
	}
	own := checkpoint.ParseCgroups(string(text))
	for _, cg := range own {
		for name := range strings.SplitSeq(cg.Hierarchy, ",") {
			t.opts.CgroupRoots = append(t.opts.CgroupRoots, criu.Pair{Key: name, Value: cg.Path})
		}
	}
	if k.sources != nil {
		k.sources.rules.Cgroups = own
	}
	return nil
}

// serveCriu does rt's part at a point that CRIU has reached.
func (k *making) serveCriu(n criu.Notification, pid int) error {
	switch n.Script {
	case "orphan-pts-master":
		return k.takeMaster(n.Fd)
	case "setup-namespaces":
		return k.furnish(n.Pid, pid)
	case "post-setup-namespaces":
		return k.fence()
	case "post-restore":
		return k.revived(n.Pid, pid)
	case "pre-resume":
		return k.beforeResume(pid)
	}
	if n.Fd >= 0 {
		unix.Close(n.Fd)
	}
	return nil
}

// takeMaster keeps the first terminal; it is the container's, if it has one.
func (k *making) takeMaster(fd int) error {
	if fd < 0 {
		return errors.New("criu has sent no terminal")
	}
	f := os.NewFile(uintptr(fd), "/dev/pts/0")
	if k.out.master != nil {
		f.Close()
		return nil
	}
	k.keepTerminal(f)
	if !k.spec.Process.Terminal {
		return errors.New("the image has a terminal, and /process/terminal is not true")
	}
	return nil
}

// furnish does for new namespaces what create does: CRIU has made them and restored nothing that needs what is in them.
func (k *making) furnish(pid, criu int) error {
	if err := k.checkPid(pid, criu); err != nil {
		return err
	}
	if err := k.c.SetInit(pid); err != nil {
		return err
	}
	if err := k.c.WriteJournal(); err != nil {
		return err
	}
	k.endAnchor()
	if bundle.MakesNamespace(k.spec, specs.NetworkNamespace) {
		if err := netdev.LoopbackUp("/proc/" + strconv.Itoa(pid) + "/ns/net"); err != nil {
			return err
		}
	}
	if err := k.moveRestored(); err != nil {
		return err
	}
	if h := k.spec.Hooks; h != nil {
		return k.c.runtimeHooks(k.spec)
	}
	return nil
}

// revived notes who the container's process is. It must be a child of this process: rt may have to kill it.
func (k *making) revived(pid, criu int) (err error) {
	c := k.c
	if err := k.checkPid(pid, criu); err != nil {
		return err
	}
	if err := c.SetInit(pid); err != nil {
		return err
	}
	if err := c.recordNamespaces(); err != nil {
		return err
	}
	if err := k.noteTimeNamespace(); err != nil {
		return err
	}
	return k.runChecks(checksAfterRestore())
}

// killAll ends what has been restored of a container that does not come to be.
func (k *making) killAll() {
	if pid := k.c.Pid; pid != 0 && sys.OwnChild(pid) {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = sys.Wait(pid)
	}
	if len(k.c.Cgroups) > 0 {
		k.undone(k.c.removeCgroup())
	}
}
