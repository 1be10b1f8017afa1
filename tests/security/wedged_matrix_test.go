package security

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Each party that rt talks to hangs, with each verb: two tables, wedgedVerbs and wedgedParties, and all of their cells. A verb either
// ends by itself, or it is one that the party's row names as waiting. While it waits, the other verbs work: those that look at the
// container, kill, and every verb on another container of the same --root. Then `delete --force` ends in time, and leaves nothing.

// A world is a container that has to do with a hung party, and another that has not.
type world struct {
	*victim
	verb   string
	other  *victim // with a --root of its own, of which the files alone are used
	fs     *hungFS
	bundle string
	global []string            // before the verb, when the party hangs
	flags  map[string][]string // after the verb, when the party hangs
	env    []string            // when the party hangs
	rises  []string            // before the verb, always
	risen  []string            // environment, always
	prog   []string            // what exec runs
	asked  func() bool         // the party has been asked; nil: that cannot be seen
	hang   func()              // the party hangs from now on
	free   func()              // it hangs no more
	gone   []string            // more of what is to be gone with the container
}

// hung is a path in the hung file system.
func (w *world) hung() string { return w.fs.dir + "/x" }

// A wedgedVerb is a command line, and what it needs.
type wedgedVerb struct {
	name  string
	needs string // "", created, running, paused, stopped
	args  func(w *world) []string
	any   bool // its exit code says nothing here
}

func onID(verb ...string) func(*world) []string {
	return func(w *world) []string { return append(slices.Clone(verb), w.id) }
}

var wedgedVerbs = []wedgedVerb{
	{"create", "", func(w *world) []string { return []string{"create", "--bundle", w.bundle, w.id} }, false},
	{"run", "", func(w *world) []string { return []string{"run", "--detach", "--bundle", w.bundle, w.id} }, false},
	{"start", "created", onID("start"), false},
	{"exec", "running", func(w *world) []string { return append([]string{"exec", w.id}, w.prog...) }, false},
	{"kill", "running", func(w *world) []string { return []string{"kill", w.id, "CONT"} }, false},
	{"pause", "running", onID("pause"), false},
	{"resume", "paused", onID("resume"), false},
	{"update", "running", onID("update", "--pids-limit", "100", "--memory", "64M"), false},
	{"ps", "running", onID("ps"), false},
	{"top", "running", onID("top"), false},
	{"state", "running", onID("state"), false},
	{"list", "running", func(*world) []string { return []string{"list"} }, false},
	{"events", "running", onID("events", "--stats"), false},
	{"stats", "running", onID("stats", "--no-stream"), false},
	{"mounts add", "running", func(w *world) []string { return []string{"mounts", "add", w.id, w.dir + "/list.json"} }, false},
	{"mounts remove", "running", func(w *world) []string { return []string{"mounts", "remove", w.id, w.dir + "/list.json"} }, true},
	{"checkpoint", "running", onID("checkpoint"), true}, // there is no CRIU that works here
	{"restore", "", func(w *world) []string {
		return []string{"restore", "--detach", "--bundle", w.bundle, w.id}
	}, true},
	{"delete", "stopped", onID("delete"), false},
	{"doctor", "running", func(*world) []string { return []string{"doctor"} }, true},
}

// A wedgedParty is one that hangs.
type wedgedParty struct {
	name   string
	edit   func(w *world)
	waits  string // verbs that wait for it, separated by commas; the others end
	alone  string // those of them that have not taken the container's lock, and go on waiting when it is deleted
	fails  string // verbs that end with an error
	either string // verbs that may succeed, fail or wait
	stuck  bool   // processes can be left in state D, which delete --force then says
	holds  bool   // delete --force says who holds the lock
}

func (p *wedgedParty) names(list, verb string) bool {
	return slices.Contains(strings.Split(list, ", "), verb)
}

// TestWedgedMatrix: all parties with all verbs under RT_WEDGED, a part of them elsewhere.
func TestWedgedMatrix(t *testing.T) {
	only := os.Getenv("RT_WEDGED_ONLY") // a regular expression for "party/verb"
	n := 0
	for _, p := range wedgedParties() {
		for _, verb := range wedgedVerbs {
			waits := p.names(p.waits, verb.name)
			n++
			if only == "" && os.Getenv("RT_WEDGED") == "" && !host.full && n%47 != 0 {
				continue
			}
			if hit, err := regexp.MatchString(only, p.name+"/"+verb.name); err != nil || !hit {
				continue
			}
			t.Run(p.name+"/"+verb.name, func(t *testing.T) { p.meet(t, verb, false) })
			if waits {
				t.Run(p.name+"/"+verb.name+"/kill", func(t *testing.T) { p.meet(t, verb, true) })
			}
		}
	}
}

// newWorld makes both containers' files, and the second container.
func newWorld(t *testing.T, p *wedgedParty, verb string) *world {
	other := newVictim(t)
	other.file("list.json", `[{"destination": "/tmp/m", "type": "tmpfs", "source": "tmpfs"}]`, 0o644)
	other.file("remove.json", `[{"destination": "/tmp/m"}]`, 0o644)
	w := &world{victim: newVictim(t, args("sleep", "1000")), verb: verb, other: other, flags: map[string][]string{}, prog: []string{"true"}}
	w.bundle = w.dir + "/bundle"
	w.spec.Process.Env = append(w.spec.Process.Env, "TERM=dumb")
	w.file("images/descriptors.json", `["/dev/null","/dev/null","/dev/null"]`, 0o600)
	w.flag("checkpoint, restore", "--image-path", w.dir+"/images")
	w.file("list.json", `[{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]`, 0o644)
	must(t, os.MkdirAll(w.rootfs+"/volume", 0o755))
	p.edit(w)
	w.write()
	t.Cleanup(func() { w.neighbour("delete", "--force", other.id) })
	w.neighbour("create", "--bundle", other.dir+"/bundle", other.id).ok(t)
	w.neighbour("start", other.id).ok(t)
	return w
}

// neighbour is a verb on the other container, or on one more with its bundle.
func (w *world) neighbour(args ...string) result {
	w.t.Helper()
	return w.do(call{args: args})
}

// rise takes the container to what a verb needs, while the party answers.
func (w *world) rise(needs string) {
	w.t.Helper()
	run := func(args ...string) { w.do(call{args: append(slices.Clone(w.rises), args...), env: w.risen}).ok(w.t) }
	if needs != "" {
		run("create", "--bundle", w.dir+"/bundle", w.id)
	}
	switch needs {
	case "running", "paused", "stopped":
		run("start", w.id)
	}
	switch needs {
	case "paused":
		run("pause", w.id)
	case "stopped":
		w.victim.end()
	}
}

// command is a verb's command line with what makes it meet the party.
func (w *world) command(verb wedgedVerb) call {
	args := verb.args(w)
	at := 1 + strings.Count(verb.name, " ")
	args = slices.Insert(args, at, w.flags[verb.name]...)
	return call{args: append(slices.Clone(w.global), args...), env: w.env}
}

func (p *wedgedParty) meet(t *testing.T, verb wedgedVerb, kill bool) {
	w := newWorld(t, p, verb.name)
	w.rise(verb.needs)
	if w.hang != nil {
		w.hang()
	}
	began := time.Now()
	v := w.background(w.command(verb))
	waited := v.waits()
	t.Logf("waits %v, exit code %d after %v: %.300s", waited, v.code(), time.Since(began).Round(time.Millisecond), v.said())
	switch {
	case p.names(p.either, verb.name):
	case !p.names(p.waits, verb.name):
		v.ends(wedgedLimit)
		if code := v.code(); !verb.any && (code != 0) != p.names(p.fails, verb.name) {
			t.Errorf("%v: exit code %d: %s", v.cmd.Args, code, v.said())
		}
	case !waited:
		t.Errorf("%v: it does not wait, exit code %d: %s", v.cmd.Args, v.code(), v.said())
	case kill:
		w.quick(w.do(call{args: []string{"kill", w.id, "KILL"}}))
	default:
		w.othersWork()
	}
	w.away(p, v)
}

// othersWork: what others do in the meantime, with this container and with another one.
func (w *world) othersWork() {
	w.t.Helper()
	w.quick(w.neighbour("state", w.id))
	id, late := w.other.id, newVictim(w.t)
	defer w.neighbour("delete", "--force", late.id)
	for _, args := range [][]string{
		{"list"}, {"state", id}, {"exec", id, "true"}, {"pause", id}, {"resume", id}, {"update", "--pids-limit", "100", id}, {"ps", id}, {"top", id},
		{"events", "--stats", id}, {"stats", "--no-stream"}, {"mounts", "add", id, w.other.dir + "/list.json"}, {"mounts", "remove", id, w.other.dir + "/remove.json"},
		{"kill", id, "CONT"}, {"doctor"}, {"create", "--bundle", late.dir + "/bundle", late.id}, {"start", late.id}, {"delete", "--force", late.id},
	} {
		if r := w.quick(w.neighbour(args...)); r.code != 0 && args[0] != "doctor" {
			w.t.Errorf("meanwhile, on another container: %s", r)
		}
	}
}

// quick: a command has ended in time.
func (w *world) quick(r result) result {
	w.t.Helper()
	if r.took > wedgedLimit {
		w.t.Errorf("%s\nafter %v, want %v", r, r.took, wedgedLimit)
	}
	return r
}

// away: delete --force ends in time, and nothing is left. It meets the party, too.
func (w *world) away(p *wedgedParty, v *background) {
	w.t.Helper()
	force := call{args: append(slices.Clone(w.global), "delete", "--force", w.id), env: w.env}
	defer reapInside()()
	r := w.quick(w.do(force))
	if p.stuck || p.holds {
		if r.code != 0 && !w.saysWho(p, r) {
			w.t.Errorf("%s\nwant exit code 0, or an error that says which process is left", r)
		}
		if p.holds && r.code == 0 && v.waiting() {
			w.t.Errorf("%s\nwant an error that says which process holds the lock", r)
		}
		if r.code != 0 {
			if _, err := os.Stat(w.dir + "/root/" + w.id); err != nil {
				w.t.Errorf("the record: %v", err)
			}
			w.free()
			eventually(w.t, "deletion", func() bool { reap(); return w.do(force).code == 0 })
		}
	} else if r.code != 0 {
		w.t.Errorf("%s\nwant exit code 0", r)
	}
	if v.waiting() && (p.stuck || p.names(p.alone, w.verb)) {
		w.free()
	}
	v.ends(patience)
	if v.cmd.Args[len(v.cmd.Args)-1] == w.id { // it may have come after the deletion
		w.do(call{args: []string{"delete", "--force", w.id}})
	}
	eventually(w.t, "end of the stubs", func() bool { reap(); return len(stubsOfTest()) == 0 })
	for _, path := range append(w.gone, w.dir+"/root/"+w.id) {
		if _, err := os.Lstat(path); err == nil {
			w.t.Errorf("left behind: %s", path)
		}
	}
}

// reapInside reaps, until the function that it returns is called, the orphans of containers that this process has got, as a shim does; and
// no command of the test's own, which is in one pid namespace alone.
func reapInside() (stop func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
			entries, _ := filepath.Glob("/proc/[0-9]*/status")
			for _, file := range entries {
				text, _ := os.ReadFile(file)
				if !strings.Contains(string(text), "\nState:\tZ") || !strings.Contains(string(text), "\nPPid:\t"+strconv.Itoa(os.Getpid())+"\n") {
					continue
				}
				_, rest, _ := strings.Cut(string(text), "\nNSpid:")
				line, _, _ := strings.Cut(rest, "\n")
				if fields := strings.Fields(line); len(fields) > 1 {
					pid, _ := strconv.Atoi(fields[0])
					_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
				}
			}
		}
	}()
	return func() { close(over); <-done }
}

// stubsOfTest are processes that execute rt's stub and have been left to this process, which is a subreaper.
func stubsOfTest() (pids []int) {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range entries {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if exe, err := os.Readlink(dir + "/exe"); err != nil || !strings.HasPrefix(exe, "/memfd:rt-stub") {
			continue
		}
		stat, _ := os.ReadFile(dir + "/stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// saysWho: the error names a process, which is in state D, or holds the lock.
func (w *world) saysWho(p *wedgedParty, r result) bool {
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	for _, found := range regexp.MustCompile("process ([0-9]+)").FindAllStringSubmatch(lines[len(lines)-1], -1) { // before it are warnings
		pid, _ := strconv.Atoi(found[1])
		if p.holds && pid == os.Getpid() || p.stuck && strings.Contains(r.stderr, "uninterruptible sleep") && alive(pid) {
			return true
		}
	}
	return false
}

// A background is a verb that may wait.
type background struct {
	w    *world
	cmd  *exec.Cmd
	done chan struct{}
	text string // a file
}

func (w *world) background(c call) *background {
	w.t.Helper()
	cmd := exec.Command(host.rt, append([]string{"--root", w.dir + "/root"}, c.args...)...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	v := &background{w: w, cmd: cmd, done: make(chan struct{}), text: w.dir + "/background"}
	out, err := os.Create(v.text)
	must(w.t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	must(w.t, cmd.Start())
	go func() { _ = cmd.Wait(); close(v.done) }()
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if w.free != nil {
			w.free()
		}
		<-v.done
	})
	return v
}

func (v *background) said() string {
	text, _ := os.ReadFile(v.text)
	return string(text)
}

func (v *background) waiting() bool {
	select {
	case <-v.done:
		return false
	default:
		return true
	}
}

func (v *background) code() int {
	if v.waiting() {
		return -1
	}
	return v.cmd.ProcessState.ExitCode()
}

// waits returns when the verb has ended, or waits: the party has been asked, and the verb sleeps.
func (v *background) waits() bool {
	v.w.t.Helper()
	asked := v.w.asked == nil
	hangs := time.Now().Add(patience)
	for quiet, before := 0, ""; v.waiting() && quiet < 10; time.Sleep(20 * time.Millisecond) {
		asked = asked || v.w.asked()
		now := switches(v.cmd.Process.Pid)
		if quiet++; !asked || now != before && v.w.asked != nil {
			quiet = 0
		}
		before = now
		if time.Now().After(hangs) {
			v.w.t.Errorf("%v has not ended after %v, nor asked whom it is to wait for: %s", v.cmd.Args, patience, v.said())
			break
		}
	}
	return v.waiting()
}

// switches tells how often the threads of a process have been switched: it sleeps while that is the same.
func switches(pid int) (text string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(data), "\nvoluntary_ctxt_switches:")
		text += rest
	}
	return text
}

// ends: the verb ends within a time.
func (v *background) ends(limit time.Duration) {
	v.w.t.Helper()
	select {
	case <-v.done:
	case <-time.After(limit):
		v.w.t.Errorf("%v has not ended after %v: %s", v.cmd.Args, limit, v.said())
	}
}

// fuseParty is a file system that hangs, under a path that edit gives to rt: once as one that reads nothing, once as one that reads
// and does not answer (state D).
func fuseParty(name, waits, alone string, edit func(w *world)) (list []wedgedParty) {
	for _, takes := range []bool{false, true} {
		p := wedgedParty{name: name + ", killable", waits: waits, alone: alone}
		if takes {
			p.name, p.stuck = name+", state D", true
		}
		p.edit = func(w *world) {
			dir := w.dir + "/hung"
			if at, ok := strings.CutPrefix(name, "FUSE at rootfs"); ok {
				dir = w.rootfs + at
			}
			must(w.t, os.MkdirAll(dir, 0o755))
			w.fs = serveFS(w.t, dir, takes)
			w.asked, w.hang, w.free = w.fs.asked, w.fs.hold, w.fs.end
			edit(w)
		}
		list = append(list, p)
	}
	return list
}

func (w *world) mount(m specs.Mount) { w.spec.Mounts = append(w.spec.Mounts, m) }

// volume binds the hung file system at /volume.
func (w *world) volume() {
	w.mount(specs.Mount{Destination: "/volume", Type: "bind", Source: w.fs.dir, Options: []string{"bind"}})
}

// flag gives the verbs a flag each.
func (w *world) flag(verbs string, flags ...string) {
	for _, verb := range strings.Split(verbs, ", ") {
		w.flags[verb] = append(w.flags[verb], flags...)
	}
}

func wedgedParties() (list []wedgedParty) {
	add := func(p ...wedgedParty) { list = append(list, p...) }
	fuse := func(name, waits, alone string, edit func(w *world)) { add(fuseParty(name, waits, alone, edit)...) }

	fuse("FUSE bundle", "create, run, restore", "create, run, restore", func(w *world) {
		w.hang = func() { w.bundle = w.fs.dir; w.fs.hold() }
	})
	fuse("FUSE rootfs", "create, run, restore", "create, run, restore", func(w *world) {
		w.hang = func() { w.spec.Root.Path = w.hung(); w.write(); w.fs.hold() }
	})
	fuse("FUSE at rootfs/etc", "create, run, exec", "exec", func(w *world) {})
	fuse("FUSE at rootfs/volume", "create, run", "", func(w *world) {
		w.mount(specs.Mount{Destination: "/volume/x", Type: "bind", Source: w.outside + "/secret", Options: []string{"bind"}})
	})
	fuse("FUSE at rootfs/dev", "create, run", "", func(w *world) {
		w.hang = func() { without("/dev")(w.victim); w.write(); w.fs.hold() }
	})
	fuse("FUSE masked path", "create, run", "", func(w *world) {
		w.volume()
		w.spec.Linux.MaskedPaths = append(w.spec.Linux.MaskedPaths, "/volume/x")
	})
	fuse("FUSE program", "start, run, exec", "", func(w *world) {
		w.volume()
		if w.prog = []string{"/volume/x"}; w.verb == "start" || w.verb == "run" {
			w.spec.Process.Args = w.prog
		}
	})
	fuse("FUSE working directory", "create, run, exec", "", func(w *world) {
		w.volume()
		w.hang = func() { w.spec.Process.Cwd = "/volume/x"; w.write(); w.fs.hold() }
		w.flag("exec", "--cwd", "/volume/x")
	})
	fuse("FUSE bind source", "create, run", "", func(w *world) {
		w.mount(specs.Mount{Destination: "/volume", Type: "bind", Source: w.hung(), Options: []string{"bind"}})
		must(w.t, os.Remove(w.rootfs+"/volume"))
		w.file("bundle/rootfs/volume", "", 0o644)
	})
	fuse("FUSE bind source, user namespace", "create, run", "", func(w *world) {
		mapped(w.victim)
		w.mount(specs.Mount{Destination: "/volume", Type: "bind", Source: w.hung(), Options: []string{"bind"}})
		must(w.t, os.Remove(w.rootfs+"/volume"))
		w.file("bundle/rootfs/volume", "", 0o644)
	})
	fuse("FUSE source of mounts add, user namespace", "mounts add", "", func(w *world) {
		mapped(w.victim)
		w.file("list.json", `[{"destination": "/tmp", "type": "bind", "source": "`+w.hung()+`", "options": ["bind"]}]`, 0o644)
	})
	fuse("FUSE source of mounts add", "mounts add", "", func(w *world) {
		w.file("list.json", `[{"destination": "/tmp", "type": "bind", "source": "`+w.hung()+`", "options": ["bind"]}]`, 0o644)
	})
	fuse("FUSE destination of mounts add", "mounts add", "", func(w *world) {
		w.volume()
		w.file("list.json", `[{"destination": "/volume/x", "type": "bind", "source": "`+w.outside+`/secret", "options": ["bind"]}]`, 0o644)
	})
	fuse("FUSE list of mounts", "mounts add, mounts remove", "mounts add, mounts remove", func(w *world) {
		w.hang = func() {
			must(w.t, os.Remove(w.dir+"/list.json"))
			must(w.t, os.Symlink(w.hung(), w.dir+"/list.json"))
			w.fs.hold()
		}
	})
	fuse("FUSE pid file", "create, run, exec", "exec", func(w *world) { w.flag("create, run, exec", "--pid-file", w.hung()) })
	fuse("FUSE resources", "update", "update", func(w *world) { w.flag("update", "--resources", w.hung()) })
	fuse("FUSE console socket", "create, run, exec", "exec", func(w *world) {
		w.hang = func() { w.spec.Process.Terminal = true; w.write(); w.fs.hold() }
		w.flag("create, run", "--console-socket", w.hung())
		w.flag("exec", "--detach", "--tty", "--console-socket", w.hung())
	})
	fuse("FUSE pidfd socket", "create, run, exec", "exec", func(w *world) { w.flag("create, run, exec", "--pidfd-socket", w.hung()) })
	fuse("FUSE hook", "create, run", "", func(w *world) {
		w.hang = func() {
			w.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: w.hung()}}}
			w.write()
			w.fs.hold()
		}
	})
	fuse("FUSE namespace", "create, run", "", func(w *world) {
		w.hang = func() {
			for i := range w.spec.Linux.Namespaces {
				if w.spec.Linux.Namespaces[i].Type == specs.NetworkNamespace {
					w.spec.Linux.Namespaces[i].Path = w.hung()
				}
			}
			w.write()
			w.fs.hold()
		}
	})
	fuse("FUSE NOTIFY_SOCKET", "run", "run", func(w *world) {
		// It is asked when the container is ready, by an rt that has no lock: that waits on when the container has been deleted.
		w.spec.Process.Args = []string{"sh", "-c", `[ -z "$NOTIFY_SOCKET" ] || attack say dgram "$NOTIFY_SOCKET" READY=1; exec sleep 1000`}
		w.hang = func() { w.env = []string{"NOTIFY_SOCKET=" + w.hung()}; w.fs.hold() }
	})
	fuse("FUSE CRIU", "checkpoint, restore", "", func(w *world) { w.global = []string{"--criu", w.hung()} })
	fuse("FUSE images", "checkpoint, restore", "", func(w *world) {
		w.file("criu", "#!/bin/sh\nexit 1\n", 0o755)
		w.global = []string{"--criu", w.dir + "/criu"}
		delete(w.flags, "checkpoint")
		delete(w.flags, "restore")
		w.flag("checkpoint, restore", "--image-path", w.hung())
	})
	fuse("FUSE FIFO of exec", "exec", "exec", func(w *world) { w.flag("exec", "--exec-wait-fifo", w.hung()) })
	var all []string
	for _, verb := range wedgedVerbs {
		all = append(all, verb.name)
	}
	every := strings.Join(all, ", ") // opens its log before anything else, but for delete --force
	fuse("FUSE log", every, every, func(w *world) { w.global = []string{"--log", w.hung()} })
	return slices.Concat(list, cgroupParties(), peerParties(), busParties())
}
