package libcontainer

import (
	"errors"
	"fmt"

	"rt/cgroups"
	"rt/libcontainer/usage"

	"golang.org/x/sys/unix"
)

// Events calls emit with the statistics of a container, again and again, and with each out-of-memory event,
// until its first process ends, nobody reads any more, or emit fails.
func (r *Runtime) Events(id string, o usage.EventsOptions, emit func(*usage.Event) error) error {
	c, err := r.open(id, false)
	if err != nil {
		return err
	}
	init, err := c.InitProcess().Open()
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("container with id %s is not running", id)
	}
	if err != nil {
		return err
	}
	defer init.Close()
	cg, err := c.MustHaveCgroup("read statistics")
	if err != nil {
		return err
	}
	s := &usage.Stream{ID: id, Init: init, Cgroup: cg, Rdt: c.Rdt(), Emit: emit, Warn: r.Warn}
	return s.Run(o)
}

// Usages returns a function that tells at each call what containers use: see usage.Watch.
func (r *Runtime) Usages(ids []string) func() ([]usage.Container, error) {
	return usage.Watch(&r.Root, ids)
}

// Top tells about the processes of a container, by pid, one after the other. One that ends meanwhile is left out.
func (r *Runtime) Top(id string, tell func(*usage.Process) error) error {
	cg, pids, err := r.processes(id)
	if err != nil {
		return err
	}
	return usage.EachProcess(cg, pids, tell)
}

// Processes are the pids, on the host, of a container's processes.
func (r *Runtime) Processes(id string) ([]int, error) {
	r.Reading = true
	_, pids, err := r.processes(id)
	return pids, err
}

func (r *Runtime) processes(id string) (*cgroups.Cgroup, []int, error) {
	c, err := r.open(id, false)
	if err != nil {
		return nil, nil, err
	}
	cg, err := c.MustHaveCgroup("list processes")
	if err != nil {
		return nil, nil, err
	}
	pids, err := cg.Procs()
	return cg, pids, err
}
