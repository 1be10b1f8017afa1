package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"

	"rt/internal/bug"
	"rt/internal/sys"
	"rt/libcontainer/plan"

	"golang.org/x/sys/unix"
)

// CRIU restores neither what is set in a new network namespace nor io priorities: the configured ones are set again.

// dropGroups gives up the supplementary groups of the calling thread, which starts CRIU: to a process that had none CRIU leaves its
// own, which are those of rt's caller.
func dropGroups(p privileges) error {
	if !p.mayDropGroups() {
		return nil
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	return nil
}

// setSysctls writes the configured sysctls in init's namespaces.
func (r *restored) setSysctls() (err error) {
	if len(r.spec.Linux.Sysctl) == 0 {
		return nil
	}
	sys.OnThread(func() {
		defer bug.Catch(&err)
		if err = r.joinForSysctls(); err != nil {
			return
		}
		for _, key := range plan.SortedKeys(r.spec.Linux.Sysctl) {
			file := path.Join("/proc/sys", plan.SysctlPath(key))
			if err = sys.WriteFile(file, r.spec.Linux.Sysctl[key]); err != nil {
				err = fmt.Errorf("set sysctl %s: %w (/linux/sysctl)", key, err)
				return
			}
		}
	})
	return err
}

// joinForSysctls has the calling thread join the namespaces that sysctls of a container belong to. A procfs shows those of the
// reader's.
func (r *restored) joinForSysctls() error {
	for file, flag := range map[string]int{"net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS} {
		ns, err := sys.OpenKernelFile("/proc/"+strconv.Itoa(r.init)+"/ns/"+file, unix.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the kernel has none of the type
		}
		if err != nil {
			return err
		}
		err = unix.Setns(int(ns.Fd()), flag)
		ns.Close()
		if err != nil {
			return fmt.Errorf("join the container's %s namespace: %w", file, err)
		}
	}
	table, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(r.init)+"/uid_map", maxFile)
	if err != nil {
		return err
	}
	// Those of ipc and mqueue are for the root of the namespace's user namespace, and not for a capability.
	if root, ok := mappedID(string(table), 0); ok && int(root) != os.Geteuid() {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(root), ^uintptr(0)); errno != 0 {
			return os.NewSyscallError("setresuid", errno)
		}
	}
	return nil
}

// setIOPriority sets the configured one for each thread: what exec has started got it, too.
func (r *restored) setIOPriority() error {
	if r.spec.Process.IOPriority == nil {
		return nil
	}
	step, err := plan.IOPriority(r.spec.Process.IOPriority)
	if err != nil {
		return err
	}
	const whoProcess, classShift = 1, 13 // ioprio_set(2)
	for _, pid := range r.pids {
		dirs, err := threads(pid)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			tid, err := strconv.Atoi(path.Base(dir))
			if err != nil {
				return err
			}
			if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(tid), uintptr(step.Class<<classShift|step.Level)); errno != 0 {
				return fmt.Errorf("set the io priority of process %d: %w (/process/ioPriority)", pid, errno)
			}
		}
	}
	return nil
}
