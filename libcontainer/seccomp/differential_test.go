package seccomp

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

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
