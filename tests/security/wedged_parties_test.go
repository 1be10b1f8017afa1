package security

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"rt/tests/dbustest"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cgroupParties: who has the lock, and cgroups in which nothing goes on.
func cgroupParties() (list []wedgedParty) {
	add := func(p wedgedParty) { list = append(list, p) }
	add(wedgedParty{name: "lock", waits: "start, pause, resume, update, mounts add, mounts remove, checkpoint, delete", holds: true,
		edit: func(w *world) {
			var dir *os.File
			w.hang = func() {
				if _, err := os.Stat(w.dir + "/root/" + w.id); err != nil {
					return
				}
				var err error
				dir, err = os.Open(w.dir + "/root/" + w.id)
				must(w.t, err)
				must(w.t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
			}
			w.free = func() { dir.Close() }
		}})
	add(wedgedParty{name: "paused", fails: "start, exec, mounts add, mounts remove, pause", edit: func(w *world) {
		w.hang = func() { w.freezeIn("", "FROZEN", "1") }
	}})
	add(wedgedParty{name: "paused, exec that does not mind", waits: "exec", fails: "start, mounts add, mounts remove, pause", edit: func(w *world) {
		w.flag("exec", "--ignore-paused")
		w.hang = func() { w.freezeIn("", "FROZEN", "1") }
	}})
	add(wedgedParty{name: "frozen by itself, below", waits: "start", edit: func(w *world) {
		w.hang = func() {
			if pid := w.initPid(); pid != 0 {
				w.freezeBelow(pid)
			}
		}
	}})
	add(wedgedParty{name: "stopped init", fails: "start", edit: func(w *world) {
		w.hang = func() {
			if pid := w.initPid(); pid != 0 {
				must(w.t, unix.Kill(pid, unix.SIGSTOP))
				if w.verb != "resume" { // a paused process stops when it is resumed
					eventually(w.t, "stop of init", func() bool { return stateOf(pid) == "T" })
				}
			}
		}
	}})
	add(wedgedParty{name: "no more pids", either: "exec, mounts add", edit: func(w *world) {
		limit := int64(1)
		w.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
	}})
	add(wedgedParty{name: "no more memory", either: "exec, mounts add, mounts remove, update", edit: func(w *world) {
		if hostOnV2() {
			w.t.Skip("only cgroup v1 can have its processes wait for memory (memory.oom_control)")
		}
		limit, disabled := int64(8<<20), true
		w.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, DisableOOMKiller: &disabled}}
		w.spec.Process.Args = []string{"sh", "-c", "head -c 30000000 /dev/zero >/dev/full-memory & exec sleep 1000"}
		w.hang = func() {
			if w.initPid() == 0 || w.verb == "start" || w.verb == "resume" {
				return
			}
			eventually(w.t, "want of memory", func() bool {
				text, _ := os.ReadFile("/sys/fs/cgroup/memory/" + w.id + "/memory.failcnt")
				return len(text) > 0 && text[0] != '0'
			})
		}
	}})
	add(wedgedParty{name: "hardly any CPU", edit: func(w *world) {
		quota, period := int64(1000), uint64(1000000)
		w.spec.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}}
	}})
	return list
}

// initPid is the pid of a container that is there, or 0.
func (w *world) initPid() int {
	if _, err := os.Stat(w.dir + "/root/" + w.id); err != nil || w.verb == "delete" {
		return 0
	}
	return w.pid()
}

// freezeIn freezes the container's cgroup, or one below it.
func (w *world) freezeIn(below, v1, v2 string) {
	if w.initPid() == 0 {
		return
	}
	file, _, _ := freezer(w.t, w.spec.Linux.CgroupsPath+below)
	word := v1
	if strings.HasSuffix(file, "cgroup.freeze") {
		word = v2
	}
	must(w.t, os.WriteFile(file, []byte(word), 0))
}

// freezeBelow moves init into a cgroup below the container's, and freezes that.
func (w *world) freezeBelow(pid int) {
	top, _, _ := freezer(w.t, w.spec.Linux.CgroupsPath)
	dir := filepath.Dir(top) + "/below"
	must(w.t, os.Mkdir(dir, 0o755))
	must(w.t, os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0))
	w.freezeIn("/below", "FROZEN", "1")
}

// peerParties are programs and sockets.
func peerParties() (list []wedgedParty) {
	add := func(p wedgedParty) { list = append(list, p) }
	add(wedgedParty{name: "console socket", fails: "create, run, exec", edit: func(w *world) {
		w.fullBacklog(w.dir + "/s")
		w.hang = func() { w.spec.Process.Terminal = true; w.write() }
		w.flag("create, run", "--console-socket", w.dir+"/s")
		w.flag("exec", "--detach", "--tty", "--console-socket", w.dir+"/s")
	}})
	add(wedgedParty{name: "pidfd socket", fails: "create, run, exec", edit: func(w *world) {
		w.fullBacklog(w.dir + "/s")
		w.flag("create, run, exec", "--pidfd-socket", w.dir+"/s")
	}})
	add(wedgedParty{name: "agent with a full backlog", fails: "run, start, exec", edit: func(w *world) {
		filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: w.dir + "/s",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}})(w.victim)
		serving := w.agent(w.dir + "/s")
		w.hang = func() {
			serving.Close()
			_ = os.Remove(w.dir + "/s")
			w.fullBacklog(w.dir + "/s")
		}
	}})
	add(wedgedParty{name: "agent that does not answer", waits: "run, start, exec", edit: func(w *world) {
		filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: w.dir + "/s",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"execve"}, Action: specs.ActNotify}}})(w.victim)
		if w.verb != "start" && w.verb != "run" {
			w.spec.Linux.Seccomp.Syscalls[0].Names = []string{"mkdir"}
			w.prog = []string{"mkdir", "/tmp/x"}
		}
		w.agent(w.dir + "/s")
	}})
	add(wedgedParty{name: "NOTIFY_SOCKET", waits: "start, run", alone: "start, run", edit: func(w *world) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		must(w.t, err)
		w.t.Cleanup(func() { unix.Close(fd) })
		must(w.t, unix.Bind(fd, &unix.SockaddrUnix{Name: w.dir + "/manager"}))
		w.risen = []string{"NOTIFY_SOCKET=" + w.dir + "/manager"}
		w.hang = func() { w.env = w.risen }
		if w.verb != "start" {
			w.risen = nil
			w.hang = func() { w.env = []string{"NOTIFY_SOCKET=" + w.dir + "/manager"} }
		}
		w.free = func() {}
	}})
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		waits := "create, run"
		switch kind {
		case "startContainer", "poststart":
			waits = "start, run"
		case "poststop":
			continue // delete's own hooks have their own timeout
		}
		add(wedgedParty{name: "hook " + kind, waits: waits, edit: func(w *world) { w.hook(kind) }})
	}
	add(wedgedParty{name: "CRIU", waits: "checkpoint, restore", edit: func(w *world) {
		mark := w.dir + "/criu-runs"
		w.file("criu", "#!/bin/sh\ntouch "+mark+"; exec sleep 1000\n", 0o755)
		w.asked = func() bool { return there(mark)(nil) }
		w.global = []string{"--criu", w.dir + "/criu"}
	}})
	return list
}

// hook gives the container a hook that never ends, once it is to hang. Those of start are in the configuration that create copies.
func (w *world) hook(kind string) {
	mark, program := w.dir+"/hook-runs", w.dir+"/hook"
	w.file("hook", "#!/bin/sh\ntest -e "+w.dir+"/hangs || exit 0; sleep 1000 & touch "+mark+"; wait; sleep 1000\n", 0o755)
	if kind == "startContainer" { // the image's
		mark, program = w.rootfs+"/hook-runs", "/bin/hook"
		w.file("bundle/rootfs/bin/hook", "#!/bin/sh\ntest -e /hangs || exit 0; sleep 1000 & touch /hook-runs; wait; sleep 1000\n", 0o755)
	}
	hook := []specs.Hook{{Path: program, Env: []string{"PATH=/bin:/usr/bin"}}}
	w.spec.Hooks = map[string]*specs.Hooks{"prestart": {Prestart: hook}, "createRuntime": {CreateRuntime: hook}, "createContainer": {CreateContainer: hook},
		"startContainer": {StartContainer: hook}, "poststart": {Poststart: hook}}[kind]
	w.asked = func() bool { return there(mark)(nil) }
	w.hang = func() { w.file("hangs", "", 0o644); w.file("bundle/rootfs/hangs", "", 0o644) }
}

// agent takes seccomp listeners, and never looks at them.
func (w *world) agent(path string) net.Listener {
	l, err := net.Listen("unix", path)
	must(w.t, err)
	var fds []int
	var conns []net.Conn
	var mu sync.Mutex
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			oob := make([]byte, 64)
			_, n, _, _, _ := conn.(*net.UnixConn).ReadMsgUnix(make([]byte, 65536), oob)
			msgs, _ := unix.ParseSocketControlMessage(oob[:n])
			mu.Lock()
			conns = append(conns, conn)
			for i := range msgs {
				rights, _ := unix.ParseUnixRights(&msgs[i])
				fds = append(fds, rights...)
			}
			mu.Unlock()
		}
	}()
	w.t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, fd := range fds {
			unix.Close(fd)
		}
		for _, conn := range conns {
			conn.Close()
		}
	})
	return l
}

// busParties are systemd's bus, for a container that a systemd has made which answered: a fake one, on a host with v1's name=systemd.
func busParties() (list []wedgedParty) {
	for name, serve := range map[string]func(net.Conn){
		"says nothing":                  func(net.Conn) {},
		"says half a line":              func(c net.Conn) { _, _ = io.WriteString(c, "DATA\r\nO") },
		"says half a message":           func(c net.Conn) { _, _ = c.Write(append([]byte(hello), signal(100)[:50]...)) },
		"floods with signals":           func(c net.Conn) { flood(c, signal(60000)) },
		"floods with replies to others": func(c net.Conn) { flood(c, reply(60000)) },
		"floods with lines":             func(c net.Conn) { _, _ = io.WriteString(c, "DATA\r\n"); flood(c, []byte(strings.Repeat("x", 4096))) },
		"reads nothing":                 nil,
	} {
		p := wedgedParty{name: "bus that " + name, waits: "create, run, update, delete, restore"}
		if name == "floods with lines" { // which end the conversation
			p.waits, p.fails = "", "create, run, update"
		}
		p.edit = func(w *world) {
			w.systemd()
			bus := w.dir + "/bus"
			if serve == nil {
				w.fullBacklog(bus)
			} else {
				w.peer(bus, serve)
			}
			w.global, w.env = []string{"--systemd-cgroup"}, []string{"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + bus}
		}
		list = append(list, p)
	}
	return list
}

const hello = "DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n"

func flood(c net.Conn, message []byte) {
	_, err := io.WriteString(c, hello)
	for err == nil {
		_, err = c.Write(message)
	}
}

// signal and reply are D-Bus messages that a client has to read and does not wait for.
func signal(size int) []byte { return busMessage(4, size) }
func reply(size int) []byte  { return busMessage(2, size) }

func busMessage(kind byte, size int) []byte {
	fields := []byte{3, 1, 's', 0, 4, 0, 0, 0, 'N', 'o', 'n', 'e', 0}
	if kind == 2 {
		fields = []byte{5, 1, 'u', 0, 0x39, 0x30, 0, 0}
	}
	b := []byte{'l', kind, 0, 1}
	for _, n := range []int{size, 7, len(fields)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	b = append(b, fields...)
	return append(b, make([]byte, (8-len(b)%8)%8+size)...)
}

// peer serves each connection at a socket until the test ends.
func (w *world) peer(path string, serve func(net.Conn)) {
	l, err := net.Listen("unix", path)
	must(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.t.Cleanup(func() { conn.Close() })
			go serve(conn)
		}
	}()
}

// systemd gives the container a scope, by a systemd that makes scopes in its own hierarchy.
func (w *world) systemd() {
	const hierarchy = "/sys/fs/cgroup/systemd"
	if _, err := os.Stat("/run/systemd/system"); err == nil || unix.Access(hierarchy+"/cgroup.procs", unix.F_OK) != nil {
		w.t.Skip("the fake systemd is for hosts with cgroup v1's name=systemd and without systemd")
	}
	unit := "rt-" + w.id + ".scope"
	w.spec.Linux.CgroupsPath = "rtsec.slice:rt:" + w.id
	dir := hierarchy + "/rtsec.slice/" + unit
	server := dbustest.Serve(w.t, func(c dbustest.Call) []dbustest.Answer { return fakeScope(c, unit, dir) })
	w.rises, w.risen = []string{"--systemd-cgroup"}, []string{"DBUS_SYSTEM_BUS_ADDRESS=" + server.Address}
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*")
	for _, mount := range dirs {
		w.gone = append(w.gone, mount+"/rtsec.slice/"+unit)
	}
	w.t.Cleanup(func() {
		for _, mount := range dirs {
			_ = os.Remove(mount + "/rtsec.slice")
		}
	})
}

func fakeScope(call dbustest.Call, unit, dir string) []dbustest.Answer {
	done := []dbustest.Answer{{Values: []any{dbustest.Path("/job/1")}},
		{Signal: "JobRemoved", Values: []any{uint32(1), dbustest.Path("/job/1"), unit, "done"}}}
	_, missing := os.Stat(dir)
	switch call.Member {
	case "Get":
		return []dbustest.Answer{{Values: []any{dbustest.Variant("")}}}
	case "GetUnit", "StopUnit":
		if missing != nil {
			return []dbustest.Answer{{Error: "org.freedesktop.systemd1.NoSuchUnit", Values: []any{"not loaded"}}}
		}
		if call.Member == "StopUnit" {
			_ = os.Remove(dir)
			return done
		}
		return []dbustest.Answer{{Values: []any{dbustest.Path("/unit")}}}
	case "StartTransientUnit":
		_, rest, _ := strings.Cut(string(call.Body), "PIDs\x00\x02au\x00")
		at := (len(call.Body) - len(rest) + 3) / 4 * 4
		pid := strconv.Itoa(int(binary.LittleEndian.Uint32(call.Body[at+4:])))
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(dir+"/cgroup.procs", []byte(pid), 0)
		}
		if err != nil {
			return []dbustest.Answer{{Error: "org.freedesktop.DBus.Error.Failed", Values: []any{err.Error()}}}
		}
		return done
	}
	return []dbustest.Answer{{}}
}
