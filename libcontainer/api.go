// Package libcontainer is a container and the verbs on it. Its files mirror the commands.
package libcontainer

import (
	"time"

	"rt/cgroups"
	"rt/libcontainer/state"

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

// The verbs, as package main calls them:
//
//	func (r *Runtime) Create(id string, o CreateOptions) error
//	func (r *Runtime) Run(id string, o RunOptions) (exitStatus int, err error)
//	func (r *Runtime) Start(id string) error
//	func (r *Runtime) Exec(id string, o ExecOptions) (exitStatus int, err error)
//	func (r *Runtime) Kill(id string, sig unix.Signal, all bool) error
//	func (r *Runtime) Checkpoint(id string, o CheckpointOptions) error
//	func (r *Runtime) Restore(id string, o RestoreOptions) (exitStatus int, err error)
//	func (r *Runtime) Delete(id string, force bool) error
//	func (r *Runtime) State(id string) (*ContainerState, error)
//	func (r *Runtime) List() ([]ContainerState, error)   // a root that does not exist is an error (os.ErrNotExist)
//	func (r *Runtime) Processes(id string) ([]int, error)
//	func (r *Runtime) Pause(id string) error
//	func (r *Runtime) Resume(id string) error
//	func (r *Runtime) Update(id string, resources *specs.LinuxResources) error
//	func (r *Runtime) AddMounts(id string, list []byte) error
//	func (r *Runtime) RemoveMounts(id string, list []byte) error
//	func (r *Runtime) Events(id string, o EventsOptions, emit func(*Event) error) error
//	func (r *Runtime) Usages(ids []string) func() ([]ContainerUsage, error)
//	func (r *Runtime) Top(id string, tell func(*Process) error) error
//	func Check(bundleDir string) (problems []bundle.Problem, host []bundle.Problem, err error)
//	func (r *Runtime) Plan(o CreateOptions) (*plan.Plan, error)
//	func (r *Runtime) PlanExec(bundleDir, processJSON string) (*plan.Plan, error)
//	(*plan.Plan).Text() string; json.Marshal(*plan.Plan) works
var _ unix.Signal
