package stub

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"rt/internal/cpulist"
	"rt/internal/hint"
	"rt/internal/sys"

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

// ResetAffinity lets a process run on all CPUs of its cgroup. Since Linux 6.2 the kernel keeps what the caller of rt was pinned to even
// when a process moves to another cpuset. An affinity confines nothing, the cpuset does: if it cannot be set, that is no error.
func ResetAffinity(pid int) { _ = setAffinity(pid, cpulist.All(cpulist.MaxCPUs)) }

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

// SetInitialAffinity pins a stub that has not joined the container's cgroup yet: its child inherits the affinity.
func SetInitialAffinity(pid int, p *specs.Process) error {
	if p.ExecCPUAffinity == nil || strings.TrimSpace(p.ExecCPUAffinity.Initial) == "" {
		ResetAffinity(pid)
		return nil
	}
	return pin(pid, p.ExecCPUAffinity.Initial, "initial")
}

// SetFinalAffinity pins a process in its cgroup. Without a final list the kernel decides.
func SetFinalAffinity(pid int, p *specs.Process) error {
	return pin(pid, p.ExecCPUAffinity.Final, "final")
}

// SetOOMScore gives a stub that has entered nothing yet the score that the container's process inherits. Later rt may not be allowed to:
// a process that is not dumpable belongs to root (proc(5)).
func SetOOMScore(pid int, p *specs.Process) error {
	if p.OOMScoreAdj == nil {
		return nil
	}
	err := sys.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", strconv.Itoa(*p.OOMScoreAdj))
	if err != nil {
		err = fmt.Errorf("set oom_score_adj %d (/process/oomScoreAdj): %w", *p.OOMScoreAdj, err)
		if errors.Is(err, unix.EACCES) {
			err = hint.With(err, "a lower value than rt's own needs CAP_SYS_RESOURCE")
		}
	}
	return err
}

// SetTimeOffsets writes the offsets of the time namespace that the process's children will be in.
func SetTimeOffsets(pid int, offsets map[string]specs.LinuxTimeOffset) error {
	var b strings.Builder
	for clock, o := range offsets {
		fmt.Fprintf(&b, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
	}
	if err := sys.WriteFile("/proc/"+strconv.Itoa(pid)+"/timens_offsets", b.String()); err != nil {
		return fmt.Errorf("set time offsets (/linux/timeOffsets): %w", err)
	}
	return nil
}
