package seccomp

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A profile is linux.seccomp after its strings have been looked up.
type profile struct {
	def      uint32 // what the filter returns when no rule matches
	stub     bool   // numbers above the largest one named get ENOSYS
	enosys   uint32
	native   *arch
	arches   []*arch // each once, the native one first
	entries  []entry
	notify   bool
	unknown  []string
	passed   []string // unknown ones that the profile is stricter about than about others
	warnings []string

	// actions of rules with conditions, to find contradictions
	actions map[actionKey]uint32
}

type actionKey struct {
	name  int
	conds condsKey
}

// An entry is one name of one element of syscalls.
type entry struct {
	name  int    // index in the names of the tables
	rules []rule // ORed; none if the rule is the default action anyway
	mux   int    // index of socketcall or ipc, if older kernels have the call in there, else -1
	call  uint64 // its number in there
}

// A rule is an action with the conditions that must all hold, by ascending argument. None: it always holds.
type rule struct {
	ret   uint32
	conds []cond
}

// A cond compares one argument of the call.
type cond struct {
	arg  uint8
	op   op
	val  uint64
	mask uint64 // of opMasked
}

type op uint8

const (
	opEq op = iota
	opNe
	opLt
	opLe
	opGt
	opGe
	opMasked
)

// parse checks the strings of a profile and resolves them.
func parse(c *specs.LinuxSeccomp, native *arch) (*profile, error) {
	p := &profile{native: native, arches: []*arch{native}, enosys: native.enosys()}
	ret, cause := actionRet(c.DefaultAction, c.DefaultErrnoRet)
	switch {
	case cause != "":
		return nil, &Error{Pointer: "/defaultAction", Cause: cause}
	case ret == retNotify:
		// Everything that still has to happen before execve would wait for an agent that has no fd yet.
		return nil, &Error{Pointer: "/defaultAction", Cause: "SCMP_ACT_NOTIFY cannot be used as default action"}
	}
	p.def = ret
	// A permissive default lets unknown calls through to the kernel, which answers ENOSYS itself; a tracer is
	// expected to do so.
	p.stub = c.DefaultAction != specs.ActAllow && c.DefaultAction != specs.ActLog && c.DefaultAction != specs.ActTrace
	for i, name := range c.Architectures {
		if err := p.addArch(name); err != nil {
			return nil, &Error{Pointer: "/architectures/" + strconv.Itoa(i), Cause: err.Error()}
		}
	}
	p.entries = make([]entry, 0, nameCount)
	for i := range c.Syscalls {
		if err := p.addSyscall(&c.Syscalls[i], "/syscalls/"+strconv.Itoa(i)); err != nil {
			return nil, err
		}
	}
	p.warnPassed(c.DefaultAction)
	return p, nil
}

// stricter compares actions as the kernel does, which takes the least of those that filters return, as a signed number.
func stricter(ret, than uint32) bool {
	return int32(ret&retMask) < int32(than&retMask)
}

// mostNamed bounds the names in a warning.
const mostNamed = 8

// warnPassed warns, in one line, of names that no architecture has, where the profile relies on them: they may be misspelt, or of a
// system call that is newer than the tables.
func (p *profile) warnPassed(def specs.LinuxSeccompAction) {
	if len(p.passed) == 0 {
		return
	}
	text, more := strings.Join(p.passed[:min(len(p.passed), mostNamed)], ", "), ""
	if n := len(p.passed) - mostNamed; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	p.warnings = append(p.warnings, fmt.Sprintf("seccomp: no system call is known as %s%s: the profile's rule is ignored, defaultAction %s holds", quoteShort(text), more, def))
}

// quoteShort bounds and quotes what a profile says.
func quoteShort(text string) string { return strconv.Quote(fmt.Sprintf("%.512s", text)) }

// addArch adds an architecture unless it is there.
func (p *profile) addArch(name specs.Arch) error {
	a := archNamed(string(name))
	if a == nil {
		return fmt.Errorf("string %s is not a valid arch for seccomp", name)
	}
	if a.big != p.native.big {
		// libseccomp's EDOM: no kernel runs both byte orders at once, the profile is for another machine.
		return fmt.Errorf("%s has not the byte order of %s", name, p.native.name)
	}
	for _, have := range p.arches {
		if have == a {
			return nil
		}
	}
	p.arches = append(p.arches, a)
	return nil
}

// addSyscall adds one element of syscalls.
func (p *profile) addSyscall(s *specs.LinuxSyscall, at string) error {
	ret, cause := actionRet(s.Action, s.ErrnoRet)
	if cause != "" {
		return &Error{Pointer: at + "/action", Cause: cause}
	}
	if len(s.Names) == 0 { // bundle.Check warns of it
		return nil
	}
	rules, err := parseRules(s.Args, ret, at)
	if err != nil {
		return err
	}
	if ret == p.def {
		rules = nil // redundant; the names still count as known to the profile
	}
	for i, name := range s.Names {
		switch {
		case name == "":
			return &Error{Pointer: at + "/names/" + strconv.Itoa(i), Cause: "empty string is not a valid syscall"}
		case ret == retNotify && name == "write":
			// runc reports the fd of the listener with write(2); agents and profiles rely on the refusal.
			return &Error{Pointer: at + "/names/" + strconv.Itoa(i), Cause: "SCMP_ACT_NOTIFY cannot be used for the write syscall"}
		}
		p.notify = p.notify || ret == retNotify
		index := nameIndex(name)
		if index < 0 {
			p.unknown = append(p.unknown, at+"/names/"+strconv.Itoa(i)+": "+name)
			if stricter(ret, p.def) {
				p.passed = append(p.passed, name)
			}
			continue
		}
		p.warnContradiction(index, rules, at)
		e := entry{name: index, rules: rules, mux: -1}
		if through, call := muxCall(name); through != "" {
			e.mux, e.call = nameIndex(through), call
		}
		p.entries = append(p.entries, e)
	}
	return nil
}

// warnContradiction warns of rules for a call that have the same conditions as an earlier one and another action: the
// earlier one wins, as among rules without conditions. libseccomp refuses them (EEXIST), unless another rule for the
// call has no conditions and covers them all.
func (p *profile) warnContradiction(name int, rules []rule, at string) {
	for _, r := range rules {
		if len(r.conds) == 0 {
			continue
		}
		if p.actions == nil {
			p.actions = map[actionKey]uint32{}
		}
		key := actionKey{name: name, conds: keyOf(r.conds)}
		if ret, ok := p.actions[key]; !ok {
			p.actions[key] = r.ret
		} else if ret != r.ret {
			p.warnings = append(p.warnings,
				fmt.Sprintf("ignore seccomp %s for %s: an earlier rule has the same args and another action", at, nameAt(name)))
		}
	}
}

// parseRules turns the arguments of one element of syscalls into rules: one with all conditions, or, if two of them
// are about the same argument, one for each condition. That is runc's reading; old profiles depend on it.
func parseRules(args []specs.LinuxSeccompArg, ret uint32, at string) ([]rule, error) {
	if len(args) == 0 {
		return []rule{{ret: ret}}, nil
	}
	var byArg [6]*cond
	conds := make([]cond, len(args))
	split := false
	for i, a := range args {
		c, cause := parseCond(a)
		if cause != "" {
			return nil, &Error{Pointer: fmt.Sprintf("%s/args/%d", at, i), Cause: cause}
		}
		conds[i] = c
		split = split || byArg[c.arg] != nil
		byArg[c.arg] = &conds[i]
	}
	if split {
		rules := make([]rule, len(conds))
		for i := range conds {
			rules[i] = rule{ret: ret, conds: conds[i : i+1 : i+1]}
		}
		return rules, nil
	}
	sorted := make([]cond, 0, len(conds))
	for _, c := range byArg {
		if c != nil {
			sorted = append(sorted, *c)
		}
	}
	return []rule{{ret: ret, conds: sorted}}, nil
}

func parseCond(a specs.LinuxSeccompArg) (c cond, cause string) {
	if a.Index > 5 {
		return c, fmt.Sprintf("syscalls only have up to 6 arguments (%d given)", a.Index)
	}
	c = cond{arg: uint8(a.Index), val: a.Value}
	switch a.Op {
	case specs.OpEqualTo:
		c.op = opEq
	case specs.OpNotEqual:
		c.op = opNe
	case specs.OpLessThan:
		c.op = opLt
	case specs.OpLessEqual:
		c.op = opLe
	case specs.OpGreaterThan:
		c.op = opGt
	case specs.OpGreaterEqual:
		c.op = opGe
	case specs.OpMaskedEqual:
		// Bits of valueTwo outside the mask have no meaning.
		c.op, c.mask, c.val = opMasked, a.Value, a.ValueTwo&a.Value
	default:
		return c, fmt.Sprintf("string %s is not a valid operator for seccomp", a.Op)
	}
	return c, ""
}
