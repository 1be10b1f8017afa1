package libcontainer

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"rt/internal/bug"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/facts"
	"rt/libcontainer/namespaces"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CreateOptions are the flags of create, and of run.
type CreateOptions struct {
	Bundle string // directory; "" is the current one
	Config string // file instead of the bundle's config.json, relative to the bundle; "" for that
	HandOverOptions
	NoPivot      bool
	NoNewKeyring bool
	Init         bool // the program is a child of a minimal init
	PreserveFds  int  // file descriptors 3.. to pass on, after LISTEN_FDS
}

// Create makes a container whose process waits for Start.
func (r *Runtime) Create(id string, o CreateOptions) (err error) {
	k := &creation{setup: newSetup(r, id, o), await: true}
	k.detached = true
	defer bug.Then(func(broken error) { err = k.fail(broken) })
	if err := k.create(); err != nil {
		return err
	}
	defer k.c.Release()
	return k.do(k.leave)
}

// A creation is a container in the course of create or run.
type creation struct {
	setup
	stub.None // its part while the stub works is Born, Join, Sync and Stalled

	await     bool         // `rt start` will come
	fg        *foreground  // of run, or nil
	interlude func() error // run's part while the stub makes namespaces, or nil
	transfer  bool         // rt moves the process into its cgroup, for it is killed when it is made there

	soon     *nsenter.Soon // the stub, on its way
	process  *nsenter.Stub // the stub, which clones the container's process
	plan     *plan.Plan
	session  *stub.Session
	listener *os.File // where `rt start` is awaited, or nil; sent to the stub
}

// create takes a container to the point where its process waits before the program, its state is saved, and those who wait for it have
// what they wait for. The container is locked. On error nothing of it is left.
func (k *creation) create() error {
	first := *k
	return stub.RetryMoved(&first.transfer, func() error {
		*k = first
		return k.do(k.order()...)
	})
}

// order is a creation from the bundle to the hand-over: the outside's twin of plan.Create.
func (k *creation) order() []func() error {
	return []func() error{
		k.begin,         // an id, and the descriptors to pass on
		k.openStreams,   // what the container gets of rt's stdio
		k.startStub,     // now: to start a program takes as long as to read a configuration
		k.load,          // the bundle
		k.check,         // what is wrong with it, and what cannot be done here
		k.describe,      // what the state says
		k.place.Reserve, // the id: a locked directory
		k.place.Intend,  // the journal: what will be made outside of that
		k.copyConfig,    // for start, exec and delete
		k.makeEarly,     // cgroup and resctrl group, if what becomes of them is to be known for the plan
		k.warnStreams,   // of what a detached container keeps of the caller's
		k.compile,       // the plan
		k.sendPlan,      // the stub begins to make namespaces; meanwhile
		k.makeLate,      // cgroup and resctrl group, if there is no doubt about them
		k.listen,        // a socket for `rt start`
		k.doInterlude,   // run catches signals
		k.sendInputs,    // what the first steps did not need: the process enters its cgroup
		k.serve,         // ids, devices, hooks: rt's part at the sync points, up to the last before the program
		k.save,          // the state
		k.giveStreams,   // pipes to the container's user
		k.handOver,      // terminal and pidfd; for create the pid file
	}
}

func (k *creation) begin() (err error) {
	if err := k.setup.begin(); err != nil {
		return err
	}
	k.c.transfer = k.transfer
	k.extra, err = facts.ExtraFds(k.o.PreserveFds)
	return err
}

// openStreams opens what the container gets of rt's stdio, and records it for a checkpoint.
func (k *creation) openStreams() (err error) {
	if err = k.setup.openStreams(); err == nil {
		k.stdio, err = checkpoint.StdioFor(k.streams.Child)
	}
	return err
}

func (k *creation) startStub() error {
	k.soon = nsenter.StartSoon(k.streams.Child, k.extra)
	k.undo.Process = k.endStub
	k.place.StartAnchor(k.streams.Child, k.extra)
	k.streams.Given()
	return nil
}

// endStub ends the stub, and the container's process.
func (k *creation) endStub() {
	if k.session != nil {
		k.session.Abandon()
		return
	}
	k.soon.Abandon()
}

// makeEarly makes what limits the container before the plan is compiled.
func (k *creation) makeEarly() error {
	if !k.place.CgroupIsFinal() {
		return k.place.Make()
	}
	return nil
}

// makeLate does so while the stub makes namespaces.
func (k *creation) makeLate() error {
	if k.place.CgroupIsFinal() {
		return k.place.Make()
	}
	return nil
}

// sendPlan gives the stub its plan, by which it begins to make namespaces.
func (k *creation) sendPlan() (err error) {
	k.soon = k.place.Stub(k.soon)
	if k.process, err = k.soon.Stub(); err != nil {
		return err
	}
	if err := stub.SetOOMScore(k.process.Pid, k.spec.Process); err != nil {
		return err
	}
	options := stub.Options{Open: k.openInput, MapIDs: facts.MapIDs, Filter: seccomp.Of(k.spec)}
	if k.session, err = stub.Begin(k.process, k.plan, options); err != nil {
		return err
	}
	k.owesPoststop = true
	return nil
}

// listen makes the socket at which `rt start` is awaited. For run a file in its place says "created" until the process goes on.
func (k *creation) listen() (err error) {
	if !k.await {
		return sys.CreateFile(filepath.Join(k.c.Dir, state.StartSocket), nil, 0o600)
	}
	k.listener, err = k.c.bindSocket(state.StartSocket, 0)
	return err
}

func (k *creation) doInterlude() error {
	if k.interlude == nil {
		return nil
	}
	return k.interlude()
}

func (k *creation) sendInputs() error { return k.session.SendInputs() }

// openInput opens those inputs of the plan that create makes.
func (k *creation) openInput(in plan.Input) (*os.File, error) {
	switch in.Kind {
	case plan.Asked:
		return k.c.bindSocket(state.AskSocket, unix.SOCK_NONBLOCK)
	case plan.CgroupDir: // it is gone, and there is no other
		return nil, unix.ENOENT
	}
	return k.listener, nil
}

// stallTime is how long the stub may say nothing before rt looks why.
const stallTime = 5 * time.Second

// serve does rt's part while the stub carries out the plan, up to the last sync point before the program.
func (k *creation) serve() error {
	if err := k.session.LimitSilence(stallTime); err != nil {
		return err
	}
	if err := k.session.Until(nsenter.SyncReady, k); err != nil {
		return k.explain(err)
	}
	k.keepTerminal(k.session.TakeTerminal())
	return nil
}

// Born notes who the container's process is.
func (k *creation) Born(pid int) error {
	c := k.c
	if err := c.SetInit(pid); err != nil {
		return err
	}
	if err := c.WriteJournal(); err != nil {
		return err
	}
	c.Created = time.Now().UTC()
	stub.ResetAffinity(c.Pid)
	if err := c.Rdt().Join(c.Pid); err != nil {
		return err
	}
	return k.moveNetDevices(k.spec.Linux.NetDevices)
}

// Join moves the container's process into its cgroup v2.
func (k *creation) Join(pid int) error { return k.c.Recorded().Join(pid) }

// Stalled ends the process if it is frozen.
func (k *creation) Stalled(pid int) error { return k.c.endIfFrozen(pid) }

// Sync does rt's part at a sync point.
func (k *creation) Sync(point, pid int) error {
	switch point {
	case nsenter.SyncMapIDs:
		return k.priv.MapIDs(k.c.Pid, k.spec.Linux, k.c.RecordHelper)
	case nsenter.SyncTime:
		return stub.SetTimeOffsets(k.process.Pid, k.spec.Linux.TimeOffsets)
	case nsenter.SyncNamespaces:
		return namespaces.Record(k.c.Container)
	case nsenter.SyncHooks:
		k.place.EndAnchor() // hooks see the container's processes alone
		if err := namespaces.Record(k.c.Container); err != nil {
			return err
		}
		return k.c.createHooks(k.spec)
	}
	return k.None.Sync(point, pid)
}

// explain adds what is known about a process that died in the middle.
func (k *creation) explain(err error) error {
	if err == io.EOF || err == stub.ErrKilledAtBirth {
		if err == io.EOF {
			err = stub.ErrDiedInSetup
		}
		if k.c.Pid == 0 {
			return err
		}
		return k.c.initDied(err)
	}
	var step *stub.StepError
	if !errors.As(err, &step) {
		return err
	}
	err = startError(k.c, err)
	if step.Hint() != "" {
		return err
	}
	return hint.With(err, k.priv.Hint(step.Errno))
}

// save notes what only a complete container has, and writes the state.
func (k *creation) save() error {
	k.c.noteMounts(k.session)
	k.place.EndAnchor()
	if err := namespaces.Record(k.c.Container); err != nil {
		return err
	}
	return k.c.Save()
}

func (k *creation) giveStreams() error {
	if bundle.HasNamespace(k.spec, specs.UserNamespace) {
		giveStreams(k.streams, k.c.Pid, k.spec.Process)
	}
	return nil
}

// handOver gives what the caller waits for. Run's pid file comes when the program runs.
func (k *creation) handOver() error {
	if k.fg != nil {
		k.fg.streams = k.streams
	}
	if err := k.out.give(k.fg, k.spec.Process, k.c.Pid); err != nil || !k.await {
		return err
	}
	return k.out.writePidFile(k.c.Pid)
}

// leave lets the process wait for `rt start`.
func (k *creation) leave() error {
	if err := k.session.Continue(); err == io.EOF {
		return stub.ErrDiedInSetup
	} else if err != nil {
		return err
	}
	if err := k.keepNetDevices(); err != nil {
		return err
	}
	k.session.Close()
	return nil
}
