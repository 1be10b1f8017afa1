package cgroups

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

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
