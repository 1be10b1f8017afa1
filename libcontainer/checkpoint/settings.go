package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"

	"rt/internal/bug"
	"rt/internal/sys"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"

	"golang.org/x/sys/unix"
)

// CRIU restores neither what is set in a new network namespace nor io priorities: the configured ones are set again.

// dropGroups gives up the supplementary groups of the calling thread, which starts CRIU. A process that had no groups keeps those of CRIU,
// which would be those of rt's caller.
func dropGroups(p facts.Privileges) error {
	if !p.MayDropGroups() {
		return nil
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	return nil
}

// setSysctls writes the configured sysctls in init's namespaces.
func (r *restored) setSysctls() (err error) {
	if len(r.Spec.Linux.Sysctl) == 0 {
		return nil
	}
	sys.OnThread(func() {
		defer bug.Catch(&err)
		if err = r.joinForSysctls(); err != nil {
			return
		}
		for _, key := range plan.SortedKeys(r.Spec.Linux.Sysctl) {
			file := path.Join("/proc/sys", plan.SysctlPath(key))
			if err = r.writeSysctl(file, r.Spec.Linux.Sysctl[key]); err != nil {
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
	return nil
}

// writeSysctl writes as rt, or as the root of the container's user namespace: some sysctls are for the owner of the namespace
// that they are of, and not for a capability. Only the calling thread's effective uid changes, and is put back.
func (r *restored) writeSysctl(file, value string) error {
	err := sys.WriteFile(file, value)
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	table, readErr := sys.ReadKernelFile("/proc/"+strconv.Itoa(r.init)+"/uid_map", maxFile)
	if readErr != nil {
		return readErr
	}
	root, ok := facts.OuterID(facts.ReadIDMap(string(table)), 0)
	if !ok {
		return err
	}
	own := os.Geteuid()
	if err := setThreadUID(root); err != nil {
		return err
	}
	err = sys.WriteFile(file, value)
	return errors.Join(err, setThreadUID(uint32(own)))
}

func setThreadUID(uid uint32) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
		return os.NewSyscallError("setresuid", errno)
	}
	return nil
}

// setIOPriority sets the configured one for each thread: what exec has started got it, too.
func (r *restored) setIOPriority() error {
	if r.Spec.Process.IOPriority == nil {
		return nil
	}
	step, err := plan.IOPriority(r.Spec.Process.IOPriority)
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
				return fmt.Errorf("list threads of process %d: %.64q is no number", pid, path.Base(dir))
			}
			if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(tid), uintptr(step.Class<<classShift|step.Level)); errno != 0 {
				return fmt.Errorf("set the io priority of process %d: %w (/process/ioPriority)", pid, errno)
			}
		}
	}
	return nil
}
