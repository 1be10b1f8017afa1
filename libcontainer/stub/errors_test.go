package stub

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// TestStepErrorText: engines choose between exit status 125, 126 and 127 by these words.
func TestStepErrorText(t *testing.T) {
	find := func(arg string, candidates ...string) nsenter.Step {
		return nsenter.FindExec{Arg: arg, Candidates: candidates}
	}
	for _, c := range []struct {
		step    nsenter.Step
		pointer string
		call    string
		errno   unix.Errno
		want    string
	}{
		{find("x", "/a/x", "/b/x"), "/process/args/0", "find", unix.ENOENT, `exec: "x": executable file not found in $PATH`},
		{find("x", "/a/x", "/b/x"), "", "find", unix.EACCES, `exec: "x": permission denied`},
		{find("x", ""), "", "find", unix.ENOENT, `exec: "x": executable file not found in $PATH`},
		{find("/x", "/x"), "", "find", unix.ENOENT, `exec: "/x": stat /x: no such file or directory`},
		{find("./x/y", "./x/y"), "", "find", unix.ENOTDIR, `exec: "./x/y": stat ./x/y: not a directory`},
		{find("/x", "/x"), "", "find", unix.EACCES, `exec: "/x": permission denied`},
		{find("/etc", "/etc"), "", "find", unix.EISDIR, `exec: "/etc": is a directory: permission denied`},
		{find("a\nb", ""), "", "find", unix.ENOENT, `exec: "a\nb": executable file not found in $PATH`},
		{program("/x", "y"), "/process/args", "execve", unix.ENOEXEC, "exec /x: exec format error"},
		{program("/x"), "/process/args", "execve", unix.ENOENT, "exec /x: no such file or directory"},
		{nsenter.MountFS{Type: "tmpfs", Target: "/t"}, "/mounts/1", "fsopen", unix.ENODEV, "mount tmpfs at /t: fsopen: no such device (/mounts/1)"},
		{nsenter.Setsid{}, "", "", unix.EPERM, "start a session: operation not permitted"},
		{nsenter.Hostname{Value: "h"}, "/hostname", "", unix.EINVAL, "set hostname h: invalid argument (/hostname)"},
	} {
		err := error(&StepError{Item: plan.Item{Step: c.step, Pointer: c.pointer}, Call: c.call, Errno: c.errno})
		if err.Error() != c.want {
			t.Errorf("got  %s\nwant %s", err, c.want)
		}
		wrapped := fmt.Errorf("outer: %w", err)
		var step *StepError
		if !errors.Is(wrapped, c.errno) || !errors.As(wrapped, &step) || step.Errno != c.errno {
			t.Errorf("%v is not %v any more", wrapped, c.errno)
		}
	}
}

func TestStepErrorIs(t *testing.T) {
	for errno, want := range map[unix.Errno]error{unix.ENOENT: fs.ErrNotExist, unix.EACCES: fs.ErrPermission, unix.EPERM: fs.ErrPermission, unix.EEXIST: fs.ErrExist} {
		err := fmt.Errorf("unable to start container process: %w", &StepError{Item: plan.Item{Step: nsenter.Pivot{}}, Errno: errno})
		if !errors.Is(err, want) || errors.Is(err, unix.EIO) {
			t.Errorf("%v: is %v: %v", err, want, errors.Is(err, want))
		}
	}
}

// TestHints: a hint is given for what it helps against, and is one line that is not part of the text.
func TestHints(t *testing.T) {
	for _, c := range []struct {
		step  nsenter.Step
		errno unix.Errno
		want  string // in the hint; "" for none
	}{
		{nsenter.Clone{}, unix.ENOMEM, "pid namespace"}, {nsenter.Clone{}, unix.ENOSPC, "max_*_namespaces"}, {nsenter.Clone{}, unix.EUSERS, "max_*_namespaces"},
		{nsenter.Unshare{}, unix.ENOSPC, "max_*_namespaces"}, {nsenter.Unshare{}, unix.EPERM, ""},
		{nsenter.Clone{}, unix.EAGAIN, "pids.max"}, {nsenter.Clone{}, unix.EPERM, ""},
		{nsenter.Pivot{}, unix.EINVAL, "--no-pivot"}, {nsenter.Pivot{}, unix.EPERM, ""},
		{nsenter.MountFS{Type: "zfs"}, unix.ENODEV, "zfs"}, {nsenter.MountFS{Type: "sysfs"}, unix.EPERM, "bind mount /sys"}, {nsenter.MountFS{Type: "proc"}, unix.EPERM, "without masked paths"},
		{nsenter.MountFS{Type: "tmpfs"}, unix.EPERM, ""}, {nsenter.MountFS{Type: "mqueue"}, unix.EPERM, "ipc"}, {nsenter.MountFS{Type: "cgroup2"}, unix.EPERM, "cgroup namespace"},
		{nsenter.OpenTree{}, unix.EINVAL, "rbind"}, {nsenter.RequestTree{}, unix.EINVAL, "rbind"}, {nsenter.RequestTree{Recursive: true}, unix.ENOSPC, "mount-max"},
		{nsenter.RequestTree{}, unix.EMFILE, "ulimit"}, {nsenter.Inputs{}, unix.EMFILE, "ulimit"}, {nsenter.MountTree{}, unix.EMFILE, "ulimit"},
		{nsenter.MountFS{}, unix.EMFILE, "ulimit"}, {nsenter.ReadonlyPath{}, unix.EMFILE, "ulimit"}, {nsenter.Exec{}, unix.EMFILE, "ulimit"}, {nsenter.Opener{}, unix.EAGAIN, "processes"}, {nsenter.Opener{}, unix.EPERM, "chroot"}, {nsenter.Opener{}, unix.ENOSPC, "max_*_namespaces"}, {nsenter.Mknod{}, unix.ENODEV, "number"}, {nsenter.Mknod{}, unix.EPERM, "no device"}, {nsenter.JoinNS{}, unix.EPERM, "rights"},
		{nsenter.MountTree{Clear: 2}, unix.EPERM, "take off"}, {nsenter.MountTree{Set: 2}, unix.EPERM, ""}, {nsenter.Remount{Clear: 2}, unix.EPERM, "take off"},
		{nsenter.Rlimit{}, unix.EPERM, "CAP_SYS_RESOURCE"}, {nsenter.Rlimit{}, unix.EINVAL, ""},
		{nsenter.FindExec{Arg: "x", Candidates: plan.Candidates("x", nil)}, unix.ENOENT, "PATH"},
		{nsenter.FindExec{Arg: "x", Candidates: plan.Candidates("x", []string{"PATH=/a:/b"})}, unix.ENOENT, ""},
		{nsenter.FindExec{Arg: "/x", Candidates: []string{"/x"}}, unix.ENOENT, ""},
		{nsenter.Exec{}, unix.ENOENT, "loader"}, {nsenter.Exec{}, unix.EACCES, ""},
		{nsenter.Seccomp{Flags: seccomp.FlagWaitKillableRecv}, unix.EINVAL, "5.19"}, {nsenter.Seccomp{}, unix.EINVAL, ""},
		{nsenter.Setsid{}, unix.ENOENT, ""},
	} {
		hint := (&StepError{Item: plan.Item{Step: c.step}, Errno: c.errno}).Hint()
		if (hint == "") != (c.want == "") || !strings.Contains(hint, c.want) || strings.Contains(hint, "\n") {
			t.Errorf("%s, %v: %q, want %q", c.step.Name(), c.errno, hint, c.want)
		}
	}
}

// program is the last step of a plan.
func program(args ...string) nsenter.Step {
	steps := nsenter.Rights{}.Program(nil, args, nil)
	return steps[len(steps)-1]
}

// TestStepOfReply: the stub counts from the end, so that the tail of a plan is enough to know the step.
func TestStepOfReply(t *testing.T) {
	p := &plan.Plan{Items: []plan.Item{{Step: nsenter.Setsid{}}, {Step: nsenter.Pivot{}}, {Step: program("x")}}}
	s := &Session{plan: p}
	for left, want := range map[int]string{1: "exec x: no such file or directory", 2: "pivot to the rootfs: c: no such file or directory", 3: "start a session: c: no such file or directory",
		0: "the stub: c: no such file or directory", 4: "the stub: c: no such file or directory", -1: "the stub: c: no such file or directory", 1 << 31: "the stub: c: no such file or directory"} {
		err := s.stepError(&nsenter.Reply{Type: nsenter.ReplyError, Left: left, Value: int(unix.ENOENT), Text: "c"})
		if err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d left: %v, want %s", left, err, want)
		}
	}
}
