package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"rt/cgroups"
	"rt/internal/names"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/console"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/libcontainer/stdio"
	"rt/libcontainer/stub"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Exec runs a process in a container. Attached, it waits for the process and returns its exit status.
func (r *Runtime) Exec(id string, o ExecOptions) (int, error) {
	var status int
	err := stub.RetryMoved(&o.transfer, func() (err error) {
		status, err = r.exec(id, o)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("exec failed: %w", err)
	}
	return status, nil
}

func (r *Runtime) exec(id string, o ExecOptions) (int, error) {
	c, err := r.open(id, false)
	if err != nil {
		return -1, err
	}
	c.transfer = o.transfer
	if err := c.mayExec(o.IgnorePaused); err != nil {
		return -1, err
	}
	extra, err := facts.ExtraFds(o.PreserveFds)
	if err != nil {
		return -1, err
	}
	streams, err := stdio.Open(callerStdio(), !o.Detach)
	if err != nil {
		return -1, err
	}
	defer streams.Close()
	soon := nsenter.StartSoon(streams.Child, extra)
	streams.Given()
	spec, err := c.execConfig(o)
	if err != nil {
		soon.Abandon()
		return -1, err
	}
	r.warnStreams(streams, spec.Process)
	if bundle.HasNamespace(spec, specs.UserNamespace) {
		giveStreams(streams, c.Pid, spec.Process)
	}
	return c.exec(soon, spec, o, &foreground{streams: streams})
}

// execConfig is the container's configuration with its process replaced by the one to run.
func (c *container) execConfig(o ExecOptions) (*specs.Spec, error) {
	spec, err := c.config()
	if err != nil {
		return nil, err
	}
	if spec.Process, err = execProcess(spec.Process, o); err != nil {
		return nil, err
	}
	if err := bundle.Join(bundle.CheckProcess(spec.Process, "/process")); err != nil {
		return nil, err
	}
	if err := facts.CheckLabels(&specs.Spec{Process: spec.Process}); err != nil {
		return nil, err
	}
	return spec, checkTerminal(spec.Process.Terminal, o.Detach, o.ConsoleSocket)
}

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

// execProcess is the process to run: a process.json, or the container's own with what the flags say.
func execProcess(own *specs.Process, o ExecOptions) (*specs.Process, error) {
	if o.Process != "" {
		p, err := bundle.LoadProcess(o.Process, own)
		if err != nil {
			return nil, err
		}
		p.Terminal = p.Terminal || o.Tty
		return p, nil
	}
	p := *own
	p.Args, p.Terminal, p.ConsoleSize = o.Args, o.Tty, nil
	if o.Cwd != "" {
		p.Cwd = o.Cwd
	}
	p.Env = append(append([]string(nil), p.Env...), o.Env...)
	if o.NoNewPrivs != nil {
		p.NoNewPrivileges = *o.NoNewPrivs
	}
	if o.AppArmor != "" {
		p.ApparmorProfile = o.AppArmor
	}
	if o.ProcessLabel != "" {
		p.SelinuxLabel = o.ProcessLabel
	}
	if o.User != "" {
		if err := setUser(&p.User, o.User); err != nil {
			return nil, err
		}
	}
	p.User.AdditionalGids = append(append([]uint32(nil), p.User.AdditionalGids...), o.Groups...)
	p.Capabilities = withCapabilities(p.Capabilities, o.Caps)
	return &p, nil
}

// setUser reads UID[:GID]; anything else is an error, never somebody's id (CVE-2026-30892).
func setUser(u *specs.User, text string) error {
	uid, gid, both := strings.Cut(text, ":")
	n, err := number(uid)
	if err != nil {
		return fmt.Errorf("bad uid: %w (--user)", err)
	}
	u.UID = uint32(n)
	if both {
		if n, err = number(gid); err != nil {
			return fmt.Errorf("bad gid: %w (--user)", err)
		}
		u.GID = uint32(n)
	}
	return nil
}

// number reads an id, before which a + may stand, as for runc.
func number(text string) (uint64, error) {
	if digits, ok := strings.CutPrefix(text, "+"); ok && digits != "" && digits[0] != '+' {
		text = digits
	}
	return names.Unsigned(text, 32)
}

// withCapabilities adds capabilities to the sets that grant them now; never to the inheritable one, which would pass
// them on to programs that were not meant (CVE-2022-29162). They become ambient only if the container already
// made them inheritable.
func withCapabilities(c *specs.LinuxCapabilities, add []string) *specs.LinuxCapabilities {
	if len(add) == 0 {
		return c
	}
	var n specs.LinuxCapabilities
	if c != nil {
		n = *c
	}
	for _, name := range add {
		name = strings.ToUpper(name)
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		for _, set := range []*[]string{&n.Bounding, &n.Effective, &n.Permitted} {
			*set = withName(*set, name)
		}
		if has(n.Inheritable, name) {
			n.Ambient = withName(n.Ambient, name)
		}
	}
	return &n
}

func withName(set []string, name string) []string {
	if has(set, name) {
		return set
	}
	return append(append([]string(nil), set...), name)
}

func has(set []string, name string) bool {
	for _, s := range set {
		if s == name {
			return true
		}
	}
	return false
}

// joining is a process that is to join the container, in its cgroup cg or one below that. The caller closes what is opened of init.
func (c *container) joining(spec *specs.Spec, cg *cgroups.Cgroup) (*facts.Joining, *initFiles, error) {
	j := &facts.Joining{
		Cgroup: facts.Cgroup{Dir: cg.BornDir(), Tasks: cg.TaskFiles(), Moved: c.transfer},
		Spec:   spec, ID: c.ID, Keyring: c.Keyring, NoNewKeyring: c.NoKeyring, Privileges: facts.OwnPrivileges(), Warn: c.rt.Warn,
	}
	init, err := c.openInit(spec)
	if err != nil {
		return nil, nil, err
	}
	j.Namespace = init.flags()
	if j.Namespace&unix.CLONE_NEWNS == 0 {
		j.Root = "/proc/" + strconv.Itoa(c.Pid) + "/root"
	}
	j.Home = func(uid uint32) (string, error) { return facts.HomeBelow(init.root, uid) }
	if err := c.rights(j, init.proc, cg); err != nil {
		init.close()
		return nil, nil, err
	}
	return j, init, nil
}

func (c *container) exec(soon *nsenter.Soon, spec *specs.Spec, o ExecOptions, fg *foreground) (int, error) {
	var signals *console.Signals
	in, events, err := c.enterExec(soon, spec, o)
	if err != nil {
		return -1, err
	}
	if !o.Detach {
		if signals, err = console.CatchSignals(); err != nil {
			in.Abandon()
			return -1, err
		}
		defer signals.Stop()
	}
	defer fg.close() // whatever fails: the caller's terminal must not stay raw
	if err := becomeProgram(in, events, o.WaitFIFO != ""); err != nil {
		if err != stub.ErrKilledAtBirth {
			err = in.ExplainSilence(in.AddSignal(execError(c, joinError(in.Pid(), err))))
		}
		in.Abandon()
		return -1, err
	}
	c.warnExec(in, spec)
	if err := c.execOwners(in, spec, o, fg); err != nil {
		in.Abandon()
		return -1, err
	}
	defer fg.finish(c.rt, signals)
	if o.WaitFIFO != "" {
		return c.execHeld(in, o, fg, signals)
	}
	in.Close()
	if o.Detach {
		return 0, nil
	}
	return fg.wait(in.Pid(), signals, false)
}

// becomeProgram waits until the process is the program or, if it is held by a FIFO, one step before.
func becomeProgram(in *stub.Session, events stub.Events, held bool) error {
	if !held {
		return in.Execute(events)
	}
	return in.Until(nsenter.SyncGate, events)
}

// execHeld lets a process go to its FIFO. Detached, rt does not stay to see whether it becomes the program; in the foreground the error of
// an execve that fails then is returned like any other.
func (c *container) execHeld(in *stub.Session, o ExecOptions, fg *foreground, signals *console.Signals) (int, error) {
	if err := in.Continue(); err != nil {
		in.Abandon()
		return -1, execError(c, err)
	}
	if o.Detach {
		in.Close()
		return 0, nil
	}
	status, err := fg.wait(in.Pid(), signals, false)
	defer in.Close()
	if err != nil {
		return -1, err
	}
	if err := in.LateError(); err != nil {
		return -1, startError(c, err)
	}
	return status, nil
}

// execError explains why the process did not become the program. That the kernel has killed something in the container for
// want of memory is a guess at the reason: it may have been another process.
func execError(c *container, err error) error {
	if err != io.EOF {
		return startError(c, err)
	}
	if cg, cgErr := c.cgroup(); cgErr == nil {
		if oom, _ := cg.OOMKilled(); oom {
			return fmt.Errorf("%w (possibly OOM-killed)", stub.ErrDied)
		}
	}
	return stub.ErrDied
}

// execOwners gives terminal and pid to those who wait for them.
func (c *container) execOwners(in *stub.Session, spec *specs.Spec, o ExecOptions, fg *foreground) error {
	out := o.handOver()
	out.master = in.TakeTerminal()
	if err := out.giveTerminal(fg, spec.Process); err != nil {
		return err
	}
	if err := out.sendPidfd(in.Pid()); err != nil {
		return err
	}
	return out.writePidFile(in.Pid())
}

// beforePlan sets what the process in the container inherits from the stub; once that has its plan it waits for nobody
// on the way to the program.
func (c *container) beforePlan(pid int, p *specs.Process) error {
	if err := c.rdt().Join(pid); err != nil {
		return err
	}
	if err := stub.SetOOMScore(pid, p); err != nil {
		return err
	}
	return stub.SetInitialAffinity(pid, p)
}

// enterExec leads the stub into the container.
func (c *container) enterExec(soon *nsenter.Soon, spec *specs.Spec, o ExecOptions) (*stub.Session, stub.Events, error) {
	sub, err := c.subCgroup(o)
	if err != nil {
		process, startErr := soon.Stub()
		if startErr != nil {
			return nil, nil, startErr
		}
		process.Abandon()
		return nil, nil, notAdded(process.Pid, err)
	}
	p, init, err := c.execPlan(spec, o, sub)
	if err != nil {
		soon.Abandon()
		return nil, nil, err
	}
	defer init.close()
	process, err := soon.Stub()
	if err != nil {
		return nil, nil, err
	}
	if err := c.beforePlan(process.Pid, spec.Process); err != nil {
		process.Abandon()
		return nil, nil, err
	}
	in, err := stub.Enter(process, p, stub.Options{Open: init.open, MapIDs: facts.MapIDs, Filter: seccomp.Of(spec)})
	if err != nil {
		return nil, nil, err
	}
	return in, &execEvents{c: c, spec: spec, sub: sub}, nil
}

// execEvents is rt's part while the stub of an exec works.
type execEvents struct {
	stub.None
	c    *container
	spec *specs.Spec
	sub  *cgroups.Cgroup // of --cgroup, or nil
}

// Join moves the process into the container's cgroup, or the one below it.
func (e *execEvents) Join(pid int) error {
	if e.sub != nil {
		return notAdded(pid, e.sub.Join(pid))
	}
	return notAdded(pid, e.c.joinCgroup(pid))
}

// Sync sets the affinity that the process has in its cgroup.
func (e *execEvents) Sync(point, pid int) error {
	if point != nsenter.SyncAffinity {
		return e.None.Sync(point, pid)
	}
	return stub.SetFinalAffinity(pid, e.spec.Process)
}

// Filter sends the listener to the agent.
func (e *execEvents) Filter(listener *os.File, pid int) error {
	return e.c.sendListener(e.spec, listener, pid, specs.StateRunning)
}

// notAdded says in runc's words, which engines and scripts look for, that a process could not enter its cgroup.
func notAdded(pid int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("error adding pid %d to cgroups: %w", pid, err)
}

// joinError is notAdded for a step of the plan that enters a cgroup.
func joinError(pid int, err error) error {
	var step *stub.StepError
	if errors.As(err, &step) {
		if _, ok := step.Item.Step.(nsenter.CgroupJoin); ok {
			return notAdded(pid, err)
		}
	}
	return err
}

// subCgroup is the cgroup that --cgroup names, below the container's own; nil without the flag.
func (c *container) subCgroup(o ExecOptions) (*cgroups.Cgroup, error) {
	if len(o.Cgroups) == 0 {
		return nil, nil
	}
	host, err := cgroups.Probe()
	if err != nil {
		return nil, err
	}
	cg, err := c.cgroup()
	if err != nil {
		return nil, err
	}
	return cgroups.Sub(host, cg, o.Cgroups)
}

// joinCgroup moves a process that could not be born in the container's cgroup. Where init has moved itself into a
// sub-cgroup and enabled controllers for it, as systemd does, or to another cgroup, and its first one is gone, the process goes
// where init is.
func (c *container) joinCgroup(pid int) error {
	cg, err := c.cgroup()
	if err != nil {
		return err
	}
	return cg.JoinWith(pid, c.initCgroup)
}

// initCgroup is the directory of the cgroup v2 that init is in now.
func (c *container) initCgroup() (string, error) {
	cg, err := c.cgroup()
	if err != nil {
		return "", err
	}
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(c.Pid)+"/cgroup", maxFile)
	if err != nil {
		return "", err
	}
	if alive, err := c.IsAlive(); err != nil || !alive { // another process may have the number by now
		return "", errors.Join(err, errExecStopped)
	}
	return cg.DirOfInit(string(text), facts.OwnPrivileges().HostRoot())
}

// openInitCgroup opens the cgroup of init in place of the container's own, which is gone.
func (c *container) openInitCgroup(in plan.Input) (*os.File, error) {
	host, err := cgroups.Probe()
	if err != nil {
		return nil, err
	}
	if host.Mode != cgroups.V2 || in.Path != c.Cgroups[""] {
		return nil, unix.ENOENT
	}
	dir, err := c.initCgroup()
	if err != nil {
		return nil, err
	}
	return stub.OpenCgroup(dir)
}

// execPlan compiles the plan, and opens what of the container's init it refers to. sub is the cgroup of --cgroup, or nil.
func (c *container) execPlan(spec *specs.Spec, o ExecOptions, sub *cgroups.Cgroup) (*plan.Plan, *initFiles, error) {
	filter, err := facts.OwnPrivileges().Filter(spec)
	if err != nil {
		return nil, nil, err
	}
	if sub == nil {
		sub = c.recorded()
	}
	j, init, err := c.joining(spec, sub)
	if err != nil {
		return nil, nil, err
	}
	p, err := j.Exec(facts.Execution{PreserveFds: o.PreserveFds, WaitFIFO: o.WaitFIFO, Filter: filter})
	if err != nil {
		init.close()
		return nil, nil, err
	}
	c.rt.warnAll(p.Warnings)
	return p, init, nil
}
