package seccomp

import (
	"slices"
)

// An outcome is what the filter does with a call number: one verdict, or rules that look at the arguments.
type outcome struct {
	ret   uint32 // when rules is empty, and when none of them matches
	rules []rule
	wide  bool // arguments are compared in all of their 64 bits
}

// A span is a range of call numbers with one outcome; it ends where the next one begins.
type span struct {
	from uint32
	out  int // index in partition.outs
}

// A partition divides all 2^32 call numbers of one audit architecture.
type partition struct {
	audit uint32
	spans []span
	outs  []outcome
}

// A hit is a rule for a call number of one architecture.
type hit struct {
	nr   uint32
	rule *rule
}

// partitions returns one partition for each audit architecture of the profile, the native one first. x32 has none of
// its own: it lives in the upper half of x86-64's numbers.
func (p *profile) partitions() []partition {
	var parts []partition
	for _, a := range p.arches {
		if a.x32() {
			continue
		}
		part := partition{audit: a.audit}
		known := part.add(p, a)
		if a.audit == auditX86_64 {
			part.addX32(p, known)
		}
		parts = append(parts, part)
	}
	isX86 := func(part partition) bool { return part.audit == auditX86_64 }
	if i := slices.IndexFunc(p.arches, (*arch).x32); i >= 0 && !slices.ContainsFunc(parts, isX86) {
		part := partition{audit: auditX86_64}
		part.mark(0, outcome{ret: retKillThread})
		part.add(p, p.arches[i])
		parts = append(parts, part)
	}
	return parts
}

// addX32 fills the upper half of x86-64: the rules of x32 if the profile names it, else death by libseccomp's action
// for an architecture that is not in the filter. Bit 30 makes a number x32's, also for the stub: those with bit 31
// alone are x86-64's, and known tells whether the stub knows it.
func (part *partition) addX32(p *profile, known bool) {
	rest, last := outcome{ret: retKillThread}, outcome{ret: p.def}
	if i := slices.IndexFunc(p.arches, (*arch).x32); i < 0 {
		part.mark(x32Bit, rest)
	} else {
		rest = last
		if part.add(p, p.arches[i]) && p.stub {
			rest, last = outcome{ret: p.enosys}, outcome{ret: p.enosys}
		}
	}
	switch {
	case known && p.stub:
		part.mark(1<<31, outcome{ret: p.enosys})
	case rest.ret != retKillThread:
		part.mark(1<<31, outcome{ret: p.def})
	}
	part.mark(1<<31|x32Bit, rest)
	// A tracer skips a call by making its number -1, and the filter runs again after that (seccomp(2)).
	part.mark(0xffffffff, last)
}

// add appends the spans of one ABI, from its base upwards to the end of all numbers, and tells whether the profile
// knows any of its calls.
func (part *partition) add(p *profile, a *arch) (known bool) {
	hits, last := p.hits(a)
	known = last > 0
	start := uint32(0)
	if a.x32() {
		start = x32Bit
	}
	def := outcome{ret: p.def}
	part.mark(start, def)
	if p.stub && known && a.s390() {
		// Numbers that an s390 kernel does not know reach the filter as 0, setup(2), which nothing else uses.
		part.mark(0, outcome{ret: p.enosys})
		part.mark(1, def)
	}
	for len(hits) > 0 {
		n := 1
		for n < len(hits) && hits[n].nr == hits[0].nr {
			n++
		}
		part.mark(hits[0].nr, resolve(hits[:n], p.def, a))
		part.mark(hits[0].nr+1, def)
		hits = hits[n:]
	}
	if p.stub && known {
		part.mark(last+1, outcome{ret: p.enosys})
	}
	return known
}

// hits returns the rules of the profile for one architecture by number and by order of appearance, and the largest
// number that the profile names or has a rule for. That is 0 if there is none, and also if the only one is 0: like
// runc, such a profile is taken to know nothing of the architecture.
func (p *profile) hits(a *arch) (hits []hit, last uint32) {
	found := make([]hit, 0, len(p.entries)+8)
	put := func(nr uint32, rules []rule) {
		for i := range rules {
			found = append(found, hit{nr: nr, rule: &rules[i]})
		}
		last = max(last, nr)
	}
	for i := range p.entries {
		e := &p.entries[i]
		if a.mux && e.mux >= 0 {
			if nr, ok := a.number(e.mux); ok {
				put(nr, muxRules(e.rules, e.call))
			}
		}
		if nr, ok := a.number(e.name); ok {
			put(nr, e.rules)
		}
	}
	keys := make([]uint64, len(found)) // integers sort several times faster than structs with a function
	for i := range found {
		keys[i] = uint64(found[i].nr)<<32 | uint64(i)
	}
	slices.Sort(keys)
	hits = make([]hit, len(found))
	for i, key := range keys {
		hits[i] = found[uint32(key)]
	}
	return hits, last
}

// muxRules rewrites rules for socketcall(2) or ipc(2): the first argument is the number of the call. As libseccomp
// has it, a condition on the first argument is lost and the others stay, although they now compare something else:
// the real arguments are in memory, where no filter can look.
func muxRules(rules []rule, call uint64) []rule {
	out := make([]rule, len(rules))
	for i, r := range rules {
		conds := append(make([]cond, 0, len(r.conds)+1), cond{op: opEq, val: call})
		for _, c := range r.conds {
			if c.arg != 0 {
				conds = append(conds, c)
			}
		}
		out[i] = rule{ret: r.ret, conds: conds}
	}
	return out
}

// mark gives all numbers from nr upwards an outcome; nr must not be below the last mark.
func (part *partition) mark(nr uint32, o outcome) {
	if n := len(part.spans); n > 0 && part.spans[n-1].from == nr {
		part.spans = part.spans[:n-1]
	}
	index := part.intern(o)
	if n := len(part.spans); n > 0 && part.spans[n-1].out == index {
		return
	}
	part.spans = append(part.spans, span{from: nr, out: index})
}

// intern returns the index of an outcome, a new one if there is no equal one.
func (part *partition) intern(o outcome) int {
	for i := range part.outs {
		have := &part.outs[i]
		if have.ret == o.ret && have.wide == o.wide && slices.EqualFunc(have.rules, o.rules, rule.equal) {
			return i
		}
	}
	part.outs = append(part.outs, o)
	return len(part.outs) - 1
}

func (r rule) equal(o rule) bool { return r.ret == o.ret && slices.Equal(r.conds, o.conds) }

func compare[T uint8 | uint32 | uint64 | op](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
