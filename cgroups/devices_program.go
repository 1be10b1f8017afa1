package cgroups

import (
	"encoding/binary"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// On cgroup v2 device rules are an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE. The kernel calls it for each
// open and mknod of a device with a struct bpf_cgroup_dev_ctx: __u32 access_type (type | access << 16), major,
// minor; 0 is EPERM. The program is the rule list read from its end: each letter of the request's access is decided
// by the last rule that matches the device and has the letter. Unlike a v1 devices cgroup this can express every list.

// deviceRule is one rule for one type of device.
type deviceRule struct {
	allow bool
	key   deviceKey
	acc   access
}

// deviceRules are rules in their order; allow decides what none of them matches.
type deviceRules struct {
	allow bool
	list  []deviceRule
}

// parseDeviceRules reads linux.resources.devices with the same meaning as DeviceSettings: a rule for all devices
// starts anew, and after "deny all" the default devices are allowed.
func parseDeviceRules(rules []specs.LinuxDeviceCgroup) (deviceRules, error) {
	var s settings
	d := deviceRules{list: defaultRuleList()}
	for i, rule := range rules {
		keys, acc, all := s.deviceRule(resources+"/devices/"+strconv.Itoa(i), rule)
		if all {
			d = deviceRules{allow: rule.Allow}
			if !rule.Allow {
				d.list = defaultRuleList()
			}
			continue
		}
		for _, key := range keys {
			d.list = append(d.list, deviceRule{rule.Allow, key, acc})
		}
	}
	return d, s.err
}

func defaultRuleList() []deviceRule {
	state := deviceState{exceptions: defaultDevices()}
	list := make([]deviceRule, 0, len(state.exceptions))
	for _, key := range state.sortedKeys() {
		list = append(list, deviceRule{true, key, state.exceptions[key]})
	}
	return list
}

// allowsAll says that no rule denies anything.
func (d *deviceRules) allowsAll() bool {
	for _, r := range d.list {
		if !r.allow {
			return false
		}
	}
	return d.allow
}

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

// program compiles the rules. regAccess holds the letters that are not decided yet.
func (d *deviceRules) program() []instruction {
	p := make([]instruction, 0, 6+9*len(d.list))
	p = append(p,
		instruction{code: opLoad32, dst: regType, src: regContext, off: offType},
		instruction{code: opMove, dst: regAccess, src: regType},
		instruction{code: opShift, dst: regAccess, imm: 16},
		instruction{code: opAnd, dst: regType, imm: 0xffff},
	)
	for i := len(d.list) - 1; i >= 0; i-- {
		p = d.list[i].compile(p)
	}
	return returns(p, d.allow)
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
func (r *deviceRule) compile(p []instruction) []instruction {
	start := len(p)
	p = append(p, instruction{code: opIfNot, dst: regType, imm: devcgType(r.key.kind)})
	for _, n := range [...]struct {
		number int64
		off    int16
	}{{r.key.major, offMajor}, {r.key.minor, offMinor}} {
		if n.number != anyNumber {
			p = append(p,
				instruction{code: opLoad32, dst: regNumber, src: regContext, off: n.off},
				instruction{code: opIfNot, dst: regNumber, imm: int32(uint32(n.number))})
		}
	}
	conditions := len(p)
	mask := devcgAccess(r.acc)
	if r.allow {
		p = append(p,
			instruction{code: opAnd, dst: regAccess, imm: ^mask},
			instruction{code: opIfNot, dst: regAccess, imm: 0, off: 2})
	} else {
		p = append(p,
			instruction{code: opIfAnyBit, dst: regAccess, imm: mask, off: 1},
			instruction{code: opJump, off: 2})
	}
	p = returns(p, r.allow)
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
