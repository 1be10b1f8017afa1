package libcontainer

import (
	"fmt"
	"os"
	"slices"

	"rt/cgroups"
	"rt/libcontainer/bundle"
	"rt/libcontainer/place"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of a file of the kernel's, in bytes.
const maxFile = 64 << 20

// A container is one that exists on disk.
type container struct {
	*place.Place
	rt *Runtime

	hookDir  *os.File     // working directory of hooks in rt's namespaces; nil: rt's own
	rootDir  plan.RootDir // the rootfs as create has found it, if there are createContainer hooks
	transfer bool         // rt moves processes into the cgroup: they are killed when they are made there (killedAtBirth)
}

// newContainer is the container with an ID. Nothing of it has been read.
func (r *Runtime) newContainer(id string) *container {
	return &container{Place: place.Of(r.Container(id)), rt: r}
}

// open reads the state of a container. With lock it keeps every other rt from changing the container, and takes back an update that was
// killed.
func (r *Runtime) open(id string, lock bool) (*container, error) {
	s, err := r.OpenContainer(id, lock)
	if err != nil {
		return nil, err
	}
	c := &container{Place: place.Of(s), rt: r}
	if !lock {
		return c, nil
	}
	opened := false
	defer func() { // also after a panic: the undo takes the lock again
		if !opened {
			c.Release()
		}
	}()
	if err := c.FinishUpdate(); err != nil {
		return nil, err
	}
	opened = true
	return c, nil
}

// config decodes the container's own copy of config.json.
func (c *container) config() (*specs.Spec, error) {
	data, err := c.ReadFile(state.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("read the container's configuration: %w", err)
	}
	spec, err := bundle.Decode(data)
	if err != nil {
		return nil, err
	}
	return c.withTimeNamespace(spec), nil
}

// withTimeNamespace is the configuration with the time namespace that CRIU has made, if the container was restored
// (checkpoint.Restoration).
func (c *container) withTimeNamespace(spec *specs.Spec) *specs.Spec {
	if !c.TimeNamespace || bundle.HasNamespace(spec, specs.TimeNamespace) {
		return spec
	}
	changed, linux := *spec, *spec.Linux
	linux.Namespaces = append(slices.Clone(linux.Namespaces), specs.LinuxNamespace{Type: specs.TimeNamespace})
	changed.Linux = &linux
	return &changed
}

func (c *container) frozen() (bool, error) { return c.rt.cgroups.Frozen(c.Cgroups) }

// endIfFrozen is ErrFrozen if a cgroup above the container's was frozen after the container's was made, and its process with it. The
// verb has the lock, and that cgroup may stay frozen for long. So the process, a child of this one, is killed, and moved to a cgroup
// where it can end.
func (c *container) endIfFrozen(pid int) error {
	frozen, err := c.frozen()
	if err != nil || !frozen {
		return err
	}
	if pid != 0 {
		_ = unix.Kill(pid, unix.SIGKILL) // it has not been reaped: the pid is its own
		if err := c.Recorded().LetEnd(pid); err != nil {
			c.rt.Warn("let process %d end: %v", pid, err)
		}
	}
	return cgroups.ErrFrozen
}
