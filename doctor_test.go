package main

import (
	"testing"

	"rt/libcontainer/doctor"
)

func TestDoctor(t *testing.T) {
	cgroup := doctor.Finding{Kind: "cgroup", Paths: []string{"/c/a", "/c/b\n"}, Why: "w", Fix: "remove it"}
	fixed, failed := cgroup, cgroup
	fixed.Fixed = true
	failed.Error = "busy"
	f := &fake{}
	if r := rt(f, "doctor"); r.code != 0 || r.stdout != "" || r.stderr != "" {
		t.Errorf("nothing found: %+v", r)
	}
	if r := rt(f, "doctor", "--format", "json"); r.code != 0 || r.stdout != "[]\n" {
		t.Errorf("nothing found: %+v", r)
	}
	f.findings = []doctor.Finding{cgroup, failed, fixed}
	want := "cgroup /c/a /c/b\\n: w; --fix would remove it\ncgroup /c/a /c/b\\n: w; not fixed: busy\ncgroup /c/a /c/b\\n: w; fixed: remove it\n"
	if r := rt(f, "doctor", "--fix"); r.code != 1 || r.stdout != want {
		t.Errorf("got %+v\nwant %s", r, want)
	}
	f.findings = f.findings[2:]
	want = `[{"kind":"cgroup","paths":["/c/a","/c/b\n"],"why":"w","fix":"remove it","fixed":true}]` + "\n"
	if r := rt(f, "doctor", "--fix", "-f", "json"); r.code != 0 || r.stdout != want {
		t.Errorf("all fixed: got %+v\nwant %s", r, want)
	}
	if r := rt(f, "doctor", "-f", "xml"); r.code != 1 || r.stderr != "rt: invalid format option\n" {
		t.Errorf("xml: %+v", r)
	}
}
