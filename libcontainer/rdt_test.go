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

// TestUpdateRdt: the schemata that are given are written to the container's group, and wrong ones are not.
func TestUpdateRdt(t *testing.T) {
	r, _ := newRuntime(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/schemata", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	with, without := state{ID: "with", RdtGroup: dir}, state{ID: "without"}
	place(t, r, "with", map[string]string{stateFile: string(with.encode())})
	place(t, r, "without", map[string]string{stateFile: string(without.encode())})
	if err := r.UpdateRdt("with", "L3:0=f", "MB:0=20"); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(dir + "/schemata"); err != nil || string(data) != "L3:0=f\nMB:0=20\n" {
		t.Errorf("schemata %q, %v", data, err)
	}
	if err := r.UpdateRdt("with", "", "L3:0=f"); err == nil || err.Error() != "/linux/intelRdt/memBwSchema: must start with MB: and not contain a newline" {
		t.Error(err)
	}
	if err := r.UpdateRdt("without", "L3:0=f", ""); err == nil || err.Error() != "update schemata: the container is in no resctrl group" {
		t.Error(err)
	}
}
