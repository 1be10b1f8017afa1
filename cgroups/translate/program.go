package translate

import (
	"encoding/binary"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// On cgroup v2 device rules are an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE. The kernel calls it for each
// open and mknod of a device with a struct bpf_cgroup_dev_ctx: __u32 access_type (type | access << 16), major,
// minor; 0 is EPERM. The program is the same default and exceptions as a v1 devices cgroup has.

// ParseDevices reads linux.resources.devices with the same meaning as Devices: what a container may open does not
// depend on the host's version of cgroups.
func ParseDevices(rules []specs.LinuxDeviceCgroup) (*DeviceState, error) {
	var s settings
	state, _ := s.playDevices(rules)
	return state, s.err
}

// AllowsAll says that nothing is denied.
func (d *DeviceState) AllowsAll() bool { return d.Allow && len(d.exceptions) == 0 }

// instruction is a struct bpf_insn.
type instruction struct {
	code     uint8
	dst, src uint8
	off      int16
	imm      int32
}

// Registers: r0 is the result, r1 the context. The others are of this program.
const regResult, regContext, regType, regAccess, regNumber = 0, 1, 2, 3, 4

// Offsets in struct bpf_cgroup_dev_ctx.
const offType, offMajor, offMinor = 0, 4, 8

// Operations, linux/bpf.h: class | operation | source of the operand. All work on 32 bits: a device number is one,
// and a 64 bit comparison would extend the sign of the constant.
const (
	opLoad32   = 0x61 // BPF_LDX | BPF_MEM | BPF_W
	opMove     = 0xbc // BPF_ALU | BPF_MOV | BPF_X
	opMoveImm  = 0xb4 // BPF_ALU | BPF_MOV | BPF_K
	opAnd      = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opShift    = 0x74 // BPF_ALU | BPF_RSH | BPF_K
	opJump     = 0x05 // BPF_JMP | BPF_JA
	opIfNot    = 0x56 // BPF_JMP32 | BPF_JNE | BPF_K
	opIfAnyBit = 0x46 // BPF_JMP32 | BPF_JSET | BPF_K
	opExit     = 0x95 // BPF_JMP | BPF_EXIT
)

// devcgType and devcgAccess are BPF_DEVCG_DEV_* and BPF_DEVCG_ACC_*.
func devcgType(kind byte) int32 {
	if kind == 'b' {
		return 1
	}
	return 2
}

func devcgAccess(a access) int32 {
	var mask int32
	for _, bit := range [...]struct {
		letter access
		mask   int32
	}{{accessMknod, 1}, {accessRead, 2}, {accessWrite, 4}} {
		if a&bit.letter != 0 {
			mask |= bit.mask
		}
	}
	return mask
}

// Program is the program in the machine's byte order.
func (d *DeviceState) Program() []byte { return encode(d.program()) }

// program compiles the state, as the kernel evaluates a v1 cgroup: an exception allows what asks for no more than it has, or
// denies what asks for anything of it.
func (d *DeviceState) program() []instruction {
	p := make([]instruction, 0, 6+9*len(d.exceptions))
	p = append(p,
		instruction{code: opLoad32, dst: regType, src: regContext, off: offType},
		instruction{code: opMove, dst: regAccess, src: regType},
		instruction{code: opShift, dst: regAccess, imm: 16},
		instruction{code: opAnd, dst: regType, imm: 0xffff},
	)
	for _, key := range d.sortedKeys() {
		p = key.compile(p, !d.Allow, d.exceptions[key])
	}
	return returns(p, d.Allow)
}

func returns(p []instruction, allow bool) []instruction {
	result := instruction{code: opMoveImm, dst: regResult}
	if allow {
		result.imm = 1
	}
	return append(p, result, instruction{code: opExit})
}

// compile loads the numbers anew for each rule: what the verifier has learned about a register that lives on (it is
// 5 on this path) doubles the paths it has to follow, and long lists would exceed its limit (E2BIG).
func (k deviceKey) compile(p []instruction, allow bool, acc access) []instruction {
	start := len(p)
	p = append(p, instruction{code: opIfNot, dst: regType, imm: devcgType(k.kind)})
	for _, n := range [...]struct {
		number int64
		off    int16
	}{{k.major, offMajor}, {k.minor, offMinor}} {
		if n.number != anyNumber {
			p = append(p,
				instruction{code: opLoad32, dst: regNumber, src: regContext, off: n.off},
				instruction{code: opIfNot, dst: regNumber, imm: int32(uint32(n.number))})
		}
	}
	mask := devcgAccess(acc)
	if allow {
		p = append(p,
			instruction{code: opMove, dst: regNumber, src: regAccess},
			instruction{code: opAnd, dst: regNumber, imm: ^mask},
			instruction{code: opIfNot, dst: regNumber, imm: 0})
	} else {
		p = append(p,
			instruction{code: opIfAnyBit, dst: regAccess, imm: mask, off: 1},
			instruction{code: opJump, off: 2})
	}
	conditions := len(p)
	p = returns(p, allow)
	for i := start; i < conditions; i++ {
		if p[i].code == opIfNot {
			p[i].off = int16(len(p) - i - 1) // to the next rule
		}
	}
	return p
}

// encode gives the instructions in the machine's byte order. The two registers share a byte as bit fields, which
// follow it.
func encode(p []instruction) []byte {
	order := binary.NativeEndian
	little := order.Uint16([]byte{1, 0}) == 1
	out := make([]byte, 0, 8*len(p))
	for _, in := range p {
		regs := in.dst | in.src<<4
		if !little {
			regs = in.src | in.dst<<4
		}
		out = append(out, in.code, regs)
		out = order.AppendUint16(out, uint16(in.off))
		out = order.AppendUint32(out, uint32(in.imm))
	}
	return out
}
