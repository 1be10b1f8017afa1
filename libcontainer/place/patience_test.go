package place

import (
	"testing"
	"time"

	"rt/cgroups"
	"rt/libcontainer/state"
)

// TestPatience: the wait for killed processes ends when nothing happens, goes on while there are fewer of them, or less memory, and has
// an end in all.
func TestPatience(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name   string
		later  cgroups.Remains
		inTime bool // before the end of all
		want   bool
	}{
		{"nothing happens", cgroups.Remains{Tasks: 10, Memory: 100 * mib}, true, false},
		{"a task less", cgroups.Remains{Tasks: 9, Memory: 100 * mib}, true, true},
		{"less memory", cgroups.Remains{Tasks: 10, Memory: 99 * mib}, true, true},
		{"memory varies", cgroups.Remains{Tasks: 10, Memory: 100*mib - 4096}, true, false},
		{"more of all", cgroups.Remains{Tasks: 11, Memory: 101 * mib}, true, false},
		{"a task less, at the end of all", cgroups.Remains{Tasks: 9}, false, false},
	} {
		r := &state.Root{Deadline: time.Now().Add(time.Hour)}
		p := newPatience(r)
		if !p.lasts(cgroups.Remains{Tasks: 10, Memory: 100 * mib}) {
			t.Errorf("%s: it ends at once", c.name)
		}
		past := time.Now().Add(-time.Second)
		p.until, r.Deadline = past, past
		if !c.inTime {
			p.last = past
		}
		if got := p.lasts(c.later); got != c.want {
			t.Errorf("%s: lasts %v", c.name, got)
		}
		if extended := r.Deadline.After(past); extended != c.want {
			t.Errorf("%s: delete --force has more time: %v", c.name, extended)
		}
	}
}
