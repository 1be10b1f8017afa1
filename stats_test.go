package main

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	cgstats "rt/cgroups/stats"
	"rt/libcontainer/usage"
)

// sample is what two containers use; the second is new at each look.
func sample(int) []usage.Container {
	at := time.Date(2026, 11, 23, 8, 49, 33, 0, time.UTC)
	return []usage.Container{
		{ID: "web", At: at, Measured: true, CPUPercent: 99.876, Usage: cgstats.Usage{
			CPU: 5e9, Memory: 32 << 20, MemoryLimit: 64 << 20, HasMemory: true, Pids: 7, PidsLimit: 100, Read: 1 << 30, Written: 4096,
			HasPressure: true, PressureCPU: 12.5, PressureMemory: 0.01, PressureIO: 100}},
		{ID: strings.Repeat("0123456789abcdef", 4), At: at, Usage: cgstats.Usage{Memory: 1 << 20, MemoryLimit: math.MaxUint64, HasMemory: true, Pids: 1}},
	}
}

func TestStatsOnce(t *testing.T) {
	f := &fake{usages: sample}
	r := rt(f, "stats", "--no-stream", "--interval", "1ms")
	if lines := strings.Split(r.stdout, "\n"); r.code != 0 || len(lines) != 4 || !strings.HasPrefix(lines[1], "0123") || !strings.HasPrefix(lines[2], "web ") || f.looks != 2 {
		t.Errorf("%d looks: %+v", f.looks, r)
	}
	r = rt(&fake{usages: sample}, "stats", "--no-stream", "--interval", "1ms", "--format", "json", "--sort", "cpu")
	first, _, _ := strings.Cut(r.stdout, "\n")
	want := `{"time":"2026-11-23T08:49:33Z","id":"web","cpuPercent":99.88,"cpuTime":5000000000,"memoryUsage":33554432,"memoryLimit":67108864,"memoryPercent":50,` +
		`"pids":7,"pidsLimit":100,"read":1073741824,"written":4096,"pressure":{"cpu":12.5,"memory":0.01,"io":100}}`
	if first != want || strings.Count(r.stdout, "\n") != 2 {
		t.Errorf("json:\n got %s\nwant %s", r.stdout, want)
	}
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		t.Fatal(err)
	}
	var second struct {
		CPUPercent  *float64
		Pressure    *struct{}
		MemoryLimit uint64
	}
	if err := json.Unmarshal([]byte(strings.Split(r.stdout, "\n")[1]), &second); err != nil || second.CPUPercent != nil || second.Pressure != nil || second.MemoryLimit != machine.Totalram*uint64(machine.Unit) {
		t.Errorf("second line: %v %+v", err, second)
	}
}

// TestStatsStream: tables follow each other until the named containers have ended.
func TestStatsStream(t *testing.T) {
	f := &fake{usages: func(look int) []usage.Container {
		if look > 3 {
			return nil
		}
		return sample(look)[:1]
	}}
	r := rt(f, "stats", "--interval", "1ms", "web")
	if tables := strings.Split(r.stdout, "\n\n"); r.code != 0 || len(tables) != 2 || !strings.HasPrefix(tables[1], "ID ") || !f.collects {
		t.Errorf("%+v", r)
	}
	if ids, ok := f.calls[1].([]string); !ok || len(ids) != 1 || ids[0] != "web" {
		t.Errorf("calls %v", f.calls)
	}
}

func TestStatsRefused(t *testing.T) {
	for args, want := range map[string]string{
		"stats --interval=0s": "duration interval must be greater than 0", "stats --format yaml": "invalid format option", "stats --sort name": "invalid sort option",
	} {
		f := &fake{usages: sample}
		if r := rt(f, strings.Split(args, " ")...); r.code != 1 || r.stderr != "rt: "+want+"\n" || f.calls != nil {
			t.Errorf("%s: %+v %v", args, r, f.calls)
		}
	}
	if r := rt(&fake{usages: sample, err: errors.New("container x: container does not exist")}, "stats", "x", "--stream"); r.code != 1 ||
		r.stderr != "rt: container x: container does not exist\nhint: stats has no flag --stream\n" {
		t.Errorf("flag behind the id: %+v", r)
	}
	none := func(int) []usage.Container { return nil }
	if r := rt(&fake{usages: none, err: os.ErrNotExist}, "stats", "--no-stream", "--interval=1ms"); r.code != 0 || !strings.HasPrefix(r.stdout, "ID ") {
		t.Errorf("the default root does not exist: %+v", r)
	}
	if r := rt(&fake{usages: none, err: os.ErrNotExist}, "--root", "/tmp/x", "stats", "--no-stream"); r.code != 1 {
		t.Errorf("a root that was named does not exist: %+v", r)
	}
}
