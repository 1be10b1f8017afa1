package intelrdt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A fake is a directory that behaves like resctrl as far as a Group goes.
type fake struct {
	t    *testing.T
	root string
}

func newFake(t *testing.T) fake {
	t.Helper()
	f := fake{t, filepath.Join(t.TempDir(), "resctrl")}
	for _, d := range []string{"", "info"} {
		if err := f.mkdir(filepath.Join(f.root, d)); err != nil {
			t.Fatal(err)
		}
	}
	f.write("info/last_cmd_status", "ok\n")
	f.write("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n")
	return f
}

// mkdir makes a directory with the files that the kernel would put there.
func (f fake) mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, file := range []string{"tasks", "schemata"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
			return err
		}
	}
	if filepath.Base(filepath.Dir(dir)) == "mon_groups" {
		return nil
	}
	return os.Mkdir(filepath.Join(dir, "mon_groups"), 0o755)
}

func (f fake) write(file, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.root, file), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f fake) read(file string) string {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.root, file))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(data)
}

func (f fake) has(dir string) bool {
	_, err := os.Stat(filepath.Join(f.root, dir))
	return err == nil
}

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		config   specs.LinuxIntelRdt
		group    string // in which the process ends up
		schemata string // that was written
		monitor  bool
		err      string
	}{
		"nothing set":            {specs.LinuxIntelRdt{}, "box", "", false, ""},
		"no closID, schemata":    {specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20", Schemata: []string{"L2:0=1", "L2:1=2"}}, "box", "L3:0=f\nMB:0=20\nL2:0=1\nL2:1=2\n", false, ""},
		"root":                   {specs.LinuxIntelRdt{ClosID: "/"}, ".", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n", false, ""},
		"new closID":             {specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:0=20"}, "gold", "MB:0=20\n", false, ""},
		"missing closID":         {specs.LinuxIntelRdt{ClosID: "gold"}, "", "", false, "/linux/intelRdt/closID: there is no class of service"},
		"closID is a file":       {specs.LinuxIntelRdt{ClosID: "tasks", MemBwSchema: "MB:0=1"}, "", "", false, "/linux/intelRdt/closID: there is no class of service"},
		"closID that is there":   {specs.LinuxIntelRdt{ClosID: "old"}, "old", "L3:0=0ff;1=f\n", false, ""},
		"the same schema":        {specs.LinuxIntelRdt{ClosID: "old", L3CacheSchema: "L3: 1=0F; 0=ff"}, "old", "L3:0=0ff;1=f\n", false, ""},
		"part of the schema":     {specs.LinuxIntelRdt{ClosID: "old", L3CacheSchema: "L3:1=f"}, "old", "L3:0=0ff;1=f\n", false, ""},
		"another schema":         {specs.LinuxIntelRdt{ClosID: "old", L3CacheSchema: "L3:1=7"}, "", "", false, "/linux/intelRdt/l3CacheSchema: class of service"},
		"another domain":         {specs.LinuxIntelRdt{ClosID: "old", L3CacheSchema: "L3:2=f"}, "", "", false, "has other schemata than L3:2=f"},
		"another resource":       {specs.LinuxIntelRdt{ClosID: "old", MemBwSchema: "MB:0=20"}, "", "", false, "/linux/intelRdt/memBwSchema: class of service"},
		"schemata for old group": {specs.LinuxIntelRdt{ClosID: "old", Schemata: []string{"L3:0=1"}}, "old", "L3:0=1\n", false, ""},
		"monitoring":             {specs.LinuxIntelRdt{EnableMonitoring: true}, "box", "", true, ""},
		"monitoring in the root": {specs.LinuxIntelRdt{ClosID: "/", EnableMonitoring: true}, ".", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			if err := f.mkdir(filepath.Join(f.root, "old")); err != nil {
				t.Fatal(err)
			}
			f.write("old/schemata", "L3:0=0ff;1=f\n")
			g := For(f.root, "box", &c.config)
			made, err := g.create(&c.config, f.mkdir)
			if err == nil {
				err = g.Join(4711)
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !reflect.DeepEqual(made, Group{}) || f.has("gold") || f.has("box") {
					t.Fatalf("%v, made %+v", err, made)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if have := f.read(c.group + "/schemata"); !strings.HasPrefix(have, c.schemata) || c.schemata == "" && have != "" { // a real write replaces
				t.Errorf("schemata %q, wanted %q", have, c.schemata)
			}
			if f.read(c.group+"/tasks") != "4711" {
				t.Error("the process is not in the group")
			}
			if c.monitor && f.read(c.group+"/mon_groups/box/tasks") != "4711" {
				t.Error("the process is not monitored")
			}
			// The kernel removes a group with all that is in it; here its files go first.
			for _, dir := range []string{g.Mon, f.root + "/box"} {
				if dir != "" {
					os.Remove(dir + "/tasks")
					os.Remove(dir + "/schemata")
				}
			}
			if c.monitor {
				defer func() { _ = os.Remove(g.Dir + "/mon_groups") }()
			} else {
				_ = os.Remove(f.root + "/box/mon_groups")
			}
			if err := (Group{Mon: made.Mon}).Remove(nil); err != nil || g.Mon != "" && f.has(c.group+"/mon_groups/box") {
				t.Errorf("the monitoring group is still there: %v", err)
			}
			_ = os.Remove(f.root + "/box/mon_groups")
			if err := made.Remove(nil); err != nil || f.has("box") {
				t.Errorf("remove: %v", err)
			}
			if !f.has("old") || c.group == "gold" && !f.has("gold") || !f.has("schemata") {
				t.Error("a group that is not the container's is gone")
			}
		})
	}
}

func TestTaken(t *testing.T) {
	f := newFake(t)
	if err := f.mkdir(filepath.Join(f.root, "box")); err != nil {
		t.Fatal(err)
	}
	f.write("info/last_cmd_status", "Out of CLOSIDs\n")
	c := &specs.LinuxIntelRdt{}
	made, err := For(f.root, "box", c).create(c, f.mkdir)
	var h interface{ Hint() string }
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), "Out of CLOSIDs") {
		t.Errorf("what resctrl says is lost: %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "make class of service (/linux/intelRdt)") || !reflect.DeepEqual(made, Group{}) {
		t.Errorf("%v, %+v", err, made)
	}
	if !f.has("box") {
		t.Error("another's group is gone")
	}
}

// TestNoMonitoring: a class of service that was made for nothing is gone again.
func TestNoMonitoring(t *testing.T) {
	f := newFake(t)
	mkdir := func(dir string) error {
		if filepath.Base(filepath.Dir(dir)) != "mon_groups" {
			return f.mkdir(dir)
		}
		for _, file := range []string{"tasks", "schemata", "mon_groups"} { // the kernel would remove them with the group
			if err := os.Remove(filepath.Join(f.root, "gold", file)); err != nil {
				t.Fatal(err)
			}
		}
		return unix.ENOSPC
	}
	c := &specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:0=20", EnableMonitoring: true}
	if made, err := For(f.root, "box", c).create(c, mkdir); !errors.Is(err, unix.ENOSPC) || !reflect.DeepEqual(made, Group{}) || f.has("gold") {
		t.Errorf("%v, %+v, class of service left: %v", err, made, f.has("gold"))
	}
}

func TestRemoveGone(t *testing.T) {
	g := Group{Dir: t.TempDir() + "/none", Mon: t.TempDir() + "/none", Own: true}
	if err := g.Remove(nil); err != nil {
		t.Error(err)
	}
}

// TestRoot: what a host without resctrl says.
func TestRoot(t *testing.T) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	root, err := Root()
	if there := strings.Contains(string(data), " - resctrl "); there != (err == nil) {
		t.Errorf("%s, %v", root, err)
	}
	if err != nil && !strings.Contains(err.Error(), "no resctrl file system is mounted") {
		t.Error(err)
	}
}

// TestRemoveUnusedUnknown: a class whose monitoring groups cannot be listed may be in use.
func TestRemoveUnusedUnknown(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tasks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mon_groups"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RemoveUnused(dir); err == nil || !strings.Contains(err.Error(), "mon_groups") || !strings.HasPrefix(err.Error(), "remove class of service: ") {
		t.Errorf("%v", err)
	}
}

// TestGroupThatAnotherJoined: a container's own class of service stays while another container, which has named it as its closID, is in it:
// the kernel would move that one's processes to the default class.
func TestGroupThatAnotherJoined(t *testing.T) {
	for name, join := range map[string]func(f fake){
		"tasks":            func(f fake) { f.write("box/tasks", "4711\n") },
		"monitoring group": func(f fake) { f.must(f.mkdir(filepath.Join(f.root, "box/mon_groups/other"))) },
	} {
		for _, older := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " older ", older), func(t *testing.T) {
				f := newFake(t)
				g := For(f.root, "box", &specs.LinuxIntelRdt{})
				g.Intend()
				made, err := g.create(&specs.LinuxIntelRdt{}, f.mkdir)
				f.must(err)
				f.must(g.Take(made))
				if older { // an rt that has noted no inodes
					g.Taken = nil
				}
				join(f)
				if err := g.Remove(nil); err != nil || !f.has("box/tasks") {
					t.Errorf("%v, there: %v", err, f.has("box/tasks"))
				}
			})
		}
	}
}

func (f fake) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}
