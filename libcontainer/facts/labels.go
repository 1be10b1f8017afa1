package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/internal/text"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/selinux/go-selinux"
)

// Where securityfs has what AppArmor knows; it is not mounted everywhere.
const (
	appArmorEnabled  = "/sys/module/apparmor/parameters/enabled"
	appArmorProfiles = "/sys/kernel/security/apparmor/profiles"
)

var errNotLoaded = errors.New("profile not loaded")

// CheckLabels refuses security attributes that this host cannot apply, before anything is made: a container with
// less confinement than was asked for is worse than none.
func CheckLabels(spec *specs.Spec) error { return pointed(LabelProblem(spec)) }

// CheckProcessLabels is CheckLabels of a process that joins a container.
func CheckProcessLabels(p *specs.Process) error { return pointed(processLabelProblem(p)) }

func pointed(pointer string, err error) error {
	if err != nil {
		err = fmt.Errorf("%w (%s)", err, pointer)
	}
	return err
}

// LabelProblem is the first of them. Podman knows the files by their backquotes.
func LabelProblem(spec *specs.Spec) (pointer string, err error) {
	if pointer, err = processLabelProblem(spec.Process); err != nil {
		return pointer, err
	}
	if l := spec.Linux.MountLabel; l != "" {
		if err := checkSELinux(l); err != nil {
			return "/linux/mountLabel", fmt.Errorf("apply selinux label %s to mounts: %w", text.Short(l), err)
		}
	}
	return "", nil
}

func processLabelProblem(p *specs.Process) (pointer string, err error) {
	if p.ApparmorProfile != "" {
		if err := checkAppArmor(p); err != nil {
			return "/process/apparmorProfile", fmt.Errorf("apply apparmor profile %s to `/proc/self/attr/apparmor/exec`: %w", text.Short(p.ApparmorProfile), err)
		}
	}
	if p.SelinuxLabel != "" {
		if err := checkSELinux(p.SelinuxLabel); err != nil {
			return "/process/selinuxLabel", fmt.Errorf("apply selinux label %s to `/proc/self/attr/exec`: %w", text.Short(p.SelinuxLabel), err)
		}
	}
	return "", nil
}

// unconfined is the profile of a process that AppArmor does not confine.
const unconfined = "unconfined"

// NoAppArmor says that a process is to be unconfined on a host where AppArmor is not enabled: there every process is, and
// there is no file to write the profile to.
func NoAppArmor(p *specs.Process) (bool, error) {
	if p.ApparmorProfile != unconfined {
		return false, nil
	}
	on, err := hasAppArmor()
	return !on && err == nil, err
}

func hasAppArmor() (bool, error) {
	on, err := sys.ReadKernelFile(appArmorEnabled, 64)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("ask whether AppArmor is enabled: %w", err)
	}
	return strings.HasPrefix(string(on), "Y"), nil
}

func checkAppArmor(p *specs.Process) error {
	on, err := hasAppArmor()
	if err != nil {
		return err
	}
	if !on {
		if p.ApparmorProfile == unconfined {
			return nil
		}
		return hint.With(errors.New("AppArmor is not enabled on this host"), "remove process.apparmorProfile, or boot with AppArmor")
	}
	list, err := sys.ReadKernelFile(appArmorProfiles, 64<<20)
	if err != nil || profileLoaded(string(list), p.ApparmorProfile) {
		return nil // the kernel has the last word when the stub writes the name
	}
	return hint.With(errNotLoaded, "load it with apparmor_parser")
}

// profileLoaded looks for "NAME (mode)". Stacks, and profiles of other policy namespaces, are the kernel's to find.
func profileLoaded(list, name string) bool {
	if name == unconfined || strings.HasPrefix(name, ":") || strings.Contains(name, "//&") {
		return true
	}
	for line := range strings.SplitSeq(list, "\n") {
		if rest, ok := strings.CutPrefix(line, name); ok && strings.HasPrefix(rest, " (") && strings.Count(rest, "(") == 1 {
			return true
		}
	}
	return false
}

// checkSELinux asks the loaded policy whether it knows a label.
func checkSELinux(label string) error {
	if !selinux.GetEnabled() {
		return hint.With(errors.New("SELinux is not enabled on this host"), "remove the label, or boot with SELinux")
	}
	if err := selinux.SecurityCheckContext(label); err != nil {
		return hint.With(fmt.Errorf("the loaded policy does not know it: %w", err), "seinfo lists users, roles and types of the policy")
	}
	return nil
}
