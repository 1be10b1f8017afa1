package integration

import (
	"encoding/json"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What runc's man pages, its --help and its docs say of a command, where no other test has it.

// TestDashesBehindID: `exec ID -- COMMAND` and `ps ID -- OPTION`, as in runc-exec(8): the -- ends the command's flags, once.
func TestDashesBehindID(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable).up()
	if differs(t, "any command: exec ID -- COMMAND") {
		c.rt("exec", c.id, "--", "echo", "a").exits(255)
		return
	}
	c.rt("exec", c.id, "--", "echo", "a", "--", "b").ok().prints("a -- b")
	c.rt("exec", "--cwd", "/tmp", c.id, "--", "pwd").ok().prints("/tmp")
	c.rt("exec", c.id, "--", "--", "echo").exits(255).says(`exec: "--": executable file not found in $PATH`)
	c.rt("exec", "--", c.id, "--", "echo").exits(255).says(`exec: "--": executable file not found in $PATH`)
	c.rt("exec", c.id, "--").exits(255).rtSays("args must not be empty")
	if got := c.rt("ps", c.id, "--", "-o", "pid,args").ok().stdout; strings.Count(got, "\n") != 2 || !strings.Contains(got, pidText(c.pid())) {
		t.Errorf("ps ID -- -o pid,args: %q", got)
	}
}

// TestExecNoNewPrivileges: the flag sets what the container's process has, both ways; without it that holds.
func TestExecNoNewPrivileges(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		c := newContainer(t, func(s *specs.Spec) { s.Process.NoNewPrivileges = own }).up()
		for flag, want := range map[string]bool{"": own, "--no-new-privs": true, "--no-new-privs=true": true, "--no-new-privs=false": false} {
			flags := strings.Fields(flag)
			c.execWith(flags, "grep", "NoNewPrivs", "/proc/self/status").ok().prints("NoNewPrivs:\t" + map[bool]string{true: "1", false: "0"}[want])
		}
		c.execWith([]string{"--no-new-privs=maybe"}, "true").fails()
	}
}

// TestExecProcessLeavesOut: what holds for a process whose process.json does not name it.
func TestExecProcessLeavesOut(t *testing.T) {
	t.Parallel()
	adj := 321
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.NoNewPrivileges, s.Process.OOMScoreAdj = true, &adj
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 78}}
	}).up()
	p := specs.Process{Cwd: "/", Env: []string{"PATH=/bin"}, Args: []string{"sh", "-c", "cat /proc/self/oom_score_adj; cat /proc/self/status; ulimit -n"}}
	data, err := json.Marshal(p)
	c.must(err)
	file := c.file("process.json", strings.Replace(string(data), `"user":`, `"x":`, 1), 0o644)
	got := c.execWith([]string{"--process", file}).ok().stdout
	lines := strings.Fields(got)
	if lines[0] != "321" {
		t.Errorf("oom_score_adj %s, want 321", lines[0])
	}
	caps, privileges, files := "0000000000000000", "1", "77"
	if differs(t, "exec: what process.json leaves out") {
		caps, privileges = "0000000020000420", "0"
		files = lines[len(lines)-1] // the caller's
	}
	if got := value(got, "CapEff"); got != caps {
		t.Errorf("CapEff %s, want %s", got, caps)
	}
	if got := value(got, "NoNewPrivs"); got != privileges {
		t.Errorf("NoNewPrivs %s, want %s", got, privileges)
	}
	if got := lines[len(lines)-1]; got != files {
		t.Errorf("RLIMIT_NOFILE %s, want %s", got, files)
	}
}

// TestExecCapabilityNames: a name in another case, and one without CAP_.
func TestExecCapabilityNames(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	own := value(c.exec("cat", "/proc/self/status").ok().stdout, "CapBnd")
	for _, name := range []string{"cap_net_raw", "NET_RAW", "Net_Raw"} {
		r := c.execWith([]string{"--cap", name}, "cat", "/proc/self/status").ok()
		want := "0000000020002420"
		if differs(t, "exec --cap: a name in another case") {
			want = own
			r.says(name)
		}
		if got := value(r.stdout, "CapBnd"); got != want {
			t.Errorf("--cap %s: CapBnd %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"CAP_NO_SUCH", "ALL", ""} { // a warning, and no more
		r := c.execWith([]string{"--cap", name}, "cat", "/proc/self/status").ok().says("capabilit")
		if got := value(r.stdout, "CapBnd"); got != own {
			t.Errorf("--cap %q: CapBnd %s, want %s", name, got, own)
		}
	}
}

// TestForegroundTerminalWithoutOne: a terminal for the process in the foreground, when the caller has none.
func TestForegroundTerminalWithoutOne(t *testing.T) {
	t.Parallel()
	without := func(c *container, args ...string) result {
		return c.do(call{prefix: []string{"setsid", "--wait"}, args: args})
	}
	c := newContainer(t, script("tty; exit 3"), func(s *specs.Spec) { s.Process.Terminal = true })
	other := newContainer(t).up()
	if differs(t, "a terminal in the foreground when the caller has none") {
		without(c, c.with("run")...).fails("/dev/tty")
		without(other, "exec", "--tty", other.id, "tty").exits(255).says("/dev/tty")
		return
	}
	without(c, c.with("run")...).exits(3).prints("/dev/pts/0\r")
	without(other, "exec", "--tty", other.id, "tty").ok().prints("/dev/pts/0\r")
}

// TestUpdateNull: null in the place of the resources.
func TestUpdateNull(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	file := c.file("r.json", "null", 0o644)
	if differs(t, "any input that is refused") {
		c.rt("update", "--resources", file, c.id).ok()
		return
	}
	c.rt("update", "--resources", file, c.id).fails("must be an object").oneError()
}
