package seccomp

import (
	"bufio"
	"encoding/binary"
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
	def, _ := actionRet(c.DefaultAction, c.DefaultErrnoRet)
	fmt.Fprintf(o.in, "begin %x %x\n", native.token(), def)
	for _, a := range c.Architectures {
		fmt.Fprintf(o.in, "arch %x\n", archNamed(string(a)).token())
	}
	for _, s := range c.Syscalls {
		ret, _ := actionRet(s.Action, s.ErrnoRet)
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
		ret, _ := actionRet(s.Action, s.ErrnoRet)
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
