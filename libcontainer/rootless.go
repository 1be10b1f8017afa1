package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"rt/cgroups"
	"rt/cgroups/translate"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/libcontainer/stub"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// tolerant says whether rt goes without a cgroup where it may make none and none was asked for (--rootless).
func (r *Runtime) tolerant(p facts.Privileges) bool {
	switch r.Rootless {
	case "", "auto":
		return os.Geteuid() != 0 || !p.HostRoot()
	}
	return r.Rootless == "true"
}

// delegateHint is the next step for somebody who may make no cgroup.
const delegateHint = "no cgroup is delegated to this user: try systemd-run --user --scope -p Delegate=yes rt ..., or --systemd-cgroup"

// cgroupView is what the container's mounts of type cgroup show: its own cgroup, or if it has none, rt's, read-only.
func (c *container) cgroupView(host *cgroups.Host, p facts.Privileges) (plan.CgroupView, error) {
	if len(c.Cgroups) > 0 {
		return facts.ViewOf(host, c.cg, p), nil
	}
	own, err := cgroups.Own(host)
	if err != nil {
		return plan.CgroupView{}, err
	}
	view := facts.ViewOf(host, own, p)
	view.Foreign, view.Whole = true, ""
	return view, nil
}

// asksForCgroup points at what a container cannot have without a cgroup; "" if there is nothing. Of device rules only
// those count that deny some device: in a user namespace nobody makes a node.
func asksForCgroup(l *specs.Linux) string {
	if l.CgroupsPath != "" {
		return "/linux/cgroupsPath"
	}
	if translate.DeniesDevices(l.Resources.Devices) {
		return "/linux/resources/devices"
	}
	limits := *l.Resources
	limits.Devices = nil
	settings, _, err := translate.V2(&limits)
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

// unseen says that an error leaves open what there is: that this user may not is an answer.
func unseen(err error) bool { return sys.Unseen(err) && !sys.IsForbidden(err) }

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
func explainRights(p facts.Privileges, err error) error {
	var step *stub.StepError
	if p.HostRoot() || !errors.As(err, &step) || step.Hint() != "" {
		return err
	}
	if step.Errno == unix.EPERM || step.Errno == unix.EACCES {
		return hint.With(err, namespaceHint())
	}
	return err
}
