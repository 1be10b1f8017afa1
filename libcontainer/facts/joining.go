package facts

import (
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A Joining is a process that is to join a container: one of exec, a hook, or a stub that changes mounts. Its methods add
// what the host and rt's caller have to do with it.
type Joining struct {
	Cgroup
	Spec         *specs.Spec // the container's configuration, and the process that is to run in Process
	ID           string
	Keyring      string
	NoNewKeyring bool
	Privileges   Privileges
	Namespace    uint64                           // CLONE_NEW* flags of the namespaces of init that are joined
	Root         string                           // init's root directory, if the container has no mount namespace to take it from
	KeepGroups   bool                             // setgroups(2) may be refused in the container's user namespace
	Home         func(uid uint32) (string, error) // looks a user's home directory up in the container
	Warn         func(format string, args ...any)
}

// An Execution is what exec is told besides the process.
type Execution struct {
	PreserveFds int
	WaitFIFO    string
	Filter      *seccomp.Program // see Filter
}

// Exec compiles the plan of the process.
func (j *Joining) Exec(e Execution) (*plan.Plan, error) {
	known, err := j.ofProgram()
	if err != nil {
		return nil, err
	}
	opts := j.options(e.Filter)
	opts.ListenFds, opts.WaitFIFO = listenFds(), e.WaitFIFO
	opts.ExtraFds = opts.ListenFds + e.PreserveFds
	return plan.Exec(j.Spec, opts, known)
}

// StartHook compiles the plan of a startContainer hook, which has the rights of the process.
func (j *Joining) StartHook(h specs.Hook, filter *seccomp.Program) (*plan.Plan, error) {
	known, err := j.ofProgram()
	if err != nil {
		return nil, err
	}
	return plan.StartHook(j.Spec, h, j.options(filter), known)
}

// CreateHook compiles the plan of a createContainer hook, which begins in the rootfs.
func (j *Joining) CreateHook(h specs.Hook, rootfs plan.RootDir) (*plan.Plan, error) {
	known, err := j.facts()
	known.HookDir = rootfs
	return plan.CreateHook(j.Spec, h, known), err
}

// A MountChange is plan.AddMounts or plan.RemoveMounts.
type MountChange func(*specs.Spec, plan.Options, plan.Facts) (*plan.Plan, error)

// ChangeMounts compiles the plan of a stub that mounts or unmounts Spec.Mounts. made are the mounts that rt has made.
func (j *Joining) ChangeMounts(change MountChange, bundle, rootfs string, made map[string][]uint64) (p *plan.Plan, err error) {
	known, err := j.facts()
	if err != nil {
		return nil, err
	}
	known.OpenInside, known.MountIDs = !j.Privileges.Mounts, made
	if known.Inside, err = insideRootfs(j.Spec, bundle, rootfs, ""); err != nil {
		return nil, err
	}
	return change(j.Spec, plan.Options{ID: j.ID, Bundle: bundle, Rootfs: rootfs}, known)
}

func (j *Joining) options(filter *seccomp.Program) plan.Options {
	return plan.Options{ID: j.ID, NoNewKeyring: j.NoNewKeyring, Keyring: j.Keyring, Filter: filter}
}

func (j *Joining) facts() (plan.Facts, error) {
	none, err := NoAppArmor(j.Spec.Process)
	return plan.Facts{
		Bounding: j.Privileges.Caps, NoAmbient: forbidsAmbient(j.Spec.Process), Files: callerFiles(), Home: "/",
		BornDir: j.Cgroup.Dir, Tasks: j.Cgroup.Tasks, Moved: j.Cgroup.Moved,
		Namespace: j.Namespace, Root: j.Root, Unprivileged: !j.Privileges.Admin(),
		DropGroups: j.Privileges.MayDropGroups(), KeepGroups: j.KeepGroups, NoAppArmor: none,
	}, err
}

// ofProgram are the facts of a process with the rights of the container's: the program of exec, or a hook of the image's.
func (j *Joining) ofProgram() (known plan.Facts, err error) {
	if known, err = j.facts(); err != nil {
		return known, err
	}
	known.OriginalGroups, known.HandOut = j.Privileges.KeepsGroups(j.Spec, j.Warn), !j.Privileges.MayTrace()
	known.DropGroups = known.DropGroups && !known.OriginalGroups
	if known.Processes, err = callerProcesses(j.Spec.Process); err != nil {
		return known, err
	}
	if known.Raised, err = j.Privileges.raisedLimits(j.Spec); err != nil {
		return known, err
	}
	if needsHome(j.Spec.Process.Env) {
		known.Home, err = j.Home(j.Spec.Process.User.UID)
	}
	return known, err
}

// AfterStart are the facts of the end of a container's plan, which start follows.
func AfterStart(p *specs.Process) (plan.Facts, error) {
	none, err := NoAppArmor(p)
	return plan.Facts{Bounding: capabilities(), NoAmbient: forbidsAmbient(p), NoAppArmor: none}, err
}
