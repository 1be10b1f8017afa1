package libcontainer

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"rt/internal/cpulist"
	"rt/internal/hint"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// setAffinity is sched_setaffinity(2) for any number of CPUs; the mask type of x/sys/unix ends at 1024.
func setAffinity(pid int, mask cpulist.Mask) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(pid), uintptr(8*len(mask)), uintptr(unsafe.Pointer(&mask[0])))
	if errno != 0 {
		return errno
	}
	return nil
}

// resetAffinity lets a process run wherever its cgroup does. Since Linux 6.2 the kernel keeps what the caller of rt was
// pinned to even when a process moves to another cpuset. An affinity is no confinement, the cpuset is: that a
// process may not be given one is no error.
func resetAffinity(pid int) { _ = setAffinity(pid, cpulist.All(cpulist.MaxCPUs)) }

// pin sets what execCPUAffinity asks for; field is its name there.
func pin(pid int, list, field string) error {
	mask, _, err := cpulist.Parse(list, cpulist.MaxCPUs)
	if err == nil {
		err = setAffinity(pid, mask)
	}
	if errors.Is(err, unix.EINVAL) {
		err = hint.With(err, "none of these CPUs is online and in the cgroup's cpuset")
	}
	if err != nil {
		return fmt.Errorf("set CPU affinity to %s (/process/execCPUAffinity/%s): %w", list, field, err)
	}
	return nil
}

// affinityBefore is for the stub that has not joined the container's cgroup yet: its child inherits what it has.
func affinityBefore(pid int, p *specs.Process) error {
	if p.ExecCPUAffinity == nil || strings.TrimSpace(p.ExecCPUAffinity.Initial) == "" {
		resetAffinity(pid)
		return nil
	}
	return pin(pid, p.ExecCPUAffinity.Initial, "initial")
}

// affinityAfter is for a process in its cgroup. Without a final list the kernel decides.
func affinityAfter(pid int, p *specs.Process) error {
	return pin(pid, p.ExecCPUAffinity.Final, "final")
}
