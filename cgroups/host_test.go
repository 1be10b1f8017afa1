package cgroups

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rt/cgroups/translate"

	"golang.org/x/sys/unix"
)

func TestParseSelfLine(t *testing.T) {
	for _, c := range []struct {
		line, names, own string
		ok               bool
	}{
		{"4:memory:/a:b/c", "memory", "/a:b/c", true},
		{"0::/", "", "/", true},
		{"3:cpu,cpuacct:/x", "cpu,cpuacct", "/x", true},
		{"1:name=systemd:/", "name=systemd", "/", true},
		{"", "", "", false},
		{"1:cpu", "", "", false},
		{"1:cpu:relative", "", "", false},
	} {
		var names, own string
		ok := false
		for names, own = range PathsOf(c.line) {
			ok = true
		}
		if ok != c.ok || ok && (names != c.names || own != c.own) {
			t.Errorf("%q: %q %q %v", c.line, names, own, ok)
		}
	}
}

func TestProbeFindsNothingInPlainFolders(t *testing.T) {
	root := t.TempDir()
	self := filepath.Join(t.TempDir(), "cgroup")
	// A controller's name that no kernel has, so that mountinfo cannot answer for the folder either.
	writeTestFile(t, self, "1:rttest:/\n")
	if err := os.Mkdir(filepath.Join(root, "rttest"), 0o755); err != nil {
		t.Fatal(err)
	}
	if h, err := probe(root, self); err == nil {
		t.Errorf("a plain folder counts as a hierarchy: %+v", h)
	}
	if _, err := probe(filepath.Join(root, "nowhere"), self); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no root: %v", err)
	}
}

func TestProbeThisHost(t *testing.T) {
	h, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	for name, dir := range h.V1 {
		if magic, err := fsMagic(dir); err != nil || magic != unix.CGROUP_SUPER_MAGIC {
			t.Errorf("%s: %s has type %#x (%v)", name, dir, magic, err)
		}
	}
	if h.Unified != "" {
		if magic, err := fsMagic(h.Unified); err != nil || magic != unix.CGROUP2_SUPER_MAGIC {
			t.Errorf("%s has type %#x (%v)", h.Unified, magic, err)
		}
	}
	if want := map[bool]Mode{true: V2, false: Hybrid}[len(h.V1) == 0]; h.Unified != "" && h.Mode != want {
		t.Errorf("mode %v, want %v", h.Mode, want)
	}
	// The slow way must come to the same answer.
	slow := &Host{Root: h.Root, V1: map[string]string{}, own: map[string]string{}}
	names := slices.Sorted(maps.Keys(h.V1))
	if h.Unified != "" {
		names = append(names, "")
	}
	if err := slow.probeMountinfo(names); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(slow.V1, h.V1) || slow.Unified != h.Unified {
		t.Errorf("mountinfo says %v %s, the names %v %s", slow.V1, slow.Unified, h.V1, h.Unified)
	}
}

// fakeHost has memory, cpu with cpuacct, and v2, all plain folders, and an own cgroup in each.
func fakeHost(t *testing.T) *Host {
	t.Helper()
	root := t.TempDir()
	h := &Host{Mode: Hybrid, Root: root, Unified: root + "/unified",
		V1:  map[string]string{"memory": root + "/memory", "cpu": root + "/cpu,cpuacct", "cpuacct": root + "/cpu,cpuacct"},
		own: map[string]string{"memory": "/a/b", "cpu": "/", "cpuacct": "/", "": "/s/scope"}}
	for _, dir := range []string{"/memory/a/b", "/cpu,cpuacct", "/unified/s/scope"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func writeTestFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNewPaths(t *testing.T) {
	h := fakeHost(t)
	for _, c := range []struct{ path, memory, cpu, unified string }{
		{"", "/memory/a/b/id", "/cpu,cpuacct/id", "/unified/s/id"},
		{"x/y", "/memory/a/b/x/y", "/cpu,cpuacct/x/y", "/unified/s/x/y"},
		{"/x//y/", "/memory/x/y", "/cpu,cpuacct/x/y", "/unified/x/y"},
		{"/../../etc", "/memory/etc", "/cpu,cpuacct/etc", "/unified/etc"},
		{"../../../etc", "/memory/a/b/etc", "/cpu,cpuacct/etc", "/unified/s/etc"},
		{"/a/../../b", "/memory/b", "/cpu,cpuacct/b", "/unified/b"},
	} {
		cg, err := New(h, c.path, "id")
		if err != nil {
			t.Errorf("%q: %v", c.path, err)
			continue
		}
		want := map[string]string{"memory": h.Root + c.memory, "cpu": h.Root + c.cpu, "cpuacct": h.Root + c.cpu, "": h.Root + c.unified}
		if got := cg.Paths(); !maps.Equal(got, want) {
			t.Errorf("%q: %v, want %v", c.path, got, want)
		}
		if dirs := cg.Dirs(); len(dirs) != 3 {
			t.Errorf("%q: not distinct: %v", c.path, dirs)
		}
		if again := Load(h, cg.Paths()); !maps.Equal(again.Paths(), want) {
			t.Errorf("%q: Load gives %v", c.path, again.Paths())
		}
		if cg.BornDir() != h.Root+c.unified || len(cg.TaskFiles()) != 2 || cg.Exists() {
			t.Errorf("%q: born %s, tasks %v, exists %v", c.path, cg.BornDir(), cg.TaskFiles(), cg.Exists())
		}
	}
	for _, path := range []string{"/", "..", ".", "/..", "a\nb", "/a\x00"} {
		if _, err := New(h, path, "id"); err == nil {
			t.Errorf("%q is accepted", path)
		}
	}
	h.own["memory"] = "/not/there"
	if _, err := New(h, "x", "id"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("own cgroup that is not there: %v", err)
	}
}

func TestDestroyRefusesWhatIsNotBelowAHierarchy(t *testing.T) {
	h := fakeHost(t)
	for _, dir := range []string{h.Root + "/memory", h.Root + "/memory/..", h.Root, h.Root + "/memory-other"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := Load(h, map[string]string{"memory": dir}).Destroy(); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", dir, err)
		}
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	if err := Load(h, map[string]string{"gone": h.Root + "/gone/x"}).Destroy(); err != nil {
		t.Errorf("a directory that is away: %v", err)
	}
}

func TestMissingControllersAreNamed(t *testing.T) {
	h := fakeHost(t)
	writeTestFile(t, h.Unified+"/cgroup.controllers", "hugetlb\n")
	for config, want := range map[string]string{
		`{"pids":{"limit":3}}`:            "controller pids is not available: /linux/resources/pids/limit cannot be applied",
		`{"network":{"classID":3}}`:       "controller net_cls is not available: /linux/resources/network/classID cannot be applied",
		`{"cpu":{"cpus":"0"}}`:            "controller cpuset is not available: /linux/resources/cpu/cpus cannot be applied",
		`{"blockIO":{"weight":10}}`:       "controller blkio is not available: /linux/resources/blockIO/weight cannot be applied",
		`{"rdma":{"x":{"hcaHandles":1}}}`: "controller rdma is not available: /linux/resources/rdma/x cannot be applied",
	} {
		cg, err := New(h, "/rt-test", "id")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cg.Apply(parse(t, config)); err == nil || err.Error() != want {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// On a hybrid host each part goes to the side that has the controller.
// lines shows settings as "controller file=value".
func lines(list []translate.Setting) (out []string) {
	for _, s := range list {
		out = append(out, s.Controller+" "+s.File+"="+s.Value)
	}
	return out
}

func TestSplit(t *testing.T) {
	h := fakeHost(t)
	writeTestFile(t, h.Unified+"/cgroup.controllers", "hugetlb cpuset io rdma\n")
	cg, err := New(h, "/x", "id")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := cg.translate(parse(t, `{"memory":{"limit":5},"cpu":{"shares":7,"cpus":"0","mems":"0"},"hugepageLimits":[{"pageSize":"2MB","limit":1}],
		"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]},"rdma":{"x":{"hcaObjects":1}},"pids":{"limit":9},"unified":{"misc.max":"x 1"}}`), false)
	if err != nil {
		t.Fatal(err)
	}
	want1 := []string{"cpu cpu.shares=7", "memory memory.limit_in_bytes=5", "pids pids.max=9"}
	want2 := []string{"cpuset cpuset.cpus=0", "cpuset cpuset.mems=0", "io io.max=8:0 rbps=1", "hugetlb hugetlb.2MB.rsvd.max=1",
		"hugetlb hugetlb.2MB.max=1", "rdma rdma.max=x hca_object=1", "misc misc.max=x 1"}
	if got := lines(tr.v1); !slices.Equal(got, want1) {
		t.Errorf("v1 %q", got)
	}
	if got := lines(tr.v2); !slices.Equal(got, want2) {
		t.Errorf("v2 %q", got)
	}
	if names, _ := tr.wanted(false); !slices.Equal(names, []string{"cpuset", "io", "hugetlb", "rdma", "misc"}) {
		t.Errorf("to enable: %q", names)
	}
}

func TestSub(t *testing.T) {
	h := fakeHost(t)
	cg, err := New(h, "/ct", "id")
	if err != nil {
		t.Fatal(err)
	}
	make := func(dirs ...string) {
		for _, dir := range dirs {
			if err := os.MkdirAll(h.Root+dir, 0o755); err != nil {
				t.Fatal(err)
			}
			writeTestFile(t, h.Root+dir+"/cgroup.procs", "")
		}
	}
	make("/memory/ct/all", "/memory/ct/mem", "/memory/ct2", "/cpu,cpuacct/ct/all", "/memory/ct", "/cpu,cpuacct/ct", "/unified/ct")
	for _, c := range []struct {
		specs                []string
		memory, cpu, unified string
		err                  string
	}{
		{specs: nil, memory: "", cpu: "", unified: ""},
		{specs: []string{"all"}, memory: "/all", cpu: "/all"}, // v2 stays
		{specs: []string{"/"}},
		{specs: []string{"memory:mem"}, memory: "/mem"},
		{specs: []string{"memory:mem", "cpu:all"}, memory: "/mem", cpu: "/all"},
		{specs: []string{"memory,cpu,cpuacct:all"}, memory: "/all", cpu: "/all"},
		{specs: []string{".."}, err: "bad sub cgroup path: .."},
		{specs: []string{"memory:../ct2"}, err: "bad sub cgroup path: ../ct2"},
		{specs: []string{"nonexistent"}, err: "/nonexistent/cgroup.procs: no such file"},
		{specs: []string{"cpu:nonexistent"}, err: "/nonexistent/cgroup.procs: no such file"},
		{specs: []string{"whaaat:/"}, err: "unknown controller whaaat"},
		{specs: []string{"mem", "all"}, err: "(missing <controller>: prefix)"},
		{specs: []string{":all"}, err: "(empty <controller> prefix)"},
		{specs: []string{"memory:all", "memory:mem"}, err: "multiple paths for controller memory"},
		{specs: []string{"cpu:all", "cpuacct:/"}, err: "multiple paths for controller"},
	} {
		sub, err := Sub(h, cg, c.specs)
		if c.err != "" || err != nil {
			if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.specs, err, c.err)
			}
			continue
		}
		want := map[string]string{"memory": h.Root + "/memory/ct" + c.memory, "cpu": h.Root + "/cpu,cpuacct/ct" + c.cpu,
			"cpuacct": h.Root + "/cpu,cpuacct/ct" + c.cpu, "": h.Root + "/unified/ct" + c.unified}
		if got := sub.Paths(); !maps.Equal(got, want) {
			t.Errorf("%q: %v", c.specs, got)
		}
	}
}
