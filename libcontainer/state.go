package libcontainer

import (
	"encoding/json"
	"time"

	"rt/internal/plain"

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
