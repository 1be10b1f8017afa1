package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"rt/cgroups"
	"rt/internal/bug"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/console"
	"rt/libcontainer/facts"
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
	priv    facts.Privileges
	session *stub.Session
	process *nsenter.Stub // the process that was started, which clones the container's
	out     handOver
	undo    undo
	streams *stdio.Streams // what the container gets of rt's stdio
	moved   *netdev.Moved  // or nil
	warned  []string       // of the configuration
	left    bool           // something could not be undone
	owes    bool           // poststop hooks, for there has been a process of the container

	given map[string]string // state.State.Stdio, if the container has no terminal
	scope                   // with --systemd-cgroup

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
	extra, err := facts.ExtraFds(k.o.PreserveFds)
	if err != nil {
		return err
	}
	if err := k.openStreams(); err != nil {
		return err
	}
	if k.given, err = checkpoint.StdioFor(k.streams.Child); err != nil {
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
	if bundle.HasNamespace(k.spec, specs.UserNamespace) {
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
	err = k.check(b)
	k.c.rt.warnAll(k.warned)
	if err != nil {
		return err
	}
	if err := checkTerminal(b.Spec.Process.Terminal, k.detached, k.o.ConsoleSocket); err != nil {
		return err
	}
	if k.c.Stdio = k.given; b.Spec.Process.Terminal {
		k.c.Stdio = checkpoint.NoStdio()
	}
	k.c.OCIVersion, k.c.Annotations, k.c.Bundle = b.Spec.Version, b.Spec.Annotations, b.Dir
	k.c.SystemdCgroup, k.c.NoKeyring = k.c.rt.SystemdCgroup, k.o.NoNewKeyring
	if k.c.Keyring, err = facts.NewKeyringName(k.c.ID); err != nil {
		return err
	}
	if err := k.findRootfs(); err != nil {
		return err
	}
	if err := k.c.openHookDir(b.Spec); err != nil {
		return err
	}
	return k.reserve()
}

// check refuses what is wrong with the bundle, and what this host or this rt cannot do for it. Nothing is made.
func (k *making) check(b *bundle.Bundle) error {
	problems := b.Check()
	if err := bundle.Join(problems); err != nil {
		return err
	}
	for _, p := range problems {
		k.warned = append(k.warned, p.Pointer+": "+p.Text)
	}
	k.b, k.spec = b, b.Spec
	if err := facts.CheckLabels(b.Spec); err != nil {
		return err
	}
	k.priv = facts.OwnPrivileges()
	return k.priv.Check(k.spec)
}

func (k *making) findRootfs() (err error) {
	k.c.Init = wantsInit(k.spec, k.o)
	k.c.Rootfs, k.c.rootDir, err = facts.Rootfs(k.b)
	return err
}

func wantsInit(spec *specs.Spec, o CreateOptions) bool {
	return o.Init || spec.Annotations[bundle.InitAnnotation] == "true"
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
	k.session, err = stub.Begin(k.process, p, stub.Options{Open: k.openInput, MapIDs: facts.MapIDs, Filter: seccomp.Of(k.spec)})
	return err
}

// compile makes the plan of the container, and the directory of the NOTIFY_SOCKET proxy that it mounts.
func (k *making) compile() (*plan.Plan, error) {
	filter, err := k.priv.Filter(k.spec)
	if err != nil {
		return nil, err
	}
	if filter != nil && filter.Notify { // start connects
		if err := console.Look(k.spec.Linux.Seccomp.ListenerPath); err != nil {
			return nil, fmt.Errorf("send seccomp listener (/linux/seccomp/listenerPath): %w", err)
		}
	}
	if filter != nil {
		k.c.rt.warnAll(filter.Warnings)
	}
	if dir := k.c.proxyDir(); dir != "" {
		if err := notify.MakeDir(dir); err != nil {
			return nil, err
		}
	}
	return k.facts(filter).Plan()
}

// facts are what create knows of the container, for the plan.
func (k *making) facts(filter *seccomp.Program) *facts.Creation {
	c := k.c
	place := facts.Cgroup{Dir: c.cg.BornDir(), Tasks: c.cg.TaskFiles(), Moved: c.transfer}
	if k.outside {
		place.Dir = ""
	}
	return &facts.Creation{
		Cgroup: place, Spec: k.spec, ID: c.ID, Bundle: c.Bundle, Rootfs: c.Rootfs, Keyring: c.Keyring, NotifyDir: c.proxyDir(),
		NoPivot: k.o.NoPivot, NoNewKeyring: k.o.NoNewKeyring, Init: c.Init, Await: k.await, PreserveFds: k.o.PreserveFds,
		Filter: filter, Privileges: k.priv, Warn: c.rt.Warn,
		View: func() (plan.CgroupView, error) { return c.cgroupView(k.host, k.priv) },
	}
}

// proxyDir is the directory of the NOTIFY_SOCKET proxy, "" if rt's caller gives no such socket.
func (c *container) proxyDir() string {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return ""
	}
	return filepath.Join(c.Dir, state.NotifyDir)
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
		return k.priv.MapIDs(k.c.Pid, k.spec.Linux, k.c.RecordHelper)
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
		return explainRights(k.priv, fmt.Errorf("unable to start container process: %w", err))
	}
	return err
}

// setTimeOffsets writes the offsets of the time namespace that the process's children will be in.
func setTimeOffsets(pid int, offsets map[string]specs.LinuxTimeOffset) error {
	var b strings.Builder
	for clock, o := range offsets {
		fmt.Fprintf(&b, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
	}
	if err := sys.WriteFile("/proc/"+strconv.Itoa(pid)+"/timens_offsets", b.String()); err != nil {
		return fmt.Errorf("set time offsets (/linux/timeOffsets): %w", err)
	}
	return nil
}
