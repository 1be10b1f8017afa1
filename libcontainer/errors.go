package libcontainer

import (
	"errors"
	"fmt"
	"strings"

	"rt/libcontainer/hooks"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// Errors that engines know by their text.
var (
	ErrExists      = errors.New("container with given ID already exists")
	ErrNotExist    = errors.New("container does not exist")
	ErrNotRunning  = errors.New("container not running")
	ErrPaused      = errors.New("container paused")
	ErrNotPaused   = errors.New("container not paused")
	errPausedTwice = errors.New("container not running: it is paused")
	errExecStopped = errors.New("cannot exec in a stopped container")
	errExecPaused  = errors.New("cannot exec in a paused container (use --ignore-paused to override)")
)

// IsStartHook says whether err is the failure of a startContainer hook.
func IsStartHook(err error) bool {
	var failed *hooks.Error
	return errors.As(err, &failed) && failed.Kind == "startContainer"
}

// A StepError is a step of a plan that failed inside.
type StepError struct {
	Item  plan.Item
	Call  string // the system call or what it was for
	Errno unix.Errno
}

func (e *StepError) Error() string {
	switch s := e.Item.Step.(type) {
	case nsenter.FindExec:
		return findExecError(s, e.Errno)
	case nsenter.Exec:
		return fmt.Sprintf("exec %s: %v", s.Arg0(), e.Errno)
	case nsenter.ExecHost:
		return fmt.Sprintf("exec %s: %v", s.Args[0], e.Errno)
	}
	var b strings.Builder
	b.WriteString(short(e.Item.Step.String()))
	b.WriteString(": ")
	if e.Call != "" {
		b.WriteString(e.Call + ": ")
	}
	b.WriteString(e.Errno.Error())
	if e.Item.Pointer != "" {
		b.WriteString(" (" + e.Item.Pointer + ")")
	}
	return b.String()
}

// short keeps a hostile path from filling the terminal and the log.
func short(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most/2] + " ... " + s[len(s)-most/4:]
}

func (e *StepError) Unwrap() error { return e.Errno }

// findExecError has the words of os/exec, by which engines choose between exit status 126 and 127.
func findExecError(s nsenter.FindExec, errno unix.Errno) string {
	switch {
	case errno == unix.ENOENT && !strings.Contains(s.Arg, "/"):
		return fmt.Sprintf("exec: %q: executable file not found in $PATH", s.Arg)
	case errno == unix.ENOENT || errno == unix.ENOTDIR:
		return fmt.Sprintf("exec: %q: stat %s: %v", s.Arg, s.Arg, errno)
	case errno == unix.EISDIR:
		// Docker up to 20.10 and Podman give 126 for the second text only.
		return fmt.Sprintf("exec: %q: %v: %v", s.Arg, errno, unix.EACCES)
	default:
		return fmt.Sprintf("exec: %q: %v", s.Arg, errno)
	}
}

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
