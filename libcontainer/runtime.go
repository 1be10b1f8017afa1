// Package libcontainer has the verbs on containers: a file for each command, and what they share.
package libcontainer

import (
	"rt/cgroups"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/doctor"
	"rt/libcontainer/place"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/libcontainer/usage"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Runtime is the directory of the containers (--root), and how they are made.
type Runtime struct {
	state.Root
	place.CgroupOptions
	Criu string // --criu: path of the program, or its name in PATH; "" is criu

	cgroups *cgroups.Root // while List reads many containers: that of the freezers
}

// mostWarnings is how many warnings of one kind are lines of their own.
const mostWarnings = 10

func (r *Runtime) warnAll(warnings []string) {
	for i, w := range warnings {
		if i == mostWarnings {
			r.Warn("%d more warnings are not shown; rt check lists them", len(warnings)-i)
			return
		}
		r.Warn("%s", w)
	}
}

// Verbs are what the commands ask of a Runtime.
type Verbs interface {
	Create(id string, o CreateOptions) error
	Run(id string, o RunOptions) (exitStatus int, err error)
	Start(id string) error
	Exec(id string, o ExecOptions) (exitStatus int, err error)
	Kill(id string, sig unix.Signal, all bool) error
	Delete(id string, force bool) error
	Checkpoint(id string, o checkpoint.DumpOptions) error
	Restore(id string, o RestoreOptions) (exitStatus int, err error)
	Checkpoints() bool
	State(id string) (*ContainerState, error)
	List() ([]ContainerState, error) // a root that does not exist is an error (os.ErrNotExist)
	Processes(id string) ([]int, error)
	Pause(id string) error
	Resume(id string) error
	Update(id string, resources *specs.LinuxResources, rdt *specs.LinuxIntelRdt) error
	AddMounts(id string, list []byte) error
	RemoveMounts(id string, list []byte) error
	Events(id string, o usage.EventsOptions, emit func(*usage.Event) error) error
	Usages(ids []string) func() ([]usage.Container, error)
	Top(id string, tell func(*usage.Process) error) error
	Doctor(o doctor.Options) ([]doctor.Finding, error)
	Plan(o CreateOptions) (*plan.Plan, error)
	PlanExec(bundleDir, processJSON string) (*plan.Plan, error)
}

var _ Verbs = (*Runtime)(nil)
