package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// statusOf is a field of a process's status, "" when there is no such process.
func statusOf(pid int, field string) string {
	data, err := os.ReadFile("/proc/" + pidText(pid) + "/status")
	if err != nil {
		return ""
	}
	return value(string(data), field)
}

// children are those of the container's first process, zombies too, by name and state: "sleep Z".
func (c *container) children() (list []string) {
	c.t.Helper()
	first := pidText(c.pid())
	for _, text := range strings.Fields(readAllOf(c.t, "/proc/"+first+"/task/"+first+"/children")) {
		pid, _ := strconv.Atoi(text)
		if state := statusOf(pid, "State"); state != "" {
			list = append(list, statusOf(pid, "Name")+" "+state[:1])
		}
	}
	return list
}

// A program that starts daemons and never waits for them (the shell would), and that has no handler for SIGTERM.
const careless = "(sleep 0.3 & ); (sleep 0.3 & ); echo >/started; exec sleep 1000"

func TestInitReaps(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	for _, with := range []bool{false, true} {
		t.Run(strconv.FormatBool(with), func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, script(careless), writable)
			if with {
				c.up("--init")
			} else {
				c.up()
			}
			c.awaitPath("b/rootfs/started")
			zombies := func() int { return strings.Count(strings.Join(c.children(), "\n"), "sleep Z") }
			if with {
				eventually(t, "only the program", func() bool { return strings.Join(c.children(), ",") == "sleep S" })
			} else {
				eventually(t, "two zombies", func() bool { return zombies() == 2 })
			}
			c.kill("TERM").ok()
			if with {
				c.awaitStatus("stopped")
				return
			}
			c.exec("true").ok() // a signal that the kernel has dropped leaves no trace: the container has to work on
			if got := c.status(); got != "running" {
				t.Errorf("without an init SIGTERM was not ignored: %s", got)
			}
		})
	}
}

func TestInitStatus(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	for text, want := range map[string]int{
		"exit 0": 0, "exit 77": 77, "kill -9 $$": 137, "kill -TERM $$": 143, "sleep 1000 & exit 3": 3, "(exit 5) & wait $!": 5,
	} {
		newContainer(t, script(text)).run("--init").exits(want)
	}
	c := newContainer(t, args("/no/such/program"))
	c.run("--init").fails("/no/such/program", "no such file or directory").oneError()
	c.file("b/rootfs/bad", "\x7fELF rubbish", 0o755)
	args("/bad")(c.spec)
	c.write()
	r := c.run("--init").exits(255)
	wantLine(t, r.stderr, "/bad", "exec format error")
	c.create("--init").ok()
	c.start().ok()
	c.awaitStatus("stopped")
}

// TestInitSignals: what is sent to the container reaches the program, real-time signals too.
func TestInitSignals(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	for _, sig := range []string{"HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "CONT", "TSTP", "TTIN", "TTOU", "34", "40", "64"} {
		t.Run(sig, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, writable, script("trap 'echo got >/signal; exit 9' "+sig+"; echo >/started; while :; do sleep 0.02; done"))
			c.up("--init")
			c.awaitPath("b/rootfs/started")
			c.kill(sig).ok()
			c.awaitPath("b/rootfs/signal")
			c.awaitStatus("stopped")
		})
	}
	c := newContainer(t).up("--init")
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
}

// TestInitPrivileges: init is the user with the one capability to signal whatever the program turns into; the program has
// what was configured.
func TestInitPrivileges(t *testing.T) {
	needRoot(t, "ids outside are as inside")
	t.Parallel()
	rtOnly(t, "create --init")
	c := newContainer(t, func(s *specs.Spec) {
		s.Annotations = map[string]string{"io.rt.init": "true"}
		s.Process.NoNewPrivileges = false
		s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5}}
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"swapon"}, Action: specs.ActErrno}}}
	}).up()
	init := c.pid()
	for field, want := range map[string]string{
		"Uid": "1000\t1000\t1000\t1000", "Gid": "1001\t1001\t1001\t1001", "Groups": "5", "NoNewPrivs": "1", "Name": "rt:[init]",
		"CapEff": "0000000000000020", "CapPrm": "0000000000000020", "CapInh": "0000000000000000",
		"CapAmb": "0000000000000000", "Threads": "1",
	} {
		if have := statusOf(init, field); have != want {
			t.Errorf("%s of init: %q, wanted %q", field, have, want)
		}
	}
	rss, _, _ := strings.Cut(statusOf(init, "VmRSS"), " ")
	if kib, err := strconv.Atoi(rss); err != nil || kib > 500 {
		t.Errorf("init has %s KiB in memory", rss)
	}
	if fds, err := os.ReadDir("/proc/" + pidText(init) + "/fd"); err != nil || len(fds) > 0 {
		t.Errorf("init has descriptors open: %v, %v", fds, err)
	}
	if got := c.exec("ps", "-o", "pid,comm").ok().lines(); len(got) < 3 || strings.Fields(got[2])[0] != "2" || strings.Fields(got[2])[1] != "sleep" {
		t.Errorf("ps: %q", got)
	}
	program := c.exec("cat", "/proc/2/status").ok().stdout
	for field, want := range map[string]string{"Uid": "1000\t1000\t1000\t1000", "NoNewPrivs": "0", "Seccomp": "2", "SigBlk": "0000000000000000", "SigIgn": "0000000000000000"} {
		if have := value(program, field); have != want {
			t.Errorf("%s of the program: %q, wanted %q", field, have, want)
		}
	}
	if bounding := value(program, "CapBnd"); bounding == "0000000000000000" || bounding != statusOf(init, "CapBnd") {
		t.Errorf("bounding set of the program %s, of init %s", bounding, statusOf(init, "CapBnd"))
	}
	if have := statusOf(init, "Seccomp"); have != "2" {
		t.Errorf("Seccomp of init: %s", have)
	}
	// The rest of the commands work on such a container.
	c.rt("pause", c.id).ok()
	c.awaitStatus("paused")
	c.rt("resume", c.id).ok()
	if got := strings.Count(c.rt("ps", "--format", "json", c.id).ok().stdout, ",") + 1; got != 2 {
		t.Errorf("ps lists %d processes", got)
	}
}

// TestInitExecutable: the first process runs from a sealed copy in memory.
func TestInitExecutable(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	c := newContainer(t, capable("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN", "CAP_KILL")).up("--init")
	if exe, err := os.Readlink("/proc/" + pidText(c.pid()) + "/exe"); err != nil || exe != "/memfd:rt-stub (deleted)" {
		t.Errorf("init runs from %s, %v", exe, err)
	}
	before := readAllOf(t, "/proc/"+pidText(c.pid())+"/exe")
	for _, attack := range []string{"echo x >/proc/1/exe", "exec 5</proc/1/exe; echo x >/proc/self/fd/5", "exec 5<>/proc/1/exe"} {
		if r := c.exec("sh", "-c", attack); r.code == 0 {
			t.Errorf("%s worked", attack)
		}
	}
	if readAllOf(t, "/proc/"+pidText(c.pid())+"/exe") != before {
		t.Error("it has been changed")
	}
	if !strings.HasPrefix(before, "\x7fELF") || len(before) > 100<<10 {
		t.Errorf("%d bytes are not the stub", len(before))
	}
}

func readAllOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestInitWithoutPidNamespace: there is no first process then, and orphans come to it all the same.
func TestInitWithoutPidNamespace(t *testing.T) {
	needRoot(t, "/proc of the host's processes is mounted")
	t.Parallel()
	rtOnly(t, "create --init")
	c := newContainer(t, script(careless), writable, func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[1:] })
	c.up("--init")
	c.awaitPath("b/rootfs/started")
	eventually(t, "only the program", func() bool { return strings.Join(c.children(), ",") == "sleep S" })
	c.kill("TERM").ok()
	c.awaitStatus("stopped")
}

// TestInitTerminal: the program has the terminal, with job control.
func TestInitTerminal(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	c := newContainer(t, func(s *specs.Spec) { s.Process.Terminal = true },
		script(`set -- $(cat /proc/self/stat); test $5 = $8 && test $5 != 1 && echo in the foreground; trap 'echo; echo key; exit 4' INT; echo ready; while :; do sleep 0.02; done`))
	term := openPty(t)
	r := c.begin(call{args: c.with("run", "--init"), tty: term.slave})
	term.shows("in the foreground")
	term.shows("ready")
	term.types("\x03")
	term.shows("key")
	r.wait().exits(4)
}

func TestInitAnnotation(t *testing.T) {
	t.Parallel()
	rtOnly(t, "create --init")
	annotated := func(v string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Annotations = map[string]string{"io.rt.init": v} }
	}
	newContainer(t, annotated("yes")).create().fails(`/annotations/io.rt.init: "yes" is neither true nor false`).oneError()
	c := newContainer(t, annotated("false")).up()
	if name := statusOf(c.pid(), "Name"); name != "sleep" {
		t.Errorf("the first process is %s", name)
	}
}
