package arch

import (
	"strings"
	"testing"
)

// within says whether a package is p or lies below it.
func within(pkg, p string) bool { return pkg == p || strings.HasPrefix(pkg, p+"/") }

// may lists which packages of this module a room imports; what is not listed is not allowed.
//
//	main -> output -> libcontainer -> {place, state, facts, namespaces, stub, bundle, plan, seccomp, hooks, console, nsenter, cgroups} -> internal/sys -> x/sys/unix
var may = []struct {
	room    string // and what lies below it
	imports []string
}{
	{"rt/internal/sys", nil},
	{"rt/internal", []string{"rt/internal"}},
	{"rt/nsenter", []string{"rt/internal"}},
	{"rt/cgroups", []string{"rt/internal", "rt/cgroups"}},
	{"rt/libcontainer/bundle", []string{"rt/internal/hint", "rt/internal/sys", "rt/internal/names", "rt/internal/plain", "rt/internal/cpulist", "rt/internal/text"}},
	{"rt/libcontainer/seccomp", []string{"rt/internal/hint"}},
	{"rt/libcontainer/plan", []string{"rt/internal/hint", "rt/internal/names", "rt/internal/cpulist", "rt/internal/text", "rt/libcontainer/bundle", "rt/libcontainer/seccomp", "rt/nsenter"}},
	{"rt/libcontainer/namespaces", []string{"rt/internal", "rt/libcontainer/plan", "rt/libcontainer/state", "rt/nsenter"}},
	{"rt/libcontainer/stub", []string{"rt/internal", "rt/libcontainer/plan", "rt/libcontainer/seccomp", "rt/nsenter"}},
	{"rt/libcontainer/console", []string{"rt/internal", "rt/nsenter"}}, // its signal handler is C
	{"rt/libcontainer/hooks", []string{"rt/internal", "rt/nsenter"}},   // what rt's start has changed, children have back
	{"rt/libcontainer/state", []string{"rt/internal", "rt/cgroups", "rt/libcontainer/bundle"}},
	{"rt/libcontainer/checkpoint", []string{"rt/internal", "rt/cgroups", "rt/libcontainer/bundle", "rt/libcontainer/criu", "rt/libcontainer/facts", "rt/libcontainer/notify", "rt/libcontainer/plan",
		"rt/libcontainer/seccomp", "rt/libcontainer/state", "rt/libcontainer/stub"}},
	{"rt/libcontainer/doctor", []string{"rt/internal", "rt/cgroups", "rt/nsenter", "rt/libcontainer/bundle", "rt/libcontainer/intelrdt", "rt/libcontainer/place", "rt/libcontainer/state"}},
	{"rt/libcontainer/place", []string{"rt/internal", "rt/cgroups", "rt/nsenter", "rt/libcontainer/bundle", "rt/libcontainer/facts", "rt/libcontainer/intelrdt", "rt/libcontainer/plan",
		"rt/libcontainer/state"}},
	{"rt/libcontainer/facts", []string{"rt/internal", "rt/cgroups", "rt/nsenter", "rt/libcontainer/bundle", "rt/libcontainer/plan", "rt/libcontainer/seccomp"}},
	{"rt/libcontainer/usage", []string{"rt/internal", "rt/cgroups", "rt/libcontainer/intelrdt", "rt/libcontainer/state"}},
	{"rt/libcontainer/", []string{"rt/internal"}}, // hooks, console, notify ...: one subject each
	{"rt/libcontainer", []string{"rt/internal", "rt/cgroups", "rt/nsenter", "rt/libcontainer"}},
	{"rt/output", []string{"rt/internal", "rt/libcontainer", "rt/nsenter"}}, // its screen catches signals
	{"rt/bench", nil},
	{"rt/tests/peers", []string{"rt/tests/testjson"}},
	{"rt/tests/suites", []string{"rt/tests/testjson"}},
	{"rt/tests", nil},
	{"rt", []string{"rt/internal", "rt/libcontainer", "rt/output"}},
}

func rule(pkg string) (imports []string, ok bool) {
	for _, r := range may {
		below := strings.TrimSuffix(r.room, "/")
		if within(pkg, below) && (r.room == below || pkg != below) {
			return r.imports, true
		}
	}
	return nil, false
}

func TestImportDirection(t *testing.T) {
	rooms, _ := tree(t)
	for pkg, r := range rooms {
		allowed, ok := rule(pkg)
		if !ok {
			t.Errorf("no rule for package %s", pkg)
		}
	next:
		for imported, file := range r.imports() {
			if !within(imported, "rt") {
				continue
			}
			for _, a := range allowed {
				if within(imported, a) {
					continue next
				}
			}
			t.Errorf("%s: %s must not import %s", file, pkg, imported)
		}
	}
}

func TestNothingImportsMain(t *testing.T) {
	rooms, _ := tree(t)
	for pkg, r := range rooms {
		if file, ok := r.imports()["rt"]; ok {
			t.Errorf("%s: package %s imports package main", file, pkg)
		}
	}
}

// TestCgroupsApart: other programs may take cgroups as it is; a container is none of its business.
func TestCgroupsApart(t *testing.T) {
	rooms, _ := tree(t)
	for pkg, r := range rooms {
		if !within(pkg, "rt/cgroups") {
			continue
		}
		for imported, file := range r.imports() {
			if within(imported, "rt/libcontainer") || within(imported, "rt/nsenter") {
				t.Errorf("%s imports %s", file, imported)
			}
		}
	}
}

// TestOneCgo: the stub is the only C, and C is reached from nowhere else.
func TestOneCgo(t *testing.T) {
	rooms, _ := tree(t)
	found := false
	for pkg, r := range rooms {
		if file, ok := r.imports()["C"]; ok {
			found = true
			if pkg != "rt/nsenter" {
				t.Errorf("%s uses cgo", file)
			}
		}
	}
	if !found {
		t.Error("nothing uses cgo: where is the stub?")
	}
}

// TestLightImports: every import is paid at each start, and each of these costs more than a container's creation may.
func TestLightImports(t *testing.T) {
	heavy := []string{"net/http", "text/template", "html/template", "log", "log/slog", "net/rpc", "encoding/gob", "testing", "expvar", "plugin", "os/user"}
	rooms, _ := tree(t)
	for pkg, r := range rooms {
		if within(pkg, "rt/bench") || within(pkg, "rt/tests") || within(pkg, "rt/libcontainer/seccomp/internal") {
			continue // other programs
		}
		imports := r.imports()
		for _, h := range heavy {
			if file, ok := imports[h]; ok {
				t.Errorf("%s imports %s", file, h)
			}
		}
	}
}
