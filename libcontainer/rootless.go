package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// privileges are what rt may do. They decide who opens mounts, which namespace comes first and who maps ids.
type privileges struct {
	caps   uint64 // in rt's own user namespace
	first  bool   // which is the host's first one
	mounts bool   // rt may clone mounts of its mount namespace

	note func(pid int) // writes down that this process waits for another, or nil
}

// ownPrivileges costs root of the host one stat(2).
func ownPrivileges() privileges {
	p := privileges{caps: ownCapabilities(), first: sys.InFirstUserNamespace()}
	p.mounts = p.admin() && (p.first || ownsMounts())
	return p
}

func (p privileges) has(capability uint) bool { return p.caps>>capability&1 != 0 }
func (p privileges) admin() bool              { return p.has(unix.CAP_SYS_ADMIN) }

// mayTrace says whether rt may look into processes of containers that are not dumpable.
func (p privileges) mayTrace() bool { return p.admin() && p.has(unix.CAP_SYS_PTRACE) }

// ownsMounts says whether rt's mount namespace belongs to rt's user namespace or one below it. It does not after
// `unshare -Ur`, whose root has every capability and may mount nothing (NS_GET_USERNS is EPERM then, ioctl_ns(2)).
func ownsMounts() bool {
	f, err := sys.OpenKernelFile("/proc/self/ns/mnt", unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// checkPrivileges says what an rt without privileges cannot do for a configuration, before anything is made.
func checkPrivileges(p privileges, spec *specs.Spec) error {
	if p.admin() {
		return nil
	}
	if spec.Linux == nil || !hasUserNamespace(spec.Linux) {
		if os.Geteuid() == 0 {
			return hint.With(errors.New("create container: rt lacks CAP_SYS_ADMIN (/linux/namespaces)"),
				`start rt with CAP_SYS_ADMIN, or add {"type": "user"} and mappings, as rt spec --rootless does`)
		}
		return hint.With(errors.New("create container: rootless container requires user namespaces (/linux/namespaces)"),
			"rt spec --rootless writes a configuration for a user who is not root")
	}
	for i, ns := range spec.Linux.Namespaces {
		if ns.Path != "" && ns.Type != specs.UserNamespace && makesUserNamespace(spec.Linux) {
			return hint.With(fmt.Errorf("join namespace %s: a new user namespace has no rights in it (/linux/namespaces/%d/path)", ns.Path, i),
				"join the user namespace that it belongs to as well")
		}
	}
	return nil
}

func hasUserNamespace(l *specs.Linux) bool {
	return slices.ContainsFunc(l.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace })
}

func makesUserNamespace(l *specs.Linux) bool {
	return slices.ContainsFunc(l.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace && ns.Path == "" })
}

// deniesSetgroups says whether setgroups(2) may be refused in the container's user namespace. The stub finds out (TryGroups).
func (p privileges) deniesSetgroups(l *specs.Linux) bool {
	for _, ns := range l.Namespaces {
		switch {
		case ns.Type != specs.UserNamespace:
		case ns.Path == "":
			return p.mapsOwnGID(l) || !p.first && setgroupsDenied(unix.AT_FDCWD, "/proc/self/setgroups")
		default:
			if pid, ok := strings.CutSuffix(ns.Path, "/ns/user"); ok && strings.HasPrefix(pid, "/proc/") {
				return setgroupsDenied(unix.AT_FDCWD, pid+"/setgroups")
			}
			return !p.admin()
		}
	}
	return !p.first && setgroupsDenied(unix.AT_FDCWD, "/proc/self/setgroups")
}

// mayDropGroups says whether rt may call setgroups(2) where it is.
func (p privileges) mayDropGroups() bool {
	return p.admin() && p.has(unix.CAP_SETGID) && (p.first || !setgroupsDenied(unix.AT_FDCWD, "/proc/self/setgroups"))
}

// setgroupsDenied looks into a file setgroups of /proc (user_namespaces(7)).
func setgroupsDenied(dir int, path string) bool {
	text, err := sys.ReadKernelFileAt(dir, path, 64)
	return err == nil && strings.HasPrefix(string(text), "deny")
}

// tolerant says whether rt goes without a cgroup where it may make none and none was asked for (--rootless).
func (r *Runtime) tolerant(p privileges) bool {
	switch r.Rootless {
	case "", "auto":
		return os.Geteuid() != 0 || !p.first || !p.admin()
	}
	return r.Rootless == "true"
}

// delegateHint is the next step for somebody who may make no cgroup.
const delegateHint = "no cgroup is delegated to this user: try systemd-run --user --scope -p Delegate=yes rt ..., or --systemd-cgroup"

// hostRoot says that rt is root of the host, and not of a user namespace.
func (p privileges) hostRoot() bool { return p.first && p.admin() }

// cgroupView is what the container's mounts of type cgroup show: its own cgroup, or if it has none, rt's, read-only.
func (c *container) cgroupView(host *cgroups.Host, p privileges) (plan.CgroupView, error) {
	if len(c.Cgroups) > 0 {
		return cgroupView(host, c.cg, p), nil
	}
	own, err := cgroups.Own(host)
	if err != nil {
		return plan.CgroupView{}, err
	}
	view := cgroupView(host, own, p)
	view.Foreign, view.Whole = true, ""
	return view, nil
}

// asksForCgroup points at what a container cannot have without a cgroup; "" if there is nothing. Of device rules only
// those count that deny some device: in a user namespace nobody makes a node.
func asksForCgroup(l *specs.Linux) string {
	if l.CgroupsPath != "" {
		return "/linux/cgroupsPath"
	}
	if l.Resources == nil {
		return ""
	}
	if cgroups.DeniesDevices(l.Resources.Devices) {
		return "/linux/resources/devices"
	}
	limits := *l.Resources
	limits.Devices = nil
	settings, _, err := cgroups.SettingsV2(&limits)
	if err != nil {
		return "/linux/resources"
	}
	for _, s := range settings {
		if !s.Optional {
			return s.Pointer
		}
	}
	return ""
}

// mayNotMake says that an error is about what this user may do.
func mayNotMake(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
}

// unseen says that an error leaves open what there is: that this user may not is an answer.
func unseen(err error) bool { return sys.Unseen(err) && !mayNotMake(err) }

// rights, of a container with this directory of its init in /proc, fills in what a process that joins the container depends on besides namespaces and cgroups. Whom the kernel would
// not let into the container's cgroup stays outside; that it is not known is no reason to escape its limits.
func (c *container) rights(facts *plan.Facts, init *os.File, cg *cgroups.Cgroup) error {
	p := privileges{caps: facts.Bounding, first: sys.InFirstUserNamespace()}
	admin := p.admin()
	facts.Unprivileged, facts.DropGroups = !admin, p.mayDropGroups()
	if !admin || facts.Namespace&unix.CLONE_NEWUSER != 0 || !p.first {
		facts.KeepGroups = setgroupsDenied(int(init.Fd()), "setgroups")
	}
	if admin || facts.BornDir == "" {
		return nil
	}
	err := mayJoin(cg)
	if mayNotMake(err) {
		c.rt.Warn("the process stays in the cgroup that rt is in: %v", err)
		facts.BornDir = ""
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

// mustHaveCgroup is cgroup for what cannot be done without one.
func (c *container) mustHaveCgroup(doing string) (*cgroups.Cgroup, error) {
	if c.Gone {
		return nil, state.ErrNotRunning
	}
	if len(c.Cgroups) == 0 {
		return nil, hint.With(fmt.Errorf("%s: container has no cgroup", doing),
			"it was created where rt could make none; in one that is delegated it gets one: systemd-run --user --scope -p Delegate=yes rt ...")
	}
	return c.cgroup()
}

// namespaceHint explains why an ordinary user gets no user namespace; "" if nothing is known.
func namespaceHint() string {
	for _, f := range [...]struct{ path, forbids, text string }{
		{"/proc/sys/user/max_user_namespaces", "0", "user namespaces are switched off: sysctl user.max_user_namespaces is 0"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "user namespaces are for root only: sysctl kernel.unprivileged_userns_clone is 0"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
			"AppArmor keeps capabilities from user namespaces: give rt a profile with `userns,`, or set sysctl kernel.apparmor_restrict_unprivileged_userns to 0"},
	} {
		if text, err := sys.ReadKernelFile(f.path, 64); err == nil && strings.TrimSpace(string(text)) == f.forbids {
			return f.text
		}
	}
	return ""
}

// explainRights adds what is known about a step that an rt without privileges was refused.
func (p privileges) explainRights(err error) error {
	var step *stub.StepError
	if p.admin() && p.first || !errors.As(err, &step) || step.Hint() != "" {
		return err
	}
	if step.Errno == unix.EPERM || step.Errno == unix.EACCES {
		return hint.With(err, namespaceHint())
	}
	return err
}

// rootlessProblems are what an rt with these privileges cannot do for a configuration, for `rt check`.
func rootlessProblems(p privileges, spec *specs.Spec) (found []bundle.Problem) {
	if err := checkPrivileges(p, spec); err != nil {
		found = append(found, bundle.Problem{Pointer: "/linux/namespaces", Text: err.Error()})
	}
	if spec.Linux == nil || !makesUserNamespace(spec.Linux) {
		return found
	}
	if p.mapsOwnGID(spec.Linux) && spec.Process != nil && len(spec.Process.User.AdditionalGids) > 0 {
		found = append(found, bundle.Problem{Pointer: "/process/user/additionalGids", Text: "cannot set any additional groups in a rootless container"})
	}
	for _, m := range idMapsOf(spec.Linux) {
		if p.mapper(&m) != byHelper {
			continue
		}
		if _, err := m.helperPath(); err != nil {
			found = append(found, bundle.Problem{Pointer: m.pointer, Text: err.Error()})
		}
	}
	return found
}
