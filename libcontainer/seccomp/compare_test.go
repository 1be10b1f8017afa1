package seccomp

import (
	"encoding/json"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// stubbed is what runc's -ENOSYS stub in front of the filter answers, said again from its description.
type stubbed struct {
	active bool
	enosys uint32
	last   map[*arch]uint32 // the largest number the profile names, by ABI
}

func newStub(c *specs.LinuxSeccomp, native *arch) *stubbed {
	s := &stubbed{enosys: native.enosys(), last: map[*arch]uint32{}}
	switch c.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace:
		return s
	}
	s.active = true
	for _, a := range archesOf(c, native) {
		for _, call := range c.Syscalls {
			for _, name := range call.Names {
				if i := nameIndex(name); i >= 0 {
					if nr, ok := a.number(i); ok {
						s.last[a] = max(s.last[a], nr)
					}
					if through, _ := muxCall(name); through != "" && a.mux {
						nr, _ := a.number(nameIndex(through))
						s.last[a] = max(s.last[a], nr)
					}
				}
			}
		}
	}
	return s
}

func (s *stubbed) answers(d *data) bool {
	if !s.active {
		return false
	}
	for a, last := range s.last {
		if a.audit != d.arch || last == 0 {
			continue
		}
		if a.audit == 0xc000003e && a.x32() != (d.nr&x32Bit != 0) {
			continue
		}
		if d.nr > last || (a.s390() && d.nr == 0) {
			return true
		}
	}
	return false
}

// archesOf returns the architectures of a profile and the native one, each once.
func archesOf(c *specs.LinuxSeccomp, native *arch) []*arch {
	out := []*arch{native}
	for _, name := range c.Architectures {
		if a := archNamed(string(name)); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// compareVerdicts runs our program for every call number of every architecture, with the arguments that the
// profile's conditions distinguish, against what the profile means and, unless want is nil, against libseccomp's
// program. It returns how many runs that were.
func compareVerdicts(t *testing.T, c *specs.LinuxSeccomp, native *arch, want, got []Insn) (runs int) {
	t.Helper()
	m := newModel(c, native)
	calls(c, native, func(d *data) {
		runs++
		mem := d.bytes(native.big)
		g, _ := interpret(got, mem, native.big)
		meant := m.verdicts(d)
		w := meant[0]
		if want != nil {
			if w, _ = interpret(want, mem, native.big); m.stub.answers(d) {
				w = m.stub.enosys
			}
		}
		if !slices.Contains(meant, g) || (want != nil && w != g) {
			text, _ := json.Marshal(c)
			t.Fatalf("native %s arch %#x nr %#x args %#x: %#x, libseccomp %#x, meant %#x\nprofile: %s", native.name, d.arch,
				d.nr, d.args, g, w, meant, text)
		}
	})
	return runs
}

// calls yields the calls that are worth asking about: the same memory each time.
func calls(c *specs.LinuxSeccomp, native *arch, yield func(*data)) {
	byCall := map[string][]specs.LinuxSeccompArg{}
	for _, s := range c.Syscalls {
		for _, n := range s.Names {
			byCall[n] = append(byCall[n], s.Args...)
		}
	}
	audits := []uint32{0xdeadbeef}
	for _, a := range archesOf(c, native) {
		audits = append(audits, a.audit)
		args := map[uint32][]specs.LinuxSeccompArg{}
		for name, list := range byCall {
			if len(list) == 0 || nameIndex(name) < 0 {
				continue
			}
			if nr, ok := a.number(nameIndex(name)); ok {
				args[nr] = append(args[nr], list...)
			}
			if through, call := muxCall(name); through != "" && a.mux {
				nr, _ := a.number(nameIndex(through))
				args[nr] = append(append(args[nr], list...), specs.LinuxSeccompArg{Value: call})
			}
		}
		for nr, list := range args {
			for _, v := range vectors(list) {
				yield(&data{arch: a.audit, nr: nr, args: v})
			}
		}
	}
	for _, audit := range audits {
		for _, base := range []uint32{0, 4000, 5000, 6000, 0xf0000, x32Bit} {
			for nr := base; nr < base+560; nr++ {
				yield(&data{arch: audit, nr: nr})
			}
		}
		for _, nr := range []uint32{0x3fffffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff} {
			yield(&data{arch: audit, nr: nr})
		}
	}
}

// vectors returns arguments around the values of conditions.
func vectors(list []specs.LinuxSeccompArg) [][6]uint64 {
	values := make([][]uint64, 6)
	for _, a := range list {
		v := []uint64{a.Value, a.Value + 1, a.Value - 1, a.Value ^ 1<<32, a.Value + 1<<32, a.Value - 1<<32, 0, ^uint64(0)}
		if a.Op == specs.OpMaskedEqual {
			v = append(v, a.ValueTwo, a.ValueTwo&a.Value, a.ValueTwo|^a.Value, a.Value&^a.ValueTwo, a.ValueTwo^(a.Value&-a.Value))
		}
		values[a.Index] = append(values[a.Index], v...)
	}
	total := 1
	for i := range values {
		slices.Sort(values[i])
		values[i] = slices.Compact(values[i])
		total *= max(1, len(values[i]))
	}
	step := 1
	if total > 600 {
		step = total/600 + 1
		for step%2 == 0 || step%3 == 0 || step%5 == 0 || step%7 == 0 {
			step++
		}
	}
	var out [][6]uint64
	for n := 0; n < total; n += step {
		var v [6]uint64
		rest := n
		for i := range values {
			if k := len(values[i]); k > 0 {
				v[i] = values[i][rest%k]
				rest /= k
			}
		}
		out = append(out, v)
	}
	return out
}
