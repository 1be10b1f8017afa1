package cgroups

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"rt/internal/sys"
)

// What needs v2 controllers that the host of the tests may not have, on plain files. They do not shrink
// when written, as cgroup files seem to, so contents are compared by their head.

// fakeV2 is a v2 host with a container's cgroup in it that has the given files.
func fakeV2(t *testing.T, files map[string]string) *Cgroup {
	t.Helper()
	h := &Host{Mode: V2, Root: t.TempDir()}
	h.Unified = h.Root
	c, err := New(h, "/pod/ct", "id")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.BornDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, h.Unified+"/cgroup.controllers", "memory\n")
	for name, text := range files {
		writeTestFile(t, c.BornDir()+"/"+name, text)
	}
	return c
}

func TestApplyV2(t *testing.T) {
	for _, c := range []struct {
		name, config string
		before, want map[string]string
		err          string
	}{
		{name: "period keeps the quota", config: `{"cpu":{"period":77777}}`,
			before: map[string]string{"cpu.max": "max 55555\n"}, want: map[string]string{"cpu.max": "max 77777\n"}},
		{name: "limit below usage", config: `{"memory":{"limit":4096,"checkBeforeUpdate":true}}`,
			before: map[string]string{"memory.max": "", "memory.current": "5000\n"}, want: map[string]string{"memory.max": ""},
			err: `write memory.max "4096" (/linux/resources/memory/limit): rejecting memory limit 4096 <= usage 5000`},
		{name: "memory+swap limit that is in use", config: `{"memory":{"limit":4096,"swap":5000,"checkBeforeUpdate":true}}`,
			before: map[string]string{"memory.max": "", "memory.swap.max": "", "memory.current": "5000\n"}, want: map[string]string{"memory.max": "", "memory.swap.max": ""},
			err: `write memory.max "4096" (/linux/resources/memory/limit): rejecting memory+swap limit 5000 <= usage 5000`},
		{name: "limit above usage", config: `{"memory":{"limit":8192,"swap":8192,"checkBeforeUpdate":true}}`,
			before: map[string]string{"memory.max": "", "memory.current": "5000\n"}, want: map[string]string{"memory.max": "8192"}},
		{name: "memory+swap alone is relative to the limit", config: `{"memory":{"swap":300}}`,
			before: map[string]string{"memory.max": "200\n", "memory.swap.max": ""}, want: map[string]string{"memory.swap.max": "100", "memory.max": "200\n"}},
		{name: "memory+swap alone without a limit", config: `{"memory":{"swap":300}}`,
			before: map[string]string{"memory.max": "max\n", "memory.swap.max": ""}, want: map[string]string{"memory.swap.max": ""},
			err: `/linux/resources/memory/swap: unable to set swap limit without memory limit`},
		{name: "io.weight when there is no bfq", config: `{"blockIO":{"weight":505}}`,
			before: map[string]string{"io.weight": ""}, want: map[string]string{"io.weight": "default 5000"}},
		{name: "bfq", config: `{"blockIO":{"weight":505}}`,
			before: map[string]string{"io.weight": "default 100", "io.bfq.weight": ""}, want: map[string]string{"io.bfq.weight": "505", "io.weight": "default 100"}},
		{name: "no swap accounting", config: `{"memory":{"limit":1000,"swap":2000}}`,
			before: map[string]string{"memory.max": "", "cgroup.controllers": "memory\n"}, want: map[string]string{"memory.max": ""},
			err: `write memory.swap.max "1000" (/linux/resources/memory/swap): no such file or directory`},
		{name: "controller not enabled", config: `{"pids":{"limit":5}}`,
			before: map[string]string{"cgroup.controllers": "memory\n"},
			err:    `controller pids is not available: /linux/resources/pids/limit cannot be applied`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cg := fakeV2(t, c.before)
			if _, err := cg.Apply(parse(t, c.config)); (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
				t.Errorf("error %v, want %s", err, c.err)
			}
			for name, want := range c.want {
				if got, err := os.ReadFile(cg.BornDir() + "/" + name); err != nil || string(got) != want {
					t.Errorf("%s: %q %v, want %q", name, got, err, want)
				}
			}
		})
	}
}

// Every ancestor gets what the leaf lacks; what one refuses is part of the error of the setting that needs it.
func TestEnableV2(t *testing.T) {
	cg := fakeV2(t, map[string]string{"cgroup.controllers": "memory\n", "memory.max": "", "cgroup.procs": "", "cgroup.events": "frozen 0\n", "cgroup.freeze": "0\n"})
	root := cg.host.Unified
	writeTestFile(t, root+"/cgroup.controllers", "cpu memory pids\n")
	writeTestFile(t, root+"/cgroup.subtree_control", "")
	writeTestFile(t, root+"/pod/cgroup.subtree_control", "")
	// What Create does with files, without the device program that a plain directory cannot have.
	create := func(config string) error {
		work, err := cg.translate(parse(t, config), true)
		if err != nil {
			t.Fatal(err)
		}
		work.filter.close()
		work.enabling = cg.memberOf("").enable(work.wanted(true))
		return cg.write(work, nil)
	}
	if err := create(`{"memory":{"limit":4096}}`); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"/cgroup.subtree_control", "/pod/cgroup.subtree_control"} {
		if got := read(t, root+file); got != "+cpu +pids" {
			t.Errorf("%s: %q", file, got)
		}
	}
	if err := os.Remove(root + "/pod/cgroup.subtree_control"); err != nil {
		t.Fatal(err)
	}
	err := create(`{"pids":{"limit":4096}}`)
	want := "controller pids is not available: /linux/resources/pids/limit cannot be applied: open " + root + "/pod/cgroup.subtree_control: no such file"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestEnableBelowOwn: an ancestor that has given the controllers is not the reason why a cgroup with processes cannot.
func TestEnableBelowOwn(t *testing.T) {
	cg := fakeV2(t, map[string]string{"cgroup.controllers": ""})
	root := cg.host.Unified
	writeTestFile(t, root+"/cgroup.subtree_control", "cpu memory\n")
	if err := os.Chmod(root+"/cgroup.subtree_control", 0o444); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cgroup.type": "domain\n", "cgroup.procs": "77\n", "cgroup.subtree_control": ""} {
		writeTestFile(t, root+"/pod/"+name, text)
	}
	err := cg.memberOf("").enable([]string{"memory"}, false)
	if want := "write " + root + "/pod/cgroup.subtree_control: device or resource busy"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got := read(t, root+"/cgroup.subtree_control"); got != "cpu memory" {
		t.Errorf("written without need: %q", got)
	}
}

func TestBandwidth(t *testing.T) {
	for text, want := range map[string]string{"max 50000\n": "-1 50000 <nil>", "25500 50000\n": "25500 50000 <nil>", "": "0 0 <nil>"} {
		files := map[string]string{}
		if text != "" {
			files["cpu.max"] = text
		}
		quota, period, err := fakeV2(t, files).Bandwidth()
		if got := fmt.Sprint(quota, period, err); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestRelease: the limits of CPU time go with ReleaseAll only, and a v1 hierarchy may have the freezer and cpu together.
func TestRelease(t *testing.T) {
	for _, all := range []bool{false, true} {
		v1 := t.TempDir()
		for name, text := range map[string]string{"/freezer.state": "FROZEN", "/cpu.cfs_quota_us": "20"} {
			writeTestFile(t, v1+name, text)
		}
		c := fakeV2(t, map[string]string{"cgroup.freeze": "1", "cpu.max": "200"})
		c.members = append(c.members, member{dir: v1, controllers: []string{"cpu", "freezer"}})
		release, quota, limit := c.Release, "20", "200"
		if all {
			release, quota, limit = c.ReleaseAll, "-1", "max"
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{v1 + "/freezer.state": "THAWED", v1 + "/cpu.cfs_quota_us": quota,
			c.BornDir() + "/cgroup.freeze": "0", c.BornDir() + "/cpu.max": limit} {
			if got := read(t, path); got != want {
				t.Errorf("all %v: %s: %q, want %q", all, path, got, want)
			}
		}
	}
}

// TestReleaseBesideNewcomer: a container that comes below while the lock is given away gets the limits of CPU time back, under which it is.
func TestReleaseBesideNewcomer(t *testing.T) {
	for _, comes := range []bool{false, true} {
		c := fakeV2(t, map[string]string{"cgroup.freeze": "1", "cpu.max": "200 1000"})
		dir, turns := c.BornDir(), 0
		for name, limit := range map[string]string{"a": "100 1000", "b": "max 1000"} {
			if err := os.Mkdir(dir+"/"+name, 0o755); err != nil {
				t.Fatal(err)
			}
			writeTestFile(t, dir+"/"+name+"/cpu.max", limit)
		}
		c.claim.Other = func(string, bool, uint64) (string, bool) { return "newcomer", true }
		takes(t, c)
		c.guarded, c.given = true, new(int)
		c.turn = func(*member) error {
			if turns++; turns == 2 && comes { // the look at who is below is over
				*c.given++
				if err := os.Mkdir(dir+"/new", 0o755); err != nil {
					t.Fatal(err)
				}
				sys.SetMark(dir+"/new", "another's")
			}
			return nil
		}
		if err := c.ReleaseAll(); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"/cpu.max": "max 1000", "/a/cpu.max": "max 1000", "/b/cpu.max": "max 1000"}
		if comes {
			want = map[string]string{"/cpu.max": "200 1000", "/a/cpu.max": "100 1000", "/b/cpu.max": "max 1000"}
		}
		for file, text := range want {
			if got := read(t, dir+file); got != text {
				t.Errorf("comes %v: %s: %q, want %q", comes, file, got, text)
			}
		}
	}
}

// takes records that the cgroup is the container's.
func takes(t *testing.T, c *Cgroup) {
	t.Helper()
	own, err := inode(c.BornDir())
	if err != nil {
		t.Fatal(err)
	}
	c.claim.Taken = map[string]string{c.members[0].names()[0]: strconv.FormatUint(own, 10)}
}

// TestReleaseBesideSuccessor: a container that takes the path itself while the lock is given away keeps its own limits.
func TestReleaseBesideSuccessor(t *testing.T) {
	c := fakeV2(t, map[string]string{"cgroup.freeze": "1", "cpu.max": "200 1000"})
	dir, turns := c.BornDir(), 0
	fill := func(limit string) {
		if err := os.MkdirAll(dir+"/a", 0o755); err != nil {
			t.Fatal(err)
		}
		writeTestFile(t, dir+"/cpu.max", limit)
	}
	fill("200 1000")
	takes(t, c)
	c.claim.Other = func(string, bool, uint64) (string, bool) { return "successor", true }
	c.guarded, c.given = true, new(int)
	c.turn = func(*member) error {
		if turns++; turns < 2 { // the look at who is below
			return nil
		}
		if *c.given++; *c.given == 1 {
			if err := os.Rename(dir, dir+".old"); err != nil { // so that the inode is not used again
				t.Fatal(err)
			}
			fill("300 1000")
		}
		return errLost
	}
	if err := c.ReleaseAll(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir+"/cpu.max"); got != "300 1000" || *c.given < 2 {
		t.Errorf("limit of the successor, after %d turns: %q, want 300 1000", *c.given, got)
	}
}
