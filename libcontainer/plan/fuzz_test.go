package plan

import (
	"encoding/json"
	"testing"

	"rt/libcontainer/bundle"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzCreate: what Check lets through compiles, with any options and facts, or is refused with an error; the plan can
// be encoded, and keeps the rules of every plan.
func FuzzCreate(f *testing.F) {
	for _, s := range samples(f) {
		with, err := json.Marshal(map[string]any{"Options": s.with.Options, "Facts": s.with.Facts})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.raw, with)
	}
	f.Fuzz(func(t *testing.T, raw, rest []byte) {
		spec, err := bundle.Decode(raw)
		if err != nil || bundle.Join((&bundle.Bundle{Raw: raw, Spec: spec}).Check()) != nil {
			return
		}
		var with struct {
			Options Options
			Facts   Facts
		}
		_ = json.Unmarshal(rest, &with) // what could be decoded will do
		with.Facts.Cgroups.Hierarchies = onlyDistinct(with.Facts.Cgroups.Hierarchies)
		if spec.Linux != nil && spec.Linux.Seccomp != nil {
			with.Options.Filter = &seccomp.Program{Insns: oneInstruction}
		}
		p, err := Create(spec, with.Options, with.Facts)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		checkAny(t, p)
		checkRights(t, p, spec, with.Options, with.Facts)
		checkTail(t, p, spec, with.Options, with.Facts)
		if e, err := Exec(spec, with.Options, with.Facts); err != nil {
			t.Errorf("create compiles, exec does not: %v", err)
		} else {
			checkAny(t, e)
			checkRights(t, e, spec, with.Options, with.Facts)
		}
		if spec.Hooks == nil {
			return
		}
		for _, h := range spec.Hooks.StartContainer {
			p, err := StartHook(spec, h, Options{ID: with.Options.ID, Filter: with.Options.Filter}, with.Facts)
			if err != nil {
				t.Errorf("create compiles, a hook does not: %v", err)
				continue
			}
			checkAny(t, p)
			checkRights(t, p, spec, Options{Filter: with.Options.Filter}, with.Facts)
		}
	})
}

// onlyDistinct keeps the facts to what a host can have.
func onlyDistinct(list []Hierarchy) []Hierarchy {
	seen := map[string]bool{}
	var kept []Hierarchy
	for _, h := range list {
		if h.Dir != "" && !seen[h.Dir] {
			seen[h.Dir] = true
			kept = append(kept, h)
		}
	}
	return kept
}

func checkRights(t *testing.T, p *Plan, spec *specs.Spec, opts Options, facts Facts) {
	t.Helper()
	for _, v := range rightsViolations(p, spec, opts, facts) {
		t.Error(v)
	}
}

func checkAny(t *testing.T, p *Plan) {
	t.Helper()
	for _, v := range violations(p) {
		t.Error(v)
	}
	if _, err := json.Marshal(p); err != nil {
		t.Error(err)
	}
	// Names that only the host knows (facts, ids) may be anything here; those of the configuration were checked.
	if _, err := nsenter.Encode(p.Steps(), len(p.Inputs)); err != nil && len(p.Inputs) <= nsenter.MaxFds {
		t.Logf("encode: %v", err)
	}
}

func checkTail(t *testing.T, p *Plan, spec *specs.Spec, opts Options, facts Facts) {
	t.Helper()
	tail, err := AfterStart(spec, Options{Filter: opts.Filter, Init: opts.Init}, Facts{Bounding: facts.Bounding})
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range p.Items[len(p.Items)-len(tail.Items):] {
		if it.Step.Name() != tail.Items[i].Step.Name() || it.Pointer != tail.Items[i].Pointer {
			t.Fatalf("start takes step %q for %q", it.Step, tail.Items[i].Step)
		}
	}
}
