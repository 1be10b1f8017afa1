package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"rt/cgroups"
	"rt/internal/bug"
	"rt/internal/hint"
	"rt/internal/names"
	"rt/internal/sys"
	"rt/internal/text"
	"rt/libcontainer/bundle"
	"rt/libcontainer/console"
	"rt/libcontainer/netdev"
	"rt/libcontainer/notify"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/libcontainer/state"
	"rt/libcontainer/stdio"
	"rt/libcontainer/stub"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Create makes a container whose process waits for Start.
func (r *Runtime) Create(id string, o CreateOptions) (err error) {
	k := &making{o: o, out: o.handOver(), await: true, detached: true}
	defer bug.Then(func(broken error) { err = k.fail(broken) })
	if err := r.create(id, k); err != nil {
		return err
	}
	defer k.c.Release()
	if err := k.handOver(); err != nil {
		return k.fail(err)
	}
	if err := k.session.Continue(); err == io.EOF {
		return k.fail(stub.ErrDiedInSetup)
	} else if err != nil {
		return k.fail(err)
	}
	if err := k.keepMoved(); err != nil {
		return k.fail(err)
	}
	k.session.Close()
	return nil
}

// A making is a container in the course of its creation.
type making struct {
	stub.None // its part while the stub works is Born, Join, Sync and Stalled

	o         CreateOptions
	await     bool         // whether `rt start` will come
	detached  bool         // nobody stays to hold a terminal
	meanwhile func() error // something to do while the stub works, or nil
	went      bool         // that was done
	transfer  bool         // rt moves the process into its cgroup, for it is killed when it is made there

	c       *container
	b       *bundle.Bundle
	spec    *specs.Spec
	host    *cgroups.Host
	priv    privileges
	session *stub.Session
	process *nsenter.Stub // the process that was started, which clones the container's
	out     handOver
	undo    undo
	streams *stdio.Streams // what the container gets of rt's stdio
	moved   *netdev.Moved  // or nil
	warned  []string       // of the configuration
	left    bool           // something could not be undone
	owes    bool           // poststop hooks, for there has been a process of the container

	checked        bool              // restore: the processes have passed the checks before they resume
	sources        *restoredMounts   // restore: what may be mounted, or nil
	joined         joinedNamespaces  // restore
	lsmProfile     string            // restore: TYPE:NAME of --lsm-profile
	given          map[string]string // state.Stdio, if the container has no terminal
	inherited      []inherited       // restore: what of rt's stdio stands for the image's
	scope                            // with --systemd-cgroup
	yard           string            // restore: the name of a directory that CRIU, which rt has killed, has left
	cgroupsIgnored bool              // restore: CRIU leaves cgroups and their namespaces as they are

	listener *os.File // where `rt start` is awaited, or nil; sent to the stub
}

// create takes a container to the point where everything is set up, its state is saved, and its process waits for
// the word to go on. The container is locked. On error nothing of it is left.
func (r *Runtime) create(id string, k *making) error {
	again := *k
	return stub.RetryMoved(&again.transfer, func() error {
		if k.went {
			again.meanwhile = nil
		}
		*k = again
		return r.createOnce(id, k)
	})
}

func (r *Runtime) createOnce(id string, k *making) error {
	if err := bundle.CheckID(id); err != nil {
		return err
	}
	k.c = r.newContainer(id)
	k.c.transfer = k.transfer
	extra, err := extraFds(k.o.PreserveFds)
	if err != nil {
		return err
	}
	if err := k.openStreams(); err != nil {
		return err
	}
	if err := k.noteStdio(); err != nil {
		return k.fail(err)
	}
	soon := nsenter.StartSoon(k.streams.Child, extra) // it is there by the time that there is a plan
	k.startAnchor(extra)
	k.streams.Given()
	if err := k.prepare(); err != nil {
		soon.Abandon()
		return k.fail(err)
	}
	r.warnStreams(k.streams, k.spec.Process)
	if err := k.makeProcess(k.insider(soon)); err != nil {
		return k.fail(err)
	}
	if hasNamespace(k.spec.Linux, specs.UserNamespace) {
		giveStreams(k.streams, k.c.Pid, k.spec.Process)
	}
	return nil
}

// fail undoes what was done, and returns the error that was the reason.
func (k *making) fail(err error) error {
	k.undo.run()
	if k.owes && err != stub.ErrKilledAtBirth {
		k.owes = false
		k.c.poststop(k.spec)
	}
	if k.c != nil {
		k.c.Release()
	}
	if errors.Is(err, unix.ENOSYS) {
		return hint.With(err, "rt needs Linux 5.14 or newer")
	}
	return err
}

// prepare does what needs no process: reads the bundle and takes the container's place on disk.
func (k *making) prepare() error {
	b, err := bundle.LoadFile(k.o.Bundle, k.o.Config)
	if err != nil {
		return err
	}
	problems := b.Check()
	if err := bundle.Join(problems); err != nil {
		return err
	}
	var warnings []string
	for _, p := range problems {
		warnings = append(warnings, p.Pointer+": "+p.Text)
	}
	k.c.rt.warnAll(warnings)
	k.warned = warnings
	k.b, k.spec = b, b.Spec
	if err := checkLabels(b.Spec); err != nil {
		return err
	}
	k.priv = ownPrivileges()
	k.priv.note = k.c.RecordHelper
	if err := checkPrivileges(k.priv, k.spec); err != nil {
		return err
	}
	if err := checkTerminal(b.Spec.Process.Terminal, k.detached, k.o.ConsoleSocket); err != nil {
		return err
	}
	k.keepStdio()
	k.c.OCIVersion, k.c.Annotations, k.c.Bundle = b.Spec.Version, b.Spec.Annotations, b.Dir
	k.c.SystemdCgroup, k.c.NoKeyring = k.c.rt.SystemdCgroup, k.o.NoNewKeyring
	if k.c.Keyring, err = keyringName(k.c.ID); err != nil {
		return err
	}
	k.c.Init = wantsInit(b.Spec, k.o)
	if k.c.Rootfs, k.c.rootDir, err = rootfsOf(b); err != nil {
		return err
	}
	if err := k.c.openHookDir(b.Spec); err != nil {
		return err
	}
	return k.reserve()
}

func wantsInit(spec *specs.Spec, o CreateOptions) bool {
	return o.Init || spec.Annotations[bundle.InitAnnotation] == "true"
}

// rootfsOf is root.path below the bundle. A rootfs that is, or lies behind, a symbolic link is refused: it could
// point somewhere else by the time it is mounted.
func rootfsOf(b *bundle.Bundle) (string, plan.RootDir, error) {
	path := b.Spec.Root.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.Dir, path)
	}
	path = filepath.Clean(path)
	var dir plan.RootDir
	f, err := sys.OpenAt(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if errors.Is(err, unix.ELOOP) {
		return "", dir, fmt.Errorf("open rootfs %s: it is, or lies behind, a symbolic link (/root/path)", path)
	}
	if err != nil {
		return "", dir, fmt.Errorf("open rootfs: %w (/root/path)", err)
	}
	defer f.Close()
	if b.Spec.Hooks == nil || len(b.Spec.Hooks.CreateContainer) == 0 {
		return path, dir, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", dir, fmt.Errorf("look at rootfs %s: %w (/root/path)", path, err)
	}
	return path, plan.RootDir{Path: path, Dev: st.Dev, Ino: st.Ino}, nil
}

// makeProcess leads the stub through the plan up to the point where the container is created.
func (k *making) makeProcess(soon *nsenter.Soon) (err error) {
	c := k.c
	if err := k.sendPlan(soon); err != nil {
		return err
	}
	k.owes = true
	if k.sure() { // the namespaces come to be meanwhile
		if err := k.takeLimits(); err != nil {
			k.session.Abandon()
			return err
		}
	}
	if k.listener, err = k.listen(); err != nil {
		k.session.Abandon()
		return err
	}
	if k.went = true; k.meanwhile != nil {
		if err := k.meanwhile(); err != nil {
			k.session.Abandon()
			return err
		}
	}
	if err := k.session.SendInputs(); err != nil {
		return err
	}
	k.undo.add(k.session.Abandon)
	if err := k.session.LimitSilence(stallTime); err != nil {
		return err
	}
	if err := k.session.Until(nsenter.SyncReady, k); err != nil {
		return k.explain(err)
	}
	k.keepTerminal(k.session.TakeTerminal())
	c.noteMounts(k.session)
	k.endAnchor()
	if err := c.recordNamespaces(); err != nil {
		return err
	}
	return c.Save()
}

// stallTime is how long the stub may say nothing before rt looks why.
const stallTime = 5 * time.Second

// openInput opens those inputs of the plan that create makes.
func (k *making) openInput(in plan.Input) (*os.File, error) {
	switch in.Kind {
	case plan.Asked:
		return k.c.bindSocket(state.AskSocket, unix.SOCK_NONBLOCK)
	case plan.CgroupDir: // it is gone, and there is no other
		return nil, unix.ENOENT
	}
	return k.listener, nil
}

// keepTerminal keeps the terminal's master, or nil, until it is handed over.
func (k *making) keepTerminal(master *os.File) {
	if k.out.master = master; master != nil {
		k.undo.add(k.out.close)
	}
}

// handOver gives what the caller of create waits for: the pid file last of all.
func (k *making) handOver() error {
	if err := k.out.giveTerminal(nil, nil); err != nil {
		return err
	}
	if err := k.out.sendPidfd(k.c.Pid); err != nil {
		return err
	}
	return k.out.writePidFile(k.c.Pid)
}

// endIfFrozen is ErrFrozen if a cgroup above the container's was frozen after the container's was made, and its process with it. The
// verb has the lock, and that cgroup may stay frozen for long. So the process, a child of this one, is killed, and moved to a cgroup
// where it can end.
func (c *container) endIfFrozen(pid int) error {
	frozen, err := c.frozen()
	if err != nil || !frozen {
		return err
	}
	if pid != 0 {
		_ = unix.Kill(pid, unix.SIGKILL) // it has not been reaped: the pid is its own
		if err := c.cg.LetEnd(pid); err != nil {
			c.rt.Warn("let process %d end: %v", pid, err)
		}
	}
	return cgroups.ErrFrozen
}

// sendPlan gives the stub its plan, by which it begins to make namespaces.
func (k *making) sendPlan(soon *nsenter.Soon) error {
	p, err := k.compile()
	if err != nil {
		soon.Abandon()
		return err
	}
	k.c.rt.warnAll(slices.DeleteFunc(p.Warnings, func(w string) bool { return slices.Contains(k.warned, w) }))
	if k.process, err = soon.Stub(); err != nil {
		return err
	}
	if err := stub.SetOOMScore(k.process.Pid, k.spec.Process); err != nil {
		k.process.Abandon()
		return err
	}
	k.session, err = stub.Begin(k.process, p, stub.Options{Open: k.openInput, MapIDs: mapIDs, Filter: seccomp.Of(k.spec)})
	return err
}

func callerFiles() (f plan.Limit) {
	f.Soft, f.Hard = nsenter.CallerFiles()
	return f
}

// callerProcesses is RLIMIT_NPROC of rt's caller, if the process has one of its own.
func callerProcesses(p *specs.Process) (l plan.Limit, err error) {
	if !slices.ContainsFunc(p.Rlimits, func(own specs.POSIXRlimit) bool { return names.Rlimit(own.Type) == unix.RLIMIT_NPROC }) {
		return l, nil
	}
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &r); err != nil {
		return l, fmt.Errorf("ask for RLIMIT_NPROC: %w", err)
	}
	return plan.Limit{Soft: r.Cur, Hard: r.Max}, nil
}

// raisedLimits are the hard limits of the process above those of rt's caller that its user namespace's root could not raise.
func (p privileges) raisedLimits(spec *specs.Spec) (raised []nsenter.Rlimit, err error) {
	if !p.first || !p.has(unix.CAP_SYS_RESOURCE) || spec.Linux == nil || !hasUserNamespace(spec.Linux) {
		return nil, nil
	}
	for _, l := range spec.Process.Rlimits {
		var own unix.Rlimit
		n := names.Rlimit(l.Type)
		if n < 0 {
			continue
		}
		if err := unix.Getrlimit(n, &own); err != nil {
			return nil, fmt.Errorf("ask for %s: %w", l.Type, err)
		}
		if l.Hard > own.Max {
			raised = append(raised, nsenter.Rlimit{Type: l.Type, Number: n, Soft: own.Cur, Hard: l.Hard})
		}
	}
	return raised, nil
}

func (k *making) compile() (*plan.Plan, error) {
	c := k.c
	filter, err := compileFilter(k.spec)
	if err != nil {
		return nil, err
	}
	if err := maySendListener(filter, k.priv); err != nil {
		return nil, err
	}
	if filter != nil && filter.Notify { // start connects
		if err := console.Look(k.spec.Linux.Seccomp.ListenerPath); err != nil {
			return nil, fmt.Errorf("send seccomp listener (/linux/seccomp/listenerPath): %w", err)
		}
	}
	c.rt.warnAll(filterWarnings(filter))
	opts := plan.Options{
		ID: c.ID, Bundle: c.Bundle, Rootfs: c.Rootfs, NoPivot: k.o.NoPivot, NoNewKeyring: k.o.NoNewKeyring, Keyring: c.Keyring,
		ListenFds: listenFds(), Await: k.await, Init: c.Init, Filter: filter,
	}
	opts.ExtraFds = opts.ListenFds + k.o.PreserveFds
	if os.Getenv("NOTIFY_SOCKET") != "" {
		opts.NotifyDir = filepath.Join(c.Dir, state.NotifyDir)
		if err := notify.MakeDir(opts.NotifyDir); err != nil {
			return nil, err
		}
	}
	inside, err := insideRootfs(k.spec, c.Bundle, c.Rootfs, "/mounts")
	if err != nil {
		return nil, err
	}
	facts := plan.Facts{
		Bounding: k.priv.caps, NoAmbient: forbidsAmbient(k.spec.Process), BornDir: c.cg.BornDir(), Moved: c.transfer, Tasks: c.cg.TaskFiles(), Home: "/",
		Unprivileged: !k.priv.admin(), OpenInside: !k.priv.mounts, Nested: !k.priv.first, HandOut: !k.priv.mayTrace(), KeepGroups: k.priv.deniesSetgroups(k.spec.Linux),
		OriginalGroups: c.rt.keepsGroups(k.spec, k.priv), Files: callerFiles(), Inside: inside,
		Links: linkedSources(k.spec, c.Bundle, c.Rootfs, inside), Nodes: hostNodes(k.spec),
	}
	facts.DropGroups = !facts.OriginalGroups && k.priv.mayDropGroups()
	if facts.Raised, err = k.priv.raisedLimits(k.spec); err != nil {
		return nil, err
	}
	if k.outside {
		facts.BornDir = ""
	}
	if opts.NoPivot {
		if facts.HostAPI, facts.RootAPI, err = hostAPI(c.Rootfs); err != nil {
			return nil, err
		}
	}
	if mountsCgroup(k.spec) {
		if facts.Cgroups, err = c.cgroupView(k.host, k.priv); err != nil {
			return nil, err
		}
	}
	if needsHome(k.spec.Process.Env) {
		if facts.Home, err = homeOf(k.spec, c.Bundle, c.Rootfs, inside, k.spec.Process.User.UID); err != nil {
			return nil, err
		}
	}
	return plan.Create(k.spec, opts, facts)
}

func compileFilter(spec *specs.Spec) (*seccomp.Program, error) {
	if seccomp.Of(spec) == nil {
		return nil, nil
	}
	f, err := seccomp.Compile(spec.Linux.Seccomp)
	if err != nil {
		return nil, fmt.Errorf("compile seccomp filter: %w", err)
	}
	if f != nil && len(f.Unknown) > 0 && annotated(spec, bundle.FailUnknownSyscall) {
		return nil, fmt.Errorf("compile seccomp filter: unknown system call (/linux/seccomp%s), and the annotation %s does not allow that",
			text.Short(f.Unknown[0]), bundle.FailUnknownSyscall)
	}
	return f, nil
}

// maySendListener: an rt that may not take the listener has it sent by sendmsg(2). If the filter holds that up, no process has the
// listener to allow it.
func maySendListener(f *seccomp.Program, p privileges) error {
	if f != nil && f.Notify && !p.mayTrace() && f.Denies("sendmsg") == string(specs.ActNotify) {
		return errors.New("load seccomp filter: a rootless rt cannot have the listener of a filter with SCMP_ACT_NOTIFY for sendmsg: it is sent by that call (/linux/seccomp)")
	}
	return nil
}

// annotated says whether an annotation of crun's is there. It counts whatever its value, there; a plain no is one here.
func annotated(spec *specs.Spec, name string) bool {
	v, ok := spec.Annotations[name]
	return ok && v != "0" && v != "false"
}

// keepsGroups says whether the process keeps the groups of rt's caller, as the annotation asks. Those of the host's root are
// not for containers: an annotation may come from whoever wants one.
func (r *Runtime) keepsGroups(spec *specs.Spec, p privileges) bool {
	if !annotated(spec, bundle.KeepOriginalGroups) {
		return false
	}
	if p.first && os.Geteuid() == 0 {
		r.Warn("/annotations/%s: ignored, for the groups of the host's root are not for containers", bundle.KeepOriginalGroups)
		return false
	}
	return true
}

// keyringName is a name for a session keyring that cannot be guessed: the kernel finds a keyring by its name, and another user can
// make one that others may join (keyctl_join_session_keyring(3)).
func keyringName(id string) (string, error) {
	var random [16]byte
	if err := sys.Retry(func() error { _, err := unix.Getrandom(random[:], 0); return err }); err != nil {
		return "", fmt.Errorf("name the session keyring: getrandom: %w", err)
	}
	return fmt.Sprintf("%s%x", keyringPrefix(id), random), nil
}

// keyringPrefix is what can be said of a keyring's name before the container is created.
func keyringPrefix(id string) string { return "_ses." + id + "." }

func filterWarnings(f *seccomp.Program) []string {
	if f == nil {
		return nil
	}
	return f.Warnings
}

// extraFds counts the descriptors from 3 on that go to the container, all of which must be there.
func extraFds(preserve int) (int, error) {
	if preserve < 0 {
		return 0, fmt.Errorf("--preserve-fds %d: it cannot be negative", preserve)
	}
	listen := listenFds()
	for i := range listen + preserve {
		flags, err := unix.FcntlInt(uintptr(3+i), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC != 0 { // rt's own, as its log: what a caller passes on has outlived an execve
			err = unix.EBADF
		}
		if err != nil && i < listen {
			return 0, fmt.Errorf("LISTEN_FDS=%d: unable to stat descriptor %d: %w", listen, 3+i, err)
		}
		if err != nil {
			return 0, fmt.Errorf("unable to stat preserved-fd %d (of %d): %w", i-listen, preserve, err)
		}
	}
	return listen + preserve, nil
}

// listen makes the socket at which `rt start` is awaited. Without await a file in its place says "created" until the word
// is given, and the result is nil.
func (k *making) listen() (*os.File, error) {
	if !k.await {
		return nil, sys.CreateFile(filepath.Join(k.c.Dir, state.StartSocket), nil, 0o600)
	}
	return k.c.bindSocket(state.StartSocket, 0)
}

// bindSocket makes a listening socket in the container's directory, for rt's user alone.
func (c *container) bindSocket(name string, flags int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	// Bind gives the mode to the name: who may write to it could give the word, whatever the umask of rt's caller is.
	if err = unix.Fchmod(fd, 0o600); err == nil {
		err = unix.Bind(fd, c.SocketAddress(name))
	}
	if err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	return f, nil
}

// Born notes who the container's process is.
func (k *making) Born(pid int) error {
	c := k.c
	if err := c.SetInit(pid); err != nil {
		return err
	}
	if err := c.WriteJournal(); err != nil {
		return err
	}
	c.Created = time.Now().UTC()
	stub.ResetAffinity(c.Pid)
	if err := c.rdt().Join(c.Pid); err != nil {
		return err
	}
	return k.moveNetDevices(k.spec.Linux.NetDevices)
}

// Join moves the container's process into its cgroup v2.
func (k *making) Join(pid int) error { return k.c.cg.Join(pid) }

// Stalled ends the process if it is frozen.
func (k *making) Stalled(pid int) error { return k.c.endIfFrozen(pid) }

// Sync does rt's part at a sync point.
func (k *making) Sync(point, pid int) error {
	switch point {
	case nsenter.SyncMapIDs:
		return k.priv.mapIDs(k.c.Pid, k.spec.Linux)
	case nsenter.SyncTime:
		return setTimeOffsets(k.process.Pid, k.spec.Linux.TimeOffsets)
	case nsenter.SyncNamespaces:
		return k.c.recordNamespaces()
	case nsenter.SyncHooks:
		k.endAnchor() // hooks see the container's processes alone
		if err := k.c.recordNamespaces(); err != nil {
			return err
		}
		return k.c.createHooks(k.spec)
	}
	return k.None.Sync(point, pid)
}

// explain adds what is known about a process that died in the middle.
func (k *making) explain(err error) error {
	if err == io.EOF || err == stub.ErrKilledAtBirth {
		if k.c.Pid != 0 {
			if oom, _ := k.c.cg.OOMKilled(); oom {
				return errors.New("container init was OOM-killed (memory limit too low?)")
			}
		}
		if err == io.EOF {
			err = stub.ErrDiedInSetup
		}
		return err
	}
	var step *stub.StepError
	if errors.As(err, &step) {
		return k.priv.explainRights(fmt.Errorf("unable to start container process: %w", err))
	}
	return err
}
