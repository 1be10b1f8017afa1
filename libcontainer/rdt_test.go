package libcontainer

import (
	"os"
	"testing"

	"rt/libcontainer/intelrdt"
	"rt/libcontainer/state"
)

// TestRdtJournal: a create that was killed leaves a journal; the groups that it names end with the container, a class of
// service that others use does not.
func TestRdtJournal(t *testing.T) {
	for _, own := range []bool{true, false} {
		r, _ := newRuntime(t)
		dir := t.TempDir() + "/clos"
		mon := dir + "-mon" // a directory on a disk is removed only when it is empty, unlike resctrl's
		for _, d := range []string{dir, mon} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		placeFiles(t, r, "c", nil)
		c := with(r, state.State{ID: "c", RdtGroup: dir, RdtMonitor: mon, RdtOwn: own})
		if err := c.WriteJournal(); err != nil {
			t.Fatal(err)
		}
		if err := r.Delete("c", true); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); os.IsNotExist(err) != own {
			t.Errorf("own %v: class of service: %v", own, err)
		}
		if _, err := os.Stat(mon); !os.IsNotExist(err) {
			t.Errorf("own %v: monitoring group: %v", own, err)
		}
	}
}

// TestRdtTaken: a group that was there before create, that somebody has made again since, or that is in use though create did not get
// as far as to make it, is not removed.
func TestRdtTaken(t *testing.T) {
	for name, tc := range map[string]struct {
		taken string
		stays bool
	}{"it was there": {intelrdt.Existed, true}, "made again": {"1", true}, "in use": {intelrdt.Missing, true}, "its own": {"", false}} {
		r, _ := newRuntime(t)
		dir := t.TempDir() + "/c"
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		placeFiles(t, r, "c", nil)
		c := r.newContainer("c")
		g := intelrdt.Group{Dir: dir, Own: true, Taken: map[string]string{dir: tc.taken}}
		switch tc.taken {
		case "":
			if err := g.Take(intelrdt.Group{Dir: dir, Own: true}); err != nil {
				t.Fatal(err)
			}
		case intelrdt.Missing:
			if err := os.WriteFile(dir+"/tasks", []byte("1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c.setRdt(g)
		if err := c.WriteJournal(); err != nil {
			t.Fatal(err)
		}
		if err := r.Delete("c", true); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); (err == nil) != tc.stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	there, not := t.TempDir(), t.TempDir()+"/x"
	for dir, want := range map[string]string{there: intelrdt.Existed, not: intelrdt.Missing} {
		if g := (intelrdt.Group{Dir: dir, Own: true}); true {
			if g.Intend(); g.Taken[dir] != want {
				t.Errorf("%s: %q, want %q", dir, g.Taken[dir], want)
			}
		}
	}
}
