package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A model answers what a profile means, straight from its text and without looking for speed.
type model struct {
	c      *specs.LinuxSeccomp
	arches []*arch
	def    uint32
	stub   *stubbed
	cache  map[modelKey][]modelRule
}

type modelKey struct {
	a  *arch
	nr uint32
}

type modelRule struct {
	ret  uint32
	args []specs.LinuxSeccompArg
	mux  uint64 // 0, or the value of the first argument
}

func newModel(c *specs.LinuxSeccomp, native *arch) *model {
	def, _ := actionRet(c.DefaultAction, c.DefaultErrnoRet)
	m := &model{c: c, arches: archesOf(c, native), def: def, stub: newStub(c, native), cache: map[modelKey][]modelRule{}}
	for _, a := range m.arches {
		for _, s := range c.Syscalls {
			for _, name := range s.Names {
				m.load(a, &s, name)
			}
		}
	}
	return m
}

// load adds one name of an entry to the rules of its number.
func (m *model) load(a *arch, s *specs.LinuxSyscall, name string) {
	ret, _ := actionRet(s.Action, s.ErrnoRet)
	i := nameIndex(name)
	if i < 0 || ret == m.def {
		return
	}
	lists := [][]specs.LinuxSeccompArg{s.Args}
	for j := range s.Args {
		if slices.ContainsFunc(s.Args[:j], func(o specs.LinuxSeccompArg) bool { return o.Index == s.Args[j].Index }) {
			lists = nil
			for _, one := range s.Args {
				lists = append(lists, []specs.LinuxSeccompArg{one})
			}
			break
		}
	}
	for _, args := range lists {
		if nr, ok := a.number(i); ok {
			k := modelKey{a, nr}
			m.cache[k] = append(m.cache[k], modelRule{ret: ret, args: args})
		}
		if through, call := muxCall(name); through != "" && a.mux {
			nr, _ := a.number(nameIndex(through))
			k := modelKey{a, nr}
			m.cache[k] = append(m.cache[k], modelRule{ret: ret, args: args, mux: call})
		}
	}
}

// verdicts returns the verdicts that the profile allows for a call: one, unless rules with different actions match.
func (m *model) verdicts(d *data) []uint32 {
	if m.stub.answers(d) {
		return []uint32{m.stub.enosys}
	}
	var a *arch
	for _, have := range m.arches {
		if have.audit == d.arch && (have.audit != 0xc000003e || have.x32() == (d.nr&x32Bit != 0)) {
			a = have
		}
	}
	if a == nil || (d.arch == 0xc000003e && d.nr&(1<<31) != 0) {
		switch x32 := slices.ContainsFunc(m.arches, (*arch).x32); {
		case d.arch != 0xc000003e || !m.hasX86():
			return []uint32{retKillThread}
		case d.nr == 0xffffffff || x32:
			return []uint32{m.def}
		}
		return []uint32{retKillThread}
	}
	var out []uint32
	for _, r := range m.cache[modelKey{a, d.nr}] {
		always, match := r.matches(a, d)
		if always {
			return []uint32{r.ret}
		}
		if match && !slices.Contains(out, r.ret) {
			out = append(out, r.ret)
		}
	}
	if out == nil {
		return []uint32{m.def}
	}
	// An unconditional rule further down wins all the same.
	for _, r := range m.cache[modelKey{a, d.nr}] {
		if always, _ := r.matches(a, d); always {
			return []uint32{r.ret}
		}
	}
	return out
}

func (m *model) hasX86() bool {
	return slices.ContainsFunc(m.arches, func(a *arch) bool { return a.name == "SCMP_ARCH_X86_64" })
}

// matches tells whether a rule holds for every call, and for this one.
func (r *modelRule) matches(a *arch, d *data) (always, match bool) {
	cut := func(v uint64) uint64 {
		if a.wide {
			return v
		}
		return v & 0xffffffff
	}
	always, match = r.mux == 0, r.mux == 0 || cut(d.args[0]) == r.mux
	for _, c := range r.args {
		if r.mux != 0 && c.Index == 0 {
			continue
		}
		x, v, two := cut(d.args[c.Index]), cut(c.Value), cut(c.ValueTwo)
		holds := false
		switch c.Op {
		case specs.OpEqualTo:
			holds = x == v
		case specs.OpNotEqual:
			holds = x != v
		case specs.OpLessThan:
			holds = x < v
		case specs.OpLessEqual:
			holds = x <= v
		case specs.OpGreaterThan:
			holds = x > v
		case specs.OpGreaterEqual:
			holds = x >= v
		case specs.OpMaskedEqual:
			holds = x&v == two&v
		}
		always = always && c.Op == specs.OpMaskedEqual && v == 0
		match = match && holds
	}
	return always, match
}
