package systemd

import (
	"strings"
	"testing"
)

func TestUnitOf(t *testing.T) {
	for _, c := range []struct {
		path      string
		user      bool
		name, dir string
		err       string
	}{
		{path: "", name: "rt-id1.scope", dir: "/system.slice/rt-id1.scope"},
		{path: "", user: true, name: "rt-id1.scope", dir: "/user.slice/rt-id1.scope"},
		{path: "system.slice:docker:abc", name: "docker-abc.scope", dir: "/system.slice/docker-abc.scope"},
		{path: "kubepods-besteffort-pod1_2.slice:cri-containerd:f00", name: "cri-containerd-f00.scope",
			dir: "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-f00.scope"},
		{path: "-:p:n", name: "p-n.scope", dir: "/p-n.scope"},
		{path: "-.slice:p:n", name: "p-n.scope", dir: "/p-n.scope"},
		{path: ":p:n", user: true, name: "p-n.scope", dir: "/user.slice/p-n.scope"},
		{path: "::n", name: "-n.scope", dir: "/system.slice/-n.scope"}, // as runc
		{path: `:p:a\x2db`, name: `p-a\x2db.scope`, dir: `/system.slice/p-a\x2db.scope`},
		{path: "a.slice:ignored:a-b.slice", name: "a-b.slice", dir: "/a.slice/a-b.slice"},
		{path: "::a-b-c.slice", name: "a-b-c.slice", dir: "/a.slice/a-b.slice/a-b-c.slice"},
		{path: "-::a.slice", name: "a.slice", dir: "/a.slice"},

		{path: "b.slice::a-b.slice", err: "slice a-b.slice lies in a.slice, not in b.slice"},
		{path: "/a/b", err: `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/a/b" instead`},
		{path: "a:b", err: `"slice:prefix:name"`},
		{path: "a.slice:b:c:d", err: `"slice:prefix:name"`},
		{path: "a.slice:b:", err: "the name is empty"},
		{path: "a:b:c", err: `slice "a" does not end in .slice`},
		{path: ".slice:b:c", err: "it has an empty part"},
		{path: "-a.slice:b:c", err: "it has an empty part"},
		{path: "a-.slice:b:c", err: "it has an empty part"},
		{path: "a--b.slice:b:c", err: "it has an empty part"},
		{path: "a/b.slice:b:c", err: `invalid unit name "a/b.slice": '/'`},
		{path: "../../x.slice:b:c", err: `invalid unit name`},
		{path: ":b:../c", err: `invalid unit name`},
		{path: ":b:a c", err: `' '`},
		{path: ":b:a+c", err: `'+'`},
		{path: ":b:" + strings.Repeat("x", 300), err: "more than 255"},
	} {
		u, err := UnitOf(c.path, "id1", c.user)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasSuffix(err.Error(), "(/linux/cgroupsPath)") {
				t.Errorf("%q: %v, want %s", c.path, err, c.err)
			}
			continue
		}
		if err != nil || u.Name != c.name || u.Path() != c.dir {
			t.Errorf("%q: %q in %q, %v, want %q in %q", c.path, u.Name, u.Path(), err, c.name, c.dir)
		}
	}
	if u, err := UnitOf("", "a+b", false); err != nil || u.Name != `rt-a\x2bb.scope` {
		t.Errorf("an id with a +: %q, %v", u.Name, err)
	}
}

// Whatever the configuration says, a unit lies below the manager's cgroup and has a name that systemd takes.
func FuzzUnitOf(f *testing.F) {
	for _, s := range []string{"", "a-b.slice:p:n", "-:p:n", "::x.slice", "/a", "..slice:.:..slice"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := UnitOf(path, "id", false)
		if err != nil {
			return
		}
		dir := u.Path()
		if !strings.HasPrefix(dir, "/") || !strings.HasSuffix(dir, "/"+u.Name) || strings.Contains(dir, "/../") || strings.Contains(dir, "//") {
			t.Errorf("%q: %q", path, dir)
		}
		if err := checkName(u.Name); err != nil {
			t.Error(err)
		}
	})
}

func TestObjectPath(t *testing.T) {
	for unit, want := range map[string]string{
		"rt-a1.scope": "rt_2da1_2escope",
		"1.slice":     "_31_2eslice",
		`a\x2bé`:      "a_5cx2b_c3_a9",
	} {
		if got := objectPath(unit); got != "/org/freedesktop/systemd1/unit/"+want {
			t.Errorf("%s: %s", unit, got)
		}
	}
}

// TestTemplateName: a name with an @ is an instance of a template, which is not started for a container.
func TestTemplateName(t *testing.T) {
	for _, path := range []string{"system.slice:rt:a@b", "a@b.slice:rt:x", ":rt@:x"} {
		if _, err := UnitOf(path, "id", false); err == nil || !strings.Contains(err.Error(), "instance of a template") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
