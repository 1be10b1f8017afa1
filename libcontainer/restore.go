package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"rt/internal/bug"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/console"
	"rt/libcontainer/facts"
	"rt/libcontainer/namespaces"
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
	checkpoint.Options
	Bundle string // directory; "" is the current one
	HandOverOptions
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
	k := &restoring{setup: newSetup(r, id, CreateOptions{Bundle: o.Bundle, HandOverOptions: o.HandOverOptions}), options: o}
	k.detached = o.Detach
	defer bug.Then(func(broken error) { status, err = -1, k.broken(broken) })
	if err := k.restore(); err != nil {
		return -1, err
	}
	r.warnStreams(k.streams, k.spec.Process)
	giveStreams(k.streams, k.c.Pid, k.spec.Process)
	fg := &foreground{streams: k.streams}
	if err := k.out.giveTerminal(fg, k.spec.Process); err != nil {
		return -1, k.fail(err)
	}
	if err := k.keepNetDevices(); err != nil {
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

// A restoring is a container in the course of its restoration. It has its place and its streams as one that is created, and its
// processes from CRIU.
type restoring struct {
	setup
	options   RestoreOptions
	processes *checkpoint.Restoration
}

// restore takes a container to the point where its processes run and its state is saved. On error nothing of it is left.
func (k *restoring) restore() error {
	if err := k.begin(); err != nil {
		return err
	}
	k.c.Restored = true
	if err := k.do(k.order()...); err != nil {
		return fmt.Errorf("restore container: %w", err)
	}
	return nil
}

// order is a restoration up to the hand-over. The first steps are those of create.
func (k *restoring) order() []func() error {
	return []func() error{
		k.openStreams,      // what the container gets of rt's stdio
		k.startAnchor,      // of a systemd scope
		k.load,             // the bundle
		k.check,            // what is wrong with it, and what cannot be done here
		k.describe,         // what the state says
		k.place.Reserve,    // the id: a locked directory
		k.place.Intend,     // the journal: what will be made outside of that
		k.copyConfig,       // for exec and delete
		k.place.Make,       // cgroup and resctrl group
		k.restoreProcesses, // by CRIU, in that cgroup
	}
}

func (k *restoring) startAnchor() error {
	k.place.StartAnchor(k.streams.Child, 0)
	return nil
}

// restoreProcesses has CRIU restore the processes in the container's cgroup.
func (k *restoring) restoreProcesses() error {
	c, o := k.c, &k.options
	session, err := c.openCriu(&o.Options, checkpoint.RestoreLog, false)
	if err != nil {
		return err
	}
	defer session.Close()
	c.PrivatePid = c.PrivatePid || bundle.MakesNamespace(k.spec, specs.PIDNamespace)
	joined, err := checkpoint.OpenJoined(k.spec)
	if err != nil {
		return err
	}
	defer joined.Close()
	k.processes = &checkpoint.Restoration{Container: c.Container, Session: session, Spec: k.spec, Streams: k.streams.Child, Joined: joined, Cgroup: c.Recorded(), Root: c.rt.Dir,
		LSMProfile: o.LSMProfile, LSMMountContext: o.LSMMountContext, Privileges: k.priv, Warn: c.rt.Warn}
	defer k.processes.Close()
	if err := k.prepareMounts(); err != nil {
		return err
	}
	k.undo.Add(k.killAll)
	k.owesPoststop = true
	if err := k.processes.Start(); err != nil {
		return err
	}
	k.streams.Given()
	if err := k.moveCriu(session.Pid); err != nil {
		return err
	}
	if err := k.processes.Run(k); err != nil {
		return err
	}
	k.place.EndAnchor()
	return k.processes.Passed()
}

// prepareMounts makes the mount points of the new container, and has CRIU's options prepared while the process that has made them exists.
func (k *restoring) prepareMounts() error {
	if !bundle.HasNamespace(k.spec, specs.MountNamespace) {
		return k.processes.Prepare(nil)
	}
	known := k.facts(nil, false)
	known.NotifyDir = filepath.Join(k.c.Dir, state.NotifyDir)
	if err := notify.MakeDir(known.NotifyDir); err != nil {
		return err
	}
	p, view, err := known.Mountpoints()
	if err != nil {
		return err
	}
	process, err := nsenter.Start(callerStdio(), 0)
	if err != nil {
		return err
	}
	in, err := stub.Enter(process, p, stub.Options{Open: openNothing, MapIDs: facts.MapIDs})
	if err != nil {
		return err
	}
	defer in.Abandon()
	if err := in.Until(nsenter.SyncReady, stub.None{}); err != nil {
		return fmt.Errorf("make mount points: %w", err)
	}
	return k.processes.Prepare(&checkpoint.Mountpoints{Pid: in.Pid(), Inputs: p.Inputs, View: view})
}

// openNothing is for a plan without inputs that only its caller knows.
func openNothing(plan.Input) (*os.File, error) { return nil, unix.EINVAL }

// moveCriu moves CRIU into the container's resctrl group and cgroup, where it creates the processes.
func (k *restoring) moveCriu(pid int) (err error) {
	c := k.c
	if err := c.Rdt().Join(pid); err != nil {
		return err
	}
	if len(c.Cgroups) == 0 {
		return nil
	}
	if k.place.IsOutside() {
		return hint.With(errors.New("rt may move no process into the container's cgroup"), "run rt as root, or in a cgroup that is delegated")
	}
	if c.Helper, err = sys.Identify(pid); err != nil {
		return err
	}
	if err := c.WriteJournal(); err != nil {
		return err
	}
	return k.processes.JoinCgroup()
}

// Terminal implements checkpoint.Events: the first terminal is the container's, if it has one.
func (k *restoring) Terminal(master *os.File) error {
	if k.out.master != nil {
		master.Close()
		return nil
	}
	k.keepTerminal(master)
	return nil
}

// Furnish implements checkpoint.Events: it does for new namespaces what create does.
func (k *restoring) Furnish(pid int) error {
	if err := k.c.SetInit(pid); err != nil {
		return err
	}
	if err := k.c.WriteJournal(); err != nil {
		return err
	}
	k.place.EndAnchor()
	if bundle.MakesNamespace(k.spec, specs.NetworkNamespace) {
		if err := netdev.LoopbackUp("/proc/" + strconv.Itoa(pid) + "/ns/net"); err != nil {
			return err
		}
	}
	if err := k.moveRestored(); err != nil {
		return err
	}
	return k.c.runtimeHooks(k.spec)
}

// Restored implements checkpoint.Events: it records which process is init, and its namespaces.
func (k *restoring) Restored(pid int) error {
	if err := k.c.SetInit(pid); err != nil {
		return err
	}
	return namespaces.Record(k.c.Container)
}

// killAll ends the restored processes of a container that is not completed.
func (k *restoring) killAll() {
	if pid := k.c.Pid; pid != 0 && sys.OwnChild(pid) {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = sys.Wait(pid)
	}
	if len(k.c.Cgroups) > 0 {
		k.undo.Result(k.c.RemoveCgroup())
	}
}
