package libcontainer

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"rt/internal/sys"
	"rt/libcontainer/console"
	"rt/libcontainer/hooks"
	"rt/libcontainer/plan"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// createHooks runs the three kinds that come before the root is switched, in the specification's order.
func (c *container) createHooks(spec *specs.Spec) error {
	if err := c.runtimeHooks(spec); err != nil {
		return err
	}
	state, err := c.hookState(specs.StateCreating)
	if err != nil {
		return err
	}
	return c.insideHooks(context.Background(), "createContainer", spec, spec.Hooks.CreateContainer, state)
}

// runtimeHooks runs the two kinds that a restored container has as well: they set up what is outside of it, a network above all.
func (c *container) runtimeHooks(spec *specs.Spec) error {
	state, err := c.hookState(specs.StateCreating)
	if err != nil {
		return err
	}
	//nolint:staticcheck // prestart is deprecated and must still run
	if err := hooks.RunAll(context.Background(), "prestart", spec.Hooks.Prestart, state); err != nil {
		return err
	}
	return hooks.RunAll(context.Background(), "createRuntime", spec.Hooks.CreateRuntime, state)
}

// startHooks runs startContainer hooks; one without an environment gets the process's.
func (c *container) startHooks(spec *specs.Spec) error {
	if spec.Hooks == nil || len(spec.Hooks.StartContainer) == 0 {
		return nil
	}
	state, err := c.hookState(specs.StateCreated)
	if err != nil {
		return err
	}
	list := append([]specs.Hook(nil), spec.Hooks.StartContainer...)
	for i := range list {
		if list[i].Env == nil {
			list[i].Env = spec.Process.Env
		}
	}
	return c.insideHooks(context.Background(), "startContainer", spec, list, state)
}

func (c *container) poststart(spec *specs.Spec) error {
	if spec.Hooks == nil || len(spec.Hooks.Poststart) == 0 {
		return nil
	}
	state, err := c.hookState(specs.StateRunning)
	if err != nil {
		return err
	}
	return hooks.RunAll(context.Background(), "poststart", spec.Hooks.Poststart, state)
}

// poststop runs every hook; a failure is a warning (runtime.md, lifecycle, 13).
func (c *container) poststop(spec *specs.Spec) {
	if spec == nil || spec.Hooks == nil {
		return
	}
	state, err := c.hookState(specs.StateStopped)
	if err != nil {
		c.rt.Warn("%v", err)
		return
	}
	for i, h := range spec.Hooks.Poststop {
		if err := hooks.Run(context.Background(), "poststop", i, h, state); err != nil {
			c.rt.Warn("%v", err)
		}
	}
}

// insideHooks runs hooks in the container's namespaces: the stub takes each there.
func (c *container) insideHooks(ctx context.Context, kind string, spec *specs.Spec, list []specs.Hook, state []byte) error {
	for i, h := range list {
		start := func(ctx context.Context, stdin, stdout, stderr *os.File) (int, func() error, error) {
			return c.startHook(ctx, spec, h, nsenter.Stdio{stdin, stdout, stderr})
		}
		if err := hooks.Supervise(ctx, kind, i, h, state, start); err != nil {
			return err
		}
	}
	return nil
}

// startHook returns when the hook's program runs. What can hold that up is the container's: its cgroup, its file systems.
func (c *container) startHook(ctx context.Context, spec *specs.Spec, h specs.Hook, io nsenter.Stdio) (int, func() error, error) {
	facts, init, err := c.factsIn(spec, c.recorded())
	if err != nil {
		return 0, nil, err
	}
	defer init.close()
	stub, err := nsenter.Start(io, 0)
	if err != nil {
		return 0, nil, err
	}
	defer context.AfterFunc(ctx, stub.Interrupt)()
	in, err := enter(stub, plan.Hook(spec, h, facts), init.open)
	if err != nil {
		return 0, nil, err
	}
	in.join = c.joinCgroup
	if err := in.executed(); err != nil {
		in.abandon()
		return 0, nil, err
	}
	stub.Close()
	return in.pid, func() error {
		ws, err := sys.Wait(in.pid)
		if err == nil && ws != 0 {
			err = hooks.ExitError{Status: ws}
		}
		return err
	}, nil
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
