package facts

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"rt/internal/names"
	"rt/libcontainer/bundle"
	"rt/libcontainer/plan"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// secbitNoAmbient is SECBIT_NO_CAP_AMBIENT_RAISE of capabilities(7).
const secbitNoAmbient = 1 << 6

// forbidsAmbient says that no process of this caller can raise an ambient capability, if the process is to have any.
func forbidsAmbient(p *specs.Process) bool {
	if p.Capabilities == nil || len(p.Capabilities.Ambient) == 0 {
		return false
	}
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	return err == nil && bits&secbitNoAmbient != 0
}

// listenFds is how many descriptors of socket activation were handed to this very process (sd_listen_fds(3)).
func listenFds() int {
	pid, err := strconv.Atoi(os.Getenv("LISTEN_PID"))
	if err != nil || pid != os.Getpid() {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// callerProcesses is RLIMIT_NPROC of rt's caller, if the process has one of its own.
func callerProcesses(p *specs.Process) (l plan.Limit, err error) {
	if !slices.ContainsFunc(p.Rlimits, func(own specs.POSIXRlimit) bool { return names.Rlimit(own.Type) == unix.RLIMIT_NPROC }) {
		return l, nil
	}
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &r); err != nil {
		return l, fmt.Errorf("ask for RLIMIT_NPROC: %w", err)
	}
	return plan.Limit{Soft: r.Cur, Hard: r.Max}, nil
}

// raisedLimits are the hard limits of the process above those of rt's caller that its user namespace's root could not raise.
func (p Privileges) raisedLimits(spec *specs.Spec) (raised []nsenter.Rlimit, err error) {
	if !p.First || !p.Has(unix.CAP_SYS_RESOURCE) || !bundle.HasNamespace(spec, specs.UserNamespace) {
		return nil, nil
	}
	for _, l := range spec.Process.Rlimits {
		var own unix.Rlimit
		n := names.Rlimit(l.Type)
		if n < 0 {
			continue
		}
		if err := unix.Getrlimit(n, &own); err != nil {
			return nil, fmt.Errorf("ask for %s: %w", l.Type, err)
		}
		if l.Hard > own.Max {
			raised = append(raised, nsenter.Rlimit{Type: l.Type, Number: n, Soft: own.Cur, Hard: l.Hard})
		}
	}
	return raised, nil
}

// KeepsGroups says whether the process keeps the groups of rt's caller, as the annotation asks. Those of the host's root are
// not for containers: anybody who may start a container can write an annotation.
func (p Privileges) KeepsGroups(spec *specs.Spec, warn func(format string, args ...any)) bool {
	if !annotated(spec, bundle.KeepOriginalGroups) {
		return false
	}
	if p.First && os.Geteuid() == 0 {
		warn("/annotations/%s: ignored, for the groups of the host's root are not for containers", bundle.KeepOriginalGroups)
		return false
	}
	return true
}

// ExtraFds counts the descriptors from 3 on that go to the container, all of which must be there.
func ExtraFds(preserve int) (int, error) {
	if preserve < 0 {
		return 0, fmt.Errorf("--preserve-fds %d: it cannot be negative", preserve)
	}
	listen := listenFds()
	for i := range listen + preserve {
		flags, err := unix.FcntlInt(uintptr(3+i), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC != 0 { // rt's own, as its log: what a caller passes on has outlived an execve
			err = unix.EBADF
		}
		if err != nil && i < listen {
			return 0, fmt.Errorf("LISTEN_FDS=%d: unable to stat descriptor %d: %w", listen, 3+i, err)
		}
		if err != nil {
			return 0, fmt.Errorf("unable to stat preserved-fd %d (of %d): %w", i-listen, preserve, err)
		}
	}
	return listen + preserve, nil
}
