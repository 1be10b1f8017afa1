package integration

import (
	"encoding/json"
	"fmt"
	"os/user"
	"slices"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.rt("list", "--format", "json").ok().prints("null")
	if lines := c.rt("list").ok().lines(); len(lines) != 1 || !slices.Equal(strings.Fields(lines[0]), []string{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}) {
		t.Fatalf("an empty table: %q", lines)
	}
	c.create().ok()
	other := c.sibling().up()

	ids := c.rt("list", "-q").ok().lines()
	want := []string{c.id, other.id}
	slices.Sort(want)
	slices.Sort(ids)
	if !slices.Equal(ids, want) {
		t.Fatalf("list -q: %v, want %v", ids, want)
	}
	owner, err := user.Current()
	c.must(err)
	var objects []map[string]any
	c.must(json.Unmarshal([]byte(c.rt("list", "--format", "json").ok().stdout), &objects))
	for _, o := range objects {
		if o["id"] == other.id && (o["status"] != "running" || fmt.Sprint(o["pid"]) != pidText(other.pid()) || o["owner"] != owner.Username || o["bundle"] != other.bundle) {
			t.Errorf("list --format json: %v", o)
		}
	}
	if len(objects) != 2 {
		t.Errorf("list --format json: %v", objects)
	}
	found := false
	for _, line := range c.rt("list").ok().lines() {
		f := strings.Fields(line)
		found = found || len(f) == 6 && f[0] == c.id && f[1] == pidText(c.pid()) && f[2] == "created" && f[3] == c.bundle && f[5] == owner.Username
	}
	if !found {
		t.Errorf("list: %s", c.rt("list").stdout)
	}
	c.rt("list", "--format", "xml").fails("invalid format option")
}

func TestListOfNoRoot(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.root = c.dir + "/nothing"
	c.rt("list").fails("no such file or directory").oneError()
}

func TestPs(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("sleep 900 & exec sleep 1000")).up()
	var pids []int
	eventually(t, "two processes", func() bool {
		c.must(json.Unmarshal([]byte(c.rt("ps", "--format", "json", c.id).ok().stdout), &pids))
		return len(pids) == 2
	})
	if !slices.Contains(pids, c.pid()) {
		t.Errorf("ps: %v lacks init, %d", pids, c.pid())
	}
	lines := c.rt("ps", c.id).ok().lines()
	if len(lines) != 3 || !strings.Contains(lines[0], "PID") {
		t.Errorf("ps: %q", lines)
	}
	lines = c.rt("ps", c.id, "-o", "pid,args").ok().lines()
	if len(lines) != 3 || !strings.Contains(strings.Join(lines, "\n"), "sleep 900") {
		t.Errorf("ps -o: %q", lines)
	}
	c.rt("ps", c.id, "-o", "args").fails("couldn't find PID field in ps output")
}

func TestSpecVerb(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	dir := c.bundle
	c.rt("spec", "--bundle", dir).fails("File config.json exists. Remove it first")
	for _, flags := range [][]string{nil, {"--rootless"}} {
		c.file("b/config.json", "", 0o644)
		c.must(removeFile(dir + "/config.json"))
		c.rt(append([]string{"spec", "--bundle", dir}, flags...)...).ok().prints("")
		var spec map[string]any
		c.must(json.Unmarshal([]byte(c.read("b/config.json")), &spec))
		for _, key := range []string{"ociVersion", "process", "root", "hostname", "mounts", "linux"} {
			if spec[key] == nil {
				t.Errorf("spec %v lacks %s", flags, key)
			}
		}
		hasUser := strings.Contains(c.read("b/config.json"), `"type": "user"`)
		if hasUser != (flags != nil) {
			t.Errorf("spec %v: user namespace: %v", flags, hasUser)
		}
	}
}

// TestSpecRuns: what spec writes is a container that runs.
func TestSpecRuns(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.must(removeFile(c.bundle + "/config.json"))
	flags := []string{"spec", "--bundle", c.bundle}
	if ordinaryUser() {
		flags = append(flags, "--rootless")
	}
	c.rt(flags...).ok()
	var spec map[string]any
	c.must(json.Unmarshal([]byte(c.read("b/config.json")), &spec))
	process := spec["process"].(map[string]any)
	process["terminal"], process["args"] = false, []string{"echo", "hello from", "spec"}
	spec["linux"].(map[string]any)["cgroupsPath"] = c.spec.Linux.CgroupsPath
	data, err := json.Marshal(spec)
	c.must(err)
	c.file("b/config.json", string(data), 0o644)
	c.run().ok().prints("hello from spec")
}

func TestFeatures(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	var f struct {
		OciVersionMin, OciVersionMax string
		Hooks, MountOptions          []string
		Linux                        struct {
			Namespaces, Capabilities []string
			Cgroup                   struct{ V1, V2 *bool }
		}
	}
	c.must(json.Unmarshal([]byte(c.rt("features").ok().stdout), &f))
	if f.OciVersionMin != "1.0.0" || !slices.IsSorted(f.MountOptions) || !slices.Contains(f.MountOptions, "rbind") || !slices.Contains(f.MountOptions, "nosuid") {
		t.Errorf("features: %+v", f)
	}
	for _, hook := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		if !slices.Contains(f.Hooks, hook) {
			t.Errorf("features lacks hook %s", hook)
		}
	}
	for _, ns := range []string{"cgroup", "ipc", "mount", "network", "pid", "user", "uts"} {
		if !slices.Contains(f.Linux.Namespaces, ns) {
			t.Errorf("features lacks namespace %s", ns)
		}
	}
	if v1, v2 := f.Linux.Cgroup.V1, f.Linux.Cgroup.V2; v1 == nil || v2 == nil || !*v1 || !*v2 || !slices.Contains(f.Linux.Capabilities, "CAP_SYS_ADMIN") {
		t.Errorf("features: %+v", f.Linux)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	lines := newContainer(t).rt("--version").ok().lines()
	if !strings.HasPrefix(lines[0], machine.name+" version ") {
		t.Errorf("--version: %q", lines)
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.rt("create").fails(`"create" requires exactly 1 argument(s)`)
	c.rt("state", "a", "b").fails(`"state" requires exactly 1 argument(s)`)
	c.rt("kill").fails(`"kill" requires`)
	if r := c.rt("no-such-verb"); r.code == 0 {
		t.Errorf("an unknown verb succeeds: %s", r)
	}
	c.rt("run", "--no-such-flag", c.id).exits(1)
}
