package libcontainer

import (
	"os"
	"testing"
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
		c := &container{rt: r, dir: place(t, r, "c", nil), state: state{ID: "c", RdtGroup: dir, RdtMonitor: mon, RdtOwn: own}}
		if err := c.writeJournal(); err != nil {
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
