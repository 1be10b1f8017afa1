package seccomp

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// An oracle is libseccomp, asked over pipes.
type oracle struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// startOracle builds testdata/oracle.c and starts it. Without a C compiler and libseccomp the test fails: they are
// what it compares with. go test -short leaves it out.
func startOracle(t *testing.T) *oracle {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no comparison with libseccomp")
	}
	bin := filepath.Join(t.TempDir(), "oracle")
	out, err := exec.Command("gcc", "-O1", "-o", bin, "testdata/oracle.c", "-lseccomp").CombinedOutput()
	if err != nil {
		t.Fatalf("build the comparison program (install gcc and libseccomp-dev, or use -short): %v\n%s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("oracle: %v", err)
		}
	})
	return &oracle{t: t, in: in, out: bufio.NewReader(stdout)}
}

// token is libseccomp's number for an architecture.
func (a *arch) token() uint32 {
	if a.x32() {
		return 0x4000003e
	}
	return a.audit
}

// number asks for the number of a call.
func (o *oracle) number(a *arch, name string) int {
	fmt.Fprintf(o.in, "number %x %s\n", a.token(), name)
	var nr int
	if _, err := fmt.Fscanf(o.out, "number %d\n", &nr); err != nil {
		o.t.Fatal(err)
	}
	return nr
}

// knows tells whether libseccomp has the same numbers as we have for a call. All calls from Linux 5.17 on are left
// to TestTableAgainstLibseccomp: libseccomp 2.5 has only some of them.
func (o *oracle) knows(name string) bool {
	i := nameIndex(name)
	if i < 0 || newer(name) || name == "sys_debug_setcontext" {
		return false // the last: libseccomp on x86-64 does not find it again on PowerPC
	}
	if nr, ok := archNamed("SCMP_ARCH_X86_64").number(i); ok && nr > 450 {
		return false
	}
	return o.number(archNamed("SCMP_ARCH_X86_64"), name) != -1
}

// filter asks for the filter that runc would have built; an error is libseccomp's.
func (o *oracle) filter(c *specs.LinuxSeccomp, native *arch) ([]Insn, error) {
	def, _, _ := actionRet(c.DefaultAction, c.DefaultErrnoRet)
	fmt.Fprintf(o.in, "begin %x %x\n", native.token(), def)
	for _, a := range c.Architectures {
		fmt.Fprintf(o.in, "arch %x\n", archNamed(string(a)).token())
	}
	for _, s := range c.Syscalls {
		ret, _, _ := actionRet(s.Action, s.ErrnoRet)
		if ret == def {
			continue
		}
		for _, name := range s.Names {
			o.rules(name, ret, s.Args)
		}
	}
	fmt.Fprintln(o.in, "end")
	line, err := o.out.ReadString('\n')
	if err != nil {
		o.t.Fatal(err)
	}
	var size, errno int
	var stage string
	if _, err := fmt.Sscanf(line, "error %s %d", &stage, &errno); err == nil {
		return nil, fmt.Errorf("%s: errno %d", stage, errno)
	}
	if _, err := fmt.Sscanf(line, "ok %d", &size); err != nil {
		o.t.Fatalf("oracle said %q", line)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(o.out, text); err != nil {
		o.t.Fatal(err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if native.big {
		order = binary.BigEndian
	}
	rets := []uint32{def, retKillThread}
	for _, s := range c.Syscalls {
		ret, _, _ := actionRet(s.Action, s.ErrnoRet)
		rets = append(rets, ret)
	}
	prog := make([]Insn, size/8)
	for i := range prog {
		b := text[8*i:]
		prog[i] = Insn{Code: order.Uint16(b), Jt: b[2], Jf: b[3], K: order.Uint32(b[4:])}
		if prog[i].Code == codeRet && !slices.Contains(rets, prog[i].K) {
			// libseccomp swaps the copies of a return twice when it writes for the other byte order.
			prog[i].K = bits.ReverseBytes32(prog[i].K)
		}
	}
	return prog, nil
}

// rules sends one name of an entry, as runc splits it.
func (o *oracle) rules(name string, ret uint32, args []specs.LinuxSeccompArg) {
	seen := [6]int{}
	split := false
	for _, a := range args {
		seen[a.Index]++
		split = split || seen[a.Index] > 1
	}
	op := func(a specs.LinuxSeccompArg) string {
		ops := []specs.LinuxSeccompOperator{"", specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
			specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual} // enum scmp_compare
		return fmt.Sprintf(" %x %x %x %x", a.Index, slices.Index(ops, a.Op), a.Value, a.ValueTwo)
	}
	if split {
		for _, a := range args {
			fmt.Fprintf(o.in, "rule %x %s 1%s\n", ret, name, op(a))
		}
		return
	}
	fmt.Fprintf(o.in, "rule %x %s %x", ret, name, len(args))
	for _, a := range args {
		fmt.Fprint(o.in, op(a))
	}
	fmt.Fprintln(o.in)
}

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
