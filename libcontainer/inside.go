package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/plan"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// An inside is a process on its way into a container: the stub, the plan it was given, and what it has said.
type inside struct {
	stub     *nsenter.Stub
	plan     *plan.Plan
	pid      int      // of the container's process, a child of this one; 0 before it is known
	announce bool     // the program comes next
	master   *os.File // of the terminal
	onPid    func() error
	onSync   func(point int) error         // rt's part at a sync point on the way to the program, or nil
	onFilter func(listener *os.File) error // what to do with a seccomp filter's listener
	join     func(pid int) error           // moves the process into its cgroup v2 directory
}

// opener opens what a plan's inputs of some kinds name; the caller knows them.
type opener func(plan.Input) (*os.File, error)

// enter sends a plan to a started stub, with everything it refers to.
func enter(stub *nsenter.Stub, p *plan.Plan, own opener) (*inside, error) {
	in := &inside{stub: stub, plan: p}
	files := make([]*os.File, 0, len(p.Inputs))
	maps := idMaps{}
	defer func() {
		maps.close()
		for _, f := range files {
			f.Close() // or nothing, of a nil one
		}
	}()
	for _, input := range p.Inputs {
		if input.Inside {
			files = append(files, nil)
			continue
		}
		f, err := openInput(input, own, maps)
		if err != nil {
			in.abandon()
			return nil, err
		}
		files = append(files, f)
	}
	if err := stub.SendPlan(p.Steps(), files); err != nil {
		in.abandon()
		return nil, err
	}
	return in, nil
}

func openInput(in plan.Input, own opener, maps idMaps) (*os.File, error) {
	f, err := func() (*os.File, error) {
		switch in.Kind {
		case plan.Tree:
			return sys.OpenTree(in.Path, in.Recursive)
		case plan.NewFS:
			return newFS(in.FS)
		case plan.Namespace:
			return openNamespace(in)
		case plan.Directory:
			return sys.Open(in.Path, unix.O_PATH|unix.O_DIRECTORY)
		case plan.CgroupDir:
			return sys.Open(in.Path, unix.O_RDONLY|unix.O_DIRECTORY)
		case plan.Tasks:
			return sys.Open(in.Path, unix.O_WRONLY)
		case plan.FIFO:
			return openFIFO(in.Path)
		default:
			return own(in)
		}
	}()
	if err == nil && in.IDMap != nil {
		if err = maps.apply(f, in); err != nil {
			f.Close()
		}
	}
	if err != nil && in.Pointer != "" {
		err = fmt.Errorf("%w (%s)", err, in.Pointer)
	}
	return f, err
}

func openNamespace(in plan.Input) (*os.File, error) {
	f, err := sys.Open(in.Path, unix.O_RDONLY|unix.O_NONBLOCK)
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
	return f, nil
}

// until serves the stub until it reaches a sync point, which is left unanswered. serve is called for each sync
// point on the way that the stub waits at. io.EOF: the stub has become the program, or has died.
func (in *inside) until(point int, serve func(point int) error) error {
	waiting := 0 // a sync point that came before the pid: two processes speak on one socket
	for {
		r, err := in.stub.Receive()
		if err != nil {
			in.reapCloner()
			return err
		}
		switch r.Type {
		case nsenter.ReplyPid:
			if err := in.born(r.Value); err != nil {
				return in.lastWords(err)
			}
		case nsenter.ReplyFd:
			if err := in.take(r); err != nil {
				return err
			}
			continue
		case nsenter.ReplyListener:
			if err := in.listener(r.Value); err != nil {
				return err
			}
			continue
		case nsenter.ReplyError:
			err := in.stepError(r)
			in.learnPid(r)
			return err
		case nsenter.ReplySync:
			if r.Value == nsenter.SyncExec {
				in.announce = true
				continue
			}
			waiting = r.Value
		}
		if waiting == 0 || (in.pid == 0 && waiting != nsenter.SyncTime) {
			continue
		}
		if waiting == point {
			in.reapCloner()
			return nil
		}
		if waiting == nsenter.SyncCgroup {
			err = in.join(in.pid)
		} else {
			err = serve(waiting)
		}
		if err != nil {
			return err
		}
		waiting = 0
		if err := in.stub.Go(); err != nil {
			return in.lastWords(err)
		}
	}
}

// born is told the pid of the container's process. It must be a child of this process, and the only one: rt will move
// it, give it ids and kill it, and who got hold of the stub could name a process of the host.
func (in *inside) born(pid int) error {
	if in.pid != 0 || !ownChild(pid) {
		return fmt.Errorf("the stub: %d is not the pid of the container's process", pid)
	}
	in.pid = pid
	if in.onPid != nil {
		return in.onPid()
	}
	return nil
}

func ownChild(pid int) bool {
	return pid > 0 && sys.Retry(func() error { return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) }) == nil
}

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

// learnPid waits for the pid when an error of the container's process came before it, as two processes speak on one
// socket: a process that is not reaped keeps its pid namespace, and with it the namespace's init, from ending.
func (in *inside) learnPid(failed *nsenter.Reply) {
	for i, it := range in.plan.Items {
		if _, ok := it.Step.(nsenter.Clone); !ok || in.pid != 0 || len(in.plan.Items)-failed.Left <= i {
			continue
		}
		for in.pid == 0 {
			r, err := in.stub.Receive()
			if err != nil {
				return
			}
			if r.Type == nsenter.ReplyPid && ownChild(r.Value) {
				in.pid = r.Value
			}
		}
	}
}

// reapCloner: the process that cloned the container's has nothing more to do. It is not waited for while that one
// is at work.
func (in *inside) reapCloner() {
	if in.pid != 0 && in.stub.Pid != 0 {
		_, _ = sys.Wait(in.stub.Pid)
		in.stub.Pid = 0
	}
}

func (in *inside) take(r *nsenter.Reply) error {
	switch {
	case r.File == nil:
		return errors.New("the stub sent no descriptor")
	case r.Value == 0:
		in.master = r.File
		return nil
	case in.onFilter == nil:
		r.File.Close()
		return errors.New("the stub sent a listener that nobody asked for")
	}
	return in.onFilter(r.File)
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
	serve := in.onSync
	if serve == nil {
		serve = func(point int) error { return fmt.Errorf("the stub waits at sync point %d", point) }
	}
	err := in.until(0, serve)
	if err == io.EOF && in.announce {
		return nil
	}
	return err
}

// abandon ends whatever there is of the process.
func (in *inside) abandon() {
	if in.master != nil {
		in.master.Close()
	}
	if in.pid == 0 && in.stub.Pid != 0 {
		in.stub.Abandon()
		return
	}
	in.stub.Close()
	in.reapCloner()
	if in.pid != 0 {
		_ = unix.Kill(in.pid, unix.SIGKILL) // a child that has not been reaped: the pid is its own
		_, _ = sys.Wait(in.pid)
	}
}
