package fault

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// errnos are what each system call fails with.
var errnos = []syscall.Errno{syscall.ENOMEM, syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.EPERM, syscall.EINTR, syscall.EAGAIN}

// runtimesOwn are the calls that the Go runtime and the C library make for themselves: threads, memory, signals, their poller. A
// failure there may end rt in the middle, as a SIGKILL would; what is promised is that nothing is lost by it.
var runtimesOwn = []int{
	unix.SYS_FUTEX, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MPROTECT, unix.SYS_BRK, unix.SYS_MREMAP,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_GETTID,
	unix.SYS_TGKILL, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_ARCH_PRCTL, unix.SYS_SET_TID_ADDRESS,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_GETRANDOM, unix.SYS_MINCORE,
}

// interruptible are the calls that the kernel may end with EINTR when a signal comes: these must be made again.
var interruptible = []int{
	unix.SYS_OPEN, unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_FLOCK,
	unix.SYS_CONNECT, unix.SYS_ACCEPT4, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_POLL, unix.SYS_PPOLL,
}

// TestFails: each system call of each verb fails, with each of the errors.
func TestFails(t *testing.T) {
	for _, v := range verbs() {
		for _, who := range []string{inRt, inStub} {
			if who == inStub && !slices.Contains([]string{"create", "create rich", "create staged", "start rich", "run", "exec"}, v.name) {
				continue
			}
			t.Run(v.name+" "+who, func(t *testing.T) { failEverywhere(t, &v, who) })
		}
	}
}

func failEverywhere(t *testing.T, v *verb, who string) {
	list := points(t, v.calls(t, who)*len(errnos), 8)
	var hits, succeeded atomic.Int64
	workers(t, list, v, func(l *lab, at int) error {
		l.bring(v.prepare)
		j := v.job(l, who)
		j.Do, j.At, j.Errno = doFail, 1+at/len(errnos), errnos[at%len(errnos)]
		r := l.inject(j, v.args(l)...)
		if !r.Hit {
			return l.sound(nil)
		}
		hits.Add(1)
		if r.code == 0 {
			succeeded.Add(1)
		}
		err := clear(l, v, who, j.Errno, r)
		if err == nil {
			err = l.sound(v.after)
		}
		if err != nil {
			err = fmt.Errorf("%s at %s: %w\nIt had said: %s", unix.ErrnoName(j.Errno), r.point(), err, r)
		}
		return err
	})
	t.Logf("%s: a call of %s failed %d times, and the verb succeeded in %d of these", v.name, who, hits.Load(), succeeded.Load())
}

// clear: an error that says one thing, or success that is one.
func clear(l *lab, v *verb, who string, errno syscall.Errno, r result) error {
	// Go waits for the child that it has started if it cannot read from the pipe between them, and for ever if it cannot wake its
	// poller; the kernel always can.
	stuck := r.Late && (r.Nr == unix.SYS_READ && strings.HasPrefix(r.Path, "pipe:") || r.Nr == unix.SYS_WRITE && r.Path == "anon_inode:[eventfd]")
	own := (who == inRt || r.Forked) && (slices.Contains(runtimesOwn, r.Nr) || strings.Contains(r.stderr, "fatal error: cannot open standard fds"))
	switch {
	case stuck:
		return nil
	case r.Late:
		return fmt.Errorf("rt hangs")
	case r.code == 0:
		return whole(l, v, who, unix.SYS_EXECVE == r.Nr)
	case own:
		return nil
	case who == inRt && errno == syscall.EINTR && slices.Contains(interruptible, r.Nr):
		return fmt.Errorf("EINTR was not retried")
	}
	if err := oneError(r); err != nil {
		return err
	}
	if v.name == "run" && l.hasState() {
		return nil // the program has run, and it is known what is left to delete
	}
	if strings.HasPrefix(v.name, "create") || strings.HasPrefix(v.name, "run") {
		if left := l.left(); len(left) > 0 {
			return fmt.Errorf("left by a failed %s: %v", v.name, left)
		}
	}
	return nil
}

func oneError(r result) error {
	lines := 0
	for line := range strings.Lines(r.stderr) {
		if !strings.HasPrefix(line, "hint:") && !strings.Contains(line, "warning:") {
			lines++
		}
	}
	switch {
	case strings.Contains(r.stderr, "goroutine ") || strings.Contains(r.stderr, "panic"):
		return fmt.Errorf("rt panics")
	case lines != 1:
		return fmt.Errorf("%d lines are not one clear error", lines)
	}
	return nil
}

// whole: a verb that has succeeded although a call failed has done all that it says. A program that cannot be executed, for its execve
// has failed, counts as one that has run and ended.
func whole(l *lab, v *verb, who string, execve bool) error {
	status, err := l.state()
	if err != nil {
		return err
	}
	if who == inStub && status == "stopped" && strings.HasPrefix(v.name, "create") {
		return nil // create was done, and then the process that waits could not
	}
	if who == inStub && execve && status == "stopped" && (strings.HasPrefix(v.name, "start") || v.name == "run detached") {
		return nil
	}
	want := map[string]string{"create": "created", "create rich": "created", "create staged": "created", "start": "running", "start rich": "running", "run": "", "run detached": "running",
		"exec": "running", "pause": "paused", "resume": "running", "update": "running", "kill": "stopped", "delete": "", "delete --force": ""}[v.name]
	if want == "stopped" && status != want {
		err := l.eventually("the end of a killed container", func() bool { status, err = l.state(); return status == want })
		if err != nil {
			return err
		}
	}
	if status != want {
		return fmt.Errorf("it succeeds, and the container is %q", status)
	}
	if want == "" || want == "stopped" {
		return nil
	}
	factor := 1
	if v.name == "update" { // which nobody takes back
		factor = 2
		l.ok("pause", l.id)
		l.ok("resume", l.id)
	}
	memory, pids := l.limit("memory.limit_in_bytes", "memory.max"), l.limit("pids.max", "pids.max")
	if memory != fmt.Sprint(memoryLimit*factor) || pids != fmt.Sprint(pidsLimit*factor) {
		return fmt.Errorf("it succeeds with memory limit %s and pids limit %s", memory, pids)
	}
	return nil
}
