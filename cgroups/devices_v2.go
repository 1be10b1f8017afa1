package cgroups

import (
	"fmt"
	"os"

	"rt/cgroups/translate"
	"rt/internal/hint"
	"rt/internal/sys"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// programName tells rt's programs from those that systemd and others have attached to the same cgroup. Those stay:
// all programs must agree, so they can only deny more.
const programName = "rt_devices"

// A deviceFilter is a set of rules on its way to a v2 cgroup.
type deviceFilter struct {
	program *bpfObject // loaded; nil when everything is allowed
}

// loadDevices compiles rules and has the kernel check the program; nothing is attached yet. nil with a warning
// means that the rules cannot be enforced and need not be.
func loadDevices(rules []specs.LinuxDeviceCgroup) (f *deviceFilter, warning string, err error) {
	d, err := translate.ParseDevices(rules)
	if err != nil {
		return nil, "", err
	}
	if d.AllowsAll() {
		return &deviceFilter{}, "", nil
	}
	program, err := loadProgram(d.Program(), programName)
	if err == nil {
		return &deviceFilter{program}, "", nil
	}
	const at = translate.Resources + "/devices"
	if !isErrno(err, unix.EPERM) {
		return nil, "", hint.With(fmt.Errorf("load device program (%s): %w", at, err), loadHint(err))
	}
	if !translate.DeniesDevices(rules) && unprivileged() {
		if len(rules) > 0 {
			warning = notEnforced + "device programs need CAP_BPF and CAP_NET_ADMIN on the host, file permissions apply"
		}
		return nil, warning, nil
	}
	err = fmt.Errorf("load device program (%s): %w", at, err)
	return nil, "", hint.With(err, "bpf(2) needs CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN, outside of user namespaces")
}

// loadHint is the next step for the ways in which a program cannot be loaded.
func loadHint(err error) string {
	switch {
	case isErrno(err, unix.E2BIG):
		return "there are too many rules for the kernel's verifier"
	case isErrno(err, unix.EINVAL, unix.ENOSYS):
		return "the kernel must be built with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF"
	}
	return ""
}

const notEnforced = translate.Resources + "/devices: not enforced: "

// unprivileged says that this process is not the host's root: in a user namespace, or nobody special.
func unprivileged() bool {
	return os.Geteuid() != 0 || !sys.InFirstUserNamespace()
}

func (f *deviceFilter) close() {
	if f != nil && f.program != nil {
		f.program.close()
	}
}

// attach puts the filter in place of the one that the cgroup has from rt. It is one operation in the kernel
// (BPF_F_REPLACE, Linux 5.6): at every moment the one or the other is in force. fresh says that there can be none.
func (f *deviceFilter) attach(dir string, fresh bool) error {
	if f == nil || fresh && f.program == nil {
		return nil
	}
	cg, err := openFile(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer cg.close()
	var old []*bpfObject
	if !fresh {
		old, err = ownPrograms(cg.fd)
	}
	defer func() {
		for _, p := range old {
			p.close()
		}
	}()
	if err != nil {
		return err
	}
	rest := old
	if f.program != nil {
		var replaced *bpfObject
		if len(old) > 0 {
			replaced, rest = old[0], old[1:]
		}
		if err := attachProgram(cg.fd, f.program, replaced, unix.BPF_F_ALLOW_MULTI); err != nil {
			return explainAttach(dir, err)
		}
	}
	for _, p := range rest {
		if err := detachProgram(cg.fd, p); err != nil {
			return fmt.Errorf("detach device program from %s: %w", dir, err)
		}
	}
	return nil
}

func explainAttach(dir string, err error) error {
	err = fmt.Errorf("attach device program to %s (%s/devices): %w", dir, translate.Resources, err)
	if isErrno(err, unix.EPERM) {
		return hint.With(err, "a program that allows no others beside it is attached to this cgroup or one above it")
	}
	return err
}

// ownPrograms are the device programs that rt has attached to a cgroup.
func ownPrograms(cgroup int) ([]*bpfObject, error) {
	ids, err := attachedPrograms(cgroup)
	if err != nil {
		return nil, fmt.Errorf("query device programs: %w", err)
	}
	var own []*bpfObject
	for _, id := range ids {
		p, err := programByID(id)
		if isErrno(err, unix.ENOENT) {
			continue // detached meanwhile
		}
		if err == nil {
			var name string
			if name, err = p.name(); err == nil && name == programName {
				own = append(own, p)
				continue
			}
			p.close()
		}
		if err != nil {
			return own, fmt.Errorf("open device program %d: %w", id, err)
		}
	}
	return own, nil
}
