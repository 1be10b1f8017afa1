package integration

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func filtered(s specs.LinuxSeccomp) func(*specs.Spec) {
	return func(spec *specs.Spec) { spec.Linux.Seccomp = &s }
}

func errno(e uint) *uint { return &e }

// TestSeccomp: what the actions of a filter do to a program in the container, by the error that it sees.
func TestSeccomp(t *testing.T) {
	t.Parallel()
	mkdir := []string{"mkdir", "mkdirat"}
	rule := func(r specs.LinuxSyscall) []specs.LinuxSyscall { return []specs.LinuxSyscall{r} }
	mode := func(op specs.LinuxSeccompOperator, value, two uint64) []specs.LinuxSeccompArg {
		return []specs.LinuxSeccompArg{{Index: 1, Op: op, Value: value, ValueTwo: two}}
	}
	chmod := func(args []specs.LinuxSeccompArg) specs.LinuxSeccomp {
		return specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: []string{"chmod"}, Action: specs.ActErrno, Args: args})}
	}
	for name, want := range map[string]struct {
		filter specs.LinuxSeccomp
		script string
		says   string // "" is success
		exit   int
	}{
		"errno":           {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: mkdir, Action: specs.ActErrno})}, "mkdir /x", "Operation not permitted", 1},
		"errnoRet":        {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: mkdir, Action: specs.ActErrno, ErrnoRet: errno(uint(unix.EXDEV))})}, "mkdir /x", "cross-device link", 1},
		"another call":    {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: mkdir, Action: specs.ActErrno})}, "rm -f /x", "", 0},
		"unknown name":    {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: []string{"no_such_call"}, Action: specs.ActErrno})}, "mkdir /x", "", 0},
		"kill":            {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: mkdir, Action: specs.ActKillProcess})}, "mkdir /x", "Bad system call", 159},
		"trap":            {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: mkdir, Action: specs.ActTrap})}, "mkdir /x", "Bad system call", 159},
		"trace, untraced": {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: mkdir, Action: specs.ActTrace})}, "mkdir /x", "Function not implemented", 1},
		"log":             {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rule(specs.LinuxSyscall{Names: mkdir, Action: specs.ActLog})}, "mkdir /x", "", 0},
		"argument equal":  {chmod(mode(specs.OpEqualTo, 0o700, 0)), "chmod 700 /etc", "Operation not permitted", 1},
		"argument other":  {chmod(mode(specs.OpEqualTo, 0o700, 0)), "chmod 755 /etc", "", 0},
		"argument larger": {chmod(mode(specs.OpGreaterThan, 0o755, 0)), "chmod 777 /etc", "Operation not permitted", 1},
		"argument less":   {chmod(mode(specs.OpGreaterThan, 0o755, 0)), "chmod 755 /etc", "", 0},
		"masked":          {chmod(mode(specs.OpMaskedEqual, 0o002, 0o002)), "chmod 757 /etc", "Operation not permitted", 1},
		"masked other":    {chmod(mode(specs.OpMaskedEqual, 0o002, 0o002)), "chmod 755 /etc", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, writable, filtered(want.filter), script(want.script+"; exit $?"))
			c.spec.Linux.Seccomp.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchAARCH64, specs.ArchARM}
			c.write()
			r := c.run()
			if r.code != want.exit || !strings.Contains(r.stderr, want.says) {
				t.Errorf("want exit %d and %q: %s", want.exit, want.says, r)
			}
		})
	}
}

// TestSeccompDefault: a list of what is allowed; the rest has the default action's error.
func TestSeccompDefault(t *testing.T) {
	t.Parallel()
	rtOnly(t, "seccomp: what a filter has to allow")
	deny := specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: errno(uint(unix.ENOTSUP))}
	for name, allowed := range map[string]bool{"mkdir": false, "true": true} {
		f := deny
		calls := []string{"access", "arch_prctl", "brk", "clone", "close", "dup2", "execve", "exit", "exit_group", "faccessat", "fcntl", "fstat",
			"futex", "getcwd", "getegid", "geteuid", "getgid", "getpgrp", "getpid", "getppid", "getrandom", "getuid", "ioctl", "lstat", "mmap",
			"mprotect", "munmap", "newfstatat", "open", "openat", "prctl", "prlimit64", "read", "readlink", "readlinkat", "rseq", "rt_sigaction",
			"rt_sigprocmask", "rt_sigreturn", "set_robust_list", "set_tid_address", "setgid", "setuid", "stat", "uname", "umask", "vfork", "wait4", "write", "writev"}
		f.Syscalls = []specs.LinuxSyscall{{Names: calls, Action: specs.ActAllow}}
		r := newContainer(t, writable, filtered(f), args(name, "/made")).run()
		if allowed {
			r.ok()
		} else {
			r.fails("not supported")
		}
	}
}

// TestSeccompFlags: without a flag SPEC_ALLOW, an unknown one is refused; with no_new_privs and without.
func TestSeccompFlags(t *testing.T) {
	t.Parallel()
	for _, nnp := range []bool{true, false} {
		for flag, ok := range map[specs.LinuxSeccompFlag]bool{
			specs.LinuxSeccompFlagLog: true, specs.LinuxSeccompFlagSpecAllow: true, "SECCOMP_FILTER_FLAG_TSYNC": true, "SECCOMP_FILTER_FLAG_X": false,
		} {
			r := newContainer(t, args("grep", "Seccomp:", "/proc/self/status"), func(s *specs.Spec) {
				s.Process.NoNewPrivileges = nnp
				s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{flag},
					Syscalls: []specs.LinuxSyscall{{Names: []string{"swapon"}, Action: specs.ActErrno}}}
			}).run()
			if ok {
				r.ok().prints("Seccomp:\t2")
			} else if r.code == 0 || !strings.Contains(r.stderr, "SECCOMP_FILTER_FLAG_X") {
				t.Errorf("an unknown flag: %s", r)
			}
		}
	}
}

// TestSeccompNotify: the listener's descriptor and what goes with it, for the container's process and for exec; the
// supervisor's answer is what the program sees.
func TestSeccompNotify(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script("mkdir /asked; echo $? >/answer; exec sleep 1000"))
	socket := filepath.Join(c.dir, "seccomp.sock")
	c.spec.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: socket, ListenerMetadata: "some words",
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify}},
	}
	c.write()
	c.create().fails("seccomp.sock") // nobody listens

	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	c.must(err)
	defer l.Close()
	states := make(chan specs.ContainerProcessState, 2)
	go serveNotify(t, l, states)
	c.create().ok()
	c.start().ok()
	s := <-states
	if s.Metadata != "some words" || len(s.Fds) != 1 || s.Fds[0] != specs.SeccompFdName || s.State.ID != c.id || s.Pid != c.pid() || s.State.Status != "creating" {
		t.Errorf("the listener's state: %+v", s)
	}
	if got := c.awaitFile("b/rootfs/answer"); got != "0\n" {
		t.Errorf("mkdir exited with %q: the supervisor said that it was done", got)
	}
	if _, err := os.Stat(filepath.Join(c.rootfs, "asked")); err == nil {
		t.Error("the system call was made all the same")
	}
	c.exec("mkdir", "/asked").ok()
	if s := <-states; s.State.Status != "running" || s.Pid == c.pid() {
		t.Errorf("the listener's state of exec: %+v", s)
	}
}

// serveNotify answers every notification with success.
func serveNotify(t *testing.T, l *net.UnixListener, states chan<- specs.ContainerProcessState) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		data, oob := make([]byte, 64<<10), make([]byte, 64)
		n, oobn, _, _, err := conn.ReadMsgUnix(data, oob)
		if err != nil {
			t.Errorf("receive: %v", err)
			return
		}
		conn.Close()
		var s specs.ContainerProcessState
		if err := json.Unmarshal(data[:n], &s); err != nil {
			t.Errorf("%q: %v", data[:n], err)
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 {
			t.Errorf("control messages: %v, %v", messages, err)
			return
		}
		fds, _ := unix.ParseUnixRights(&messages[0])
		states <- s
		go answer(fds[0])
	}
}

// answer says to each notification of a listener that the call has succeeded: linux/seccomp.h.
func answer(fd int) {
	defer unix.Close(fd)
	const recv, send = 0xc0502100, 0xc0182101
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(p, int(patience/time.Millisecond)); err != nil && err != unix.EINTR || n == 0 || p[0].Revents&unix.POLLHUP != 0 {
			return
		}
		var request [80]byte
		if err := ioctl(fd, recv, request[:]); err != nil {
			continue
		}
		var response [24]byte
		copy(response[:8], request[:8]) // the id; val, error and flags are zero
		_ = ioctl(fd, send, response[:])
	}
}

// TestPersonality: the execution domain, as uname shows it.
func TestPersonality(t *testing.T) {
	t.Parallel()
	with := func(d specs.LinuxPersonalityDomain) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: d} }
	}
	native := newContainer(t, args("uname", "-m"), with(specs.PerLinux)).run().ok().out()
	c := newContainer(t, with(specs.PerLinux32)).up()
	if got := c.exec("uname", "-m").ok().out(); got == native {
		t.Errorf("LINUX32 has machine %s, as LINUX", got)
	}
	c = newContainer(t, args("uname", "-m"), with(specs.PerLinux), func(s *specs.Spec) { s.Linux.Personality.Flags = []specs.LinuxPersonalityFlag{"X"} })
	c.run().ok().rtSays("/linux/personality/flags")
	newContainer(t, with("LINUX64")).create().fails().rtError("/linux/personality/domain: unknown execution domain")
}

// TestScheduler: every policy with its attributes, as the kernel tells them.
func TestScheduler(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]specs.Scheduler{
		"SCHED_OTHER": {Policy: specs.SchedOther, Nice: 7}, "SCHED_BATCH": {Policy: specs.SchedBatch, Nice: 3}, "SCHED_IDLE": {Policy: specs.SchedIdle},
		"SCHED_FIFO":     {Policy: specs.SchedFIFO, Priority: 5, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}},
		"SCHED_RR":       {Policy: specs.SchedRR, Priority: 6},
		"SCHED_DEADLINE": {Policy: specs.SchedDeadline, Runtime: 1_000_000, Deadline: 20_000_000, Period: 30_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, func(spec *specs.Spec) {
				spec.Process.Scheduler = &s
				if !onV2(t) && (s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR) {
					// The cpu controller of v1 has no real-time time to give unless it is asked for.
					spec.Linux.Resources.CPU = &specs.LinuxCPU{RealtimeRuntime: i64(1000), RealtimePeriod: u64(1_000_000)}
				}
			})
			r := c.create()
			if r.code != 0 && strings.Contains(r.stderr, "cpu.rt_") {
				t.Skipf("this kernel has no real-time group scheduling: %s", r.stderr)
			}
			r.ok()
			if realtime := s.Priority > 0 || s.Policy == specs.SchedDeadline; realtime && ordinaryUser() {
				c.start().fails("set scheduler: sched_setattr: operation not permitted (/process/scheduler)").oneError()
				return
			}
			c.start().ok()
			attr, err := unix.SchedGetAttr(c.pid(), 0)
			c.must(err)
			number := map[specs.LinuxSchedulerPolicy]uint32{specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedIdle: 5, specs.SchedDeadline: 6}
			reset := uint64(0)
			if len(s.Flags) > 0 {
				reset = unix.SCHED_FLAG_RESET_ON_FORK
			}
			if s.Policy == specs.SchedIdle {
				attr.Nice = 0 // it has none of its own: the caller's is left
			}
			if attr.Policy != number[s.Policy] || attr.Nice != s.Nice || attr.Priority != uint32(s.Priority) || attr.Flags&unix.SCHED_FLAG_RESET_ON_FORK != reset ||
				s.Policy == specs.SchedDeadline && (attr.Runtime != s.Runtime || attr.Deadline != s.Deadline || attr.Period != s.Period) {
				t.Errorf("%+v, wanted %+v", attr, s)
			}
		})
	}
	newContainer(t, func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: "SCHED_BEST"} }).create().
		fails().rtError("/process/scheduler/policy: unknown scheduling policy")
}

func TestIOPriority(t *testing.T) {
	t.Parallel()
	for i, class := range []specs.IOPriorityClass{specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE} {
		if class == specs.IOPRIO_CLASS_RT && ordinaryUser() {
			continue // CAP_SYS_NICE
		}
		c := newContainer(t, func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: class, Priority: 5} }).up()
		got, _, e := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(c.pid()), 0)
		if want := uintptr(i+1)<<13 | 5; e != 0 || got != want {
			t.Errorf("%s: %#x, %v; wanted %#x", class, got, e, want)
		}
		c.exec("sh", "-c", "ionice -p $$").ok()
	}
	newContainer(t, func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: "IOPRIO_CLASS_X"} }).create().
		fails().rtError("/process/ioPriority/class: unknown I/O scheduling class")
}

// TestOtherPlatforms: properties for other platforms do no harm, and are mentioned.
func TestOtherPlatforms(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("true"), func(s *specs.Spec) {
		s.Windows, s.Solaris, s.VM = &specs.Windows{LayerFolders: []string{"x"}}, &specs.Solaris{Milestone: "x"}, &specs.VM{Kernel: specs.VMKernel{Path: "/x"}}
		s.ZOS, s.FreeBSD = &specs.ZOS{}, &specs.FreeBSD{}
		s.Process.CommandLine, s.Process.User.Username = "x", "x"
	})
	r := c.run().ok()
	rtOnly(t, "every property of the schema")
	for _, field := range []string{"/windows", "/solaris", "/vm", "/zos", "/freebsd", "/process/commandLine", "/process/user/username"} {
		r.says(field + ": is for another platform, and ignored")
	}
}

// TestOCIVersion: any 1.x.y, also one newer than this runtime; nothing else.
func TestOCIVersion(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{"1.0.0": true, "1.0.2-dev": true, "1.3.0": true, "1.99.0": true, "2.0.0": false, "0.9.0": false, "": false, "1": false, "x": false} {
		r := newContainer(t, args("true"), func(s *specs.Spec) { s.Version = version }).run()
		if ok {
			r.ok()
		} else if r.code == 0 && !differs(t, "ociVersion") || r.code != 0 && !strings.Contains(r.stderr, "ociVersion") && !strings.Contains(r.stderr, "version") {
			t.Errorf("version %s: %s", strconv.Quote(version), r)
		}
	}
}

func TestAnnotations(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) { s.Annotations = map[string]string{"a.b/c": "d", "empty": "", "odd": "\"\n\u00e9"} })
	c.create().ok()
	if got := c.state().Annotations; len(got) != 3 || got["a.b/c"] != "d" || got["odd"] != "\"\n\u00e9" {
		t.Errorf("annotations in the state: %q", got)
	}
	rtOnly(t, "annotations: an empty name")
	newContainer(t, func(s *specs.Spec) { s.Annotations = map[string]string{"": "x"} }).create().fails("/annotations/: the name of an annotation must not be empty")
}

func ioctl(fd int, request uint, data []byte) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&data[0]))); e != 0 {
		return e
	}
	return nil
}
