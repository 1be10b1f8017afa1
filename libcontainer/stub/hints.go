package stub

import (
	"strings"

	"rt/libcontainer/seccomp"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

const processesHint = "a limit on processes is reached: the cgroup's pids.max, RLIMIT_NPROC or kernel.pid_max"

const namespacesHint = "a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces"

func noMoreNamespaces(errno unix.Errno) bool { return errno == unix.ENOSPC || errno == unix.EUSERS }

const mountsHint = "a limit on mounts is reached: see /proc/sys/user/max_mnt_namespaces and /proc/sys/fs/mount-max"

const pivotHint = "the host's root cannot be pivoted away, perhaps an initramfs: try --no-pivot"

const filesHint = "the hard limit on open files of rt's caller is too low for so many mounts: ulimit -Hn shows it"

// Hint says what usually helps.
func (e *StepError) Hint() string {
	switch s := e.Item.Step.(type) {
	case nsenter.Unshare:
		if noMoreNamespaces(e.Errno) {
			return namespacesHint
		}
	case nsenter.Clone:
		switch {
		case e.Errno == unix.ENOMEM:
			return "a pid namespace that is joined by path has no init any more; it cannot be used again (pid_namespaces(7))"
		case noMoreNamespaces(e.Errno):
			return namespacesHint
		case e.Errno == unix.EAGAIN:
			return processesHint
		}
	case nsenter.Opener:
		switch {
		case noMoreNamespaces(e.Errno):
			return namespacesHint
		case e.Errno == unix.EAGAIN:
			return processesHint
		}
	case nsenter.StagingRoot:
		switch {
		case noMoreNamespaces(e.Errno):
			return namespacesHint
		case e.Errno == unix.EINVAL:
			return pivotHint
		}
	case nsenter.Pivot:
		if e.Errno == unix.EINVAL {
			return pivotHint
		}
	case nsenter.MountFS:
		if e.Errno == unix.ENODEV {
			return "this kernel has no file system " + s.Type
		}
		if e.Errno == unix.EPERM && s.Type == "sysfs" {
			return "sysfs belongs to the owner of the network namespace; bind mount /sys instead"
		}
	case nsenter.Seccomp:
		if e.Errno == unix.EINVAL && s.Flags&seccomp.FlagWaitKillableRecv != 0 {
			return "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19"
		}
	case nsenter.Rlimit:
		if e.Errno == unix.EPERM {
			return "only CAP_SYS_RESOURCE raises a hard limit, and nothing raises that on open files above sysctl fs.nr_open"
		}
	case nsenter.FindExec:
		if e.Errno == unix.ENOENT && len(s.Candidates) == 1 && !strings.Contains(s.Arg, "/") {
			return "process.env sets no PATH"
		}
	case nsenter.Exec, nsenter.ExecHost:
		if e.Errno == unix.ENOENT {
			return "the program's interpreter or dynamic loader is not in the rootfs"
		}
	}
	if hint := userNamespaceHint(e); hint != "" || e.Errno != unix.EMFILE {
		return hint
	}
	return filesHint // a descriptor for each mount that is told later, and those of the plan
}

const lockedFlags = "a user namespace cannot take off what the host's mount has: ro, nosuid, nodev, noexec or its access times"

const belowHint = "other file systems are mounted below it, which cannot be left out in a user namespace: bind it with rbind"

func treeHint(s nsenter.RequestTree, e *StepError) string {
	switch {
	case e.Call == "mount_setattr":
		return idMapHint(e.Errno, fsTypeAt(s.Path), s.Recursive && s.MapAll)
	case e.Errno == unix.EINVAL && !s.Recursive:
		return belowHint
	case e.Errno == unix.ENOSPC: // a detached mount has a mount namespace
		return mountsHint
	}
	return ""
}

// userNamespaceHint is for the refusals that user namespaces bring with them (user_namespaces(7),
// mount_namespaces(7)): the kernel says EPERM or EINVAL to most.
func userNamespaceHint(e *StepError) string {
	switch s := e.Item.Step.(type) {
	case nsenter.OpenTree:
		if e.Errno == unix.EINVAL {
			return belowHint
		}
	case nsenter.RequestTree:
		return treeHint(s, e)
	case nsenter.Opener:
		if e.Errno == unix.EPERM {
			return "rt opens the sources of mounts in a user namespace of its own: that takes CAP_SYS_ADMIN and CAP_SYS_CHROOT, and is refused in a chroot, by a seccomp filter, or by an LSM (kernel.apparmor_restrict_unprivileged_userns)"
		}
	case nsenter.JoinNS:
		if e.Errno == unix.EPERM {
			return "a namespace is joined with the rights in the user namespace that it belongs to"
		}
	case nsenter.AttachRoot:
		if e.Errno == unix.EACCES {
			return "the host's user who is the container's root must be able to enter every directory above it (chmod o+x)"
		}
	case nsenter.LoopbackUp:
		if e.Errno == unix.EPERM {
			return "rt lacks CAP_NET_ADMIN in its user namespace"
		}
	case nsenter.MountTree:
		if e.Errno == unix.EPERM && s.Clear|s.ClrAll != 0 {
			return lockedFlags
		}
	case nsenter.Remount:
		if e.Errno == unix.EPERM && s.Clear != 0 {
			return lockedFlags
		}
	case nsenter.Mknod:
		if e.Errno == unix.EPERM || e.Errno == unix.ENODEV {
			return "in a user namespace no device can be made; the host's are bound, if they have the same path and number below /dev"
		}
	case nsenter.MountFS:
		return mountHint(s, e)
	}
	return ""
}

func mountHint(s nsenter.MountFS, e *StepError) string {
	switch {
	case e.Errno == unix.EINVAL && hasIDs(s.Options) && // found at the option, or by older kernels at the end
		(strings.HasPrefix(e.Call, "gid") || strings.HasPrefix(e.Call, "uid") || strings.HasPrefix(e.Call, "fsconfig")):
		return "an id is not mapped in the user namespace: leave the option out, or map the id"
	case e.Errno != unix.EPERM:
		return ""
	case s.Type == "proc":
		return "a new /proc would show what is covered in the one that rt sees: in a container, it must be mounted without masked paths"
	case s.Type == "mqueue":
		return `an mqueue belongs to the owner of the ipc namespace: add {"type": "ipc"} to /linux/namespaces`
	case strings.HasPrefix(s.Type, "cgroup"):
		return `a cgroup mount belongs to the owner of the cgroup namespace: add {"type": "cgroup"} to /linux/namespaces`
	}
	return ""
}

func hasIDs(options []nsenter.Option) bool {
	for _, o := range options {
		if o.Key == "gid" || o.Key == "uid" {
			return true
		}
	}
	return false
}
