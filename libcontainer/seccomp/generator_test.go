package seccomp

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A generator makes random profiles.
type generator struct {
	*rand.Rand
	names []string
}

// newGenerator returns a generator of profiles with the names that use accepts.
func newGenerator(t *testing.T, use func(name string) bool) *generator {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", seed)
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	for i := range nameCount {
		if use(nameAt(i)) {
			g.names = append(g.names, nameAt(i))
		}
	}
	return g
}

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

// profile returns a profile and its native architecture; tame keeps away from what libseccomp gets wrong.
func (g *generator) profile(tame bool) (*specs.LinuxSeccomp, *arch) {
	families := [][]specs.Arch{
		{specs.ArchX86_64}, {specs.ArchX86_64, specs.ArchX86}, {specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		{specs.ArchX86_64, specs.ArchX32}, {specs.ArchAARCH64, specs.ArchARM}, {specs.ArchS390X, specs.ArchS390},
		{specs.ArchPPC64LE}, {specs.ArchRISCV64}, {specs.ArchMIPSEL64, specs.ArchMIPSEL, specs.ArchMIPSEL64N32},
		{specs.ArchPPC64, specs.ArchPPC}, {specs.ArchX86_64, specs.ArchAARCH64, specs.ArchX86},
	}
	family := pick(g, families)
	c := &specs.LinuxSeccomp{Architectures: family}
	c.DefaultAction, c.DefaultErrnoRet = g.action(true)
	calls := make([]string, 1+g.IntN(1+g.IntN(40)))
	for i := range calls {
		calls[i] = pick(g, g.names)
		for calls[i] == "write" { // not with SCMP_ACT_NOTIFY
			calls[i] = pick(g, g.names)
		}
		if g.IntN(6) == 0 {
			calls[i] = pick(g, []string{"socket", "semop", "shmctl", "connect", "accept4", "personality", "clone"})
		}
	}
	// Rules with conditions for one call all have one action, but for one profile in four.
	mixed := g.IntN(4) == 0
	type verdict struct {
		action specs.LinuxSeccompAction
		errno  *uint
	}
	fixed := map[string]verdict{}
	seen := habits{}
	for range 1 + g.IntN(30) {
		var s specs.LinuxSyscall
		for range 1 + g.IntN(4) {
			s.Names = append(s.Names, pick(g, calls))
		}
		if tame {
			s.Names = seen.once(s.Names)
		}
		s.Action, s.ErrnoRet = g.action(false)
		if len(s.Names) > 0 && g.IntN(2) == 0 {
			s.Names = s.Names[:1]
			if v, ok := fixed[s.Names[0]]; ok && !mixed {
				s.Action, s.ErrnoRet = v.action, v.errno
			}
			fixed[s.Names[0]] = verdict{s.Action, s.ErrnoRet}
			for range 1 + g.IntN(3) {
				s.Args = append(s.Args, g.arg(mixed))
			}
			if tame {
				s.Args = seen.tame(s.Names[0], s.Args)
			}
		}
		c.Syscalls = append(c.Syscalls, s)
	}
	return c, archNamed(string(family[0]))
}

func (g *generator) action(def bool) (specs.LinuxSeccompAction, *uint) {
	errno := uint(1 + g.IntN(60))
	switch g.IntN(8) {
	case 0, 1:
		return specs.ActAllow, nil
	case 2, 3:
		return specs.ActErrno, &errno
	case 4:
		return specs.ActTrace, &errno
	case 5:
		return pick(g, []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActKillThread}), nil
	case 6:
		return pick(g, []specs.LinuxSeccompAction{specs.ActTrap, specs.ActLog}), nil
	}
	if !def && g.IntN(2) == 0 {
		return specs.ActNotify, nil
	}
	return specs.ActErrno, nil
}

// once removes multiplexed calls that were there before, as any second rule for one makes libseccomp refuse, and those
// that follow one with several conditions (the number of the call and another): see tame.
func (h habits) once(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		through, _ := muxCall(name)
		if through == "" {
			return false
		}
		have, all := h[name], h[through]
		gone := have.named || all.several
		have.named = true
		all.rules++
		h[name], h[through] = have, all
		return gone
	})
}

// habits has, for a call, how many rules with conditions it has, whether one has several, and which arguments have an
// operator other than equality.
type habits map[string]struct {
	named   bool
	rules   int
	several bool
	ordered [3]bool
}

// tame removes from a rule what libseccomp 2.5 gets wrong: after a rule with several conditions it may test the next
// one with another argument in the accumulator, and it merges two orderings of one argument.
func (h habits) tame(name string, args []specs.LinuxSeccompArg) []specs.LinuxSeccompArg {
	have := h[name]
	through, _ := muxCall(name)
	if all := h[through]; through != "" {
		if have.rules > 0 || all.rules > 1 {
			return nil
		}
		all.several = true
		h[through] = all
	}
	if have.several {
		return nil
	}
	if have.rules > 0 || through != "" {
		args = args[:1]
	}
	have.rules++
	have.several = len(args) > 1
	for i := range args {
		if a := &args[i]; a.Op != specs.OpEqualTo && a.Op != specs.OpMaskedEqual {
			if have.ordered[a.Index] {
				a.Op = specs.OpEqualTo
			}
			have.ordered[a.Index] = true
		}
	}
	h[name] = have
	return args
}

func (g *generator) arg(mixed bool) specs.LinuxSeccompArg {
	ops := []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual,
		specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual}
	if mixed {
		ops = ops[:6]
	}
	value := func() uint64 {
		switch g.IntN(4) {
		case 0:
			return uint64(g.IntN(4))
		case 1:
			return g.Uint64() & uint64(g.Uint32()) << g.IntN(32)
		case 2:
			return uint64(g.IntN(3))<<32 | uint64(g.IntN(3))
		}
		return g.Uint64()
	}
	a := specs.LinuxSeccompArg{Index: uint(g.IntN(3)), Value: value(), Op: pick(g, ops)}
	if a.Op == specs.OpMaskedEqual {
		a.ValueTwo = value()
		if g.IntN(2) == 0 {
			a.ValueTwo &= a.Value
		}
	}
	return a
}
