package checkpoint

import (
	"fmt"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bornIn are types of namespaces that CRIU makes with the process, and by which it is told from another. All are compared with the
// configuration before the processes resume.
var bornIn = [...]specs.LinuxNamespaceType{specs.MountNamespace, specs.NetworkNamespace, specs.PIDNamespace}

// checkPid refuses a pid of CRIU's that is not of the container's process, before rt does anything in its namespaces, runs a hook
// about it or writes it down: it must be a child of rt, which rt may have to kill, not CRIU, the one that was named before, and in none
// of rt's own namespaces that the container is to have new ones of.
func (r *Restoration) checkPid(pid int) error {
	if pid == r.Session.Pid || !sys.OwnChild(pid) || r.Pid != 0 && pid != r.Pid {
		return fmt.Errorf("criu: %d is not the pid of the container's process", pid)
	}
	for _, kind := range bornIn {
		if !bundle.MakesNamespace(r.Spec, kind) {
			continue
		}
		file := "/ns/" + plan.NamespaceFile(kind)
		own, err := sys.NamespaceInode(unix.AT_FDCWD, "/proc/self"+file)
		if err != nil {
			return fmt.Errorf("look at rt's %s namespace: %w", kind, err)
		}
		its, err := sys.NamespaceInode(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+file)
		if err != nil {
			return fmt.Errorf("look at the %s namespace of process %d: %w", kind, pid, err)
		}
		if own == its {
			return fmt.Errorf("criu: process %d is not the container's: it is in rt's %s namespace", pid, kind)
		}
	}
	return nil
}
