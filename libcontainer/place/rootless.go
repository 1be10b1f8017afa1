package place

import (
	"fmt"
	"os"
	"strings"

	"rt/cgroups"
	"rt/cgroups/translate"
	"rt/internal/hint"
	"rt/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// isTolerant says whether rt goes without a cgroup where it may make none and none was asked for (--rootless).
func (r *Reservation) isTolerant() bool {
	switch r.options.Rootless {
	case "", "auto":
		return os.Geteuid() != 0 || !r.Privileges.HostRoot()
	}
	return r.options.Rootless == "true"
}

// delegateHint is the next step for a user who may make no cgroup.
const delegateHint = "no cgroup is delegated to this user: try systemd-run --user --scope -p Delegate=yes rt ..., or --systemd-cgroup"

// withoutCgroup is what follows when the container's cgroup cannot be had: an error if it was asked for; else one
// below rt's own, which limits nothing but holds the container's processes together; else none.
func (r *Reservation) withoutCgroup(reason error) error {
	cg, err := r.instead(reason)
	if err != nil {
		return err
	}
	if len(cg.Paths()) > 0 {
		if err = r.useCgroup(cg); err == nil || r.undo.left || isUnseen(err) {
			return err
		}
		cg = cgroups.Load(r.host, nil)
	}
	return r.setCgroup(cg)
}

// instead is the cgroup to try next: one below rt's own, which comes after the one that was chosen, then none.
func (r *Reservation) instead(reason error) (*cgroups.Cgroup, error) {
	if !r.isTolerant() {
		return nil, reason
	}
	if pointer := asksForCgroup(r.Spec.Linux); pointer != "" {
		if !strings.Contains(reason.Error(), pointer) {
			reason = fmt.Errorf("%w (%s)", reason, pointer)
		}
		return nil, hint.With(reason, delegateHint)
	}
	if r.host.Mode == cgroups.V2 {
		cg, err := cgroups.Below(r.host, r.ID)
		if err == nil || isUnseen(err) {
			return cg, err
		}
	}
	return cgroups.Load(r.host, nil), nil
}

func (r *Reservation) useCgroup(cg *cgroups.Cgroup) error {
	if err := r.setCgroup(cg); err != nil {
		return err
	}
	if _, err := cg.Create(nil); err != nil {
		return err
	}
	if err := cg.MayJoin(r.host); err != nil {
		r.removed()
		return err
	}
	r.undo.Add(r.removeCgroup)
	return nil
}

// goWithoutCgroup is --cgroup-manager disabled: what needs a cgroup is refused, but for the path and the device rules,
// which are in every configuration that an engine writes.
func (r *Reservation) goWithoutCgroup() (*cgroups.Cgroup, error) {
	linux := *r.Spec.Linux
	linux.CgroupsPath = ""
	limits := *linux.Resources
	limits.Devices = nil
	linux.Resources = &limits
	if pointer := asksForCgroup(&linux); pointer != "" {
		return nil, fmt.Errorf("--cgroup-manager disabled: the container asks for a limit (%s)", pointer)
	}
	return cgroups.Load(r.host, nil), nil
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

// isUnseen says whether an error leaves open what there is: that this user may not is an answer.
func isUnseen(err error) bool { return sys.Unseen(err) && !sys.IsForbidden(err) }

// Expect finds the cgroup that the container will have, for a plan that is only printed. If rt goes without one that it may not make,
// permissions tell what it may make.
func (r *Reservation) Expect() error {
	cg, err := r.expect()
	if err == nil {
		r.cgroup, r.Cgroups = cg, cg.Paths()
	}
	return err
}

func (r *Reservation) expect() (*cgroups.Cgroup, error) {
	cg, err := r.choose()
	if err != nil {
		return nil, err
	}
	if r.hasUnit() {
		r.scope.outside = r.scope.bornOutside(cg.MayReach)
		return cg, nil
	}
	if len(cg.Paths()) == 0 || !r.isTolerant() {
		return cg, nil
	}
	if err = r.mayCreate(cg); err == nil || !sys.IsForbidden(err) {
		return cg, err
	}
	cg, err = r.instead(err)
	if err != nil || len(cg.Paths()) == 0 {
		return cg, err
	}
	if err = r.mayCreate(cg); err != nil && !isUnseen(err) {
		return cgroups.Load(r.host, nil), nil
	}
	return cg, err
}

// mayCreate asks whether rt may make a cgroup. Root of the host is not excused from its device rules: v1 takes them from a
// process with CAP_SYS_ADMIN only, and v2 takes CAP_BPF and CAP_NET_ADMIN as well.
func (r *Reservation) mayCreate(cg *cgroups.Cgroup) error {
	priv := r.Privileges
	program := r.host.Mode == cgroups.V2 && priv.Has(unix.CAP_BPF) && priv.Has(unix.CAP_NET_ADMIN)
	if os.Geteuid() == 0 && priv.First && !priv.Admin() && !program {
		return fmt.Errorf("set device rules (/linux/resources/devices): %w", unix.EPERM)
	}
	return cg.MayCreate(r.host)
}
