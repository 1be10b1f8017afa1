package integration

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// An event is what the tests look at of a line of events.
type event struct {
	Type, ID string
	Data     struct {
		CPU struct {
			Usage      struct{ Total, Kernel, User uint64 }
			Throttling struct{ Periods, ThrottledPeriods, ThrottledTime uint64 }
		}
		Memory struct {
			Usage struct{ Limit, Usage, Max uint64 }
			Raw   map[string]uint64
		}
		Pids struct{ Current, Limit uint64 }
	}
}

func parseEvents(t *testing.T, text string) (list []event) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			if !strings.HasSuffix(line, "\n") {
				break // it is being written
			}
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, e)
	}
	return list
}

// now is `events --stats`.
func (c *container) now() event {
	c.t.Helper()
	list := parseEvents(c.t, c.rt("events", "--stats", c.id).ok().stdout)
	if len(list) != 1 || list[0].Type != "stats" || list[0].ID != c.id {
		c.t.Fatalf("events --stats: %+v", list)
	}
	return list[0]
}

// cpuCounts are the kernel's own, which only grow: nanoseconds used, periods of the quota, and those that it was used up in.
func (c *container) cpuCounts() (total, periods, throttled uint64) {
	c.t.Helper()
	stat := c.limitPath("cpu", "cpu.stat", "cpu.stat")
	if onV2(c.t) {
		total = uint64(c.number(stat, "usage_usec")) * 1000
	} else {
		total = uint64(c.number(c.limitPath("cpuacct", "cpuacct.usage", ""), ""))
	}
	return total, uint64(c.number(stat, "nr_periods")), uint64(c.number(stat, "nr_throttled"))
}

// TestEventsStats: a busy loop under a quota uses it up, and events have what the kernel counted when they looked.
func TestEventsStats(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("while :; do :; done"), limited(specs.LinuxResources{
		CPU: &specs.LinuxCPU{Quota: i64(5000), Period: u64(100000)}, Pids: &specs.LinuxPids{Limit: i64(33)},
		Memory: &specs.LinuxMemory{Limit: i64(64 << 20)},
	})).up()
	var second event
	eventually(t, "the quota to be used up, and time in user mode and page faults to be counted", func() bool {
		total, periods, throttled := c.cpuCounts()
		second = c.now()
		totalAfter, periodsAfter, throttledAfter := c.cpuCounts()
		cpu := second.Data.CPU
		for _, x := range []struct {
			what             string
			least, got, most uint64
		}{{"usage", total, cpu.Usage.Total, totalAfter}, {"periods", periods, cpu.Throttling.Periods, periodsAfter},
			{"throttled periods", throttled, cpu.Throttling.ThrottledPeriods, throttledAfter}} {
			if x.got < x.least || x.got > x.most {
				t.Fatalf("%s: %d, and the kernel has %d before and %d after", x.what, x.got, x.least, x.most)
			}
		}
		// The kernel brings memory.stat up to date every two seconds.
		return cpu.Throttling.ThrottledPeriods > 0 && cpu.Throttling.ThrottledTime > 0 && cpu.Usage.User > 0 && second.Data.Memory.Raw["pgfault"] > 0
	})
	d := second.Data
	if d.CPU.Throttling.Periods < d.CPU.Throttling.ThrottledPeriods {
		t.Errorf("throttling %+v", d.CPU.Throttling)
	}
	if m := d.Memory; m.Usage.Limit != 64<<20 || m.Usage.Usage == 0 || m.Usage.Max != 0 && m.Usage.Max < m.Usage.Usage {
		t.Errorf("memory %+v", m)
	}
	if d.Pids.Limit != 33 || d.Pids.Current != 1 {
		t.Errorf("pids %+v", d.Pids)
	}
}

// TestPressure: what keeps a container from running is told by events, in runc's layout, and by stats.
func TestPressure(t *testing.T) {
	needV2(t)
	t.Parallel()
	c := newContainer(t, script("while :; do :; done"), limited(specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: i64(5000), Period: u64(100000)}})).up()
	if _, err := os.ReadFile(filepath.Join(c.cgroup(""), "cpu.pressure")); errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, os.ErrNotExist) {
		t.Skipf("this kernel measures no pressure: %v", err)
	}
	type pressure struct {
		Avg10 float64
		Total uint64
	}
	var e struct {
		Data struct {
			CPU, Memory, Blkio struct {
				PSI *struct{ Some, Full *pressure }
			}
		}
	}
	eventually(t, "pressure on a loop that may run one time in twenty", func() bool {
		c.must(json.Unmarshal([]byte(c.rt("events", "--stats", c.id).ok().stdout), &e))
		psi := e.Data.CPU.PSI
		return psi != nil && psi.Some.Avg10 > 1 && psi.Some.Total > 0 && psi.Full.Total > 0
	})
	if m, io := e.Data.Memory.PSI, e.Data.Blkio.PSI; m == nil || m.Some == nil || m.Full == nil || io == nil || io.Some == nil || io.Full == nil {
		t.Errorf("pressure on memory %+v and io %+v", m, io)
	}
	var line struct{ Pressure *struct{ CPU float64 } }
	c.must(json.Unmarshal([]byte(c.rt("stats", "--no-stream", "--format", "json", c.id).ok().stdout), &line))
	if line.Pressure == nil || line.Pressure.CPU <= 0 {
		t.Errorf("stats: %+v", line.Pressure)
	}
}

// TestEventsStream: statistics come at their pace, and end with the container.
func TestEventsStream(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create().ok() // a created container has statistics, too
	run := c.begin(call{args: []string{"events", "--interval", "50ms", c.id}})
	eventually(t, "three statistics", func() bool { return len(parseEvents(t, readAll(t, run.stdout))) >= 3 })
	c.start().ok()
	c.rt("pause", c.id).ok()
	n := len(parseEvents(t, readAll(t, run.stdout)))
	eventually(t, "statistics of a paused container", func() bool { return len(parseEvents(t, readAll(t, run.stdout))) > n })
	c.rt("resume", c.id).ok()
	c.stopped()
	if differs(t, "events: ends when") {
		c.delete().ok()
	}
	if r := run.wait().ok(); r.stderr != "" {
		t.Errorf("at the end: %s", r)
	}
}

// TestEventsEndAtOnce: not at the next statistics.
func TestEventsEndAtOnce(t *testing.T) {
	t.Parallel()
	rtOnly(t, "events: ends when")
	c := newContainer(t).up()
	run := c.begin(call{args: []string{"events", "--interval", "1h", c.id}})
	piped := *c
	piped.prefix = []string{"sh", "-c", `"$0" "$@" | true`}
	piped.rt("events", "--interval", "1h", c.id).ok()
	// That it has come as far as waiting shows in its descriptors: the pidfd, which it waits for.
	eventually(t, "the pidfd", func() bool {
		for _, fd := range []string{"3", "4", "5", "6", "7", "8", "9"} {
			if to, _ := os.Readlink("/proc/" + pidText(run.cmd.Process.Pid) + "/fd/" + fd); strings.Contains(to, "pidfd") {
				return true
			}
		}
		return false
	})
	c.stopped()
	if r := run.wait().ok(); r.stdout != "" {
		t.Errorf("statistics within the hour: %s", r)
	}
}

const hog = "head -c 64m /dev/zero | sort > /dev/null"

var sixteenMiB = limited(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i64(16 << 20), Swap: i64(16 << 20)}})

// TestEventsOOM: what is killed in the container is reported, when it happens.
func TestEventsOOM(t *testing.T) {
	t.Parallel()
	c := newContainer(t, sixteenMiB).up()
	run := c.begin(call{args: []string{"events", "--interval", "100ms", c.id}})
	eventually(t, "statistics", func() bool { return len(readAll(t, run.stdout)) > 0 })
	if strings.Contains(readAll(t, run.stdout), "oom\"") {
		t.Errorf("before: %s", readAll(t, run.stdout))
	}
	c.exec("sh", "-c", hog)
	want := `{"type":"oom","id":"` + c.id + "\"}\n"
	eventually(t, want, func() bool { return strings.Contains(readAll(t, run.stdout), want) })
	c.stopped()
	if differs(t, "events: ends when") {
		c.delete().ok()
	}
	run.wait().ok()
}

// TestEventsOOMOfInit: the last event of a container whose end it was.
func TestEventsOOMOfInit(t *testing.T) {
	onlyFileDriver(t, "a scope ends with its last process, and its counts with it")
	t.Parallel()
	rtOnly(t, "events: ends when")
	c := newContainer(t, sixteenMiB, script("head -c 64m /dev/zero | sort > /dev/null; exit 0"))
	c.create().ok()
	run := c.begin(call{args: []string{"events", "--interval", "20ms", c.id}})
	eventually(t, "statistics", func() bool { return len(readAll(t, run.stdout)) > 0 })
	c.start().ok()
	if r := run.wait().ok(); !strings.Contains(r.stdout, `{"type":"oom","id":"`+c.id+`"}`) {
		t.Errorf("no event: %s", r)
	}
}

func TestEventsRefused(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	for _, interval := range []string{"0s", "-1s"} {
		c.rt("events", "--interval="+interval, c.id).fails("duration interval must be greater than 0").oneError()
	}
	c.rt("events", "rt-it-nobody").fails("container does not exist").oneError()
	c.stopped()
	for _, flags := range [][]string{nil, {"--stats"}} {
		c.rt(append(append([]string{"events"}, flags...), c.id)...).fails("container with id " + c.id + " is not running").oneError()
	}
}

// TestEventsIntelRdt: the figures of the resctrl group that the state names, here a copy of what the kernel would show.
func TestEventsIntelRdt(t *testing.T) {
	t.Parallel()
	rtOnly(t, "state.json in the container's directory")
	c := newContainer(t).up()
	c.must(os.MkdirAll(filepath.Join(c.dir, "resctrl/info/L3"), 0o755))
	c.must(os.MkdirAll(filepath.Join(c.dir, "resctrl/box"), 0o755))
	c.file("resctrl/info/L3/cbm_mask", "ff\n", 0o644)
	c.file("resctrl/box/schemata", "    L3:0=f\n", 0o644)
	path := filepath.Join(c.dir, "r", c.id, "state.json")
	before := readAllOf(t, path)
	c.must(os.WriteFile(path, []byte(strings.Replace(before, "{", `{"rdtGroup":"`+c.dir+`/resctrl/box",`, 1)), 0o600))
	defer func() { c.must(os.WriteFile(path, []byte(before), 0o600)) }()
	want := `"intel_rdt":{"l3_cache_info":{"cbm_mask":"ff"},"l3_cache_schema":"L3:0=f","schemata":["L3:0=f"]}`
	if r := c.rt("events", "--stats", c.id).ok(); !strings.Contains(r.stdout, want) {
		t.Errorf("%s, wanted %s", r, want)
	}
	c.must(os.RemoveAll(filepath.Join(c.dir, "resctrl")))
	c.rt("events", "--stats", c.id).fails("read statistics: read resctrl group: ").oneError()
}
