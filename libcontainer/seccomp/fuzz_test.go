package seccomp

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzCompile compiles whatever JSON gives: every error is an *Error, every program is one that the kernel takes and
// ends with a verdict of the profile for a few calls.
func FuzzCompile(f *testing.F) {
	for _, name := range []string{"docker.json", "podman.json"} {
		c := readProfile(f, name)
		for i := range c.Syscalls { // long lists only slow the fuzzer down
			c.Syscalls[i].Names = c.Syscalls[i].Names[:min(len(c.Syscalls[i].Names), 6)]
		}
		text, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, byte(17))
	}
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X32"],"flags":[],"syscalls":[{"names":["socket","ipc","msgget"],
		"action":"SCMP_ACT_NOTIFY","args":[{"index":5,"value":18446744073709551615,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]}`), byte(13))
	f.Fuzz(func(t *testing.T, text []byte, native byte) {
		c := new(specs.LinuxSeccomp)
		if json.Unmarshal(text, c) != nil {
			return
		}
		a := &arches[int(native)%len(arches)]
		p, err := compileFor(c, a)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || p != nil {
				t.Fatalf("%v, %v", p, err)
			}
			return
		}
		if err := check(p.Insns); err != nil {
			t.Fatal(err)
		}
		if len(p.Bytes()) != 8*len(p.Insns) {
			t.Fatal("length of Bytes")
		}
		compareFew(t, c, a, p.Insns)
	})
}

// compareFew compares verdicts for the calls that the profile names and their neighbours.
func compareFew(t *testing.T, c *specs.LinuxSeccomp, native *arch, prog []Insn) {
	m := newModel(c, native)
	left := 2000
	for k, rules := range m.cache {
		var args []specs.LinuxSeccompArg
		for _, r := range rules {
			args = append(args, r.args...)
		}
		vs := vectors(args)
		for i, v := range vs[:min(len(vs), 40)] {
			nr := k.nr
			if i == 0 {
				nr++ // no conditions of its own: any arguments do
			}
			d := data{arch: k.a.audit, nr: nr, args: v}
			got, _ := interpret(prog, d.bytes(native.big), native.big)
			if meant := m.verdicts(&d); !slices.Contains(meant, got) {
				t.Fatalf("arch %s nr %#x args %#x: %#x, meant %#x", k.a.name, nr, v, got, meant)
			}
			if left--; left == 0 {
				return
			}
		}
	}
}
