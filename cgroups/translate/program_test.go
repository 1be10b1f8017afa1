package translate

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// interpret runs a program as the kernel would; a jump out of it or an unknown operation is a failure.
func interpret(t testing.TB, p []instruction, kind byte, major, minor int64, acc access) bool {
	t.Helper()
	var reg [11]uint32
	ctx := map[int16]uint32{0: uint32(devcgType(kind)) | uint32(devcgAccess(acc))<<16, 4: uint32(major), 8: uint32(minor)}
	for i := 0; ; i++ {
		if i < 0 || i >= len(p) {
			t.Fatalf("the program runs to %d of %d", i, len(p))
		}
		in := p[i]
		jump := false
		switch in.code {
		case opLoad32:
			reg[in.dst] = ctx[in.off]
		case opMove:
			reg[in.dst] = reg[in.src]
		case opMoveImm:
			reg[in.dst] = uint32(in.imm)
		case opAnd:
			reg[in.dst] &= uint32(in.imm)
		case opShift:
			reg[in.dst] >>= uint32(in.imm)
		case opJump:
			jump = true
		case opIfNot:
			jump = reg[in.dst] != uint32(in.imm)
		case opIfAnyBit:
			jump = reg[in.dst]&uint32(in.imm) != 0
		case opExit:
			return reg[regResult] == 1
		default:
			t.Fatalf("unknown operation %#x", in.code)
		}
		if jump {
			i += int(in.off)
		}
	}
}

func programOf(t testing.TB, rules []specs.LinuxDeviceCgroup) []instruction {
	t.Helper()
	d, err := ParseDevices(rules)
	if err != nil {
		t.Fatal(err)
	}
	return d.program()
}

func TestDeviceProgram(t *testing.T) {
	const denyAll = `{"allow":false,"access":"rwm"}`
	for _, c := range []struct {
		name, config string
		allowed      string // requests, "c 1:3 rwm"
		denied       string
	}{
		{"none", `[]`, "c 1:3 rwm,c 1:3 rw,c 136:7 rw,b 9:9 m,c 10:200 rw,c 5:2 w", "c 1:1 r,b 8:0 r,c 10:229 rw,b 1:3 r,c 10:200 rwm "},
		{"deny all", `[` + denyAll + `]`, "c 1:3 rwm,b 9:9 m", "c 1:1 r,b 8:0 rw"},
		{"allow all", `[{"allow":true,"access":"rwm"}]`, "c 1:1 rwm,b 8:0 rwm", ""},
		{"allow one", `[` + denyAll + `,{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]`, "c 10:229 rw,c 10:229 r,c 10:229 m", "c 10:228 r,b 10:229 r,c 10:229 rwm"},
		{"minor -1", `[` + denyAll + `,{"allow":true,"type":"b","major":8,"minor":-1,"access":"r"}]`, "b 8:0 r,b 8:77 r,b 8:77 m", "b 8:0 w,b 8:0 rw,b 9:0 r"},
		{"any major", `[` + denyAll + `,{"allow":true,"type":"b","minor":3,"access":"r"}]`, "b 8:3 r", "b 8:4 r"},
		{"later deny", `[` + denyAll + `,{"allow":true,"type":"c","major":1,"minor":4,"access":"rw"},{"allow":false,"type":"c","major":1,"minor":4,"access":"w"}]`, "c 1:4 r", "c 1:4 w,c 1:4 rw"},
		{"later allow", `[{"allow":false,"type":"c","major":1,"minor":3,"access":"w"},{"allow":true,"type":"c","major":1,"access":"w"}]`, "c 1:3 rw", ""},
		{"deny all again", `[{"allow":true,"access":"rwm"},` + denyAll + `]`, "c 1:3 r", "c 1:1 r"},
		{"allow by default, deny one", `[{"allow":true,"access":"rwm"},{"allow":false,"type":"b","major":8,"minor":0,"access":"w"}]`, "b 8:0 r,b 8:1 rw,b 8:0 m", "b 8:0 w,b 8:0 rw"},
		{"a with numbers", `[` + denyAll + `,{"allow":true,"type":"a","major":7,"minor":1,"access":"r"}]`, "c 7:1 r,b 7:1 r", "c 7:2 r,b 7:1 w"},
		{"large numbers", `[` + denyAll + `,{"allow":true,"type":"c","major":4294967295,"minor":2147483648,"access":"r"}]`, "c 4294967295:2147483648 r", "c 4294967295:1 r"},
		{"docker's fuse", `[` + denyAll + `,{"allow":true,"type":"c","major":10,"minor":229,"access":"rwm"},{"allow":false,"type":"c","major":10,"minor":229,"access":"rwm"}]`, "c 10:228 m,c 10:229 m", "c 10:229 r"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := programOf(t, parse(t, `{"devices":`+c.config+`}`).Devices)
			for _, request := range strings.Split(c.allowed, ",") {
				if request != "" && !ask(t, p, request) {
					t.Errorf("%s is denied", request)
				}
			}
			for _, request := range strings.Split(c.denied, ",") {
				// One that ends in a blank asks for more than one rule gives: the default rules give it all.
				if want := strings.HasSuffix(request, " "); request != "" && ask(t, p, strings.TrimSpace(request)) != want {
					t.Errorf("%s: allowed %v", request, !want)
				}
			}
		})
	}
}

// ask evaluates a request written as a line of devices.list.
func ask(t testing.TB, p []instruction, request string) bool {
	t.Helper()
	var kind byte
	var major, minor int64
	var letters string
	fields := strings.FieldsFunc(request, func(r rune) bool { return r == ' ' || r == ':' })
	kind, letters = fields[0][0], fields[3]
	major, minor = number(t, fields[1]), number(t, fields[2])
	acc, ok := parseAccess(letters)
	if !ok {
		t.Fatalf("request %q", request)
	}
	return interpret(t, p, kind, major, minor, acc)
}

func number(t testing.TB, text string) (n int64) {
	t.Helper()
	for _, digit := range text {
		n = n*10 + int64(digit-'0')
	}
	return n
}

func TestDeviceProgramErrors(t *testing.T) {
	for config, want := range map[string]string{
		`[{"allow":true,"type":"c","access":"xa"}]`:           "/linux/resources/devices/0/access",
		`[{"allow":false}]`:                                   "/linux/resources/devices/0/access",
		`[{"allow":true,"type":"u","access":"r"}]`:            "/linux/resources/devices/0/type",
		`[{"allow":true,"type":"c","major":-2,"access":"r"}]`: "/linux/resources/devices/0/major",
	} {
		if _, err := ParseDevices(parse(t, `{"devices":`+config+`}`).Devices); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// randomRules are rules in a small world, in which they meet.
func randomRules(rnd *rand.Rand) []specs.LinuxDeviceCgroup {
	numbers := []int64{anyNumber, anyNumber, 1, 3, 5, 8, 10, 136, 200}
	rules := make([]specs.LinuxDeviceCgroup, rnd.IntN(14))
	for i := range rules {
		major, minor := numbers[rnd.IntN(len(numbers))], numbers[rnd.IntN(len(numbers))]
		rules[i] = specs.LinuxDeviceCgroup{
			Allow: rnd.IntN(2) == 0, Type: []string{"a", "c", "b", "c", "b"}[rnd.IntN(5)],
			Major: &major, Minor: &minor, Access: access(1 + rnd.IntN(7)).String(),
		}
	}
	return rules
}

// The program says of every device and access what a v1 cgroup says that is written from the same rules, and the model.
func TestDeviceProgramAgainstModels(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 1))
	expressible := 0
	for range 3000 {
		rules := randomRules(rnd)
		_, v1, v1Err := Devices(rules)
		state, err := ParseDevices(rules)
		if (err == nil) != (v1Err == nil) {
			t.Fatalf("v1: %v, v2: %v, by %s", v1Err, err, show(rules))
		}
		if err != nil {
			continue
		}
		expressible++
		p := state.program()
		for _, kind := range []byte("cb") {
			for _, major := range []int64{1, 3, 5, 8, 10, 136, 200} {
				for _, minor := range []int64{0, 1, 3, 5, 8, 200} {
					for acc := accessRead; acc <= accessAll; acc++ {
						got := interpret(t, p, kind, major, minor, acc)
						if want := verdict(rules, kind, major, minor, acc); got != want {
							t.Fatalf("%c %d:%d %v: allowed %v, want %v by %s", kind, major, minor, acc, got, want, show(rules))
						}
						if got != allows(v1, kind, major, minor, acc) {
							t.Fatalf("%c %d:%d %v: allowed %v, not so in v1, by %s", kind, major, minor, acc, got, show(rules))
						}
					}
				}
			}
		}
	}
	if expressible < 300 {
		t.Errorf("only %d lists could be expressed", expressible)
	}
}

func show(rules []specs.LinuxDeviceCgroup) string {
	text := ""
	for _, r := range rules {
		text += map[bool]string{true: " allow ", false: " deny "}[r.Allow] + r.Type + " " + itoa(*r.Major) + ":" + itoa(*r.Minor) + " " + r.Access + ";"
	}
	return text
}

func TestDeviceProgramEncoding(t *testing.T) {
	// r3 = r2 (32 bits): on a little-endian machine the destination is the low half of the second byte.
	got := encode([]instruction{{code: opMove, dst: 3, src: 2, off: -2, imm: 7}})
	if want := []byte{0xbc, 0x23, 0xfe, 0xff, 7, 0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}
