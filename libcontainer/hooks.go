package libcontainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"rt/internal/sys"
	"rt/libcontainer/console"
	"rt/libcontainer/facts"
	"rt/libcontainer/hooks"
	"rt/libcontainer/namespaces"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/libcontainer/stub"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// IsStartHook says whether err is the failure of a startContainer hook.
func IsStartHook(err error) bool {
	var failed *hooks.Error
	return errors.As(err, &failed) && failed.Kind == "startContainer"
}

// createHooks runs the three kinds that come before the root is switched, in the specification's order.
func (c *container) createHooks(spec *specs.Spec) error {
	if err := c.runtimeHooks(spec); err != nil {
		return err
	}
	state, err := c.hookState(specs.StateCreating)
	if err != nil {
		return err
	}
	compile := func(h specs.Hook) (*plan.Plan, *namespaces.Init, error) {
		j, init, err := c.joining(spec, c.Recorded())
		if err != nil {
			return nil, nil, err
		}
		p, err := j.CreateHook(h, c.rootDir)
		if err != nil {
			init.Close()
		}
		return p, init, err
	}
	return c.insideHooks("createContainer", spec, spec.Hooks.CreateContainer, state, compile)
}

// runtimeHooks runs the two kinds that a restored container has as well: they set up what is outside of it, a network above all.
func (c *container) runtimeHooks(spec *specs.Spec) error {
	state, err := c.hookState(specs.StateCreating)
	if err != nil {
		return err
	}
	if err := hooks.RunAll(c.hookContext(), "prestart", prestart(spec.Hooks), state, c.hookDir); err != nil {
		return err
	}
	return hooks.RunAll(c.hookContext(), "createRuntime", spec.Hooks.CreateRuntime, state, c.hookDir)
}

// startHooks runs startContainer hooks. Their programs are the image's: they have the process's rights, and its environment if they
// have none.
func (c *container) startHooks(spec *specs.Spec) error {
	if len(spec.Hooks.StartContainer) == 0 {
		return nil
	}
	state, err := c.hookState(specs.StateCreated)
	if err != nil {
		return err
	}
	filter, err := facts.CompileFilter(spec)
	if err != nil {
		return err
	}
	compile := func(h specs.Hook) (*plan.Plan, *namespaces.Init, error) {
		j, init, err := c.joining(spec, c.Recorded())
		if err != nil {
			return nil, nil, err
		}
		p, err := j.StartHook(h, filter)
		if err != nil {
			init.Close()
		}
		return p, init, err
	}
	return c.insideHooks("startContainer", spec, spec.Hooks.StartContainer, state, compile)
}

// hookState is what a hook reads on its standard input.
func (c *container) hookState(status specs.ContainerState) ([]byte, error) {
	s := specs.State{
		Version: c.OCIVersion, ID: c.ID, Status: status, Pid: c.Pid, Bundle: c.Bundle, Annotations: c.Annotations,
	}
	if status == specs.StateStopped {
		s.Pid = 0
	}
	return json.Marshal(&s)
}

// openHookDir opens the bundle, which is the working directory of the hooks that create, run and restore execute in rt's namespaces, also
// of those at the end of run. With start and delete it is the caller's own.
func (c *container) openHookDir(spec *specs.Spec) (err error) {
	if h := spec.Hooks; len(h.CreateRuntime)+len(h.Poststart)+len(h.Poststop)+len(prestart(h)) == 0 {
		return nil
	}
	if c.hookDir, err = sys.Open(c.Bundle, unix.O_PATH|unix.O_DIRECTORY); err != nil {
		return fmt.Errorf("open working directory of hooks: %w", err)
	}
	return nil
}

func prestart(h *specs.Hooks) []specs.Hook {
	return h.Prestart //nolint:staticcheck // prestart is deprecated and must still run
}

// hookContext has hooks written down that run under the container's lock.
func (c *container) hookContext() context.Context {
	return hooks.Observed(context.Background(), c.RecordHelper)
}

func (c *container) poststart(spec *specs.Spec) error {
	if len(spec.Hooks.Poststart) == 0 {
		return nil
	}
	state, err := c.hookState(specs.StateRunning)
	if err != nil {
		return err
	}
	return hooks.RunAll(c.hookContext(), "poststart", spec.Hooks.Poststart, state, c.hookDir)
}

// poststop runs every hook; a failure is a warning (runtime.md, lifecycle, 13).
func (c *container) poststop(spec *specs.Spec) {
	if spec == nil {
		return
	}
	state, err := c.hookState(specs.StateStopped)
	if err != nil {
		c.rt.Warn("%v", err)
		return
	}
	for i, h := range spec.Hooks.Poststop {
		if err := hooks.Run(context.Background(), "poststop", i, h, state, c.hookDir); err != nil {
			c.rt.Warn("%v", err)
		}
	}
}

// insideHooks runs hooks in the container's namespaces: the stub takes each there, by the plan that compile makes.
func (c *container) insideHooks(kind string, spec *specs.Spec, list []specs.Hook, state []byte, compile func(specs.Hook) (*plan.Plan, *namespaces.Init, error)) error {
	for i, h := range list {
		start := func(ctx context.Context, stdin, stdout, stderr *os.File) (pid int, wait func() error, err error) {
			err = stub.RetryMoved(&c.transfer, func() error {
				p, init, err := compile(h)
				if err != nil {
					return err
				}
				pid, wait, err = c.startHook(ctx, spec, p, init, nsenter.Stdio{stdin, stdout, stderr})
				return err
			})
			return pid, wait, err
		}
		if err := hooks.Supervise(c.hookContext(), kind, i, h, state, start); err != nil {
			return err
		}
	}
	return nil
}

// startHook returns when the hook's program runs. What can hold that up is the container's: its cgroup, its file systems.
func (c *container) startHook(ctx context.Context, spec *specs.Spec, p *plan.Plan, init *namespaces.Init, stdio nsenter.Stdio) (int, func() error, error) {
	defer init.Close()
	process, err := nsenter.Start(stdio, 0)
	if err != nil {
		return 0, nil, err
	}
	defer context.AfterFunc(ctx, process.Interrupt)()
	if err := c.beforeHook(process.Pid, spec); err != nil {
		process.Abandon()
		return 0, nil, err
	}
	in, err := stub.Enter(process, p, stub.Options{Open: init.Open, MapIDs: facts.MapIDs, Filter: seccomp.Of(spec)})
	if err != nil {
		return 0, nil, err
	}
	if err := in.Execute(&hookEvents{c: c, spec: spec}); err != nil {
		in.Abandon()
		return 0, nil, err
	}
	in.Close()
	return in.Pid(), func() error {
		ws, err := in.Wait()
		if err == nil && ws != 0 {
			err = hooks.ExitError{Status: ws}
		}
		return err
	}, nil
}

// beforeHook sets what the hook inherits from the stub.
func (c *container) beforeHook(pid int, spec *specs.Spec) error {
	if err := c.Rdt().Join(pid); err != nil {
		return err
	}
	return stub.SetOOMScore(pid, spec.Process)
}

// hookEvents is rt's part while the stub of a hook works.
type hookEvents struct {
	stub.None
	c    *container
	spec *specs.Spec
}

// Join moves the process into the container's cgroup.
func (h *hookEvents) Join(pid int) error { return h.c.joinCgroup(pid) }

// Filter sends the listener to the agent.
func (h *hookEvents) Filter(listener *os.File, pid int) error {
	return h.c.sendListener(h.spec, listener, pid, specs.StateCreated)
}

// sendListener hands a seccomp filter's listener to the agent at listenerPath (config-linux.md, The Container
// Process State).
func (c *container) sendListener(spec *specs.Spec, listener *os.File, pid int, status specs.ContainerState) error {
	defer listener.Close()
	data, err := json.Marshal(&specs.ContainerProcessState{
		Version: c.OCIVersion, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: spec.Linux.Seccomp.ListenerMetadata,
		State: specs.State{Version: c.OCIVersion, ID: c.ID, Status: status, Pid: c.Pid, Bundle: c.Bundle, Annotations: c.Annotations},
	})
	if err != nil {
		return err
	}
	if err := console.SendFd(spec.Linux.Seccomp.ListenerPath, listener, string(data)); err != nil {
		return fmt.Errorf("send seccomp listener (/linux/seccomp/listenerPath): %w", err)
	}
	return nil
}
