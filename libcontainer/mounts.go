package libcontainer

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/facts"
	"rt/libcontainer/namespaces"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// AddMounts mounts more into a container that is created or running: all of list (JSON: an array of mounts as in config.json), or
// nothing. The sources are those of the host, the destinations below the container's root.
func (r *Runtime) AddMounts(id string, list []byte) error {
	return r.changeMounts(id, list, bundle.DecodeMounts, plan.AddMounts)
}

// RemoveMounts unmounts the destinations of list. Not those of the container's root, /proc and /sys.
func (r *Runtime) RemoveMounts(id string, list []byte) error {
	return r.changeMounts(id, list, bundle.DecodeDestinations, plan.RemoveMounts)
}

// noteMounts keeps the ids of mounts that the stub has told. An id is never used again since Linux 6.8.
func (c *container) noteMounts(in *stub.Session) {
	if c.Mounts == nil {
		c.Mounts = map[string]string{}
	}
	for _, m := range in.Mounts() {
		c.Mounts[m.Target] = strings.TrimSpace(c.Mounts[m.Target] + " " + strconv.FormatUint(m.ID, 10))
	}
}

// forgetMounts is noteMounts for what was unmounted.
func (c *container) forgetMounts(ids []uint64) {
	for target, text := range c.Mounts {
		words := slices.DeleteFunc(strings.Fields(text), func(word string) bool {
			id, err := strconv.ParseUint(word, 10, 64)
			return err == nil && slices.Contains(ids, id)
		})
		if c.Mounts[target] = strings.Join(words, " "); len(words) == 0 {
			delete(c.Mounts, target)
		}
	}
}

type mountDecoder func(raw []byte, spec *specs.Spec) ([]specs.Mount, []bundle.Problem, error)

func (r *Runtime) changeMounts(id string, raw []byte, decode mountDecoder, change facts.MountChange) error {
	c, err := r.open(id, true) // so that nobody freezes it while the stub is in there
	if err != nil {
		return err
	}
	defer c.Release()
	if err := c.mayMount(); err != nil {
		return err
	}
	spec, err := c.config()
	if err != nil {
		return err
	}
	list, problems, err := decode(raw, spec)
	if err != nil {
		return err
	}
	if err := bundle.Join(problems); err != nil {
		return err
	}
	for _, p := range problems {
		r.Warn("%s: %s", p.Pointer, p.Text)
	}
	if len(list) == 0 {
		return nil
	}
	changed := *spec
	changed.Mounts = list
	return stub.RetryMoved(&c.transfer, func() error { return c.enterToMount(&changed, change) })
}

func (c *container) enterToMount(spec *specs.Spec, change facts.MountChange) error {
	j, init, err := c.joining(spec, c.Recorded())
	if err != nil {
		return err
	}
	defer init.Close()
	made, err := c.MountIDs()
	if err != nil {
		return err
	}
	p, err := j.ChangeMounts(change, c.Bundle, c.Rootfs, made)
	if err != nil {
		return err
	}
	return c.runInside(p, init, func(in *stub.Session) error {
		if c.noteMounts(in); len(p.Made()) == 0 {
			c.forgetMounts(p.Removed())
		}
		return c.Save()
	})
}

func (c *container) mayMount() error {
	status, err := c.status()
	if err != nil {
		return err
	}
	switch status {
	case specs.StateStopped:
		return state.ErrNotRunning
	case statePaused: // the stub would be frozen with the rest
		return ErrPaused
	}
	return nil
}

// runInside has a stub carry out a plan in the container that ends at SyncReady. Before it may end, what was done is noted: a stub
// that is not told to go on, for this process fails or is killed, takes back what it has mounted.
func (c *container) runInside(p *plan.Plan, init *namespaces.Init, note func(*stub.Session) error) error {
	null, err := sys.OpenNull()
	if err != nil {
		return err
	}
	defer null.Close()
	process, err := nsenter.Start(nsenter.Stdio{null, null, null}, 0)
	if err != nil {
		return err
	}
	in, err := stub.Enter(process, p, stub.Options{Open: init.Open, MapIDs: facts.MapIDs})
	if err != nil {
		return err
	}
	if err := in.Until(nsenter.SyncReady, &mountEvents{c: c}); err != nil {
		in.Abandon()
		if err == io.EOF {
			return errors.New("the process in the container died: some of it may have been done")
		}
		return err
	}
	if err = note(in); err == nil {
		_ = in.Continue() // it may have ended: what is noted is done
	}
	in.Close()
	_, waitErr := in.Wait()
	return errors.Join(err, waitErr)
}

// mountEvents is rt's part while a stub mounts or unmounts.
type mountEvents struct {
	stub.None
	c *container
}

// Born notes the process for `delete --force`: it may wait for a file system in the container for ever.
func (m *mountEvents) Born(pid int) error {
	m.c.RecordHelper(pid)
	return nil
}

// Join moves the process into the container's cgroup.
func (m *mountEvents) Join(pid int) error { return m.c.joinCgroup(pid) }
