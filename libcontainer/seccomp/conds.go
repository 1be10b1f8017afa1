package seccomp

// rules emits the rules of an outcome, the first match deciding, and returns the label.
func (a *assembler) rules(o *outcome) int {
	a.chain.valid = false
	next := a.ret(o.ret)
	for i := len(o.rules) - 1; i >= 0; i-- {
		r := &o.rules[i]
		yes := a.ret(r.ret)
		for j := len(r.conds) - 1; j >= 0; j-- {
			yes = a.cond(&r.conds[j], o.wide, yes, next)
		}
		next = yes
	}
	return next
}

// cond emits the comparison of one argument and returns its label. The kernel gives a filter words of 32 bits: a
// 64-bit argument is compared in halves, the high one first.
func (a *assembler) cond(c *cond, wide bool, yes, no int) int {
	switch c.op {
	case opMasked:
		return a.masked(c, wide, yes, no)
	case opNe, opLt, opLe: // the opposite of eq, ge, gt
		yes, no = no, yes
	}
	lo, hi := uint32(c.val), uint32(c.val>>32)
	code := codeJeq
	switch c.op {
	case opLt, opGe:
		code = codeJge
	case opLe, opGt:
		code = codeJgt
	}
	if code == codeJeq {
		return a.equal(c, lo, hi, wide, yes, no)
	}
	a.jump(code, lo, yes, no)
	entry := a.load(c.arg, wide, false)
	if !wide {
		return entry
	}
	if hi == 0 {
		a.jump(codeJeq, 0, entry, yes)
	} else {
		a.jump(codeJgt, hi, yes, a.jump(codeJeq, hi, entry, no))
	}
	return a.load(c.arg, wide, true)
}

// equal emits the comparison with one value. A rule that comes right after another about the same argument and
// high half, as in a list of allowed values, is entered behind its loads.
func (a *assembler) equal(c *cond, lo, hi uint32, wide bool, yes, no int) int {
	lowYes, lowNo := yes, no
	if a.chain.valid && a.chain.arg == c.arg && a.chain.hi == hi {
		if lowYes == a.chain.entry {
			lowYes = a.chain.low
		}
		if lowNo == a.chain.entry {
			lowNo = a.chain.low
		}
	}
	low := a.jump(codeJeq, lo, lowYes, lowNo)
	entry := a.load(c.arg, wide, false)
	if wide {
		a.jump(codeJeq, hi, entry, no)
		entry = a.load(c.arg, wide, true)
	}
	a.chain = chainLabel{entry: entry, low: low, arg: c.arg, hi: hi, valid: true}
	return entry
}

// masked emits the comparison of the bits in a mask; halves without such bits are left out.
func (a *assembler) masked(c *cond, wide bool, yes, no int) int {
	entry := yes
	if mask := uint32(c.mask); mask != 0 {
		entry = a.maskedHalf(c.arg, wide, false, mask, uint32(c.val), entry, no)
	}
	if mask := uint32(c.mask >> 32); mask != 0 {
		entry = a.maskedHalf(c.arg, wide, true, mask, uint32(c.val>>32), entry, no)
	}
	return entry
}

func (a *assembler) maskedHalf(arg uint8, wide, high bool, mask, val uint32, yes, no int) int {
	switch {
	case val == 0:
		a.jump(codeJset, mask, no, yes)
	case mask == 0xffffffff:
		a.jump(codeJeq, val, yes, no)
	default:
		a.jump(codeJeq, val, yes, no)
		a.emit(codeAnd, mask)
	}
	return a.load(arg, wide, high)
}

// load emits the loading of a half of an argument.
func (a *assembler) load(arg uint8, wide, high bool) int {
	off := offArgs + 8*uint32(arg)
	if high != a.big {
		off += 4
	}
	return a.emit(codeLoad, off)
}
