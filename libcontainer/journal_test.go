package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rt/cgroups"
	"rt/libcontainer/intelrdt"
	"rt/libcontainer/state"

	"golang.org/x/sys/unix"
)

// realCgroup makes a cgroup in every hierarchy of this host.
func realCgroup(t *testing.T, name string) *cgroups.Cgroup {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	host, err := cgroups.Probe()
	if err != nil {
		t.Fatal(err)
	}
	cg, err := cgroups.New(host, fmt.Sprintf("/rt-test-%s-%d", name, os.Getpid()), "id")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cg.Exists() {
			_ = cg.Kill(unix.SIGKILL)
			if err := cg.Destroy(); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	})
	if _, err := cg.Create(nil); err != nil {
		t.Fatal(err)
	}
	return cg
}

// taken is what Create has recorded of a cgroup.
func taken(cg *cgroups.Cgroup) map[string]string {
	inodes := map[string]string{}
	for name, dir := range cg.Paths() {
		var st unix.Stat_t
		if unix.Stat(dir, &st) == nil {
			inodes[name] = strconv.FormatUint(st.Ino, 10)
		}
	}
	return inodes
}

// early puts what a create leaves that is killed before it has a state.
func early(t *testing.T, r *Runtime, cg *cgroups.Cgroup) *container {
	t.Helper()
	placeFiles(t, r, "c", map[string]string{state.ConfigFile: "{"})
	c := with(r, state.State{ID: "c", Cgroups: cg.Paths(), Taken: taken(cg)})
	if err := c.WriteJournal(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDeleteEarly: what the journal names is removed, with a process in it; without force too, which is an error all the same.
func TestDeleteEarly(t *testing.T) {
	for _, force := range []bool{true, false} {
		t.Run(fmt.Sprintf("force=%v", force), func(t *testing.T) {
			r, _ := newRuntime(t)
			cg := realCgroup(t, "early")
			c := early(t, r, cg)
			cmd := exec.Command("sleep", "60")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			for _, dir := range cg.Dirs() {
				if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
					t.Fatal(err)
				}
			}
			err := r.Delete("c", force)
			if force && err != nil || !force && !errors.Is(err, state.ErrNotExist) {
				t.Errorf("delete: %v", err)
			}
			if err := <-ended; err == nil || cmd.ProcessState.Sys().(interface{ Signaled() bool }).Signaled() == false {
				t.Errorf("the process in the cgroup was not killed: %v", err)
			}
			for _, dir := range append(cg.Dirs(), c.Dir) {
				if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is still there: %v", dir, err)
				}
			}
			if err := r.Delete("c", force); force && err != nil || !force && !errors.Is(err, state.ErrNotExist) {
				t.Errorf("delete again: %v", err)
			}
		})
	}
}

// TestDeleteCorrupt: with a state that cannot be read the journal still tells what is there.
func TestDeleteCorrupt(t *testing.T) {
	r, _ := newRuntime(t)
	cg := realCgroup(t, "corrupt")
	c := early(t, r, cg)
	if err := os.WriteFile(filepath.Join(c.Dir, state.StateFile), []byte(`{"pid":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete("c", false); err == nil || !cg.Exists() {
		t.Errorf("without force: %v, cgroup there: %v", err, cg.Exists())
	}
	if err := r.Delete("c", true); err != nil || cg.Exists() {
		t.Errorf("by force: %v, cgroup there: %v", err, cg.Exists())
	}
}

// TestDeleteStopped: an ordinary container whose process is gone, with poststop hooks that see its state.
func TestDeleteStopped(t *testing.T) {
	r, warnings := newRuntime(t)
	cg := realCgroup(t, "stopped")
	seen := filepath.Join(t.TempDir(), "seen")
	config := fmt.Sprintf(`{"ociVersion":"1.2.0","hooks":{"poststop":[
		{"path":"/bin/false"},{"path":"/bin/sh","args":["sh","-c","cat > %s"],"env":["PATH=/bin:/usr/bin"]}]}}`, seen)
	placeFiles(t, r, "c", map[string]string{state.ConfigFile: config})
	c := with(r, state.State{OCIVersion: "1.2.0", ID: "c", Pid: 4194303, StartTime: 1, Bundle: "/b", Cgroups: cg.Paths(), Taken: taken(cg)})
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete("c", false); err != nil || cg.Exists() {
		t.Errorf("%v, cgroup there: %v", err, cg.Exists())
	}
	got, err := os.ReadFile(seen)
	if err != nil || string(got) != `{"ociVersion":"1.2.0","id":"c","status":"stopped","bundle":"/b"}` {
		t.Errorf("the hook saw %s, %v", got, err)
	}
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "poststop") { // a hook's failure is no more than that
		t.Errorf("warnings: %q", *warnings)
	}
}

// TestJournal: a bad journal is like none; a directory that is no cgroup is neither removed nor forgotten, whatever the
// journal says.
func TestJournal(t *testing.T) {
	r, _ := newRuntime(t)
	for _, text := range []string{"", "{", "null", "[]", `{"cgroups":7}`, `{"cgroups":{"":7}}`, `{"cgroups":{}}`, "\x00\xff",
		`{"cgroups":{"":"/no/such/directory"}}`} {
		dir := placeFiles(t, r, "c", map[string]string{state.JournalFile: text})
		if err := r.Delete("c", true); err != nil {
			t.Errorf("%q: %v", text, err)
			os.RemoveAll(dir)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: the directory is still there", text)
		}
	}
	outside := t.TempDir()
	dir := placeFiles(t, r, "outside", map[string]string{
		state.JournalFile: fmt.Sprintf(`{"cgroups":{"":%q,"memory":%q,"no such":%q}}`, outside, outside, outside)})
	if err := r.Delete("outside", true); err == nil || !strings.Contains(err.Error(), outside) {
		t.Errorf("a directory that is no cgroup: %v", err)
	}
	for _, d := range []string{outside, dir} {
		if _, err := os.Stat(d); err != nil {
			t.Error(err)
		}
	}
}

// TestLeftover: a create that fails and cannot undo all keeps the directory, whose journal delete --force goes by.
func TestLeftover(t *testing.T) {
	for name, undone := range map[string]error{"undone": nil, "busy": errors.New("busy")} {
		warned := 0
		r := &Runtime{Root: state.Root{Dir: t.TempDir(), Warn: func(string, ...any) { warned++ }}}
		s := newSetup(r, "box", CreateOptions{})
		if err := s.begin(); err != nil {
			t.Fatal(err)
		}
		if err := s.place.Reserve(); err != nil {
			t.Fatal(err)
		}
		s.undo.Add(func() { s.undo.Result(undone) })
		failed := errors.New("failed")
		if err := s.fail(failed); err != failed {
			t.Errorf("%s: %v", name, err)
		}
		_, err := os.Stat(s.c.Dir)
		if kept := err == nil; kept != (undone != nil) || kept != (warned == 1) {
			t.Errorf("%s: kept %v, %d warnings", name, kept, warned)
		}
	}
}

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
		c.RdtGroup, c.RdtOwn, c.RdtTaken = g.Dir, g.Own, g.Taken
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
