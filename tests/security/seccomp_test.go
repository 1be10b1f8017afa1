package security

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func filtered(f *specs.LinuxSeccomp) func(*victim) {
	return func(v *victim) { v.spec.Linux.Seccomp = f }
}

// TestFilterActions: each action in a real container, with and without no_new_privs, in init and in exec.
func TestFilterActions(t *testing.T) {
	errno := uint(unix.EOVERFLOW)
	for _, c := range []struct {
		action specs.LinuxSeccompAction
		errno  *uint
		code   int
		stderr string
	}{
		{specs.ActErrno, &errno, 1, "Value too large"},
		{specs.ActErrno, nil, 1, "Operation not permitted"},
		{specs.ActKill, nil, 128 + int(unix.SIGSYS), ""},
		{specs.ActKillThread, nil, 128 + int(unix.SIGSYS), ""},
		{specs.ActKillProcess, nil, 128 + int(unix.SIGSYS), ""},
		{specs.ActTrap, nil, 128 + int(unix.SIGSYS), ""},
		{specs.ActTrace, nil, 1, "Function not implemented"}, // nobody traces
		{specs.ActLog, nil, 0, ""},
		{specs.ActAllow, nil, 0, ""},
	} {
		for _, nnp := range []bool{true, false} {
			v := newVictim(t, args("mkdir", "/tmp/x"), filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat", "newer_than_this"}, Action: c.action, ErrnoRet: c.errno}}}))
			if c.action == specs.ActAllow {
				v.spec.Linux.Seccomp.DefaultAction = specs.ActErrno
				v.spec.Linux.Seccomp.Syscalls = append(v.spec.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Action: specs.ActAllow, Names: strings.Fields(`read write open openat
 close stat fstat lstat newfstatat mmap mprotect munmap brk rt_sigaction rt_sigprocmask ioctl access execve exit exit_group arch_prctl set_tid_address prctl umask chmod
 capset setgroups setuid setgid setresuid setresgid getuid getgid geteuid getegid fcntl close_range chdir fchdir getcwd openat2 prlimit64 sendmsg poll statx fchmodat`)})
			}
			v.spec.Process.NoNewPrivileges = nnp
			v.write()
			if r := v.run(); r.code != c.code || !strings.Contains(r.stderr, c.stderr) {
				t.Errorf("%s: %s", c.action, r)
			}
			v.spec.Process.Args = []string{"sleep", "1000"}
			if c.action == specs.ActAllow {
				continue // sleep needs more
			}
			v.write()
			v.remove()
			v.up()
			if r := v.exec("mkdir", "/tmp/y"); r.code != c.code || !strings.Contains(r.stderr, c.stderr) {
				t.Errorf("exec %s: %s", c.action, r)
			}
		}
	}
}

// TestListener: an agent that has a say in every call that a joining process still makes, sendmsg, close, read and execve
// among them: it must get the listener before it is needed. Hangs with a stub that sends the listener.
func TestListener(t *testing.T) {
	for _, nnp := range []bool{true, false} {
		v := newVictim(t, args("sh", "-c", "mkdir /tmp/made && echo done; sleep 1000"))
		path := v.dir + "/agent.sock"
		l, err := net.Listen("unix", path)
		must(t, err)
		defer l.Close()
		states, calls := make(chan string, 4), make(chan int, 1000)
		go agent(l, states, calls)
		v.spec.Process.NoNewPrivileges = nnp
		v.spec.Annotations = map[string]string{"long": strings.Repeat("x", 20_000)}
		filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: path, ListenerMetadata: "about it", Syscalls: []specs.LinuxSyscall{{
			Names:  strings.Fields("sendmsg sendto recvmsg recvfrom read close close_range execve mkdir mkdirat prctl setresuid setresgid setgroups capset openat2 fchdir getcwd"),
			Action: specs.ActNotify}}})(v)
		v.write()
		v.up()
		var s specs.ContainerProcessState
		must(t, json.Unmarshal([]byte(<-states), &s))
		if s.Metadata != "about it" || s.State.ID != v.id || s.Pid != s.State.Pid || s.Pid != v.pid() || len(s.Fds) != 1 || s.Fds[0] != "seccompFd" || len(s.State.Annotations["long"]) != 20_000 {
			t.Errorf("the agent is told %+v", s)
		}
		if r := v.exec("mkdir", "/tmp/by-exec").ok(t); r.hung {
			t.Error(r)
		}
		var e specs.ContainerProcessState
		must(t, json.Unmarshal([]byte(<-states), &e))
		if e.Pid == e.State.Pid || e.State.Pid != s.Pid {
			t.Errorf("the agent is told of exec %+v", e)
		}
		if len(calls) < 5 {
			t.Errorf("the agent was asked %d times", len(calls))
		}
		v.rt("kill", v.id, "KILL").ok(t)
	}
}

// TestListenerIsNotThere: no agent, or one that closes at once: an error, not a container without its filter.
func TestListenerIsNotThere(t *testing.T) {
	v := newVictim(t, args("true"), func(v *victim) {
		filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: v.dir + "/agent.sock",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}})(v)
	})
	if r := v.run(); r.code == 0 || !strings.Contains(r.stderr, "listener") {
		t.Error(r)
	}
}

// agent lets every call of every filter go on.
func agent(l net.Listener, states chan<- string, calls chan<- int) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			buf, oob, text := make([]byte, 65536), make([]byte, 64), ""
			fd := -1
			for {
				n, oobn, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(buf, oob)
				if oobn > 0 {
					if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
						if fds, err := unix.ParseUnixRights(&msgs[0]); err == nil {
							fd = fds[0]
						}
					}
				}
				text += string(buf[:n])
				if err != nil || n == 0 || json.Valid([]byte(text)) {
					break
				}
			}
			states <- text
			for serve(fd) == nil {
				select {
				case calls <- fd:
				default:
				}
			}
			_ = unix.Close(fd)
		}()
	}
}

// serve answers one call with SECCOMP_USER_NOTIF_FLAG_CONTINUE (seccomp_unotify(2)).
func serve(fd int) error {
	var req struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	var resp struct {
		id    uint64
		val   int64
		errno int32
		flags uint32
	}
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
	if err != nil && err != unix.EINTR {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0xc0502100, uintptr(unsafe.Pointer(&req))); errno != 0 {
		if errno == unix.EINTR {
			return nil
		}
		return fmt.Errorf("receive: %w", errno)
	}
	resp.id, resp.flags = req.id, 1
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0xc0182101, uintptr(unsafe.Pointer(&resp))); errno != 0 && errno != unix.ENOENT {
		return fmt.Errorf("send: %w", errno)
	}
	return nil
}
