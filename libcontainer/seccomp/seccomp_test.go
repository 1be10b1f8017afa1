package seccomp

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

// x86 compiles for x86-64 and fails the test on errors.
func x86(t *testing.T, c *specs.LinuxSeccomp) *Program {
	t.Helper()
	p, err := compileFor(c, archNamed("SCMP_ARCH_X86_64"))
	if err != nil {
		t.Fatal(err)
	}
	if err := check(p.Insns); err != nil {
		t.Fatal(err)
	}
	return p
}

// verdict runs a program for a call on x86-64.
func verdict(p *Program, nr uint32, args ...uint64) uint32 {
	d := data{arch: auditX86_64, nr: nr}
	copy(d.args[:], args)
	ret, _ := interpret(p.Insns, d.bytes(false), false)
	return ret
}

func rules(action specs.LinuxSeccompAction, names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: action}
}

func TestNoFilter(t *testing.T) {
	for _, c := range []*specs.LinuxSeccomp{nil, {}, {Architectures: []specs.Arch{specs.ArchX86}}} {
		if p, err := Compile(c); p != nil || err != nil {
			t.Errorf("Compile(%v) = %v, %v; want no program", c, p, err)
		}
	}
}

func TestActions(t *testing.T) {
	for _, tc := range []struct {
		action specs.LinuxSeccompAction
		errno  *uint
		want   uint32
	}{
		{specs.ActKill, nil, 0},
		{specs.ActKillThread, nil, 0},
		{specs.ActKillProcess, nil, 0x80000000},
		{specs.ActTrap, nil, 0x00030000},
		{specs.ActErrno, nil, 0x00050001},
		{specs.ActErrno, ptr[uint](0), 0x00050000},
		{specs.ActErrno, ptr[uint](4095), 0x00050fff},
		{specs.ActTrace, nil, 0x7ff00001},
		{specs.ActTrace, ptr[uint](0xffff), 0x7ff0ffff},
		{specs.ActLog, nil, 0x7ffc0000},
		{specs.ActAllow, nil, 0x7fff0000},
	} {
		p := x86(t, &specs.LinuxSeccomp{DefaultAction: tc.action, DefaultErrnoRet: tc.errno})
		if got := verdict(p, 1); got != tc.want {
			t.Errorf("default %s %v: %#x, want %#x", tc.action, tc.errno, got, tc.want)
		}
		def := specs.ActAllow
		if tc.action == specs.ActAllow {
			def = specs.ActKill
		}
		p = x86(t, &specs.LinuxSeccomp{DefaultAction: def, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"getpid"}, Action: tc.action, ErrnoRet: tc.errno}}})
		if got := verdict(p, 39); got != tc.want {
			t.Errorf("rule %s %v: %#x, want %#x", tc.action, tc.errno, got, tc.want)
		}
	}
}

func TestErrors(t *testing.T) {
	arg := func(a specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{a}}
	}
	for _, tc := range []struct {
		pointer, cause string
		c              specs.LinuxSeccomp
	}{
		{"/defaultAction", "not a valid action", specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_FOO"}},
		{"/defaultAction", "not a valid action", specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{rules(specs.ActAllow, "read")}}},
		{"/defaultAction", "cannot be used as default action", specs.LinuxSeccomp{DefaultAction: specs.ActNotify}},
		{"/defaultAction", "errno 4096 is larger", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: ptr[uint](4096)}},
		{"/architectures/1", "not a valid arch", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86, "SCMP_ARCH_VAX"}}},
		{"/architectures/0", "byte order", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchS390X}}},
		{"/flags/0", "SECCOMP_FILTER_FLAG_FOO is not known", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_FOO"}}},
		{"/syscalls/0/action", "not a valid action", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rules("", "read")}}},
		{"/syscalls/0/names/1", "empty string", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rules(specs.ActErrno, "read", "")}}},
		{"/syscalls/0/names/0", "cannot be used for the write syscall", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rules(specs.ActNotify, "write")}}},
		{"/syscalls/0/args/0", "up to 6 arguments (6 given)", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{arg(specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo})}}},
		{"/syscalls/0/args/0", "not a valid operator", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{arg(specs.LinuxSeccompArg{})}}},
	} {
		_, err := compileFor(&tc.c, archNamed("SCMP_ARCH_X86_64"))
		var e *Error
		if !errors.As(err, &e) || e.Pointer != tc.pointer || !strings.Contains(e.Cause, tc.cause) {
			t.Errorf("got %v; want %s at %s", err, tc.cause, tc.pointer)
		}
	}
}

func TestFlags(t *testing.T) {
	const log, spec, tsync, wait = "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
	for _, tc := range []struct {
		flags    []specs.LinuxSeccompFlag
		notify   bool
		want     uint32
		warnings int
	}{
		{nil, false, 4, 0},
		{[]specs.LinuxSeccompFlag{}, false, 0, 0},
		{[]specs.LinuxSeccompFlag{log}, false, 2, 0},
		{[]specs.LinuxSeccompFlag{log, spec, tsync}, false, 6, 0},
		{[]specs.LinuxSeccompFlag{tsync}, false, 0, 0},
		{[]specs.LinuxSeccompFlag{wait}, false, 0, 1},
		{[]specs.LinuxSeccompFlag{wait}, true, 8 | 32, 1}, // of the name
		{nil, true, 4 | 8, 1},
	} {
		c := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: tc.flags}
		if tc.notify {
			c.Syscalls = []specs.LinuxSyscall{rules(specs.ActNotify, "no_such_call")} // runc makes a listener all the same
		}
		p := x86(t, c)
		if p.Flags != tc.want || p.Notify != tc.notify || len(p.Warnings) != tc.warnings {
			t.Errorf("%v notify %v: flags %d, Notify %v, %q", tc.flags, tc.notify, p.Flags, p.Notify, p.Warnings)
		}
	}
}

func TestPrecedence(t *testing.T) {
	on := func(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"personality"}, Action: action, Args: args}
	}
	a0 := specs.LinuxSeccompArg{Value: 7, Op: specs.OpEqualTo}
	a0more := specs.LinuxSeccompArg{Value: 3, Op: specs.OpGreaterThan}
	a1 := specs.LinuxSeccompArg{Index: 1, Value: 1, Op: specs.OpEqualTo}
	const nr = 135
	for _, tc := range []struct {
		name     string
		syscalls []specs.LinuxSyscall
		args     []uint64
		want     uint32
		warnings int
	}{
		{"first of two without conditions", []specs.LinuxSyscall{on(specs.ActLog), on(specs.ActTrap)}, nil, retLog, 0},
		{"one without conditions comes later", []specs.LinuxSyscall{on(specs.ActLog, a0), on(specs.ActTrap)}, []uint64{7}, retTrap, 0},
		{"same conditions", []specs.LinuxSyscall{on(specs.ActLog, a0), on(specs.ActTrap, a0)}, []uint64{7}, retLog, 1},
		{"equality before order", []specs.LinuxSyscall{on(specs.ActLog, a0more), on(specs.ActTrap, a0)}, []uint64{7}, retTrap, 0},
		{"covered by an earlier one", []specs.LinuxSyscall{on(specs.ActLog, a0), on(specs.ActTrap, a0, a1)}, []uint64{7, 1}, retLog, 0},
		{"and of two", []specs.LinuxSyscall{on(specs.ActLog, a0, a1)}, []uint64{7, 0}, retAllow, 0},
		{"or of two for one argument", []specs.LinuxSyscall{on(specs.ActLog, a0, a0more, a1)}, []uint64{0, 1}, retLog, 0},
		{"redundant rule", []specs.LinuxSyscall{on(specs.ActAllow), on(specs.ActLog)}, nil, retLog, 0},
	} {
		p := x86(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: tc.syscalls})
		if got := verdict(p, nr, tc.args...); got != tc.want || len(p.Warnings) != tc.warnings {
			t.Errorf("%s: %#x, warnings %q; want %#x", tc.name, got, p.Warnings, tc.want)
		}
	}
}

func TestStub(t *testing.T) {
	names := rules(specs.ActAllow, "getpid", "clone3") // 435
	p := x86(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{names}})
	for nr, want := range map[uint32]uint32{
		39: retAllow, 40: retErrno | 1, 435: retAllow, 436: retErrno | 38, 0x3fffffff: retErrno | 38,
		x32Bit | 39: retKillThread, 0xffffffff: retErrno | 1,
	} {
		if got := verdict(p, nr); got != want {
			t.Errorf("call %#x: %#x, want %#x", nr, got, want)
		}
	}
	for _, def := range []specs.LinuxSeccompAction{specs.ActLog, specs.ActTrace} {
		c := &specs.LinuxSeccomp{DefaultAction: def, Syscalls: []specs.LinuxSyscall{names}}
		if got := verdict(x86(t, c), 436); got == retErrno|38 {
			t.Errorf("%s: ENOSYS for a call that it lets through", def)
		}
	}
}

func TestBytes(t *testing.T) {
	p := &Program{Insns: []Insn{{Code: 0x15, Jt: 1, Jf: 2, K: 0x01020304}, {Code: codeRet, K: retAllow}}}
	b := p.Bytes()
	if len(b) != 16 || binary.NativeEndian.Uint16(b) != 0x15 || b[2] != 1 || b[3] != 2 ||
		binary.NativeEndian.Uint32(b[4:]) != 0x01020304 || binary.NativeEndian.Uint32(b[12:]) != retAllow {
		t.Errorf("% x", b)
	}
}

func TestListsAreSorted(t *testing.T) {
	for _, list := range [][]string{Actions(), Operators(), Archs(), KnownFlags(), SupportedFlags()} {
		if !slices.IsSorted(list) || len(list) == 0 {
			t.Errorf("%q", list)
		}
	}
}

// TestDepth holds the promise of a search tree: no call of Docker's profile that is decided by its number takes more
// than 16 instructions, and the program stays far below the kernel's limit.
func TestDepth(t *testing.T) {
	c := readProfile(t, "docker.json")
	p := x86(t, c)
	deepest, total := 0, 0
	for nr := range uint32(470) {
		d := data{arch: auditX86_64, nr: nr}
		_, steps := interpret(p.Insns, d.bytes(false), false)
		deepest, total = max(deepest, steps), total+steps
	}
	t.Logf("%d instructions, mean %.1f and at most %d a call", len(p.Insns), float64(total)/470, deepest)
	if deepest > 20 || len(p.Insns) > 600 {
		t.Errorf("%d instructions, at most %d a call", len(p.Insns), deepest)
	}
}

func TestTooLarge(t *testing.T) {
	c := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for i := range 3000 {
		c.Syscalls = append(c.Syscalls, specs.LinuxSyscall{Names: []string{"ioctl"}, Action: specs.ActAllow,
			Args: []specs.LinuxSeccompArg{{Index: uint(i % 6), Value: uint64(i) << 31, Op: specs.OpEqualTo}}})
	}
	var e *Error
	if _, err := Compile(c); !errors.As(err, &e) || !strings.Contains(e.Cause, "the kernel takes 4096") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkCompileDocker(b *testing.B) {
	c := readProfile(b, "docker.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(c); err != nil {
			b.Fatal(err)
		}
	}
}

// TestUnknownNames: a name that no architecture has is ignored; where its rule is stricter than the default, that is told.
func TestUnknownNames(t *testing.T) {
	for _, tc := range []struct {
		def, action specs.LinuxSeccompAction
		warned      bool
	}{
		{specs.ActAllow, specs.ActErrno, true}, {specs.ActAllow, specs.ActKillProcess, true}, {specs.ActAllow, specs.ActNotify, true}, {specs.ActAllow, specs.ActLog, true},
		{specs.ActErrno, specs.ActKill, true}, {specs.ActErrno, specs.ActTrap, true}, {specs.ActLog, specs.ActErrno, true},
		{specs.ActErrno, specs.ActAllow, false}, {specs.ActErrno, specs.ActErrno, false}, {specs.ActKillProcess, specs.ActErrno, false}, {specs.ActAllow, specs.ActAllow, false},
	} {
		p, err := Compile(&specs.LinuxSeccomp{DefaultAction: tc.def, Syscalls: []specs.LinuxSyscall{{Names: []string{"no_such\u202ecall", "read"}, Action: tc.action}}})
		if err != nil {
			t.Fatal(err)
		}
		if warned := len(p.Warnings) == 1 && strings.Contains(p.Warnings[0], "no_such\\u202ecall"); warned != tc.warned || len(p.Unknown) != 1 {
			t.Errorf("default %s, rule %s: warnings %q, unknown %q", tc.def, tc.action, p.Warnings, p.Unknown)
		}
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = "no" + strings.Repeat("x", 1000)
	}
	p, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: many, Action: specs.ActErrno}}})
	if err != nil || len(p.Warnings) != 1 || len(p.Warnings[0]) > 1000 || !strings.Contains(p.Warnings[0], "and 992 more") {
		t.Errorf("%q, %v", p.Warnings, err)
	}
}
