package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/facts"
	"rt/libcontainer/namespaces"
	"rt/libcontainer/plan"
	"rt/libcontainer/stub"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// joining is a process that is to join the container, in its cgroup cg or one below that. The caller closes what is opened of init.
func (c *container) joining(spec *specs.Spec, cg *cgroups.Cgroup) (*facts.Joining, *namespaces.Init, error) {
	j := &facts.Joining{
		Cgroup: facts.Cgroup{Dir: cg.BornDir(), Tasks: cg.TaskFiles(), Moved: c.transfer},
		Spec:   spec, ID: c.ID, Keyring: c.Keyring, NoNewKeyring: c.NoKeyring, Privileges: facts.OwnPrivileges(), Warn: c.rt.Warn,
	}
	init, err := c.openInit(spec)
	if err != nil {
		return nil, nil, err
	}
	j.Namespace = init.Flags()
	if j.Namespace&unix.CLONE_NEWNS == 0 {
		j.Root = "/proc/" + strconv.Itoa(c.Pid) + "/root"
	}
	j.Home = func(uid uint32) (string, error) { return facts.HomeBelow(init.Root, uid) }
	if err := c.rights(j, init.Proc, cg); err != nil {
		init.Close()
		return nil, nil, err
	}
	return j, init, nil
}

// rights fills in what a process that joins the container depends on besides namespaces and cgroups. init is init's
// directory in /proc. If the kernel forbids joining the cgroup, the process stays in rt's. If that cannot be told, it is an
// error: a process must not escape the container's limits.
func (c *container) rights(j *facts.Joining, init *os.File, cg *cgroups.Cgroup) error {
	admin := j.Privileges.Admin()
	if !admin || j.Namespace&unix.CLONE_NEWUSER != 0 || !j.Privileges.First {
		j.KeepGroups = facts.SetgroupsDenied(int(init.Fd()), "setgroups")
	}
	if admin || j.Cgroup.Dir == "" {
		return nil
	}
	err := mayJoin(cg)
	if sys.IsForbidden(err) {
		c.rt.Warn("the process stays in the cgroup that rt is in: %v", err)
		j.Cgroup.Dir = ""
		return nil
	}
	return err
}

// mayJoin is MayJoin where nobody has looked at the host's hierarchies yet: root's exec does without.
func mayJoin(cg *cgroups.Cgroup) error {
	host, err := cgroups.Probe()
	if err != nil {
		return err
	}
	return cg.MayJoin(host)
}

// openInit opens the namespaces of init that a process of spec joins.
func (c *container) openInit(spec *specs.Spec) (*namespaces.Init, error) {
	return namespaces.OpenInit(c.Container, spec, namespaces.Options{Cgroup: c.openInitCgroup, Warn: c.rt.Warn})
}

// joinCgroup moves a process that could not be cloned into the container's cgroup. If init has moved itself into a cgroup below it and
// enabled controllers for that, as systemd does, or if init is in another cgroup, and its first one is gone, the process goes to init's.
func (c *container) joinCgroup(pid int) error {
	cg, err := c.Cgroup()
	if err != nil {
		return err
	}
	return cg.JoinWith(pid, c.initCgroup)
}

// initCgroup is the directory of the cgroup v2 that init is in now.
func (c *container) initCgroup() (string, error) {
	cg, err := c.Cgroup()
	if err != nil {
		return "", err
	}
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(c.Pid)+"/cgroup", maxFile)
	if err != nil {
		return "", err
	}
	if alive, err := c.IsAlive(); err != nil || !alive { // another process may have the number by now
		return "", errors.Join(err, errExecStopped)
	}
	return cg.DirOfInit(string(text), facts.OwnPrivileges().HostRoot())
}

// openInitCgroup opens the cgroup of init instead of the container's own, which is gone.
func (c *container) openInitCgroup(in plan.Input) (*os.File, error) {
	host, err := cgroups.Probe()
	if err != nil {
		return nil, err
	}
	if host.Mode != cgroups.V2 || in.Path != c.Cgroups[""] {
		return nil, unix.ENOENT
	}
	dir, err := c.initCgroup()
	if err != nil {
		return nil, err
	}
	return stub.OpenCgroup(dir)
}

// notAdded says in runc's words, which engines and scripts look for, that a process could not enter its cgroup.
func notAdded(pid int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("error adding pid %d to cgroups: %w", pid, err)
}

// joinError is notAdded for a step of the plan that enters a cgroup.
func joinError(pid int, err error) error {
	var step *stub.StepError
	if errors.As(err, &step) {
		if _, ok := step.Item.Step.(nsenter.CgroupJoin); ok {
			return notAdded(pid, err)
		}
	}
	return err
}
