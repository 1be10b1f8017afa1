package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"rt/cgroups"
	"rt/internal/bug"
	"rt/internal/plain"
	"rt/internal/sys"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ContainerState is what `rt state` and `rt list` print: the state of runtime.md with runc's additions.
type ContainerState struct {
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"` // creating, created, running, paused, stopped
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
	OwnerUID    int               `json:"-"` // list turns it into a user name
}

// fields code the state without encoding/json, as package state does. The names are those of the struct tags (TestFields).
func (s *ContainerState) fields() []plain.Field {
	return []plain.Field{
		{Name: "ociVersion", Value: &s.OCIVersion},
		{Name: "id", Value: &s.ID},
		{Name: "pid", Value: &s.Pid},
		{Name: "status", Value: &s.Status},
		{Name: "bundle", Value: &s.Bundle},
		{Name: "rootfs", Value: &s.Rootfs},
		{Name: "created", Value: &s.Created},
		{Name: "annotations", Value: &s.Annotations, OmitEmpty: true},
		{Name: "owner", Value: &s.Owner},
	}
}

// JSON is the state as `rt state` prints it.
func (s *ContainerState) JSON() []byte { return plain.Object(s.fields(), "  ") }

// State describes one container.
func (r *Runtime) State(id string) (*ContainerState, error) {
	r.Reading, r.Brief = true, true
	defer func() { r.Brief = false }()
	c, err := r.open(id, false)
	if err != nil {
		return nil, err
	}
	return c.view()
}

// view is the container as users see it.
func (c *container) view() (*ContainerState, error) {
	status, err := c.status()
	if err != nil {
		return nil, err
	}
	v := &ContainerState{
		OCIVersion: c.OCIVersion, ID: c.ID, Pid: c.Pid, Status: string(status), Bundle: c.Bundle,
		Rootfs: c.Rootfs, Created: c.Created, Annotations: c.Annotations,
	}
	if status == specs.StateStopped {
		v.Pid = 0
	}
	return v, nil
}

// statePaused is no state of the specification; engines know it from runc.
const statePaused specs.ContainerState = "paused"

// status asks the kernel what the container is doing: it is never written down. With an error it is not known.
func (c *container) status() (specs.ContainerState, error) {
	if alive, err := c.IsAlive(); err != nil || !alive {
		return specs.StateStopped, err
	}
	if frozen, err := c.frozen(); err != nil || frozen {
		return statePaused, err
	}
	if waits, err := c.AwaitsStart(); err != nil || waits {
		return specs.StateCreated, err
	}
	return specs.StateRunning, nil
}

// List tells about every container below the root, by id. One that vanishes meanwhile is left out; one whose state is
// garbage is warned about. One that cannot be looked at is an error, beside those that could be.
func (r *Runtime) List() ([]ContainerState, error) {
	r.Reading, r.Brief = true, true
	defer func() { r.Brief = false }()
	if err := r.Root.Check(); err != nil {
		return nil, r.skip(err)
	}
	entries, err := sys.ReadDir(r.Dir)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	if len(entries) > 1 { // each has three files below it
		if err = r.OpenDir(); err != nil {
			return nil, fmt.Errorf("list containers: %w", err)
		}
		r.cgroups = cgroups.OpenRoot()
		defer func() {
			r.CloseDir()
			r.cgroups.Close()
			r.cgroups = nil
		}()
	}
	if err := r.ReadBootID(); err != nil { // before there are threads
		return nil, err
	}
	var all []ContainerState
	var unseen error
	for i, l := range r.look(entries) {
		switch {
		case l.state != nil:
			if all == nil { // to enlarge it again and again would touch twice the memory
				all = make([]ContainerState, 0, len(entries)-i)
			}
			all = append(all, *l.state)
		case sys.Unseen(l.err):
			unseen = fmt.Errorf("container %s: %w", entries[i].Name(), l.err)
		case state.Distrusted(l.err):
			r.Warn("%v", l.err)
		case l.err != nil && !errors.Is(l.err, state.ErrNotExist):
			r.Warn("container %s: %v", entries[i].Name(), l.err)
		}
	}
	return all, unseen
}

// skip: a --root that is not believed holds no container, for those who only look.
func (r *Runtime) skip(err error) error {
	if state.Distrusted(err) {
		r.Warn("%v", err)
		return nil
	}
	return fmt.Errorf("list containers: %w", state.WithRootHint(err))
}

// A look is what was seen of one entry of the root: neither a state nor an error if it is no directory.
type look struct {
	state *ContainerState
	err   error
}

// Nearly all of a long list is the kernel's work: as many threads as share it, up to listThreads, so much sooner is
// it done. From twice listBatch on that is worth the 0.1 ms that they cost.
const listThreads, listBatch = 4, 32

func (r *Runtime) look(entries []os.DirEntry) []look {
	looks := make([]look, len(entries))
	threads := max(1, min(listThreads, runtime.NumCPU(), len(entries)/listBatch))
	if threads > 1 {
		runtime.GOMAXPROCS(threads) // the build makes it one
	}
	var all sync.WaitGroup
	var next atomic.Int64
	for range threads - 1 {
		all.Go(func() { r.lookAt(entries, looks, &next) }) // owned catches panics
	}
	r.lookAt(entries, looks, &next)
	all.Wait()
	return looks
}

// lookAt looks at the entries from next on, as many as nobody else does.
func (r *Runtime) lookAt(entries []os.DirEntry, looks []look, next *atomic.Int64) {
	for i := next.Add(1) - 1; i < int64(len(entries)); i = next.Add(1) - 1 {
		if entries[i].IsDir() {
			looks[i].state, looks[i].err = r.owned(entries[i].Name())
		}
	}
}

// owned is the state with the user who has made the container.
func (r *Runtime) owned(id string) (_ *ContainerState, err error) {
	defer bug.Catch(&err) // in a goroutine of List
	c, err := r.open(id, false)
	if err != nil {
		return nil, err
	}
	v, err := c.view()
	if err != nil {
		return nil, err
	}
	v.OwnerUID = int(c.Owner)
	return v, nil
}
