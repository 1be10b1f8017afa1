package cgroups

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHoldsValue: what the kernel makes of a value is that value, and nothing else is.
func TestHoldsValue(t *testing.T) {
	for _, c := range []struct {
		name, value, have string
		want              bool
	}{
		{"pids.max", "42", "42\n", true},
		{"pids.max", "42", "43\n", false},
		{"pids.max", "max", "max\n", true},
		{"pids.max", "max", "42\n", false},
		{"memory.max", "5000", "4096\n", true},
		{"memory.max", "100M", "104857600\n", true},
		{"memory.max", "104857600", "max\n", false},
		{"memory.max", "104857600", "209715200\n", false},
		{"memory.limit_in_bytes", "-1", "9223372036854771712\n", true},
		{"memory.limit_in_bytes", "-1", "104857600\n", false},
		{"memory.oom_control", "1", "oom_kill_disable 1\nunder_oom 0\n", true},
		{"memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", false},
		{"hugetlb.2MB.max", "3000000", "2097152\n", true},
		{"hugetlb.2MB.max", "6000000", "2097152\n", false},
		{"cpu.max", "50000", "50000 100000\n", true},
		{"cpu.max", "50000 100000", "50000 20000\n", false},
		{"cpu.max", "33333 100000", "34000 100000\n", true}, // by systemd
		{"cpu.max", "33333 100000", "max 100000\n", false},
		{"cpu.cfs_quota_us", "-1", "20000\n", false},
		{"cpu.shares", "1", "2\n", true},
		{"cpu.uclamp.max", "50", "50.00\n", true},
		{"cpuset.cpus", "0,1,2", "0-2\n", true},
		{"cpuset.cpus", "0,2", "0-2\n", false},
		{"net_cls.classid", "0x10001", "65537\n", true},
		{"io.max", "8:0 rbps=1000", "8:0 rbps=1000 wbps=max riops=max wiops=max\n", true},
		{"io.max", "8:0 rbps=1000", "8:0 rbps=2000 wbps=max riops=max wiops=max\n", false},
		{"io.max", "8:0 rbps=max", "", true},
		{"io.weight", "default 500", "default 500\n8:0 20\n", true},
		{"blkio.throttle.read_bps_device", "8:0 1000", "8:16 1000\n", false},
	} {
		if got := holdsValue(c.name, c.have, c.value); got != c.want {
			t.Errorf("%s %q, written %q: %v", c.name, c.have, c.value, got)
		}
	}
}

// TestRestore: what an update has left half-done is taken back, also across what the kernel changes by itself; what
// somebody else has written and what the kernel refuses stays, and is told.
func TestRestore(t *testing.T) {
	c := cgroupFor(t, liveHost(t))
	create(t, c, `{"pids":{"limit":17},"cpu":{"shares":512},"memory":{"limit":67108864}}`)
	file := func(controller, v1, v2 string) string {
		if dir := c.dirOf(controller); dir != "" {
			return dir + "/" + v1
		}
		return c.dirOf("") + "/" + v2
	}
	pids, memory := file("pids", "pids.max", "pids.max"), file("memory", "memory.limit_in_bytes", "memory.max")
	weight, idle := file("cpu", "cpu.shares", "cpu.weight"), file("cpu", "cpu.idle", "cpu.idle")
	was := map[string]string{pids: read(t, pids), memory: read(t, memory), weight: read(t, weight), idle: read(t, idle)}
	var noted []Change
	if _, err := c.ApplyNoted(parse(t, `{"pids":{"limit":18},"memory":{"limit":33554431},"cpu":{"idle":1}}`), func(l []Change) error { noted = l; return nil }); err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, memory, "50331648") // by somebody else
	done, problems := c.Restore(noted)
	if len(problems) != 1 || !errors.Is(problems[0], errChanged) || problems[0].Error() != "restore "+memory+": somebody else has changed it since" {
		t.Errorf("problems: %v", problems)
	}
	if slices.ContainsFunc(done, func(x Change) bool { return x.Path == memory }) || len(done) != len(noted)-1 {
		t.Errorf("restored: %v", done)
	}
	was[memory] = "50331648"
	for path, want := range was {
		if got := read(t, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	_, problems = c.Restore([]Change{{pids, "nonsense", "17"}, {"/proc/sys/kernel/pid_max", "1", "2"}, {memory, "67108864", "50331648"}})
	if len(problems) != 2 || !errors.Is(problems[1], unix.EINVAL) {
		t.Errorf("refused: %v", problems)
	}
	if got := read(t, memory); got != "67108864" {
		t.Errorf("beside what is refused: %s", got)
	}
}
