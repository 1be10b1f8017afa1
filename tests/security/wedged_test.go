package security

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The wedged world: each party that rt talks to hangs in turn, while a verb has the container's lock. `delete --force` ends all the
// same. Within five seconds: that is measured by `make test-wedged` (RT_WEDGED=1) only, on a machine that does nothing else; elsewhere
// two minutes mean that it hangs.

var wedgedLimit = func() time.Duration {
	if os.Getenv("RT_WEDGED") != "" {
		return 5 * time.Second
	}
	return patience
}()

const holderName = "holder" // in the container's directory, for as long as it is locked

// A wedge is a verb that waits for somebody.
type wedge struct {
	v      *victim
	cmd    *exec.Cmd
	done   chan struct{}
	errors string // a file
}

// wedged starts a verb and returns when it waits for the party, as stands tells.
func (v *victim) wedged(c call, waits func(w *wedge) bool) *wedge {
	v.t.Helper()
	exe := c.exe
	if exe == "" {
		exe = host.rt
	}
	cmd := exec.Command(exe, append([]string{"--root", v.dir + "/root"}, c.args...)...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	w := &wedge{v: v, cmd: cmd, done: make(chan struct{}), errors: v.dir + "/wedged-errors"}
	errs, err := os.Create(w.errors)
	must(v.t, err)
	defer errs.Close()
	cmd.Stdout, cmd.Stderr = errs, errs
	must(v.t, cmd.Start())
	go func() { _ = cmd.Wait(); close(w.done) }()
	v.t.Cleanup(func() { _ = cmd.Process.Kill(); <-w.done })
	eventually(v.t, strings.Join(c.args, " ")+" waits", func() bool {
		select {
		case <-w.done:
			v.t.Fatalf("%v ended: %s", c.args, w.said())
		default:
		}
		return waits(w)
	})
	return w
}

func (w *wedge) said() string {
	text, _ := os.ReadFile(w.errors)
	return string(text)
}

// file is a wedge's sign that something was made.
func there(name string) func(*wedge) bool {
	return func(*wedge) bool { _, err := os.Stat(name); return err == nil }
}

// deleted: delete --force succeeds in time, leaves nothing, and the verb has ended.
func (w *wedge) deleted() {
	w.v.t.Helper()
	w.v.forced(0, "")
	select {
	case <-w.done:
	case <-time.After(patience):
		w.v.t.Errorf("%v has not ended: %s", w.cmd.Args, w.said())
	}
	if _, err := os.Stat(w.v.dir + "/root/" + w.v.id); err == nil {
		w.v.t.Errorf("the container's directory is left")
	}
}

func (v *victim) forced(code int, says string) {
	v.t.Helper()
	began := time.Now()
	r := v.do(call{args: []string{"delete", "--force", v.id}})
	if took := time.Since(began); r.code != code || !strings.Contains(r.stderr, says) || took > wedgedLimit {
		v.t.Errorf("%v: %s\nwant exit code %d with %q within %v", took, r, code, says, wedgedLimit)
	}
}

// ended: a process of the test's container has ended, and all that it has started in its group.
func (v *victim) ended(pidFile string) {
	v.t.Helper()
	text, err := os.ReadFile(pidFile)
	must(v.t, err)
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		must(v.t, err)
		eventually(v.t, "end of process "+word, func() bool { reap(); return !alive(pid) })
	}
}

// TestWedgedHooks: a hook of each kind that never ends. It is killed with the rt that waits for it, and so is what it has started.
func TestWedgedHooks(t *testing.T) {
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart"} {
		t.Run(kind, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"))
			mark, program := v.dir+"/hook-runs", v.dir+"/hook"
			v.file("hook", "#!/bin/sh\nsleep 1000 & echo $! $$ >"+mark+".new; mv "+mark+".new "+mark+"; wait; sleep 1000\n", 0o755)
			if kind == "startContainer" { // the image's
				mark, program = v.rootfs+"/hook-runs", "/bin/hook"
				v.file("bundle/rootfs/bin/hook", "#!/bin/sh\nsleep 1000 & echo x >/hook-runs; wait; sleep 1000\n", 0o755)
				v.spec.Root.Readonly = false
			}
			hook := []specs.Hook{{Path: program, Env: []string{"PATH=/bin:/usr/bin"}}}
			v.spec.Hooks = map[string]*specs.Hooks{"prestart": {Prestart: hook}, "createRuntime": {CreateRuntime: hook}, "createContainer": {CreateContainer: hook},
				"startContainer": {StartContainer: hook}, "poststart": {Poststart: hook}}[kind]
			v.write()
			c := call{args: v.with("create")}
			if kind[:5] == "start" || kind == "poststart" {
				v.create().ok(t)
				c.args = []string{"start", v.id}
			}
			w := v.wedged(c, there(mark))
			w.deleted()
			if kind != "startContainer" && kind != "createContainer" { // whose pids are the container's
				v.ended(mark)
			}
		})
	}
}

// fullBacklog is a socket at which nobody accepts, with no room for another connection.
func (v *victim) fullBacklog(path string) {
	v.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(v.t, err)
	v.t.Cleanup(func() { unix.Close(fd) })
	must(v.t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must(v.t, unix.Listen(fd, 0))
	for {
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(v.t, err)
		v.t.Cleanup(func() { unix.Close(c) })
		if err := unix.Connect(c, &unix.SockaddrUnix{Name: path}); err == unix.EAGAIN {
			return
		} else if err != nil {
			v.t.Fatal(err)
		}
	}
}

// TestWedgedSockets: a console socket, a pidfd socket and a seccomp agent whose backlog is full. The verb ends by itself, with an
// error; and delete --force does not wait for it.
func TestWedgedSockets(t *testing.T) {
	busy := func(t *testing.T, v *victim, args []string) {
		t.Helper()
		r := v.rt(args...)
		if r.code == 0 || !strings.Contains(r.stderr, "nobody accepts connections there") {
			t.Errorf("%s\nwant an error that says that nobody accepts", r)
		}
		v.forced(0, "")
	}
	t.Run("console", func(t *testing.T) {
		v := newVictim(t, args("sleep", "1000"), func(v *victim) { v.spec.Process.Terminal = true })
		v.fullBacklog(v.dir + "/s")
		create := append([]string{"create", "--console-socket", v.dir + "/s"}, v.with("create")[1:]...)
		busy(t, v, create)
		w := v.wedged(call{args: create}, there(v.dir+"/root/"+v.id+"/state.json"))
		w.deleted()
	})
	t.Run("pidfd", func(t *testing.T) {
		v := newVictim(t, args("sleep", "1000"))
		v.fullBacklog(v.dir + "/s")
		busy(t, v, append([]string{"create", "--pidfd-socket", v.dir + "/s"}, v.with("create")[1:]...))
	})
	t.Run("agent", func(t *testing.T) {
		v := newVictim(t, args("sleep", "1000"), func(v *victim) {
			filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: v.dir + "/s",
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}})(v)
		})
		v.fullBacklog(v.dir + "/s")
		v.create().ok(t)
		w := v.wedged(call{args: []string{"start", v.id}}, func(*wedge) bool { return true })
		w.deleted()
		v.create().ok(t)
		busy(t, v, []string{"start", v.id})
	})
	t.Run("an agent that does not answer", func(t *testing.T) {
		v := newVictim(t, args("sleep", "1000"), func(v *victim) {
			filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: v.dir + "/s",
				Syscalls: []specs.LinuxSyscall{{Names: []string{"execve"}, Action: specs.ActNotify}}})(v)
		})
		l, err := net.Listen("unix", v.dir+"/s")
		must(t, err)
		defer l.Close()
		accepted := make(chan struct{})
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			oob := make([]byte, 64)
			_, n, _, _, _ := conn.(*net.UnixConn).ReadMsgUnix(make([]byte, 65536), oob)
			if msgs, err := unix.ParseSocketControlMessage(oob[:n]); err == nil && len(msgs) > 0 {
				if fds, err := unix.ParseUnixRights(&msgs[0]); err == nil {
					t.Cleanup(func() { unix.Close(fds[0]) })
				}
			}
			close(accepted)
			<-t.Context().Done()
		}()
		v.create().ok(t)
		w := v.wedged(call{args: []string{"start", v.id}}, func(*wedge) bool {
			select {
			case <-accepted:
				return true
			default:
				return false
			}
		})
		w.deleted()
	})
}

// TestWedgedNotify: a service manager that reads nothing and answers no barrier.
func TestWedgedNotify(t *testing.T) {
	v := newVictim(t, args("sh", "-c", "attack flood 0; exec sleep 1000"))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: v.dir + "/manager"}))
	w := v.wedged(call{args: append([]string{"run", "--detach"}, v.with("run")[1:]...), env: []string{"NOTIFY_SOCKET=" + v.dir + "/manager"}},
		func(*wedge) bool { n, err := unix.IoctlGetInt(fd, unix.TIOCINQ); return err == nil && n > 0 })
	v.forced(0, "")
	_ = w.cmd.Process.Kill() // it has no lock; the barrier is awaited for 30 seconds
}

// TestWedgedCriu: a CRIU that never answers.
func TestWedgedCriu(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"))
	mark := v.dir + "/criu-runs"
	v.file("criu", "#!/bin/sh\necho $$ >"+mark+".new; mv "+mark+".new "+mark+"; exec sleep 1000\n", 0o755)
	v.up()
	w := v.wedged(call{args: []string{"--criu", v.dir + "/criu", "checkpoint", "--image-path", v.dir + "/image", v.id}}, there(mark))
	w.deleted()
	v.ended(mark)
}

// TestWedgedUidmap: newuidmap that never ends, with an rt that is an ordinary user's.
func TestWedgedUidmap(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"), func(v *victim) {
		v.spec.Linux.CgroupsPath, v.spec.Linux.Resources = "", nil
		v.spec.Linux.Namespaces = append(v.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		v.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 54321, Size: 1}, {ContainerID: 1, HostID: 200000, Size: 100}}
		v.spec.Linux.GIDMappings = v.spec.Linux.UIDMappings
	})
	const uid = 54321
	for _, dir := range []string{v.dir, v.dir + "/root", v.dir + "/bundle", v.rootfs} {
		must(t, os.Chown(dir, uid, uid))
	}
	must(t, os.Chmod(v.dir+"/root", 0o700))
	mark := v.dir + "/uidmap-runs"
	v.file("bin/newuidmap", "#!/bin/sh\necho $$ >"+mark+".new; mv "+mark+".new "+mark+"; exec sleep 1000\n", 0o755)
	copyFile(t, v.dir+"/bin/newuidmap", v.dir+"/bin/newgidmap")
	v.file("user-rt", "#!/bin/sh\nPATH="+v.dir+"/bin:$PATH; export PATH; umask 022; exec setpriv --reuid "+strconv.Itoa(uid)+" --regid "+strconv.Itoa(uid)+
		" --clear-groups "+host.rt+" \"$@\"\n", 0o755)
	v.exe = v.dir + "/user-rt"
	w := v.wedged(call{args: v.with("create"), exe: v.exe}, there(mark))
	w.deleted()
	v.ended(mark)
}

// TestWedgedHolder: an rt that somebody has stopped while it has the lock; and a process that is no rt at all.
func TestWedgedHolder(t *testing.T) {
	t.Run("stopped", func(t *testing.T) {
		v := newVictim(t, args("sleep", "1000"))
		mark := v.dir + "/stopped"
		v.file("hook", "#!/bin/sh\nkill -STOP $PPID; touch "+mark+"\n", 0o755)
		v.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: v.dir + "/hook", Env: os.Environ()}}}
		v.write()
		v.wedged(call{args: v.with("create")}, there(mark)).deleted()
	})
	t.Run("another process", func(t *testing.T) {
		v := newVictim(t, args("sleep", "1000"))
		v.up()
		dir, err := os.Open(v.dir + "/root/" + v.id)
		must(t, err)
		must(t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
		v.forced(1, "process "+strconv.Itoa(os.Getpid())+" ")
		if os.Getenv("RT_WEDGED") != "" || host.full { // a verb that does not force waits for a minute
			if r := v.rt("pause", v.id); r.code != 1 || !strings.Contains(r.stderr, "process "+strconv.Itoa(os.Getpid())+" ") {
				t.Errorf("%s\nwant an error that names process %d", r, os.Getpid())
			}
		}
		dir.Close()
		v.forced(0, "")
	})
	t.Run("a process with the pid of one that had it", func(t *testing.T) {
		v := newVictim(t, args("sleep", "1000"))
		v.up()
		neighbour := exec.Command("sleep", "1000")
		must(t, neighbour.Start())
		t.Cleanup(func() { _ = neighbour.Process.Kill(); _ = neighbour.Wait() })
		var st unix.Stat_t
		must(t, unix.Stat("/proc/self/ns/pid", &st))
		text, err := json.Marshal(map[string]uint64{"pid": uint64(neighbour.Process.Pid), "start": 1, "pidNamespace": st.Ino,
			"helper": uint64(neighbour.Process.Pid), "helperStart": 1})
		must(t, err)
		v.file("root/"+v.id+"/holder", string(text), 0o600)
		dir, err := os.Open(v.dir + "/root/" + v.id)
		must(t, err)
		must(t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
		v.forced(1, "holds the lock")
		if !alive(neighbour.Process.Pid) {
			t.Errorf("a process was killed that has the pid of one that had the lock")
		}
		dir.Close()
		v.forced(0, "")
	})
}

// TestWedgedFiles: a hung file system under each path that rt or the container's process opens. What waits for a server that reads
// nothing can be killed; what waits for an answer cannot (state D): then delete --force says so, and the container stays.
func TestWedgedFiles(t *testing.T) {
	for _, answer := range []bool{false, true} {
		for name, c := range map[string]struct {
			edit func(v *victim, hung string)
			verb func(v *victim, hung string) []string // after create, or nil for create itself
		}{
			"bind source": {edit: func(v *victim, hung string) {
				v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: "/volume", Type: "bind", Source: hung + "/x", Options: []string{"bind"}})
			}},
			"rootfs": {edit: func(v *victim, hung string) { v.spec.Root.Path = hung + "/x" }},
			"working directory": {edit: func(v *victim, hung string) {
				v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: "/volume", Type: "bind", Source: hung, Options: []string{"bind"}})
				v.spec.Process.Cwd = "/volume/x"
			}},
			"mounts add": {verb: func(v *victim, hung string) []string {
				v.file("list.json", `[{"destination": "/tmp", "type": "bind", "source": "`+hung+`/x", "options": ["bind"]}]`, 0o644)
				return []string{"mounts", "add", v.id, v.dir + "/list.json"}
			}},
			"destination of mounts add": {edit: func(v *victim, hung string) {
				v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: "/volume", Type: "bind", Source: hung, Options: []string{"bind"}})
			}, verb: func(v *victim, hung string) []string {
				v.file("list.json", `[{"destination": "/volume/x", "type": "bind", "source": "`+v.outside+`/secret", "options": ["bind"]}]`, 0o644)
				return []string{"mounts", "add", v.id, v.dir + "/list.json"}
			}},
			"hook": {edit: func(v *victim, hung string) {
				v.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: hung + "/x"}}}
			}},
			"console socket": {edit: func(v *victim, hung string) { v.spec.Process.Terminal = true }},
		} {
			t.Run(fmt.Sprintf("%s, state D %v", name, answer), func(t *testing.T) {
				v := newVictim(t, args("sleep", "1000"))
				f := newHungFS(t, v.dir+"/hung", answer)
				if c.edit != nil {
					c.edit(v, v.dir+"/hung")
				}
				v.write()
				run := call{args: v.with("create")}
				if name == "console socket" {
					run.args = append([]string{"create", "--console-socket", v.dir + "/hung/x"}, v.with("create")[1:]...)
				}
				if c.verb != nil {
					v.up()
					run.args = c.verb(v, v.dir+"/hung")
				}
				w := v.wedged(run, func(w *wedge) bool { // another process of the host may have asked
					return f.asked() && (name == "rootfs" || there(v.dir+"/root/"+v.id+"/"+holderName)(w))
				})
				if name == "rootfs" { // which is opened before there is a container
					v.forced(0, "")
					f.end()
					<-w.done
					v.forced(0, "")
					return
				}
				if !answer {
					w.deleted()
					return
				}
				v.forced(1, "uninterruptible sleep")
				if _, err := os.Stat(v.dir + "/root/" + v.id); err != nil {
					t.Errorf("the record: %v", err)
				}
				f.end()
				eventually(t, "end of the verb", func() bool {
					select {
					case <-w.done:
						return true
					default:
						return false
					}
				})
				v.forced(0, "")
			})
		}
	}
}
