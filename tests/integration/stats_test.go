package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A usage is what the tests look at of a line of stats.
type usage struct {
	ID                       string
	CPUPercent               float64
	MemoryUsage, MemoryLimit uint64
	Pids, PidsLimit          uint64
}

func (c *container) usages(args ...string) map[string]usage {
	c.t.Helper()
	all := map[string]usage{}
	for line := range strings.Lines(c.rt(append([]string{"stats", "--no-stream", "--format", "json"}, args...)...).ok().stdout) {
		var u usage
		c.must(json.Unmarshal([]byte(line), &u))
		all[u.ID] = u
	}
	return all
}

// TestStats: all containers that run, or those that are named.
func TestStats(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stats --interval")
	busy := newContainer(t, script("while :; do :; done"), limited(specs.LinuxResources{
		CPU: &specs.LinuxCPU{Quota: i64(5000), Period: u64(50000)}, Memory: &specs.LinuxMemory{Limit: i64(64 << 20)}, Pids: &specs.LinuxPids{Limit: i64(20)},
	})).up()
	idle, created, stopped := busy.sibling().up(), busy.sibling(), busy.sibling().up().stopped()
	created.create().ok()
	all := busy.usages()
	if _, there := all[stopped.id]; there || len(all) != 3 {
		t.Errorf("stats of all: %+v", all)
	}
	u := all[busy.id]
	// How much of an interval the loop gets is the machine's affair; usage TestPercent has the arithmetic.
	eventually(t, "an interval in which the loop runs", func() bool { u = busy.usages()[busy.id]; return u.CPUPercent > 0 })
	if most := float64(100 * runtime.NumCPU()); u.CPUPercent > most {
		t.Errorf("a busy loop uses %v%% of at most %v", u.CPUPercent, most)
	}
	if u.MemoryLimit != 64<<20 || u.MemoryUsage == 0 || u.MemoryUsage > 64<<20 || u.Pids != 1 || u.PidsLimit != 20 {
		t.Errorf("%+v", u)
	}
	eventually(t, "an interval in which the idle one does nothing", func() bool { return busy.usages(idle.id)[idle.id].CPUPercent == 0 })
	if u := all[idle.id]; u.PidsLimit != 0 && !underSystemd() /* DefaultTasksMax= */ || u.MemoryLimit < 128<<20 {
		t.Errorf("an idle one without limits: %+v", u)
	}
	if some := busy.usages(idle.id, created.id); len(some) != 2 || some[idle.id].ID == "" {
		t.Errorf("stats of two: %+v", some)
	}
	busy.rt("stats", "--no-stream", stopped.id).fails("container " + stopped.id + ": container not running").oneError()
	busy.rt("stats", "--no-stream", "rt-it-nobody").fails("container rt-it-nobody: container does not exist").oneError()
	lines := busy.rt("stats", "--no-stream").ok().lines()
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "ID ") {
		t.Errorf("table: %q", lines)
	}
}

// TestStatsStream: without a terminal one table follows the other; containers come and go.
func TestStatsStream(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stats --interval")
	c := newContainer(t).up()
	named := c.begin(call{args: []string{"stats", "--interval", "20ms", c.id}})
	all := c.begin(call{args: []string{"stats", "--interval", "20ms"}})
	eventually(t, "two tables", func() bool { return strings.Count(readAll(t, all.stdout), "ID ") > 1 })
	second := c.sibling().up()
	eventually(t, "a new container", func() bool { return strings.Contains(readAll(t, all.stdout), second.id) })
	second.delete("--force").ok()
	last := func() string {
		tables := strings.Split(readAll(t, all.stdout), "\n\n")
		return tables[max(len(tables)-2, 0)] // the last may not be complete
	}
	eventually(t, "its end", func() bool { return !strings.Contains(last(), second.id) })
	c.stopped()
	if r := named.wait().ok(); !strings.Contains(r.stdout, c.id) || r.stderr != "" {
		t.Errorf("named: %s", r)
	}
	eventually(t, "an empty table", func() bool { return !strings.Contains(last(), c.id) })
	c.must(all.cmd.Process.Signal(syscall.SIGTERM))
	all.wait().exits(128 + int(syscall.SIGTERM))
}

// TestStatsTerminal: the table stays in place, follows the terminal's size, and leaves it as it was.
func TestStatsTerminal(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stats --interval")
	for _, end := range []struct {
		keys string
		code int
	}{{"\x03", 0}, {"\x1c", 128 + int(syscall.SIGQUIT)}} {
		c := newContainer(t).up()
		term := openPty(t)
		term.resize(24, 150)
		before := termios(t, term)
		run := c.begin(call{args: []string{"stats"}, tty: term.slave, env: []string{"TERM=xterm"}})
		term.shows("\x1b[?1049h\x1b[?25l")
		term.shows("\x1b[HID ")
		term.shows("PSI-IO\x1b[K")
		term.shows("\n" + c.id + "       -  ") // not measured yet
		term.shows("\n" + c.id + "    0.00  ")
		term.resize(24, 60)
		c.must(run.cmd.Process.Signal(syscall.SIGWINCH)) // a pty says so to its foreground group only once it has one
		term.shows("PIDS\x1b[K")
		term.types("\x1a") // Ctrl-Z gives the terminal back until SIGCONT
		term.shows("\x1b[?25h\x1b[?1049l")
		// Continued before it has stopped, it would stop after all.
		eventually(t, "rt to stop", func() bool { return strings.HasPrefix(value(procFile(t, run.cmd.Process.Pid, "status"), "State"), "T") })
		c.must(run.cmd.Process.Signal(syscall.SIGCONT))
		eventually(t, "the table again", func() bool { return strings.Count(term.text(), "\x1b[?1049h") == 2 })
		term.types(end.keys)
		run.wait().exits(end.code)
		eventually(t, "the terminal back", func() bool { return strings.Count(term.text(), "\x1b[?25h\x1b[?1049l") == 2 })
		if after := termios(t, term); *after != *before {
			t.Errorf("the terminal's settings: %+v %+v", before, after)
		}
		if text := term.text(); strings.Count(text, "\x1b[2J") != 2 {
			t.Errorf("it flickers: %q", text)
		}
	}
}

// TestStatsTerminalGone: a terminal that hangs up ends it.
func TestStatsTerminalGone(t *testing.T) {
	t.Parallel()
	rtOnly(t, "stats --interval")
	c := newContainer(t).up()
	term := openPty(t)
	run := c.begin(call{args: []string{"stats", "--interval", "1h"}, tty: term.slave, env: []string{"TERM=xterm"}})
	term.shows(c.id)
	term.slave.Close()
	term.master.Close()
	if r := run.wait(); r.code == 0 {
		t.Errorf("%s", r)
	}
}

// TestTop: every process, and the cgroup below the container's that it is in.
func TestTop(t *testing.T) {
	t.Parallel()
	rtOnly(t, "top --format")
	c := newContainer(t, script("sleep 900 & exec sleep 901")).up()
	eventually(t, "two processes", func() bool { return len(c.rt("top", c.id).ok().lines()) == 3 })
	dir := "/sub"
	c.rt("exec", "--detach", c.id, "sleep", "902").ok()
	if onV2(t) {
		dir = "/"
	} else {
		c.must(os.MkdirAll(c.cgroup("pids")+dir, 0o755))
		c.execWith([]string{"--detach", "--cgroup", "pids:" + dir}, "sleep", "903").ok()
	}
	var list []struct {
		Pid, PPid, UID int
		User, Cgroup   string
		RSS            uint64
		Command        []string
	}
	c.must(json.Unmarshal([]byte(c.rt("top", "-f", "json", c.id).ok().stdout), &list))
	found := map[string]string{}
	for _, p := range list {
		found[strings.Join(p.Command, " ")] = fmt.Sprint(p.User, " ", p.Cgroup)
		if p.RSS == 0 || p.Pid == 0 || p.UID != os.Geteuid() {
			t.Errorf("%+v", p)
		}
	}
	user := strings.TrimSpace(host(t, "id", "-un"))
	want := map[string]string{"sleep 900": user + " /", "sleep 901": user + " /", "sleep 902": user + " /"}
	if !onV2(t) {
		want["sleep 903"] = user + " /sub"
	}
	if fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", found, want)
	}
	c.rt("top", "rt-it-nobody").fails("container does not exist").oneError()
}

// TestTopOfLongCommands: processes with a megabyte of arguments each cost rt and its caller a little of that. What rt takes hardly grows
// with their number.
func TestTopOfLongCommands(t *testing.T) {
	t.Parallel()
	rtOnly(t, "top --format")
	const count = 100
	// Each forked child has the arguments of its parent.
	long := strings.Repeat("x", 120_000)
	c := newContainer(t, script(fmt.Sprintf(`i=0; while [ $i -lt %d ]; do (while :; do sleep 1000; done) & i=$((i+1)); done; echo > /ready; wait`, count)), writable, func(s *specs.Spec) {
		for range 10 {
			s.Process.Args = append(s.Process.Args, long)
		}
	}).up()
	c.awaitFile("b/rootfs/ready")
	for _, verb := range [][]string{{"top", "--format", "json"}, {"top", "--format", "table"}, {"ps", "--format", "table"}} {
		out, peak := c.outputAndPeak(append(verb, c.id)...)
		if n := strings.Count(out, "while"); n < count && verb[0] == "top" {
			t.Errorf("%s: %d commands, want more than %d", verb, n, count)
		}
		if size := len(out); size > 2*count*4500 && verb[0] == "top" {
			t.Errorf("%s: %d bytes", verb, size)
		}
		if verb[2] == "json" && !strings.Contains(out, `"commandCut":true`) {
			t.Errorf("%s does not say that a command is cut", verb)
		}
		if peak > 40_000 {
			t.Errorf("%s took %d KiB, want less than 40,000", verb, peak)
		}
		t.Logf("%s: %d bytes, %d KiB", verb, len(out), peak)
	}
}

// outputAndPeak runs the runtime and returns what it prints, and the most memory that it has had (VmHWM) when nearly all of that was
// taken: it cannot end before.
func (c *container) outputAndPeak(args ...string) (out string, peak int) {
	c.t.Helper()
	cmd := exec.Command(machine.rt, append([]string{"--root", c.root}, args...)...)
	from, err := cmd.StdoutPipe()
	c.must(err)
	c.must(orphans.Start(cmd))
	hung := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer hung.Stop()
	var all strings.Builder
	for buf := make([]byte, 16<<10); err == nil; {
		var n int
		n, err = from.Read(buf)
		all.Write(buf[:n])
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // it may have ended
		if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
			var now int
			if _, err := fmt.Sscan(rest, &now); err == nil {
				peak = max(peak, now)
			}
		}
	}
	c.must(orphans.Wait(cmd))
	if peak == 0 {
		c.t.Errorf("%s: its memory was never seen", args)
	}
	return all.String(), peak
}
