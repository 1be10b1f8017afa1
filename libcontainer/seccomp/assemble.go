package seccomp

import (
	"fmt"
	"slices"
)

// Codes of instructions, linux/filter.h and linux/bpf_common.h.
const (
	codeLoad uint16 = 0x20 // A = word at offset K of struct seccomp_data
	codeJa   uint16 = 0x05
	codeJeq  uint16 = 0x15
	codeJgt  uint16 = 0x25
	codeJge  uint16 = 0x35
	codeJset uint16 = 0x45
	codeAnd  uint16 = 0x54
	codeRet  uint16 = 0x06
)

// Offsets in struct seccomp_data, linux/seccomp.h.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// reach is how far a conditional jump is trusted to go. Its offset has 8 bits; the rest is for the two instructions
// that may have to be put in front of its targets.
const reach = 250

// An assembler makes a program from its end to its start, because jumps go forward only: each target is there when
// the jump to it is made. code is in that reversed order and a label is an index in it.
//
// Nothing falls through from one piece to the next except a load or mask to what follows it, so that copies of
// a return and long jumps can be put between any two pieces.
type assembler struct {
	code []Insn
	big  bool
	rets []retLabel // the nearest return of each verdict
	// chain is where the comparison of a low half begins for rules that follow one another: see cond.
	chain chainLabel
}

type retLabel struct {
	ret uint32
	at  int
}

// A chainLabel is the entry of a rule behind the loading of its first argument.
type chainLabel struct {
	entry, low int // label of the rule, label of the comparison of the low half
	arg        uint8
	hi         uint32
	valid      bool
}

// program returns the instructions for a profile.
func (a *assembler) program(p *profile) ([]Insn, error) {
	parts := p.partitions()
	a.big = p.native.big
	a.code = make([]Insn, 0, 1024)
	next := a.ret(retKillThread) // libseccomp's default for architectures that are not in the filter
	entries := make([]int, len(parts))
	for i := len(parts) - 1; i >= 0; i-- { // the native one, at [0], ends up nearest to the start
		t := tree{assembler: a, part: &parts[i], labels: make([]int, len(parts[i].outs))}
		if entries[i] = t.build(parts[i].spans); len(parts[i].spans) > 1 { // else the number does not matter
			entries[i] = a.emit(codeLoad, offNr)
		}
	}
	for i := len(parts) - 1; i >= 0; i-- {
		next = a.jump(codeJeq, parts[i].audit, entries[i], next)
	}
	a.emit(codeLoad, offArch)
	if len(a.code) > MaxInsns {
		return nil, &Error{Cause: fmt.Sprintf("the filter has %d instructions, the kernel takes %d", len(a.code), MaxInsns)}
	}
	slices.Reverse(a.code)
	return a.code, nil
}

// emit puts an instruction before all others and returns its label.
func (a *assembler) emit(code uint16, k uint32) int {
	a.code = append(a.code, Insn{Code: code, K: k})
	return len(a.code) - 1
}

// ret returns the label of a return that is near.
func (a *assembler) ret(ret uint32) int {
	i := slices.IndexFunc(a.rets, func(r retLabel) bool { return r.ret == ret })
	if i < 0 {
		a.rets = append(a.rets, retLabel{ret: ret})
		i = len(a.rets) - 1
	} else if len(a.code)-a.rets[i].at < reach/2 {
		return a.rets[i].at
	}
	a.rets[i].at = a.emit(codeRet, ret)
	return a.rets[i].at
}

// near returns a label within reach that has the effect of the given one.
func (a *assembler) near(label int) int {
	switch in := a.code[label]; {
	case len(a.code)-label <= reach:
		return label
	case in.Code == codeRet:
		return a.ret(in.K)
	}
	return a.emit(codeJa, uint32(len(a.code)-label-1))
}

// jump emits a conditional jump.
func (a *assembler) jump(code uint16, k uint32, yes, no int) int {
	yes = a.near(yes)
	no = a.near(no)
	at := a.emit(code, k)
	a.code[at].Jt, a.code[at].Jf = uint8(at-yes-1), uint8(at-no-1)
	return at
}

// A tree is the search for the span of a call number, which is in the accumulator.
type tree struct {
	*assembler
	part   *partition
	labels []int // of the outcomes that have rules; 0 is none
}

// build emits the search in spans and returns its label, which is the last one emitted if there is more than one span.
func (t *tree) build(spans []span) int {
	switch n := len(spans); {
	case n == 1:
		return t.leaf(spans[0].out)
	case n == 3 && spans[0].out == spans[2].out && spans[1].from+1 == spans[2].from:
		rest := t.leaf(spans[0].out)
		return t.jump(codeJeq, spans[1].from, t.leaf(spans[1].out), rest)
	default:
		mid := n / 2
		upper := t.build(spans[mid:])
		return t.jump(codeJge, spans[mid].from, upper, t.build(spans[:mid]))
	}
}

// leaf returns the label of an outcome.
func (t *tree) leaf(out int) int {
	o := &t.part.outs[out]
	if len(o.rules) == 0 {
		return t.ret(o.ret)
	}
	if t.labels[out] == 0 {
		t.labels[out] = t.rules(o)
	}
	return t.labels[out]
}
