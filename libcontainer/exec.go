package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"

	"rt/cgroups"
	"rt/libcontainer/bundle"
	"rt/libcontainer/console"
	"rt/libcontainer/facts"
	"rt/libcontainer/namespaces"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/libcontainer/stdio"
	"rt/libcontainer/stub"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecOptions are the flags of exec. A nil pointer or empty slice means: as the container's own process.
type ExecOptions struct {
	Process      string   // path of a process.json; then Args and the flags below are not used, except Tty
	Args         []string // command and arguments
	Cwd          string
	Env          []string
	Tty          bool
	User         string // UID[:GID]
	Groups       []uint32
	Caps         []string
	NoNewPrivs   *bool
	ProcessLabel string
	AppArmor     string
	Detach       bool
	HandOverOptions
	PreserveFds  int
	Cgroups      []string // [controller[,controller]:]path
	IgnorePaused bool
	WaitFIFO     string // path of a FIFO: the program is held until somebody has read a byte from it
}

// Exec runs a process in a container. Attached, it waits for the process and returns its exit status.
func (r *Runtime) Exec(id string, o ExecOptions) (status int, err error) {
	moved := false
	err = stub.RetryMoved(&moved, func() (err error) {
		e := &execution{rt: r, id: id, o: o, transfer: moved, out: handOver{HandOverOptions: o.HandOverOptions}}
		status, err = e.run()
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("exec failed: %w", err)
	}
	return status, nil
}

// An execution is a process in the course of exec.
type execution struct {
	stub.None // its part while the stub works is Join, Sync and Filter

	rt       *Runtime
	id       string
	o        ExecOptions
	transfer bool // rt moves the process into its cgroup, for it is killed when it is made there

	c       *container
	spec    *specs.Spec     // the container's, with the process to run
	sub     *cgroups.Cgroup // of --cgroup, or nil
	init    *namespaces.Init
	plan    *plan.Plan
	soon    *nsenter.Soon // the stub, on its way
	session *stub.Session
	signals *console.Signals
	fg      foreground
	out     handOver
	runs    bool // the process is the program, or its FIFO comes next
}

// order is an exec up to the hand-over: the outside's twin of plan.Exec.
func (e *execution) order() []func() error {
	return []func() error{
		e.open,         // the container, which must run
		e.startStub,    // with its stdio, now: to start a program takes as long as to read a configuration
		e.load,         // the container's configuration, with the process to run
		e.giveStreams,  // pipes to the container's user
		e.chooseCgroup, // that of --cgroup
		e.compile,      // the plan
		e.prepareStub,  // what the process inherits: resctrl group, OOM score, affinity
		e.sendPlan,     // the stub enters the container
		e.catchSignals, // in the foreground
		e.serve,        // cgroup, affinity, listener: rt's part until the process is the program
		e.handOver,     // terminal, pidfd, pid file
	}
}

// run carries out the order, and waits for the program if it is in the foreground. If a step fails, the process is ended.
func (e *execution) run() (status int, err error) {
	defer func() { e.close(err != nil) }()
	for _, step := range e.order() {
		if err := step(); err != nil {
			e.endStub()
			return -1, err
		}
	}
	e.runs = true
	if e.o.WaitFIFO != "" {
		return e.passGate()
	}
	e.session.Close()
	if e.o.Detach {
		return 0, nil
	}
	return e.fg.wait(e.session.Pid(), e.signals, false)
}

// close gives back the caller's terminal, and then, if there is an error to be written, the signals: else rt is about to end, and to give
// back some fifty default actions is for nothing. It waits for the program's output before.
func (e *execution) close(failed bool) {
	if e.runs {
		e.fg.finish(e.rt, e.signals)
	}
	e.fg.close()
	if failed {
		e.signals.Stop()
	}
	e.out.close()
	if e.init != nil {
		e.init.Close()
	}
}

// endStub ends the stub, and the process in the container.
func (e *execution) endStub() {
	switch {
	case e.session != nil:
		e.session.Abandon()
	case e.soon != nil:
		e.soon.Abandon()
	}
}

func (e *execution) open() (err error) {
	if e.c, err = e.rt.open(e.id, false); err != nil {
		return err
	}
	e.c.transfer = e.transfer
	return e.c.mayExec(e.o.IgnorePaused)
}

func (e *execution) startStub() error {
	extra, err := facts.ExtraFds(e.o.PreserveFds)
	if err != nil {
		return err
	}
	if e.fg.streams, err = stdio.Open(callerStdio(), !e.o.Detach); err != nil {
		return err
	}
	e.soon = nsenter.StartSoon(e.fg.streams.Child, extra)
	e.fg.streams.Given()
	return nil
}

// load reads the container's configuration, replaces its process by the one to run, and checks that.
func (e *execution) load() (err error) {
	own, err := e.c.config()
	if err != nil {
		return err
	}
	changed := *own
	e.spec = &changed
	if e.spec.Process, err = execProcess(own.Process, e.o); err != nil {
		return err
	}
	if err := bundle.Join(bundle.CheckProcess(e.spec.Process, "/process")); err != nil {
		return err
	}
	if err := facts.CheckProcessLabels(e.spec.Process); err != nil {
		return err
	}
	return checkTerminal(e.spec.Process.Terminal, e.o.Detach, e.o.ConsoleSocket)
}

func (e *execution) giveStreams() error {
	e.rt.warnStreams(e.fg.streams, e.spec.Process)
	if bundle.HasNamespace(e.spec, specs.UserNamespace) {
		giveStreams(e.fg.streams, e.c.Pid, e.spec.Process)
	}
	return nil
}

// chooseCgroup finds the cgroup that --cgroup names, below the container's own.
func (e *execution) chooseCgroup() error {
	if len(e.o.Cgroups) == 0 {
		return nil
	}
	host, err := cgroups.Probe()
	if err == nil {
		var cg *cgroups.Cgroup
		if cg, err = e.c.Cgroup(); err == nil {
			e.sub, err = cgroups.Sub(host, cg, e.o.Cgroups)
		}
	}
	if err == nil {
		return nil
	}
	process, startErr := e.soon.Stub()
	if startErr != nil {
		return startErr
	}
	return notAdded(process.Pid, err)
}

// compile compiles the plan, and opens what of the container's init it refers to.
func (e *execution) compile() error {
	filter, err := facts.OwnPrivileges().Filter(e.spec)
	if err != nil {
		return err
	}
	cg := e.sub
	if cg == nil {
		cg = e.c.Recorded()
	}
	var j *facts.Joining
	if j, e.init, err = e.c.joining(e.spec, cg); err != nil {
		return err
	}
	if e.plan, err = j.Exec(facts.Execution{PreserveFds: e.o.PreserveFds, WaitFIFO: e.o.WaitFIFO, Filter: filter}); err != nil {
		return err
	}
	e.rt.warnAll(e.plan.Warnings)
	return nil
}

// prepareStub sets what the process in the container inherits from the stub. Once that has its plan, it does not wait on the way to the
// program.
func (e *execution) prepareStub() error {
	process, err := e.soon.Stub()
	if err != nil {
		return err
	}
	if err := e.c.Rdt().Join(process.Pid); err != nil {
		return err
	}
	if err := stub.SetOOMScore(process.Pid, e.spec.Process); err != nil {
		return err
	}
	return stub.SetInitialAffinity(process.Pid, e.spec.Process)
}

func (e *execution) sendPlan() error {
	process, err := e.soon.Stub()
	if err != nil {
		return err
	}
	e.session, err = stub.Enter(process, e.plan, stub.Options{Open: e.init.Open, MapIDs: facts.MapIDs, Filter: seccomp.Of(e.spec)})
	e.init.Close()
	e.init = nil
	return err
}

func (e *execution) catchSignals() (err error) {
	if !e.o.Detach {
		e.signals, err = console.CatchSignals()
	}
	return err
}

// serve does rt's part until the process is the program or, with a FIFO, one step before.
func (e *execution) serve() (err error) {
	if e.o.WaitFIFO == "" {
		err = e.session.Execute(e)
	} else {
		err = e.session.Until(nsenter.SyncGate, e)
	}
	if err == stub.ErrKilledAtBirth {
		return err
	}
	if err != nil {
		return e.session.ExplainSilence(e.session.AddSignal(execError(e.c, joinError(e.session.Pid(), err))))
	}
	e.c.warnExec(e.session, e.spec)
	e.out.master = e.session.TakeTerminal()
	return nil
}

// Join moves the process into the container's cgroup, or the one below it.
func (e *execution) Join(pid int) error {
	if e.sub != nil {
		return notAdded(pid, e.sub.Join(pid))
	}
	return notAdded(pid, e.c.joinCgroup(pid))
}

// Sync sets the affinity that the process has in its cgroup.
func (e *execution) Sync(point, pid int) error {
	if point != nsenter.SyncAffinity {
		return e.None.Sync(point, pid)
	}
	return stub.SetFinalAffinity(pid, e.spec.Process)
}

// Filter sends the listener to the agent.
func (e *execution) Filter(listener *os.File, pid int) error {
	return e.c.sendListener(e.spec, listener, pid, specs.StateRunning)
}

// handOver gives terminal, pidfd and pid file to those who wait for them.
func (e *execution) handOver() error {
	if err := e.out.give(&e.fg, e.spec.Process, e.session.Pid()); err != nil {
		return err
	}
	return e.out.writePidFile(e.session.Pid())
}

// passGate lets a process go to its FIFO. Detached, rt does not stay to see whether it becomes the program; in the foreground the error of
// an execve that fails then is returned like any other.
func (e *execution) passGate() (int, error) {
	if err := e.session.Continue(); err != nil {
		e.session.Abandon()
		return -1, execError(e.c, err)
	}
	defer e.session.Close()
	if e.o.Detach {
		return 0, nil
	}
	status, err := e.fg.wait(e.session.Pid(), e.signals, false)
	if err != nil {
		return -1, err
	}
	if err := e.session.LateError(); err != nil {
		return -1, startError(e.c, err)
	}
	return status, nil
}

// execError says why the process did not become the program. That the kernel has killed something in the container for
// want of memory is a guess at the reason: it may have been another process.
func execError(c *container, err error) error {
	if err == io.EOF && c.isOOMKilled() {
		return fmt.Errorf("%w (possibly OOM-killed)", stub.ErrDied)
	}
	if err == io.EOF {
		return stub.ErrDied
	}
	return startError(c, err)
}

// Errors that engines know by their text.
var (
	errExecStopped = errors.New("cannot exec in a stopped container")
	errExecPaused  = errors.New("cannot exec in a paused container (use --ignore-paused to override)")
)

func (c *container) mayExec(ignorePaused bool) error {
	if alive, err := c.IsAlive(); err != nil {
		return err
	} else if !alive {
		return errExecStopped
	}
	if ignorePaused {
		return nil
	}
	frozen, err := c.frozen()
	if err != nil {
		return err
	}
	if frozen {
		return errExecPaused
	}
	return nil
}
