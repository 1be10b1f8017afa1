package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hook makes a hook that runs a shell script on the host, with the container's directory as $D.
func (c *container) hook(script string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin", "D=" + c.dir, "HOOK=set"}}
}

// hooks sets the hooks of the bundle.
func (c *container) hooks(h specs.Hooks) {
	c.t.Helper()
	c.spec.Hooks = &h
	c.write()
}

//lint:ignore SA1019 prestart is deprecated, and engines still use it
func setPrestart(all *specs.Hooks, hooks []specs.Hook) { all.Prestart = hooks }

// logging is a list of hooks that each add a word to the file log.
func (c *container) logging(words ...string) (hooks []specs.Hook) {
	for _, w := range words {
		hooks = append(hooks, c.hook("echo "+w+" >> $D/log"))
	}
	return hooks
}

// TestHookOrder: six kinds, each in the order of the list, around the container's own process.
func TestHookOrder(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("echo process >> /out/log; exec sleep 1000"))
	c.file("log", "", 0o666)
	mounted("/out", "bind", c.dir, "bind")(c.spec)
	start := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo startContainer >> /out/log"}}
	all := specs.Hooks{
		CreateRuntime:   c.logging("createRuntime1", "createRuntime2"),
		CreateContainer: c.logging("createContainer1", "createContainer2"),
		StartContainer:  []specs.Hook{start},
		Poststart:       c.logging("poststart1", "poststart2"),
		Poststop:        c.logging("poststop1", "poststop2"),
	}
	setPrestart(&all, c.logging("prestart1", "prestart2"))
	c.hooks(all)
	c.create().ok()
	created := "prestart1 prestart2 createRuntime1 createRuntime2 createContainer1 createContainer2"
	early := differs(t, "poststart hooks come after execve")
	if early {
		created += " poststart1 poststart2"
	}
	if got := strings.Join(strings.Fields(c.read("log")), " "); got != created {
		t.Fatalf("after create: %s", got)
	}
	c.start().ok()
	eventually(t, "the process", func() bool { return strings.Contains(c.read("log"), "process") })
	got := strings.Join(strings.Fields(c.read("log")), " ")
	if got != created+" startContainer process poststart1 poststart2" && !early {
		// The process runs as soon as it can: poststart is after execve, not after what the process does.
		if got != created+" startContainer poststart1 process poststart2" && got != created+" startContainer poststart1 poststart2 process" &&
			!differs(t, "poststart hooks wait for startContainer hooks") {
			t.Fatalf("after start: %s", got)
		}
	}
	c.stopped()
	c.delete().ok()
	if got := strings.Join(strings.Fields(c.read("log")), " "); !strings.HasSuffix(got, "poststop1 poststop2") {
		t.Fatalf("after delete: %s", got)
	}
}

// TestHookState: each kind gets the container's state on stdin, with its own status.
func TestHookState(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.must(os.Chmod(c.dir, 0o777|os.ModeSticky))
	mounted("/out", "bind", c.dir, "bind")(c.spec)
	save := func(kind string) []specs.Hook { return []specs.Hook{c.hook("cat > $D/state." + kind)} }
	c.spec.Annotations = map[string]string{"a.b": "c"}
	all := specs.Hooks{
		CreateRuntime: save("createRuntime"), CreateContainer: save("createContainer"),
		StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat > /out/new && mv /out/new /out/state.startContainer"}}},
		Poststart:      save("poststart"), Poststop: save("poststop"),
	}
	setPrestart(&all, save("prestart"))
	c.hooks(all)
	c.create().ok()
	pid := c.pid()
	c.start().ok()
	eventually(t, "the startContainer hook", func() bool { return exists(filepath.Join(c.dir, "state.startContainer")) })
	c.stopped()
	c.delete().ok()
	poststart := "running"
	if differs(t, "poststart hooks come after execve") {
		poststart = "created"
	}
	for kind, status := range map[string]string{
		"prestart": "creating", "createRuntime": "creating", "createContainer": "creating", "startContainer": "created", "poststart": poststart, "poststop": "stopped",
	} {
		var s specs.State
		if err := json.Unmarshal([]byte(c.read("state."+kind)), &s); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if string(s.Status) != status || s.ID != c.id || s.Bundle != c.bundle || !strings.HasPrefix(s.Version, "1.") || s.Annotations["a.b"] != "c" {
			t.Errorf("%s: %+v, want status %s", kind, s, status)
		}
		wantPid := pid
		if kind == "poststop" {
			wantPid = 0
		}
		if s.Pid == 1 && strings.HasSuffix(kind, "Container") {
			continue // in the container's pid namespace init is 1
		}
		if s.Pid != wantPid {
			t.Errorf("%s: pid %d, want %d", kind, s.Pid, wantPid)
		}
	}
}

// TestHookNamespaces: where each kind runs.
func TestHookNamespaces(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.must(os.Chmod(c.dir, 0o777|os.ModeSticky))
	mounted("/out", "bind", c.dir, "bind")(c.spec)
	save := func(kind, out string) string {
		return fmt.Sprintf("for n in mnt net uts ipc pid; do readlink /proc/self/ns/$n; done > %s/ns.%s", out, kind)
	}
	on := func(kind string) []specs.Hook { return []specs.Hook{c.hook(save(kind, c.dir))} }
	all := specs.Hooks{
		CreateRuntime: on("createRuntime"), CreateContainer: on("createContainer"),
		StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", save("startContainer", "/out")}}},
		Poststart:      on("poststart"), Poststop: on("poststop"),
	}
	setPrestart(&all, on("prestart"))
	c.hooks(all)
	c.up()
	inside := strings.Join([]string{c.ns("mnt"), c.ns("net"), c.ns("uts"), c.ns("ipc"), c.ns("pid")}, "\n")
	outside := strings.Join([]string{nsOf(t, "thread-self", "mnt"), nsOf(t, "thread-self", "net"), nsOf(t, "thread-self", "uts"), nsOf(t, "thread-self", "ipc"), nsOf(t, "thread-self", "pid")}, "\n")
	c.stopped()
	c.delete().ok()
	for kind, want := range map[string]string{
		"prestart": outside, "createRuntime": outside, "createContainer": inside, "startContainer": inside, "poststart": outside, "poststop": outside,
	} {
		if got := strings.TrimSpace(c.read("ns." + kind)); got != want {
			t.Errorf("%s ran in\n%s\nwant\n%s", kind, got, want)
		}
	}
}

// TestHookSeesContainer: prestart and createRuntime hooks find the new namespaces and the limits in place.
func TestHookSeesContainer(t *testing.T) {
	t.Parallel()
	limit := int64(64 << 20)
	c := newContainer(t, func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit} })
	file := "memory.limit_in_bytes"
	if onV2(t) {
		file = "memory.max"
	}
	script := `pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
readlink /proc/$pid/ns/net > $D/seen.net
cat ` + c.cgroup("memory") + `/` + file + ` > $D/seen.memory
cat ` + c.cgroup("memory") + `/cgroup.procs > $D/seen.procs; echo $pid > $D/seen.pid`
	c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{c.hook(script)}})
	c.create().ok()
	for file, want := range map[string]string{"seen.net": c.ns("net"), "seen.memory": "67108864", "seen.pid": pidText(c.pid())} {
		if got := strings.TrimSpace(c.read(file)); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	if !strings.Contains("\n"+c.read("seen.procs"), "\n"+pidText(c.pid())+"\n") {
		t.Errorf("the container was not in its cgroup: %q", c.read("seen.procs"))
	}
}

func TestHookEnvAndArgs(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	path := c.file("hook", "#!/bin/sh\n(echo \"$0 $1 $2\"; env) > "+c.dir+"/seen\n", 0o755)
	c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{{Path: path, Args: []string{"name", "one", "two words"}, Env: []string{"ONLY=this"}}}})
	c.do(call{args: c.with("create"), env: []string{"HOST_SECRET=1"}}).ok()
	seen := c.read("seen")
	if !strings.Contains(seen, "one two words\n") || !strings.Contains(seen, "ONLY=this") || strings.Contains(seen, "HOST_SECRET") {
		t.Errorf("the hook saw %q", seen)
	}
}

// TestPoststopOfRun: run deletes its container, and poststop runs once.
func TestPoststopOfRun(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("true"))
	c.hooks(specs.Hooks{Poststop: c.logging("poststop")})
	c.run().ok()
	if got := c.read("log"); got != "poststop\n" {
		t.Errorf("poststop: %q", got)
	}
}

// TestPoststartIsAfterExecve: the hook finds the user's program running (runc issue 4347).
func TestPoststartIsAfterExecve(t *testing.T) {
	t.Parallel()
	rtOnly(t, "poststart hooks wait for startContainer hooks")
	for range 5 {
		c := newContainer(t)
		c.hooks(specs.Hooks{Poststart: []specs.Hook{c.hook(`pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'); tr '\0' ' ' < /proc/$pid/cmdline > $D/cmdline`)}})
		c.up()
		if got := c.read("cmdline"); got != "sleep 1000 " {
			t.Errorf("the hook saw %q", got)
		}
	}
}

// TestHookEnvironment: what a hook without env, and one with an empty list, has for an environment.
func TestHookEnvironment(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{"no env": nil, "empty env": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, args("sleep", "1000"), func(s *specs.Spec) { s.Process.Env = []string{"PATH=/bin", "OF_PROCESS=1"} })
			c.must(os.Chmod(c.dir, 0o777|os.ModeSticky))
			mounted("/out", "bind", c.dir, "bind")(c.spec)
			hook := func(kind, dir string) []specs.Hook {
				process := "self" // which opens it before its execve
				if kind == "startContainer" {
					process = "$$"
				}
				script := "PATH=/bin:/usr/bin; cd " + dir + "; cat < /proc/" + process + "/environ > new." + kind + "; mv new." + kind + " env." + kind
				return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: env}}
			}
			seen := func(kind string) []string {
				return strings.Split(strings.TrimSuffix(c.read("env."+kind), "\x00"), "\x00")
			}
			all := specs.Hooks{CreateRuntime: hook("createRuntime", c.dir), CreateContainer: hook("createContainer", c.dir), StartContainer: hook("startContainer", "/out"),
				Poststart: hook("poststart", c.dir), Poststop: hook("poststop", c.dir)}
			setPrestart(&all, hook("prestart", c.dir))
			c.hooks(all)
			if env != nil { // omitempty would leave it out
				c.emptyEnvs()
			}
			c.do(call{args: c.with("create"), env: []string{"OF=create"}}).ok()
			c.do(call{args: []string{"start", c.id}, env: []string{"OF=start"}}).ok()
			eventually(t, "the hook", func() bool { return unix.Access(c.dir+"/env.startContainer", unix.F_OK) == nil })
			c.stopped()
			c.do(call{args: []string{"delete", c.id}, env: []string{"OF=delete"}}).ok()
			ofStart := "OF=start"
			if differs(t, "poststart hooks come after execve") {
				ofStart = "OF=create"
			}
			for kind, want := range map[string]string{"prestart": "OF=create", "createRuntime": "OF=create", "createContainer": "", "poststart": ofStart, "poststop": "OF=delete"} {
				got := seen(kind)
				if none := want == "" || env != nil; none && !slices.Equal(got, []string{""}) || !none && !slices.Contains(got, want) {
					t.Errorf("%s: %q, want %q", kind, got, want)
				}
			}
			if got := seen("startContainer"); !slices.Equal(got, []string{"PATH=/bin", "OF_PROCESS=1", "HOME=/root"}) {
				t.Errorf("startContainer: %q", got)
			}
		})
	}
}

// emptyEnvs gives each hook of config.json that has no env an empty one.
func (c *container) emptyEnvs() {
	c.t.Helper()
	path := filepath.Join(c.bundle, "config.json")
	data, err := os.ReadFile(path)
	c.must(err)
	var spec map[string]any
	c.must(json.Unmarshal(data, &spec))
	for _, list := range spec["hooks"].(map[string]any) {
		for _, h := range list.([]any) {
			if h := h.(map[string]any); h["env"] == nil {
				h["env"] = []string{}
			}
		}
	}
	data, err = json.Marshal(spec)
	c.must(err)
	c.must(os.WriteFile(path, data, 0o644))
}

// TestHookDirectory: the working directory of each kind of hook, which a relative path is below.
func TestHookDirectory(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("sleep", "1000"), writable, func(s *specs.Spec) { s.Process.Cwd = "/tmp" })
	c.must(os.Chmod(c.dir, 0o777|os.ModeSticky))
	mounted("/out", "bind", c.dir, "bind")(c.spec)
	hook := func(kind, dir string) []specs.Hook {
		script := "readlink /proc/self/cwd > " + dir + "/cwd." + kind + "; echo " + kind + " > of-" + kind
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin:/usr/bin"}}}
	}
	all := specs.Hooks{CreateRuntime: hook("createRuntime", c.dir), CreateContainer: hook("createContainer", c.dir), StartContainer: hook("startContainer", "/out"),
		Poststart: hook("poststart", c.dir), Poststop: hook("poststop", c.dir)}
	setPrestart(&all, hook("prestart", c.dir))
	c.hooks(all)
	for _, d := range []string{"create", "start", "delete", "run"} {
		c.must(os.Mkdir(filepath.Join(c.dir, d), 0o755))
	}
	early := differs(t, "the working directory of hooks")
	in := func(dir string, args ...string) {
		c.t.Helper()
		c.do(call{dir: filepath.Join(c.dir, dir), args: args}).ok()
	}
	check := func(want map[string]string) {
		t.Helper()
		for kind, dir := range want {
			if early && kind == "poststart" {
				dir = c.bundle
			}
			file := filepath.Join(dir, "of-"+kind)
			if kind == "startContainer" {
				file = filepath.Join(c.rootfs, file)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != kind+"\n" {
				t.Errorf("%s: %q, %v", kind, text, err)
			}
			_ = os.Remove(file)
			if got := strings.TrimSpace(c.read("cwd." + kind)); got != dir {
				t.Errorf("%s: in %s, want %s", kind, got, dir)
			}
		}
	}
	in("create", c.with("create")...)
	in("start", "start", c.id)
	eventually(t, "the hook", func() bool { return unix.Access(c.rootfs+"/tmp/of-startContainer", unix.F_OK) == nil })
	c.stopped()
	in("delete", "delete", c.id)
	check(map[string]string{"prestart": c.bundle, "createRuntime": c.bundle, "createContainer": c.rootfs, "startContainer": "/tmp",
		"poststart": filepath.Join(c.dir, "start"), "poststop": filepath.Join(c.dir, "delete")})
	c.spec.Process.Args = []string{"true"}
	c.write()
	in("run", c.with("run")...)
	check(map[string]string{"prestart": c.bundle, "createRuntime": c.bundle, "createContainer": c.rootfs, "startContainer": "/tmp", "poststart": c.bundle, "poststop": c.bundle})
}

// TestStartContainerEnv: a startContainer hook without an environment has the process's.
func TestStartContainerEnv(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, args("true"), func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "OF_PROCESS=1") })
	c.hooks(specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo $OF_PROCESS > /seen"}}}})
	c.run().ok()
	if got := c.read("b/rootfs/seen"); got != "1\n" {
		t.Errorf("OF_PROCESS=%q", got)
	}
}
