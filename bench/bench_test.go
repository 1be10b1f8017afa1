package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	var samples []sample
	for i := 100; i >= 1; i-- {
		samples = append(samples, sample{wall: time.Duration(i)})
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 51, 0.99: 100, 1: 100} {
		if got := quantile(samples, q, wall); got != want {
			t.Errorf("quantile(%v) = %v, want %v", q, got, want)
		}
	}
}

func TestParseSample(t *testing.T) {
	got, err := parseSample("1500000 200 300 42 1 640\n")
	want := sample{wall: 1500 * time.Microsecond, cpu: 500 * time.Microsecond, faults: 42, rss: 640}
	if err != nil || got != want {
		t.Errorf("parseSample = %+v, %v, want %+v", got, err, want)
	}
	for _, line := range []string{"", "1 2 3 4 5", "1 2 3 4 5 x", "1 2 3 4 5 6 7"} {
		if _, err := parseSample(line); err == nil {
			t.Errorf("parseSample(%q): no error", line)
		}
	}
}

func TestParseInitTrace(t *testing.T) {
	trace := "init internal/bytealg @0.008 ms, 0.001 ms clock, 0 bytes, 0 allocs\n" +
		"init runtime @0.13 ms, 0.047 ms clock, 0 bytes, 0 allocs\n" +
		"init unicode @0.17 ms, 0.018 ms clock, 11400 bytes, 16 allocs\nrt: a warning\n"
	got, err := parseInitTrace(trace)
	want := packageInit{packages: 3, allocs: 16, bytes: 11400, time: 66 * time.Microsecond, largest: "unicode (11400)", slowest: "runtime (0.047)"}
	if err != nil || got != want {
		t.Errorf("parseInitTrace = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseInitTrace("rt version 0.1.0\n"); err == nil {
		t.Error("parseInitTrace of no trace: no error")
	}
}

// TestTally: calls that time decides and threads do not count, prctl and processes do.
func TestTally(t *testing.T) {
	var n tally
	for _, line := range []string{
		`7 execve("/rt", ["/rt"], 0x7ffe /* 3 vars */) = 0`,
		`7 futex(0xb89b20, FUTEX_WAKE_PRIVATE, 1) = 1`,
		`7 prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0x7fba3482e000, 262144, " Go: immortal metadata") = -1 EINVAL`,
		`7 prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN) = 0`,
		`7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD|CLONE_SETTLS <unfinished ...>`,
		`12 rt_sigaction(SIGHUP, NULL, {sa_handler=SIG_DFL}, 8) = 0`,
		`7 <... clone resumed>, child_tidptr=0x7f) = 12`,
		`7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_CHILD_CLEARTID|SIGCHLD) = 13`,
		`13 clone3({flags=CLONE_PARENT|CLONE_NEWPID, exit_signal=SIGCHLD}, 88) = 14`,
		`14 +++ exited with 0 +++`,
	} {
		n.add(line)
	}
	if want := (tally{decided: 5, all: 8, processes: 2, threads: 1}); n != want {
		t.Errorf("got %+v, want %+v", n, want)
	}
	if got, want := n.least(tally{4, 9, 2, 0}), (tally{4, 8, 2, 0}); got != want {
		t.Errorf("least: got %+v, want %+v", got, want)
	}
}

// TestGrown: a count may grow by two percent.
func TestGrown(t *testing.T) {
	for _, try := range []struct {
		calls, was int
		ok         bool
	}{{150, 150, true}, {153, 150, true}, {154, 150, false}, {140, 150, true}, {1020, 1000, true}, {1021, 1000, false}} {
		if err := grown("run", try.calls, try.was); (err == nil) != try.ok {
			t.Errorf("%d, %d before: %v", try.calls, try.was, err)
		}
	}
}

func TestUpdateDoc(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("before\n<!-- results: written by make bench -->\nold\n<!-- end of results -->\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Twice: the markers must survive.
	for _, text := range []string{"first", "second"} {
		if err := updateDoc(path, text); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	want := "before\n<!-- results: written by make bench -->\n\n```text\nsecond\n```\n\n<!-- end of results -->\nafter\n"
	if err != nil || string(got) != want {
		t.Errorf("document is %q, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("no markers"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := updateDoc(path, "x"); err == nil {
		t.Error("updateDoc without markers: no error")
	}
}

func TestTablesShowRatios(t *testing.T) {
	one := func(name string, d time.Duration) *contender {
		return &contender{name: name, samples: []sample{{wall: d, cpu: d}}}
	}
	var out strings.Builder
	writeTables(&out, []result{{title: "run", contenders: []*contender{one("rt", time.Millisecond), one("crun", 2*time.Millisecond)}}})
	if !strings.Contains(out.String(), "wall/crun") || !strings.Contains(out.String(), "0.50") || strings.Contains(out.String(), "wall/runc") {
		t.Errorf("table:\n%s", out.String())
	}
}
