// Package libcontainer is a container and the verbs on it. Its files mirror the commands.
package libcontainer

import (
	"time"

	"rt/cgroups"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/doctor"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/libcontainer/usage"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Runtime is the directory of the containers (--root), and how they are made.
type Runtime struct {
	state.Root
	SystemdCgroup bool   // --systemd-cgroup
	NoCgroup      bool   // --cgroup-manager disabled: containers are made without a cgroup
	Rootless      string // true, false or auto (""): whether to go without a cgroup that cannot be had
	Criu          string // --criu: path of the program, or its name in PATH; "" is criu

	deadline time.Time     // of delete --force
	cgroups  *cgroups.Root // while List reads many containers: that of the freezers
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

// CreateOptions are the flags of create, and of run.
type CreateOptions struct {
	Bundle        string // directory; "" is the current one
	Config        string // file instead of the bundle's config.json, relative to the bundle; "" for that
	ConsoleSocket string // AF_UNIX socket that is handed the terminal's master
	PidFile       string // written last, temp + rename, no newline
	PidfdSocket   string // AF_UNIX socket that is handed a pidfd of the container's init
	NoPivot       bool
	NoNewKeyring  bool
	Init          bool // the program is a child of a minimal init
	PreserveFds   int  // file descriptors 3.. to pass on, after LISTEN_FDS
}

// RunOptions are the flags of run.
type RunOptions struct {
	CreateOptions
	Detach      bool
	Keep        bool // do not delete the container when it exits
	NoSubreaper bool
}

// ExecOptions are the flags of exec. A nil pointer or empty slice means: as the container's own process.
type ExecOptions struct {
	Process       string   // path of a process.json; then Args and the flags below are not used, except Tty
	Args          []string // command and arguments
	Cwd           string
	Env           []string
	Tty           bool
	User          string // UID[:GID]
	Groups        []uint32
	Caps          []string
	NoNewPrivs    *bool
	ProcessLabel  string
	AppArmor      string
	Detach        bool
	ConsoleSocket string
	PidFile       string
	PidfdSocket   string
	PreserveFds   int
	Cgroups       []string // [controller[,controller]:]path
	IgnorePaused  bool
	WaitFIFO      string // path of a FIFO: the program is held until somebody has read a byte from it
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
