package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/facts"
	"rt/libcontainer/hooks"
	"rt/libcontainer/notify"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Start lets a created container's process become the user's program, and returns when it has.
func (r *Runtime) Start(id string) error {
	c, err := r.open(id, true)
	if err != nil {
		return err
	}
	defer c.Release()
	if err := c.mayStart(); err != nil {
		return err
	}
	spec, err := c.config()
	if err != nil {
		return err
	}
	in, err := c.connect(spec)
	if err != nil {
		return err
	}
	defer in.Close()
	proxy, err := c.begin(spec, in)
	if err != nil {
		return c.failedStart(err)
	}
	c.Release() // the container may never say READY=1
	return c.forward(proxy, nil)
}

// failedStart deletes the container whose poststart hook has failed, as the specification wants it (runtime.md, lifecycle); what the
// removal fails with is a warning, for the container is there to be deleted then. After other failures it is left stopped: the callers
// of start delete it.
func (c *container) failedStart(err error) error {
	var failed *hooks.Error
	if !errors.As(err, &failed) || failed.Kind != "poststart" {
		return err
	}
	if left := c.rt.remove(c); left != nil {
		c.rt.Warn("%v", left)
	}
	return err
}

// forward tells the service manager when the container is ready. It needs no lock.
func (c *container) forward(proxy *notify.Proxy, done <-chan struct{}) error {
	if proxy == nil {
		return nil
	}
	return errors.Join(proxy.Forward(c.Pid, done), proxy.Close())
}

// errHalted: start would wait for ever, and keep everybody else from the container.
var errHalted = errors.New("cannot start container: a signal has stopped its process (SIGSTOP)")

func (c *container) mayStart() error {
	status, err := c.status()
	if err != nil {
		return err
	}
	switch status {
	case specs.StateCreated:
		if sys.Halted(c.Pid) {
			return hint.With(errHalted, "rt kill "+c.ID+" CONT lets it go on")
		}
		return nil
	case specs.StateStopped:
		return errors.New("cannot start a container that has stopped")
	case statePaused:
		return hint.With(errors.New("cannot start a container in the paused state"), "rt resume "+c.ID+" lets it go on")
	}
	return errors.New("cannot start an already running container")
}

// connect reaches the process that waits. The socket's name goes first, for it is what says "created": should this
// process be killed now, the other end sees the connection close and ends too.
func (c *container) connect(spec *specs.Spec) (*stub.Session, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to the container's process: %w", err)
	}
	conn := os.NewFile(uintptr(fd), state.StartSocket)
	// With an init the program is another process than the container's first.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to the container's process: %w", err)
	}
	if err := sys.Retry(func() error { return unix.Connect(fd, c.SocketAddress(state.StartSocket)) }); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to the container's process: %w", err)
	}
	opts := plan.Options{Init: c.Init}
	if seccomp.Of(spec) != nil {
		opts.Filter = &seccomp.Program{} // that there is one is all that counts here, and what may be too new for the kernel
		if slices.Contains(spec.Linux.Seccomp.Flags, specs.LinuxSeccompFlagWaitKillableRecv) {
			opts.Filter.Flags = seccomp.FlagWaitKillableRecv
		}
	}
	known, err := facts.AfterStart(spec.Process)
	if err != nil {
		conn.Close()
		return nil, err
	}
	p, err := plan.AfterStart(spec, opts, known)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return stub.Connect(conn, p, c.Pid, seccomp.Of(spec)), nil
}

// begin runs startContainer hooks, gives the word, waits for execve, and runs poststart hooks. The spec's
// consequence of any failure is a stopped container. What is returned, if there is a NOTIFY_SOCKET, is for forward.
func (c *container) begin(spec *specs.Spec, in *stub.Session) (*notify.Proxy, error) {
	if err := c.startHooks(spec); err != nil {
		c.stop()
		return nil, err
	}
	proxy, err := c.notifyProxy()
	if err == nil {
		err = c.become(spec, in)
	}
	if err != nil {
		c.stop()
		proxy.Close()
		return nil, err
	}
	return proxy, nil
}

func (c *container) become(spec *specs.Spec, in *stub.Session) error {
	if err := unix.Unlink(filepath.Join(c.Dir, state.StartSocket)); err != nil && err != unix.ENOENT {
		return fmt.Errorf("start container: %w", err)
	}
	err := in.Continue()
	if err == nil {
		err = in.Execute(&startEvents{c: c, spec: spec})
	}
	if err != nil {
		return in.ExplainSilence(c.withSignal(startError(c, err)))
	}
	c.warnExec(in, spec)
	return c.poststart(spec)
}

// startError says why the process did not become the program, or why a step of its way there has failed.
func startError(c *container, err error) error {
	if err == io.EOF {
		return c.initDied(stub.ErrDied)
	}
	var step *stub.StepError
	if errors.As(err, &step) {
		return fmt.Errorf("unable to start container process: %w", err)
	}
	return err
}

// initDied is the error for an init that has ended before it was the program: otherwise, unless the kernel has killed it for want of memory.
func (c *container) initDied(otherwise error) error {
	if c.isOOMKilled() {
		return errors.New("container init was OOM-killed (memory limit too low?)")
	}
	return otherwise
}

// isOOMKilled says whether the kernel has killed a process of the container for want of memory.
func (c *container) isOOMKilled() bool {
	cg, err := c.Cgroup()
	if err != nil {
		return false
	}
	killed, _ := cg.OOMKilled()
	return killed
}

// startEvents is rt's part while the stub of a created container becomes the program.
type startEvents struct {
	stub.None
	c    *container
	spec *specs.Spec
}

// Filter sends the listener to the agent.
func (s *startEvents) Filter(listener *os.File, pid int) error {
	return s.c.sendListener(s.spec, listener, pid, specs.StateCreating)
}

// Stalled ends the process if it is frozen. It is for run, whose child it is: start waits without limit.
func (s *startEvents) Stalled(pid int) error { return s.c.endIfFrozen(pid) }

// warnExec warns of an execve that has failed and of which the container's stderr says nothing.
func (c *container) warnExec(in *stub.Session, spec *specs.Spec) {
	if text := in.ExecWarning(spec.Process.Args[0]); text != "" {
		c.rt.Warn("%s", text)
	}
}

// withSignal adds to stub.ErrDied which signal it was that ended the container's process, if it can still be known.
func (c *container) withSignal(err error) error {
	if !errors.Is(err, stub.ErrDied) {
		return err
	}
	if ws, known := c.InitProcess().EndOf(stub.ExitLimit); known && ws.Signaled() {
		return fmt.Errorf("%w: %v", err, ws.Signal())
	}
	return err
}

// stop kills what is left of a container that could not be started.
func (c *container) stop() {
	p, err := c.InitProcess().Open()
	if err != nil {
		if !errors.Is(err, unix.ESRCH) {
			c.rt.Warn("stop the container: %v", err)
		}
		return
	}
	defer p.Close()
	_ = sys.Signal(p, unix.SIGKILL)
	_, _ = sys.AwaitExit(p, killTimeout)
}

func (c *container) notifyProxy() (*notify.Proxy, error) {
	host := os.Getenv("NOTIFY_SOCKET")
	dir := filepath.Join(c.Dir, state.NotifyDir)
	if host == "" {
		return nil, nil
	}
	if err := unix.Access(dir, unix.F_OK); err == unix.ENOENT {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("look for %s: %w", dir, err)
	}
	if err := c.RestrictDir(); err != nil {
		return nil, err
	}
	proxy, err := notify.New(dir, host)
	if err == nil {
		if err = proxy.Watch(c.Pid); err != nil {
			proxy.Close()
			return nil, err
		}
	}
	return proxy, err
}

// bindSocket makes a listening socket in the container's directory, for rt's user alone.
func (c *container) bindSocket(name string, flags int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	// Bind gives the mode to the name: a user who may write to it could start the container, whatever the umask of rt's caller is.
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
