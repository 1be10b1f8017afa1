package cgroups

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ready says whether the watch has something to tell, within the time.
func ready(t *testing.T, w *OOMWatch, patience time.Duration) bool {
	t.Helper()
	fds := []unix.PollFd{w.Poll()}
	for {
		n, err := unix.Poll(fds, int(patience.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
}

// TestWatchOOM: on v1 by an eventfd, on v2 by a file that changes. Below a limit that is too small even for a shell
// nothing but the killer helps.
func TestWatchOOM(t *testing.T) {
	h := liveHost(t)
	if !h.Has("memory") {
		t.Skip("no memory controller on this host")
	}
	c := cgroupFor(t, h)
	create(t, c, `{"memory":{"limit":16777216,"swap":16777216}}`)
	w, err := c.WatchOOM()
	if err != nil || w == nil {
		t.Fatal(w, err)
	}
	defer w.Close()
	if happened, err := w.Happened(); happened || err != nil || ready(t, w, 0) {
		t.Fatalf("before: %v %v", happened, err)
	}
	cmd := sh(t, c, "echo ready; exec tail /dev/zero")
	for { // v2's file changes before the kill, too: the limit was met, memory is short
		if !ready(t, w, 2*time.Minute) {
			t.Fatal("nothing was told")
		}
		happened, err := w.Happened()
		if err != nil {
			t.Fatal(err)
		}
		if happened {
			break
		}
	}
	died(t, cmd)
	if killed, err := c.OOMKilled(); !killed || err != nil {
		t.Errorf("killed: %v %v", killed, err)
	}
	if _, err := w.Happened(); err != nil { // the killer may have needed another round
		t.Error(err)
	}
	if err := c.Destroy(); err != nil {
		t.Fatal(err)
	}
	ready(t, w, time.Second) // v1 tells the removal, too
	if happened, err := w.Happened(); happened || err != nil {
		t.Errorf("the removal of the cgroup: %v %v", happened, err)
	}
}

// TestWatchOOMV2: an event that is not a kill tells nothing, and each kill is told once.
func TestWatchOOMV2(t *testing.T) {
	c := fakeV2(t, map[string]string{"memory.events": "low 0\nmax 1\noom 1\noom_kill 3\n"})
	w, err := c.WatchOOM()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, step := range []struct {
		text string
		want bool
	}{{"max 1\noom_kill 3\n", false}, {"max 9\noom_kill 3\n", false}, {"max 9\noom_kill 4\n", true}, {"max 9\noom_kill 4\n", false}, {"oom_kill 6\n", true}} {
		writeTestFile(t, c.BornDir()+"/memory.events", step.text)
		if happened, err := w.Happened(); happened != step.want || err != nil {
			t.Errorf("%q: %v %v", step.text, happened, err)
		}
	}
	if w, err := fakeV2(t, nil).WatchOOM(); w != nil || err != nil {
		t.Errorf("no memory controller: %v %v", w, err)
	}
}
