package libcontainer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// An inside is a process on its way into a container: the stub, the plan it was given, and what it has said.
type inside struct {
	stub     *nsenter.Stub
	plan     *plan.Plan
	pid      int      // of the container's process, a child of this one; 0 before it is known
	filtered int      // pid of the process whose filter has a listener
	unsent   *os.File // that listener, while the stub still makes calls under the filter: see allowCalls
	older    bool     // the stub is that of an older rt, and has waited for its start
	told     bool     // the process that cloned it has said so
	heard    bool     // another process than that one has said something
	announce bool     // the program comes next
	failed   bool     // it could not be executed, and that is its end: see nsenter.Failure
	failure  unix.Errno
	master   *os.File // of the terminal
	mounts   []uint64 // ids of the mounts that the plan has made and told
	maps     idMaps   // for what is still to be opened
	onPid    func() error
	onSync   func(point int) error         // rt's part at a sync point on the way to the program, or nil
	onFilter func(listener *os.File) error // what to do with a seccomp filter's listener
	join     func(pid int) error           // moves the process into its cgroup v2 directory
	spec     *specs.Spec                   // whose filter the program has; nil if there is none to name in an error
	stalled  func() error                  // asked when the stub has said nothing for stallTime, or nil: an error ends the wait
	program  int                           // pid of the process that becomes the program: with an init it is another than the first
}

// opener opens what a plan's inputs of some kinds name; the caller knows them.
type opener func(plan.Input) (*os.File, error)

// enter sends a plan to a started stub, with everything it refers to.
func enter(stub *nsenter.Stub, p *plan.Plan, own opener) (*inside, error) {
	in, err := enterEarly(stub, p, own)
	if err != nil {
		return nil, err
	}
	return in, in.sendInputs(own)
}

// enterEarly sends a plan with those of its inputs that the first steps want. sendInputs is to follow.
func enterEarly(stub *nsenter.Stub, p *plan.Plan, own opener) (*inside, error) {
	in := &inside{stub: stub, plan: p}
	in.maps.wanted = slices.ContainsFunc(p.Inputs, func(i plan.Input) bool { return i.IDMap != nil && i.IDMap.Namespace != "" })
	err := in.withInputs(p.Inputs[:p.Early()], own, func(files []*os.File) error {
		return stub.SendPlan(p.Steps(), len(p.Inputs), files)
	})
	if errors.Is(err, unix.EPIPE) {
		err = errDiedEarly
	}
	if err != nil {
		in.abandon()
		return nil, err
	}
	return in, nil
}

// sendInputs opens and sends the other inputs. On error the stub is gone.
func (in *inside) sendInputs(own opener) error {
	err := in.withInputs(in.plan.Inputs[in.plan.Early():], own, in.stub.SendInputs)
	in.maps.close()
	if errors.Is(err, unix.EPIPE) {
		return nil // it has ended in one of its first steps, and what it said of that is still to be heard
	}
	if err != nil {
		in.abandon()
	}
	return err
}

// withInputs calls use with what the inputs name, open, and nil for what the stub opens.
func (in *inside) withInputs(inputs []plan.Input, own opener, use func([]*os.File) error) error {
	files := make([]*os.File, 0, len(inputs))
	defer func() {
		for _, f := range files {
			f.Close() // or nothing, of a nil one
		}
	}()
	for _, input := range inputs {
		if input.Inside {
			files = append(files, nil)
			continue
		}
		f, err := openInput(input, own, &in.maps)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	return use(files)
}

func openInput(in plan.Input, own opener, maps *idMaps) (*os.File, error) {
	f, err := func() (*os.File, error) {
		switch in.Kind {
		case plan.Tree:
			if in.Root != "" {
				return sys.OpenTreeBelow(in.Root, in.Path, in.Recursive)
			}
			return sys.OpenTree(in.Path, in.Recursive)
		case plan.NewFS:
			return newFS(in.FS)
		case plan.MapOfIDs:
			ns, err := maps.namespace(in.IDMap)
			if err != nil {
				return nil, err
			}
			return sys.Duplicate(ns)
		case plan.Namespace:
			return openNamespace(in)
		case plan.Directory:
			return sys.Open(in.Path, unix.O_PATH|unix.O_DIRECTORY)
		case plan.CgroupDir:
			f, err := openCgroup(in.Path)
			if errors.Is(err, fs.ErrNotExist) {
				other, ownErr := own(in)
				if ownErr == nil || !errors.Is(ownErr, fs.ErrNotExist) {
					return other, ownErr
				}
			}
			return f, err
		case plan.Tasks:
			return sys.OpenKernelFile(in.Path, unix.O_WRONLY)
		case plan.FIFO:
			return openFIFO(in.Path)
		default:
			return own(in)
		}
	}()
	if err == nil {
		if err = maps.note(in, f); err != nil {
			f.Close()
		}
	}
	if err == nil && in.IDMap != nil && in.Kind != plan.MapOfIDs {
		if err = maps.apply(f, in); err != nil {
			f.Close()
		}
	}
	if err != nil && in.Pointer != "" {
		err = fmt.Errorf("%w (%s)", err, in.Pointer)
	}
	switch {
	case errors.Is(err, unix.EMFILE):
		err = hint.With(err, filesHint)
	case in.Kind == plan.Tree && errors.Is(err, unix.ENOSPC): // a detached mount has a mount namespace
		err = hint.With(err, mountsHint)
	}
	return f, err
}

// openCgroup opens a cgroup's directory by a mount of its own, above which there is nothing: a process in the container's pid
// namespace holds it for a moment, and who looks at that (CAP_SYS_PTRACE, no user namespace) finds no way up to the host.
func openCgroup(path string) (*os.File, error) {
	tree, err := sys.OpenTree(path, false)
	// An ordinary user may not clone mounts, and its containers have a user namespace. A clone counts as a mount namespace: where
	// there may be no more of them, it is for the step that makes one to say so.
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		return sys.Open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	return sys.OpenAt(int(tree.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

func openNamespace(in plan.Input) (*os.File, error) {
	f, err := sys.OpenNamespace(in.Path)
	if err != nil {
		return nil, err
	}
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err == nil && uint64(kind) != in.Type {
		err = errors.New("it is a namespace of another type")
	} else if errors.Is(err, unix.ENOTTY) {
		err = errors.New("it is not a namespace")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("join namespace %s: %w", in.Path, err)
	}
	if in.NotHosts == "" {
		return f, nil
	}
	hosts, err := sys.IsHostNamespace(f, in.Type)
	if err == nil && hosts {
		err = errors.New(in.NotHosts)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// until serves the stub until it reaches a sync point, which is left unanswered. serve is called for each sync
// point on the way that the stub waits at. io.EOF: the stub has become the program, or has died.
func (in *inside) until(point int, serve func(point int) error) error {
	for {
		if err := in.allowCalls(); err != nil {
			return err
		}
		r, err := in.stub.Receive()
		if errors.Is(err, unix.EAGAIN) && in.stalled != nil {
			if err = in.stalled(); err == nil {
				continue
			}
		}
		if err == io.EOF {
			in.reapCloner()
		}
		if err != nil { // what has not ended is for abandon
			return err
		}
		if err := in.meet(r); err != nil {
			return in.lastWords(err)
		}
		switch r.Type {
		case nsenter.ReplyFd:
			if err := in.take(r); err != nil {
				return err
			}
		case nsenter.ReplyMounts:
			in.mounts = append(in.mounts, r.MountIDs()...)
		case nsenter.ReplyListener:
			if err := in.listener(r); err != nil {
				return err
			}
		case nsenter.ReplyError:
			return in.stepError(r)
		case nsenter.ReplyNoProgram:
			in.reapCloner()
			in.failed, in.failure = true, unix.Errno(r.Value)
			return io.EOF
		case nsenter.ReplySync:
			if r.Value == nsenter.SyncExec {
				in.announce, in.program = true, cmp.Or(r.From, in.pid)
				continue
			}
			if r.Value == nsenter.SyncFiltered {
				if err := in.handOver(in.unsent); err != nil {
					return err
				}
				continue
			}
			if r.Value == point {
				in.reapCloner()
				return nil
			}
			if err := in.answer(r.Value, serve); err != nil {
				return err
			}
		}
	}
}

// answer does rt's part at a sync point and lets the stub go on.
func (in *inside) answer(point int, serve func(point int) error) (err error) {
	if point == nsenter.SyncCgroup {
		err = in.join(in.pid)
	} else {
		err = serve(point)
	}
	if err != nil {
		return err
	}
	if err := in.stub.Go(); err != nil {
		return in.lastWords(err)
	}
	return nil
}

// meet learns from a message who the container's process is. Two processes speak on one socket: the one that clones says
// the pid and ends; but it may come second, or be killed before. So every message of another than that one will do, for
// the kernel says whose it is.
func (in *inside) meet(r *nsenter.Reply) error {
	pid := 0
	in.heard = in.heard || r.From != in.stub.Pid
	switch {
	case r.Type == nsenter.ReplyPid:
		pid, in.told = r.Value, true
	case in.pid == 0 && r.From != in.stub.Pid:
		pid = r.From
	}
	if pid == 0 || pid == in.pid {
		return nil
	}
	if r.Type == nsenter.ReplyError { // nothing is to be done for a process that ends, but to reap it: it keeps its pid namespace
		if sys.OwnChild(pid) {
			in.pid = pid
		}
		return nil
	}
	return in.born(pid)
}

// born is told the pid of the container's process. It must be a child of this process, and the only one: rt will move
// it, give it ids and kill it, and who got hold of the stub could name a process of the host.
func (in *inside) born(pid int) error {
	if in.pid != 0 || !sys.OwnChild(pid) {
		return fmt.Errorf("the stub: %d is not the pid of the container's process", pid)
	}
	in.pid = pid
	if in.onPid != nil {
		return in.onPid()
	}
	return nil
}

// errKilledAtBirth: the container's process was killed before it could do anything.
var errKilledAtBirth = errors.New("the container's process was killed as soon as it was made")

// killedAtBirth says whether the process was killed before it has run at all. It reaps one that was killed without a word. One that has
// run has written to its stack, and so had a page fault: that one was killed by another, as by `delete --force`, and must not come back.
//
// Since Linux 6.12 clone3(2) with CLONE_INTO_CGROUP compares how often the caller's cgroup was killed (cgroup.kill) with how often the
// new one was, and takes a difference for a kill of the child: where one of the two directories was killed once and is used again, no
// child survives. A process that is moved does.
func (in *inside) killedAtBirth() bool {
	born := slices.ContainsFunc(in.plan.Inputs, func(i plan.Input) bool { return i.Kind == plan.CgroupDir })
	if !born || in.pid == 0 || in.heard {
		return false
	}
	fd, err := unix.PidfdOpen(in.pid, 0) // it has not been reaped
	if err != nil {
		return false
	}
	p := os.NewFile(uintptr(fd), "pidfd")
	defer p.Close()
	if ended, err := sys.AwaitExit(p, birthLimit); err != nil || !ended {
		return false
	}
	in.reapCloner()
	var usage unix.Rusage
	ws, err := sys.WaitUsage(in.pid, &usage)
	in.pid = 0
	return err == nil && ws.Signaled() && ws.Signal() == unix.SIGKILL && usage.Minflt == 0 && usage.Majflt == 0
}

// birthLimit is how long the end of a process is awaited that has closed its end of the conversation, in milliseconds.
const birthLimit = 1000

// ends says whether a child has ended or is about to: before it is a zombie it has no namespaces any more, and before
// that no open files, so that all it had to say is said.
func ends(pid int) bool {
	if _, dead, err := sys.StartTime(pid); err != nil || dead {
		return err == nil
	}
	_, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	return errors.Is(err, fs.ErrNotExist)
}

// lastWords is why the container's process has ended, if it has: rt did something to it that failed for that reason only.
// Otherwise it is err.
func (in *inside) lastWords(err error) error {
	if in.pid == 0 || !ends(in.pid) {
		return err
	}
	for {
		r, end := in.stub.Receive()
		switch {
		case end == io.EOF && errors.Is(err, unix.EPIPE): // killed while it waited
			in.reapCloner()
			return io.EOF
		case end != nil:
			return err
		case r.Type == nsenter.ReplyError:
			return in.stepError(r)
		case r.File != nil:
			r.File.Close()
		}
	}
}

// reapCloner: the process that cloned the container's has nothing more to do. It is not waited for while that one
// is at work. What it has said must not stay unread: the kernel would answer the end of the conversation with
// ECONNRESET, and a word to go on before it were lost (unix(7)).
func (in *inside) reapCloner() {
	if in.pid == 0 || in.stub.Pid == 0 {
		return
	}
	_, _ = sys.Wait(in.stub.Pid)
	in.stub.Pid = 0
	if !in.told {
		in.stub.Drop()
	}
}

func (in *inside) take(r *nsenter.Reply) error {
	switch {
	case r.File == nil:
		return errors.New("the stub sent no descriptor")
	case r.Value == 0:
		in.master = r.File
		return nil
	case in.unsent != nil:
		r.File.Close()
		return errors.New("the stub sent a second listener")
	}
	in.filtered = cmp.Or(r.From, in.pid)
	if in.older {
		return in.handOver(r.File)
	}
	in.unsent = r.File
	return nil
}

func (in *inside) stepError(r *nsenter.Reply) error {
	i := len(in.plan.Items) - r.Left
	if i < 0 || r.Left <= 0 {
		return fmt.Errorf("the stub: %s: %w", r.Text, unix.Errno(r.Value))
	}
	return &StepError{Item: in.plan.Items[i], Call: r.Text, Errno: unix.Errno(r.Value)}
}

// executed waits for the end of the conversation, which is the program's beginning.
func (in *inside) executed() error {
	err := in.until(0, in.serve())
	if err == io.EOF && in.announce {
		return in.isProgram()
	}
	return in.denied(err)
}

// stubName is what the stub calls itself (stub.c). execve gives a process another name.
const stubName = "rt:[stub]"

// isProgram tells the program's beginning from the process's end by its filter: both end the conversation. A program that cannot be
// executed counts as one that has begun, and ended. If the process has been
// reaped already, the filter's verdict decides; where that is left to an agent, the program has begun, for most are allowed. Without a
// tracer SECCOMP_RET_TRACE denies (ENOSYS, seccomp(2)), and no tracer can have attached to a process that is not dumpable.
func (in *inside) isProgram() error {
	if in.failed || !hasFilter(in.spec) {
		return nil
	}
	ended, err := sys.EndedAs(in.program, stubName)
	gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
	if err != nil && !gone {
		return fmt.Errorf("look whether the program runs: %w", err)
	}
	if !ended && !gone {
		return nil
	}
	action := denies(in.spec, "execve")
	switch {
	case gone && (action == "" || action == string(specs.ActNotify)):
		return nil
	case action == "":
		return io.EOF
	}
	return fmt.Errorf("unable to start container process: "+deniesExec, action)
}

const deniesExec = "the seccomp filter denies execve (%s, /linux/seccomp)"

// denied says that it was the filter that has kept the process from becoming the program, if it was. What an agent or a tracer allows
// can fail for other reasons; without them the kernel answers ENOSYS.
func (in *inside) denied(err error) error {
	var step *StepError
	if !errors.As(err, &step) {
		return err
	}
	if _, ok := step.Item.Step.(nsenter.Exec); !ok {
		return err
	}
	action := denies(in.spec, "execve")
	if action == "" || seccomp.OthersDecide(action) && step.Errno != unix.ENOSYS {
		return err
	}
	return fmt.Errorf("unable to start container process: %v: "+deniesExec, err, action)
}

// hasFilter says whether a filter is configured. A profile with neither a default action nor a system call is none, as for runc.
func hasFilter(spec *specs.Spec) bool {
	if spec == nil || spec.Linux == nil || spec.Linux.Seccomp == nil {
		return false
	}
	return spec.Linux.Seccomp.DefaultAction != "" || len(spec.Linux.Seccomp.Syscalls) > 0
}

// denies is what the filter does with a call, if that does not happen.
func denies(spec *specs.Spec, call string) string {
	if !hasFilter(spec) {
		return ""
	}
	f, err := seccomp.Compile(spec.Linux.Seccomp)
	if err != nil || f == nil {
		return ""
	}
	return f.Denies(call)
}

// serve is what is done at the sync points that remain.
func (in *inside) serve() func(point int) error {
	if in.onSync != nil {
		return in.onSync
	}
	return func(point int) error { return fmt.Errorf("the stub waits at sync point %d", point) }
}

// postmortem adds to errDied which signal it was that ended the process, a child of this one.
func (in *inside) postmortem(err error) error {
	if !errors.Is(err, errDied) || in.pid == 0 {
		return err
	}
	_ = unix.Kill(in.pid, unix.SIGKILL) // which changes nothing if it has said its last, as it has
	ws, waitErr := sys.Wait(in.pid)
	in.pid = 0
	if waitErr == nil && ws.Signaled() {
		err = fmt.Errorf("%w: %v", err, ws.Signal())
	}
	return err
}

// abandon ends whatever there is of the process.
func (in *inside) abandon() {
	in.maps.close()
	if in.master != nil {
		in.master.Close()
	}
	in.unsent.Close() // or nothing, of a nil one
	if in.pid == 0 && in.stub.Pid != 0 {
		in.stub.Abandon()
		return
	}
	in.stub.Close()
	if in.pid != 0 {
		_ = unix.Kill(in.pid, unix.SIGKILL) // a child that has not been reaped: the pid is its own
	}
	in.reapCloner() // which waits for its opener, and that for the container's process
	if in.pid != 0 {
		// A dead child in its pid namespace that nobody knows, as a hook's stub was killed before it could tell, would
		// keep it from ending.
		sys.ReapUntil(in.pid)
	}
}
