package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"rt/libcontainer/bundle"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite testdata/*/plan.txt and plan.json")

// A sample is a directory of testdata: config.json, for exec the process in exec.json, and in with.json what does
// not come from a configuration.
type sample struct {
	dir  string
	raw  []byte
	spec *specs.Spec
	with struct {
		Plan    string // create (also if empty), exec, hook or create-hook
		Options Options
		Facts   Facts
	}
}

// everything is what root has on a kernel that has every capability.
const everything = 1<<(unix.CAP_LAST_CAP+1) - 1

// oneInstruction stands for every filter: what is in it is package seccomp's business.
var oneInstruction = []seccomp.Insn{{Code: 6, K: 0x7fff0000}}

func samples(t testing.TB) []*sample {
	dirs, err := filepath.Glob("testdata/*/config.json")
	if err != nil || len(dirs) < 25 {
		t.Fatalf("%d samples, %v", len(dirs), err)
	}
	var all []*sample
	for _, config := range dirs {
		all = append(all, readSample(t, filepath.Dir(config)))
	}
	return all
}

func readSample(t testing.TB, dir string) *sample {
	s := &sample{dir: dir}
	var err error
	if s.raw, err = os.ReadFile(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if s.spec, err = bundle.Decode(s.raw); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	if err := bundle.Join((&bundle.Bundle{Raw: s.raw, Spec: s.spec}).Check()); err != nil {
		t.Fatalf("%s: not what a container can be made of: %v", dir, err)
	}
	s.with.Options = Options{ID: "ID", Bundle: "/bundle", Rootfs: "/bundle/rootfs", Await: true}
	s.with.Facts = Facts{Bounding: everything, Home: "/", DropGroups: true}
	with, err := os.ReadFile(filepath.Join(dir, "with.json"))
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(with))
		d.DisallowUnknownFields()
		err = d.Decode(&s.with)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: %v", dir, err)
	}
	if f := s.spec.Linux.Seccomp; f != nil {
		s.with.Options.Filter = &seccomp.Program{Insns: oneInstruction, Flags: seccomp.FlagSpecAllow, Notify: f.ListenerPath != ""}
	}
	return s
}

func (s *sample) compile(t testing.TB) *Plan {
	switch s.with.Plan {
	case "hook":
		p, err := StartHook(s.spec, s.spec.Hooks.StartContainer[0], s.with.Options, s.with.Facts)
		if err != nil {
			t.Fatalf("%s: %v", s.dir, err)
		}
		return p
	case "create-hook":
		return CreateHook(s.spec, s.spec.Hooks.CreateContainer[0], s.with.Facts)
	}
	compile := Create
	if s.with.Plan == "exec" {
		compile = Exec
		p, err := bundle.LoadProcess(filepath.Join(s.dir, "exec.json"), s.spec.Process)
		if err != nil {
			t.Fatal(err)
		}
		if err := bundle.Join(bundle.CheckProcess(p, "")); err != nil {
			t.Fatalf("%s: %v", s.dir, err)
		}
		s.spec.Process = p
	}
	p, err := compile(s.spec, s.with.Options, s.with.Facts)
	if err != nil {
		t.Fatalf("%s: %v", s.dir, err)
	}
	return p
}

func TestGolden(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(filepath.Base(s.dir), func(t *testing.T) {
			p := s.compile(t)
			text, err := json.MarshalIndent(p, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(s.dir, "plan.txt"), []byte(p.Text()))
			golden(t, filepath.Join(s.dir, "plan.json"), append(text, '\n'))
			found := violations(p)
			if s.with.Plan != "create-hook" {
				found = append(found, rightsViolations(p, s.spec, s.with.Options, s.with.Facts)...)
			}
			for _, violation := range found {
				t.Error(violation)
			}
			if _, err := nsenter.Encode(p.Steps(), len(p.Inputs)); err != nil {
				t.Error(err)
			}
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			t.Fatalf("%s line %d:\n got %s\nwant %s\n(go test -run Golden -update rewrites it, if that is right)", file, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d", file, len(g), len(w))
}

// TestCompilePure: the same configuration gives the same plan, and compiling changes none of it.
func TestCompilePure(t *testing.T) {
	for _, s := range samples(t) {
		before, _ := json.Marshal(s.spec)
		first, _ := json.Marshal(s.compile(t))
		if s.with.Plan != "exec" { // where compile itself puts another process into the configuration
			if after, _ := json.Marshal(s.spec); !bytes.Equal(before, after) {
				t.Errorf("%s: the configuration was changed:\n%s\n%s", s.dir, before, after)
			}
		}
		for range 5 {
			if again, _ := json.Marshal(s.compile(t)); !bytes.Equal(first, again) {
				t.Fatalf("%s: another plan the second time", s.dir)
			}
		}
	}
}
