package security

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

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
	// An agent that has gone is not noticed by the kernel before the process has closed the listener: rt waits for ten seconds.
	waits := n.action == specs.ActNotify && (call == "all" || call == "read" || call == "close")
	if waits && !host.full && call != "close" {
		return
	}
	denied := waits || call == "all" || strings.HasPrefix(call, "execve")
	right := func(r result) {
		t.Helper()
		switch {
		case r.hung:
		case waits && (r.code == 0 || !strings.Contains(r.stderr, "the seccomp agent does not answer")):
			t.Errorf("%s\nwant an error that says that the agent does not answer", r)
		case denied && !waits && (r.code == 0 || !strings.Contains(r.stderr, "the seccomp filter denies execve")):
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
	if denied && (!waits || host.full) { // a container to which exec brings the filter
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
