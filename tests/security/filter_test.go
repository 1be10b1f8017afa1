package security

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filters that are in the way of the process which has loaded them and is not the program yet.

// A nuisance is what a filter does with a call.
type nuisance struct {
	name   string
	action specs.LinuxSeccompAction
	errno  *uint
}

func nuisances() []nuisance {
	zero := uint(0)
	return []nuisance{{"errno", specs.ActErrno, nil}, {"errno 0", specs.ActErrno, &zero}, {"kill", specs.ActKill, nil},
		{"kill process", specs.ActKillProcess, nil}, {"kill thread", specs.ActKillThread, nil}, {"trap", specs.ActTrap, nil},
		{"trace", specs.ActTrace, nil}, {"notify", specs.ActNotify, nil}}
}

// betweenFilterAndProgram are the calls that the stub makes, or makes if one of them fails, once it has its filter.
var betweenFilterAndProgram = []string{"execve", "exit_group", "exit", "write", "read", "sendmsg", "close", "capset", "ppoll"}

// deafAgent takes every listener and closes it: nobody listens.
func deafAgent(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf, oob := make([]byte, 65536), make([]byte, 64)
				for {
					n, oobn, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(buf, oob)
					if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(msgs) > 0 {
						if fds, err := unix.ParseUnixRights(&msgs[0]); err == nil {
							unix.Close(fds[0])
						}
					}
					if err != nil || n == 0 {
						return
					}
				}
			}()
		}
	}()
}

// TestFilterBeforeProgram walks the calls between the filter and execve: whatever the filter does with one of them, or with all,
// start and exec end; if execve is denied they fail and say so, else the program runs. Succeeds against a stub that calls exit
// until that works, and an rt that takes the end of the conversation for the program's beginning.
func TestFilterBeforeProgram(t *testing.T) {
	calls := append([]string{"all", "execve and exit"}, betweenFilterAndProgram...)
	for _, call := range calls {
		for _, n := range nuisances() {
			if call == "write" && n.action == specs.ActNotify {
				continue // the specification forbids it
			}
			for _, init := range []bool{false, true} {
				name := call + "/" + n.name
				if init {
					name += "/init"
				}
				t.Run(name, func(t *testing.T) { denyBeforeProgram(t, call, n, init) })
			}
		}
	}
}

func denyBeforeProgram(t *testing.T, call string, n nuisance, init bool) {
	v := newVictim(t, args("attack", "spin"), func(v *victim) {
		f := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
		switch {
		case call == "all" && n.action == specs.ActNotify: // it cannot be a default action, nor that of write (seccomp_unotify(2))
			var names []string
			for _, name := range betweenFilterAndProgram {
				if name != "write" {
					names = append(names, name)
				}
			}
			f.Syscalls = []specs.LinuxSyscall{{Names: names, Action: n.action}}
		case call == "all":
			f.DefaultAction, f.DefaultErrnoRet = n.action, n.errno
		case call == "execve and exit":
			f.Syscalls = []specs.LinuxSyscall{{Names: []string{"execve", "exit", "exit_group", "sendmsg"}, Action: n.action, ErrnoRet: n.errno}}
		default:
			f.Syscalls = []specs.LinuxSyscall{{Names: []string{call}, Action: n.action, ErrnoRet: n.errno}}
		}
		if n.action == specs.ActNotify {
			f.ListenerPath = v.dir + "/agent.sock"
			deafAgent(t, f.ListenerPath)
		}
		filtered(f)(v)
	})
	create := v.with("create")
	if init {
		create = append([]string{"create", "--init"}, create[1:]...)
	}
	denied := call == "all" || strings.HasPrefix(call, "execve")
	right := func(r result) {
		t.Helper()
		switch {
		case r.hung:
		case denied && (r.code == 0 || !strings.Contains(r.stderr, "the seccomp filter denies execve")):
			t.Errorf("%s\nwant an error that says that the filter denies execve", r)
		case !denied && r.code != 0:
			t.Errorf("%s\nwant the program to run", r)
		}
	}
	v.rt(create...).ok(t)
	r := v.rt("start", v.id)
	right(r)
	var s specs.State
	must(t, json.Unmarshal([]byte(v.rt("state", v.id).ok(t).stdout), &s))
	if want := map[bool]specs.ContainerState{true: specs.StateStopped, false: specs.StateRunning}[denied]; s.Status != want {
		t.Errorf("after %s the container is %s, want %s", r, s.Status, want)
	}
	v.remove()
	if init {
		return
	}
	if denied { // a container to which exec brings the filter
		right(v.run())
		v.remove()
		allow := *v.spec.Linux.Seccomp
		v.spec.Linux.Seccomp = nil
		v.write()
		v.create().ok(t)
		v.rt("start", v.id).ok(t)
		v.spec.Linux.Seccomp = &allow
		data, err := json.Marshal(v.spec)
		must(t, err)
		v.file("root/"+v.id+"/config.json", string(data), 0o600)
		right(v.exec("true"))
	}
}

// TestAgentGone: an agent that closes its listener at once, and a filter that leaves a call of the stub's to it. The stub has the
// listener too, so that the kernel does not notice: it and rt waited for ever, with the lock. Now the calls before execve are none of the
// agent's. A rootless rt cannot have the listener if sending it is held up, and says so. Succeeds against rt 4a850c2, as does the next.
func TestAgentGone(t *testing.T) {
	for _, rootless := range []bool{false, true} {
		for _, call := range []string{"read", "close", "sendmsg", "execve"} {
			for _, flags := range [][]string{nil, {"--init"}} {
				t.Run(fmt.Sprintf("%s rootless %v %s", call, rootless, strings.Join(flags, "")), func(t *testing.T) {
					v := newVictim(t, args("attack", "spin"), func(v *victim) {
						deafAgent(t, v.dir+"/agent.sock")
						must(t, os.Chmod(v.dir+"/agent.sock", 0o777))
						filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: v.dir + "/agent.sock",
							Syscalls: []specs.LinuxSyscall{{Names: []string{call}, Action: specs.ActNotify}}})(v)
						if rootless {
							mapped(v)
							ofUser(v)
						}
					})
					r := v.rt(slices.Concat([]string{"create"}, flags, v.with("create")[1:])...)
					if rootless && call == "sendmsg" {
						if r.code == 0 || !strings.Contains(r.stderr, "a rootless rt cannot have the listener") {
							t.Error(r)
						}
						return
					}
					r.ok(t)
					r = v.rt("start", v.id)
					if call == "execve" {
						if r.code == 0 || !strings.Contains(r.stderr, "the seccomp filter denies execve") {
							t.Error(r)
						}
						return
					}
					r.ok(t)
					if call != "close" { // which tells exec of the container's end
						v.exec("true").ok(t)
					}
				})
			}
		}
	}
}

// TestAgentSeesProgramOnly: an agent is asked for execve and what the program calls then, not for what the stub has called between the
// filter and execve: it would decide there whether rt hears of the program, and an agent that takes its time held up rt.
func TestAgentSeesProgramOnly(t *testing.T) {
	for _, rootless := range []bool{false, true} {
		t.Run(fmt.Sprint("rootless ", rootless), func(t *testing.T) {
			asked := make(chan int32, 100)
			v := newVictim(t, args("attack", "spin"), func(v *victim) {
				path := v.dir + "/agent.sock"
				l, err := net.Listen("unix", path)
				must(t, err)
				t.Cleanup(func() { l.Close() })
				must(t, os.Chmod(path, 0o777))
				go func() {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					buf, oob := make([]byte, 65536), make([]byte, 64)
					_, oobn, _, _, _ := conn.(*net.UnixConn).ReadMsgUnix(buf, oob)
					msgs, _ := unix.ParseSocketControlMessage(oob[:oobn])
					if len(msgs) == 0 {
						return
					}
					if fds, _ := unix.ParseUnixRights(&msgs[0]); len(fds) == 1 {
						allowAll(fds[0], asked)
					}
				}()
				filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: path,
					Syscalls: []specs.LinuxSyscall{{Names: []string{"read", "close", "execve"}, Action: specs.ActNotify}}})(v)
				if rootless {
					mapped(v)
					ofUser(v)
				}
			})
			v.create().ok(t)
			v.rt("start", v.id).ok(t)
			if first := <-asked; first != unix.SYS_EXECVE {
				t.Errorf("the agent is asked for system call %d first, want %d, execve", first, unix.SYS_EXECVE)
			}
		})
	}
}

// allowAll answers each notification of a listener until its last process has ended.
func allowAll(listener int, asked chan<- int32) {
	defer unix.Close(listener)
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil || fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n struct {
			id         uint64
			pid, flags uint32
			number     int32
			rest       [60]byte
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue
		}
		select {
		case asked <- n.number:
		default:
		}
		answer := struct {
			id    uint64
			val   int64
			err   int32
			flags uint32
		}{id: n.id, flags: 1} // SECCOMP_USER_NOTIF_FLAG_CONTINUE
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
	}
}
