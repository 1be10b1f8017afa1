package facts

import (
	"rt/libcontainer/bundle"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A Cgroup is where a process is to be in the hierarchies of cgroups.
type Cgroup struct {
	Dir   string   // of v2, which the process is born in; "" for none
	Tasks []string // of v1, files that it writes itself to
	Moved bool     // rt moves the process into Dir, for it is killed when it is born there
}

// A Creation is a container that is to be created. Plan adds what the host and rt's caller have to do with it: create,
// run and `rt plan` all compile it, and so have the same plan.
type Creation struct {
	Cgroup
	Spec         *specs.Spec
	ID           string
	Bundle       string // its directory
	Rootfs       string // see Rootfs
	Keyring      string // name of the session keyring: see NewKeyringName
	NotifyDir    string // the NOTIFY_SOCKET proxy's directory, "" for none
	NoPivot      bool
	NoNewKeyring bool
	Init         bool
	Await        bool
	PreserveFds  int
	Filter       *seccomp.Program // see Filter
	Privileges   Privileges
	View         func() (plan.CgroupView, error)  // what a mount of type cgroup shows
	Warn         func(format string, args ...any) // takes what is done otherwise than it is asked for
}

// Plan compiles the plan of the container.
func (c *Creation) Plan() (*plan.Plan, error) {
	known, err := c.facts()
	if err != nil {
		return nil, err
	}
	opts := plan.Options{
		ID: c.ID, Bundle: c.Bundle, Rootfs: c.Rootfs, NoPivot: c.NoPivot, NoNewKeyring: c.NoNewKeyring, Keyring: c.Keyring,
		ListenFds: listenFds(), Await: c.Await, Init: c.Init, Filter: c.Filter, NotifyDir: c.NotifyDir,
	}
	opts.ExtraFds = opts.ListenFds + c.PreserveFds
	return plan.Create(c.Spec, opts, known)
}

func (c *Creation) facts() (plan.Facts, error) {
	p := c.Privileges
	known, err := c.mounts()
	if err != nil {
		return known, err
	}
	known.Bounding, known.NoAmbient, known.Files, known.Home = p.Caps, forbidsAmbient(c.Spec.Process), callerFiles(), "/"
	known.BornDir, known.Tasks, known.Moved = c.Cgroup.Dir, c.Cgroup.Tasks, c.Cgroup.Moved
	known.Unprivileged, known.Nested, known.HandOut, known.KeepGroups = !p.Admin(), !p.First, !p.MayTrace(), p.deniesSetgroups(c.Spec)
	known.OriginalGroups = p.KeepsGroups(c.Spec, c.Warn)
	known.DropGroups = !known.OriginalGroups && p.MayDropGroups()
	known.Links, known.Nodes = linkedSources(c.Spec, c.Bundle, c.Rootfs, known.Inside), hostNodes(c.Spec)
	if known.NoAppArmor, err = NoAppArmor(c.Spec.Process); err != nil {
		return known, err
	}
	if known.Raised, err = p.raisedLimits(c.Spec); err != nil {
		return known, err
	}
	if c.NoPivot {
		if known.HostAPI, known.RootAPI, err = hostAPI(c.Rootfs); err != nil {
			return known, err
		}
	}
	if needsHome(c.Spec.Process.Env) {
		known.Home, err = homeOf(c.Spec, c.Bundle, c.Rootfs, known.Inside, c.Spec.Process.User.UID)
	}
	return known, err
}

// mounts are the facts that the container's mounts depend on, created or restored.
func (c *Creation) mounts() (known plan.Facts, err error) {
	known.OpenInside = !c.Privileges.Mounts
	if known.Inside, err = insideRootfs(c.Spec, c.Bundle, c.Rootfs, "/mounts"); err == nil && MountsCgroup(c.Spec) {
		known.Cgroups, err = c.View()
	}
	return known, err
}

// KeepGroups says whether a process that joins the container later may be refused setgroups(2).
func (c *Creation) KeepGroups() bool {
	p := c.Privileges
	return (!p.HostRoot() || bundle.HasNamespace(c.Spec, specs.UserNamespace)) && p.deniesSetgroups(c.Spec)
}

// Mountpoints compiles the plan that makes the mount points of a container that is restored. view is what its mounts of
// type cgroup show.
func (c *Creation) Mountpoints() (p *plan.Plan, view plan.CgroupView, err error) {
	known, err := c.mounts()
	if err != nil {
		return nil, view, err
	}
	p, err = plan.Mountpoints(c.Spec, plan.Options{ID: c.ID, Bundle: c.Bundle, Rootfs: c.Rootfs, NotifyDir: c.NotifyDir}, known)
	return p, known.Cgroups, err
}

func callerFiles() (f plan.Limit) {
	f.Soft, f.Hard = nsenter.CallerFiles()
	return f
}
