package seccomp

import "slices"

// resolve orders the rules for one call number so that the first that matches decides, as in libseccomp:
//   - a rule without conditions decides alone, and of several the first;
//   - rules with conditions and one action need no order;
//   - else the rule that compares the higher argument comes first, then equality, then less, then greater, then the
//     tighter bound or the larger value;
//   - a rule whose first conditions are all those of an earlier rule is never reached.
func resolve(hits []hit, def uint32, a *arch) outcome {
	for _, h := range hits {
		if h.rule.always(a) {
			return outcome{ret: h.rule.ret}
		}
	}
	rules := make([]rule, len(hits))
	mixed := false
	for i, h := range hits {
		rules[i] = h.rule.on(a)
		mixed = mixed || rules[i].ret != rules[0].ret
	}
	if mixed {
		rules = order(rules)
	}
	return outcome{ret: def, rules: rules, wide: a.wide}
}

// empty tells a condition that is always true on an architecture.
func (c *cond) empty(a *arch) bool {
	return c.op == opMasked && (uint32(c.mask) == 0) && (c.mask == 0 || !a.wide)
}

// always tells whether no condition is left on an architecture.
func (r *rule) always(a *arch) bool {
	for i := range r.conds {
		if !r.conds[i].empty(a) {
			return false
		}
	}
	return true
}

// on returns the rule as an architecture can check it: without conditions that are always true, and with values cut
// to 32 bits where libseccomp does not look at more.
func (r *rule) on(a *arch) rule {
	conds := make([]cond, 0, len(r.conds))
	for _, c := range r.conds {
		if c.empty(a) {
			continue
		}
		if !a.wide {
			c.val, c.mask = uint64(uint32(c.val)), uint64(uint32(c.mask))
		}
		conds = append(conds, c)
	}
	return rule{ret: r.ret, conds: conds}
}

// condsKey is the conditions of a rule as a map key; what a rule has not stays zero, with count telling how many it has.
type condsKey struct {
	count int
	conds [6]cond
}

func keyOf(conds []cond) condsKey {
	k := condsKey{count: len(conds)}
	copy(k.conds[:], conds)
	return k
}

// order sorts rules with different actions and drops those that an earlier one covers.
func order(rules []rule) []rule {
	first := make(map[condsKey]int, len(rules)) // conditions -> the first rule that has them
	for i, r := range rules {
		if _, ok := first[keyOf(r.conds)]; !ok {
			first[keyOf(r.conds)] = i
		}
	}
	kept := make([]rule, 0, len(rules))
	for i, r := range rules {
		covered := false
		for n := 1; n <= len(r.conds) && !covered; n++ {
			j, ok := first[keyOf(r.conds[:n])]
			covered = ok && j < i
		}
		if !covered {
			kept = append(kept, r)
		}
	}
	slices.SortStableFunc(kept, func(x, y rule) int {
		for i := range min(len(x.conds), len(y.conds)) {
			if d := compareConds(x.conds[i], y.conds[i]); d != 0 {
				return d
			}
		}
		return len(y.conds) - len(x.conds)
	})
	return kept
}

// compareConds is the order in which conditions of different rules are tried.
func compareConds(x, y cond) int {
	if d := compare(y.arg, x.arg); d != 0 {
		return d
	}
	if d := compare(y.op.class(), x.op.class()); d != 0 {
		return d
	}
	if x.val != y.val {
		if x.op.class() == 2 { // the smaller of two upper bounds
			return compare(x.val, y.val)
		}
		return compare(y.val, x.val)
	}
	if d := compare(x.op, y.op); d != 0 {
		return d
	}
	return compare(y.mask, x.mask)
}

// class groups operators for compareConds.
func (o op) class() uint8 {
	switch o {
	case opLt, opLe:
		return 2
	case opGt, opGe:
		return 1
	}
	return 3
}
