package main

import (
	"strings"
	"testing"
	"time"

	cgstats "rt/cgroups/stats"
	"rt/libcontainer/usage"
)

func TestEvents(t *testing.T) {
	testLines(t, []line{
		{"events c", []any{"events", "c", usage.EventsOptions{Interval: 5 * time.Second}}},
		{"events --stats c", []any{"events", "c", usage.EventsOptions{Interval: 5 * time.Second, Once: true}}},
		{"events --interval 100ms c", []any{"events", "c", usage.EventsOptions{Interval: 100 * time.Millisecond}}},
		{"events --interval=1m30s c", []any{"events", "c", usage.EventsOptions{Interval: 90 * time.Second}}},
	})
	for _, bad := range []string{"0s", "-1s"} {
		f := &fake{}
		if r := rt(f, "events", "--interval="+bad, "c"); r.code != 1 || r.stderr != "rt: duration interval must be greater than 0\n" || f.calls != nil {
			t.Errorf("--interval=%s: %+v", bad, r)
		}
	}
	if r := rt(&fake{}, "events", "--interval=5", "c"); r.code != 1 || !strings.Contains(r.stderr, "interval") {
		t.Errorf("without a unit: %+v", r)
	}
}

// TestEventsLayout: the names and their order are runc's; what is zero is left out where runc does.
func TestEventsLayout(t *testing.T) {
	f := &fake{events: []usage.Event{
		{Type: "oom", ID: "c"},
		{Type: "stats", ID: "c", Data: &usage.EventData{Stats: &cgstats.Stats{Hugetlb: map[string]cgstats.HugetlbStat{"2MB": {Usage: 1}}}}},
	}}
	r := rt(f, "events", "c")
	want := `{"type":"oom","id":"c"}
{"type":"stats","id":"c","data":{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},` +
		`"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},` +
		`"memory":{"usage":{"limit":0,"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},` +
		`"pids":{},"blkio":{},"hugetlb":{"2MB":{"usage":1,"failcnt":0}},"intel_rdt":{},"network_interfaces":null}}
`
	if r.stdout != want || r.code != 0 || !f.collects {
		t.Errorf("code %d, collects %v\n got %s\nwant %s", r.code, f.collects, r.stdout, want)
	}
}
