package seccomp

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var (
	seedFlag   = flag.Uint64("seed", 1, "seed of the random profiles; 0 takes the time")
	roundsFlag = flag.Int("rounds", 2000, "how many random profiles")
)

// readProfile reads a profile of testdata.
func readProfile(t testing.TB, name string) *specs.LinuxSeccomp {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	c := new(specs.LinuxSeccomp)
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// compareOne compiles a profile both ways and compares the verdicts.
func compareOne(t *testing.T, o *oracle, c *specs.LinuxSeccomp, native *arch) int {
	t.Helper()
	prog, err := compileFor(c, native)
	if err != nil {
		t.Fatal(err)
	}
	want, err := o.filter(c, native)
	if err != nil {
		t.Fatalf("libseccomp: %v", err)
	}
	if err := check(prog.Insns); err != nil {
		t.Fatal(err)
	}
	steps := func(p []Insn) float64 {
		sum := 0
		for nr := range uint32(450) {
			_, n := interpret(p, (&data{arch: native.audit, nr: native.base + nr}).bytes(native.big), native.big)
			sum += n
		}
		return float64(sum) / 450
	}
	t.Logf("%d instructions, %.1f run a call; libseccomp (without the stub) %d, %.1f", len(prog.Insns), steps(prog.Insns),
		len(want), steps(want))
	return compareVerdicts(t, c, native, want, prog.Insns)
}

func TestTableAgainstLibseccomp(t *testing.T) {
	o := startOracle(t)
	for i := range arches {
		a := &arches[i]
		if a.name == "SCMP_ARCH_LOONGARCH64" {
			continue // not in libseccomp 2.5
		}
		both := 0
		for n := range nameCount {
			theirs := o.number(a, nameAt(n))
			ours, ok := a.number(n)
			if m, _ := muxCall(nameAt(n)); theirs == -1 || (m != "" && a.mux) {
				continue // newer than libseccomp, or reported as a multiplexed call
			}
			if ok != (theirs >= 0) && !(ok && newer(nameAt(n))) {
				t.Errorf("%s %s: %d %v, libseccomp %d", a.name, nameAt(n), ours, ok, theirs)
			} else if ok && theirs >= 0 {
				both++
				if uint32(theirs) != ours {
					t.Errorf("%s %s: %d, libseccomp %d", a.name, nameAt(n), ours, theirs)
				}
			}
		}
		if both < 280 {
			t.Errorf("%s: only %d names in common", a.name, both)
		}
	}
}

// newer tells calls that an architecture got after libseccomp 2.5's table was made.
func newer(name string) bool { return name == "memfd_secret" || name == "riscv_hwprobe" }

func TestProfilesAgainstLibseccomp(t *testing.T) {
	o := startOracle(t)
	for _, tc := range []struct{ file, native string }{
		{"docker.json", "SCMP_ARCH_X86_64"},
		{"podman.json", "SCMP_ARCH_X86_64"},
	} {
		c := readProfile(t, tc.file)
		dropNewer(o, c)
		t.Logf("%s: %d runs", tc.file, compareOne(t, o, c, archNamed(tc.native)))
	}
	for _, native := range []string{"SCMP_ARCH_AARCH64", "SCMP_ARCH_S390X", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64", "SCMP_ARCH_MIPS64"} {
		c := readProfile(t, "docker.json")
		dropNewer(o, c)
		switch native {
		case "SCMP_ARCH_AARCH64":
			c.Architectures = []specs.Arch{specs.ArchAARCH64, specs.ArchARM}
		case "SCMP_ARCH_S390X":
			c.Architectures = []specs.Arch{specs.ArchS390X, specs.ArchS390}
		case "SCMP_ARCH_MIPS64":
			c.Architectures = []specs.Arch{specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32}
		default:
			c.Architectures = nil
		}
		t.Logf("docker.json on %s: %d runs", native, compareOne(t, o, c, archNamed(native)))
	}
}

// dropNewer removes the names that libseccomp does not know yet.
func dropNewer(o *oracle, c *specs.LinuxSeccomp) {
	for i := range c.Syscalls {
		c.Syscalls[i].Names = slices.DeleteFunc(c.Syscalls[i].Names, func(n string) bool { return !o.knows(n) })
	}
}

// TestRandomProfilesAgainstLibseccomp leaves out several orderings (less, greater ...) of one argument for one call:
// libseccomp 2.5 merges them wrongly, so that neither rule holds for some values. TestRandomProfiles has them.
func TestRandomProfilesAgainstLibseccomp(t *testing.T) {
	o := startOracle(t)
	g := newGenerator(t, func(name string) bool { return o.knows(name) })
	runs, refused := 0, 0
	for range *roundsFlag {
		c, native := g.profile(true)
		want, err := o.filter(c, native)
		if err != nil {
			refused++ // contradictions: we let the first rule win
			want = nil
		}
		prog, err := compileFor(c, native)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(prog.Insns); err != nil {
			t.Fatal(err)
		}
		runs += compareVerdicts(t, c, native, want, prog.Insns)
	}
	t.Logf("%d profiles, %d runs; libseccomp refused %d profiles", *roundsFlag, runs, refused)
	if refused > *roundsFlag/10 {
		t.Errorf("libseccomp refused %d of %d profiles", refused, *roundsFlag)
	}
}

// TestRandomProfiles compares with the meaning of the profile alone.
func TestRandomProfiles(t *testing.T) {
	g := newGenerator(t, func(string) bool { return true })
	rounds, runs := *roundsFlag/2, 0
	if testing.Short() {
		rounds /= 10
	}
	for range rounds {
		c, native := g.profile(false)
		prog, err := compileFor(c, native)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(prog.Insns); err != nil {
			t.Fatal(err)
		}
		runs += compareVerdicts(t, c, native, nil, prog.Insns)
	}
	t.Logf("%d profiles, %d runs", rounds, runs)
}

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
