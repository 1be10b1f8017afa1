package security

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What the image supplies runs with the container's rights: hooks, an init, what waits for its start.

// status is a line of /proc/PID/status.
func status(t *testing.T, text, name string) string {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	t.Fatalf("no %s in %q", name, text)
	return ""
}

func wantStatus(t *testing.T, who, text string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := status(t, text, name); got != value {
			t.Errorf("%s has %s %s, want %s", who, name, got, value)
		}
	}
}

// ordinary is a process with few rights.
func ordinary(v *victim) {
	p := v.spec.Process
	umask := uint32(0o77)
	p.User = specs.User{UID: 1234, GID: 1235, AdditionalGids: []uint32{7, 5}, Umask: &umask}
	p.NoNewPrivileges = true
	p.Cwd = "/tmp"
	p.Env = []string{"PATH=/bin", "OF=the process"}
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 40, Hard: 41}, {Type: "RLIMIT_CORE", Soft: 4096, Hard: 8192}}
	capable([]string{"CAP_KILL", "CAP_CHOWN"})(v)
	filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}}})(v)
	must(v.t, os.Chmod(v.rootfs+"/tmp", 0o777))
}

// hooked gives the container a startContainer hook, a program of the image.
func hooked(args ...string) func(*victim) {
	return func(v *victim) {
		v.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/sbin/ldconfig", Args: append([]string{"ldconfig"}, args...)}}}
		copyFile(v.t, host.attack, v.rootfs+"/bin/../ldconfig")
		must(v.t, os.MkdirAll(v.rootfs+"/sbin", 0o755))
		must(v.t, os.Rename(v.rootfs+"/ldconfig", v.rootfs+"/sbin/ldconfig"))
	}
}

// TestHookReadsHost: a program of the image that an engine has as a hook, with the capabilities of an engine's container, opens
// the root of the host's file system by its inode number and reads a file that is outside of the image. It needs
// CAP_DAC_READ_SEARCH for that, which the container has not.
func TestHookReadsHost(t *testing.T) {
	v := newVictim(t, capable(engineCaps), hooked("handle"))
	v.file("outside/dir/secret", "the host's\n", 0o600)
	v.spec.Hooks.StartContainer[0].Args = []string{"ldconfig", "handle", v.outside + "/dir/secret"}
	v.write()
	v.before = v.picture()
	v.up()
	if text, err := os.ReadFile(v.rootfs + "/got"); err == nil {
		t.Errorf("a hook of the image has read the host's file: %q", text)
	}
}

// TestHookDirectoryIsRootfs: a createContainer hook of an engine writes a file by a relative path, into the rootfs. Whose directory the
// rootfs lies in puts another one in its place meanwhile, or a link to one of the host's.
func TestHookDirectoryIsRootfs(t *testing.T) {
	for name, place := range map[string]string{
		"a link":      "ln -s $OUTSIDE/dir $BUNDLE/rootfs",
		"a directory": "mkdir $BUNDLE/rootfs",
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"))
			env := []string{"PATH=/bin:/usr/bin", "OUTSIDE=" + v.outside, "BUNDLE=" + filepath.Dir(v.rootfs)}
			hook := func(script string) []specs.Hook {
				return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: env}}
			}
			v.spec.Hooks = &specs.Hooks{CreateRuntime: hook("mv $BUNDLE/rootfs $BUNDLE/away && " + place), CreateContainer: hook("echo hook > of-hook")}
			v.write()
			v.do(call{args: v.with("create")})
			for _, dir := range []string{v.outside + "/dir", v.rootfs} {
				if _, err := os.Stat(dir + "/of-hook"); err == nil {
					t.Errorf("the hook has written to %s, which is not the rootfs", dir)
				}
			}
		})
	}
}

// TestHookRights: a startContainer hook has all that the process has, and its environment where it brings none.
func TestHookRights(t *testing.T) {
	for _, filter := range []string{"no_new_privs", "privileges"} {
		t.Run(filter, func(t *testing.T) {
			v := newVictim(t, ordinary, hooked("rights", "/tmp/rights"), args("sh", "-c", "attack rights /tmp/own; sleep 1000"))
			v.spec.Process.NoNewPrivileges = filter == "no_new_privs"
			v.write()
			v.up()
			var hook, own string
			eventually(t, "both have written", func() bool {
				a, _ := os.ReadFile(v.rootfs + "/tmp/rights")
				b, _ := os.ReadFile(v.rootfs + "/tmp/own")
				hook, own = string(a), string(b)
				return strings.Contains(hook, "end\n") && strings.Contains(own, "end\n")
			})
			if hook != own {
				t.Errorf("the hook has\n%s\nthe process\n%s", hook, own)
			}
			wantStatus(t, "the hook", hook, map[string]string{"Uid": "1234 1234 1234 1234", "Gid": "1235 1235 1235 1235", "Groups": "5 7",
				"CapEff": "0000000000000000", "CapBnd": "0000000000000021", "Seccomp": "2", "mkdir": strconv.Itoa(int(unix.EPERM)), "OF": "the process",
				"cwd": "/tmp", "HOME": "/", "Umask": "0077", "NoNewPrivs": map[bool]string{true: "1", false: "0"}[v.spec.Process.NoNewPrivileges]})
			if got := limitOf(hook, "Max open files"); got != "40 41" {
				t.Errorf("the hook may open %s files", got)
			}
		})
	}
}

func limitOf(text, name string) string {
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 1 {
				return f[0] + " " + f[1]
			}
		}
	}
	return ""
}

// TestHookEnvironment: a hook that brings an environment has that one only.
func TestHookEnvironment(t *testing.T) {
	v := newVictim(t, ordinary, hooked("rights", "/tmp/rights"))
	v.spec.Hooks.StartContainer[0].Env = []string{"OF=the hook"}
	v.write()
	v.up()
	text, err := os.ReadFile(v.rootfs + "/tmp/rights")
	must(t, err)
	wantStatus(t, "the hook", string(text), map[string]string{"OF": "the hook", "HOME": "none"})
}

// TestWaitingInit: what waits for its start holds no more than the container will, and can be looked into by nobody, whatever
// the host's fs.suid_dumpable.
func TestWaitingInit(t *testing.T) {
	for _, dumpable := range []string{"0", "1", "2"} {
		for _, nnp := range []bool{true, false} {
			t.Run(fmt.Sprintf("suid_dumpable %s no_new_privs %v", dumpable, nnp), func(t *testing.T) {
				suidDumpable(t, dumpable)
				v := newVictim(t, ordinary)
				v.spec.Process.NoNewPrivileges = nnp
				v.write()
				v.create().ok(t)
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.pid()))
				must(t, err)
				permitted, flag := "0000000000000021", "1"
				if !nnp {
					permitted, flag = "0000000000200021", "0" // CAP_SYS_ADMIN, not in effect, for the filter
				}
				wantStatus(t, "the waiting process", string(text), map[string]string{"Uid": "1234 1234 1234 1234", "Groups": "5 7",
					"CapEff": "0000000000000021", "CapPrm": permitted, "CapBnd": "0000000000000021", "CapAmb": "0000000000000000", "NoNewPrivs": flag})
				var st unix.Stat_t
				must(t, unix.Stat(fmt.Sprintf("/proc/%d/mem", v.pid()), &st))
				if st.Uid != 0 { // the files of a process that is not dumpable are root's (proc(5))
					t.Errorf("the waiting process is dumpable: its files are of uid %d", st.Uid)
				}
				v.rt("start", v.id).ok(t)
				r := v.exec("cat", "/proc/1/status").ok(t)
				wantStatus(t, "the process", r.stdout, map[string]string{"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapBnd": "0000000000000021",
					"Seccomp": "2", "NoNewPrivs": flag})
			})
		}
	}
}

// TestPretendingFilter: a filter that answers the calls by which privileges are given up with success, so that nothing happens,
// and those by which that could be seen.
func TestPretendingFilter(t *testing.T) {
	zero := uint(0)
	calls := strings.Fields("setresuid setresgid setgroups capset prctl getresuid getresgid getgroups capget prlimit64 setuid setgid setpgid")
	for _, nnp := range []bool{true, false} {
		t.Run(fmt.Sprintf("no_new_privs %v", nnp), func(t *testing.T) {
			v := newVictim(t, ordinary, args("sh", "-c", "while :; do sleep 1; done"))
			filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: calls, Action: specs.ActErrno, ErrnoRet: &zero}}})(v)
			v.spec.Process.NoNewPrivileges = nnp
			v.write()
			if v.create().code != 0 || v.rt("start", v.id).code != 0 {
				return // refused
			}
			want := map[string]string{"Uid": "1234 1234 1234 1234", "Gid": "1235 1235 1235 1235", "Groups": "5 7", "CapEff": "0000000000000000",
				"CapPrm": "0000000000000000", "CapInh": "0000000000000000", "CapBnd": "0000000000000021", "CapAmb": "0000000000000000"}
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.pid()))
			must(t, err)
			wantStatus(t, "the program", string(text), want)
			limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", v.pid()))
			must(t, err)
			if got := limitOf(string(limits), "Max open files"); got != "40 41" {
				t.Errorf("the program may open %s files", got)
			}
			r := v.exec("cat", "/proc/self/status").ok(t)
			wantStatus(t, "exec's program", r.stdout, want)
		})
	}
}

// TestSmallLimits: a container with as few open files as there are waits for its start, and has them then.
func TestSmallLimits(t *testing.T) {
	for _, files := range []uint64{3, 4, 9} {
		v := newVictim(t)
		v.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: files, Hard: files}}
		v.write()
		v.up()
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(v.pid()), "limits"))
		must(t, err)
		if got, want := limitOf(string(text), "Max open files"), fmt.Sprintf("%d %d", files, files); got != want {
			t.Errorf("the program may open %s files, want %s", got, want)
		}
	}
}

// TestInitIsNoWayAround: a program with CAP_KILL or CAP_SYS_PTRACE takes control of the init that --init has put above it, which has
// its user, and could have it make the calls that the program's filter denies. Whatever becomes of it, the init has a filter
// of its own, the limits, and no capability that was not configured.
func TestInitIsNoWayAround(t *testing.T) {
	for name, c := range map[string]struct {
		caps []string
		kill string // the init's capabilities
		nnp  bool
	}{
		"CAP_KILL":       {[]string{"CAP_KILL"}, "0000000000000020", true},
		"CAP_SYS_PTRACE": {[]string{"CAP_SYS_PTRACE"}, "0000000000000000", false},
		"engine":         {engineCaps, "0000000000000020", false},
	} {
		for _, userns := range []bool{false, true} {
			if name == "CAP_SYS_PTRACE" && !userns {
				continue // it could, as with every process that it can see (SECURITY.md); it finds no way around the filter
			}
			t.Run(fmt.Sprintf("%s user namespace %v", name, userns), func(t *testing.T) {
				v := newVictim(t, ordinary, capable(c.caps), args("sh", "-c", "attack master >/tmp/master; sleep 1000"))
				if userns {
					mapped(v)
				}
				v.spec.Annotations = map[string]string{"io.rt.init": "true"}
				v.spec.Process.User = specs.User{}
				v.spec.Process.NoNewPrivileges = c.nnp
				v.write()
				v.up()
				var report string
				eventually(t, "the attack", func() bool {
					text, _ := os.ReadFile(v.rootfs + "/tmp/master")
					report = string(text)
					return strings.Contains(report, "tried")
				})
				if strings.Contains(report, "got") {
					t.Errorf("the program has its init in its hands:\n%s", report)
				}
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.pid()))
				must(t, err)
				wantStatus(t, "init", string(text), map[string]string{"Name": "rt:[init]", "Seccomp": "2", "NoNewPrivs": "1", "CapEff": c.kill, "CapPrm": c.kill, "CapInh": "0000000000000000"})
				limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", v.pid()))
				must(t, err)
				if got := limitOf(string(limits), "Max core file size"); got != "4096 8192" {
					t.Errorf("init's limit is %s", got)
				}
				v.rt("kill", v.id, "KILL").ok(t)
			})
		}
	}
}

// TestListenerWithInit: the filter whose listener an agent gets is the program's, not that of the init above it.
func TestListenerWithInit(t *testing.T) {
	for _, nnp := range []bool{true, false} {
		v := newVictim(t, args("sh", "-c", "mkdir /tmp/made; sleep 1000"))
		path := v.dir + "/agent.sock"
		l, err := net.Listen("unix", path)
		must(t, err)
		defer l.Close()
		states, calls := make(chan string, 4), make(chan int, 1000)
		go agent(l, states, calls)
		v.spec.Annotations = map[string]string{"io.rt.init": "true"}
		v.spec.Process.NoNewPrivileges = nnp
		filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: path, Syscalls: []specs.LinuxSyscall{{
			Names: strings.Fields("sendmsg recvfrom read close mkdir mkdirat"), Action: specs.ActNotify}}})(v)
		v.write()
		v.up()
		var s specs.ContainerProcessState
		must(t, json.Unmarshal([]byte(<-states), &s))
		if s.State.Pid != v.pid() || s.Pid == s.State.Pid {
			t.Errorf("the agent is told of process %d, the container's is %d", s.Pid, s.State.Pid)
		}
		eventually(t, "the program has made it", func() bool { _, err := os.Stat(v.rootfs + "/tmp/made"); return err == nil })
		v.rt("kill", v.id, "KILL").ok(t)
	}
}
