package seccomp

import (
	"encoding/binary"
	"runtime"
)

// Denies names the action, if it is another than to let the call happen, that the program takes on a system call of this machine's
// architecture whose arguments are all 0. "" is for a call that happens.
func (p *Program) Denies(call string) (action string) {
	native := nativeArch(runtime.GOARCH)
	i := nameIndex(call)
	if native == nil || i < 0 || len(p.Insns) == 0 {
		return ""
	}
	nr, ok := native.number(i)
	if !ok {
		return ""
	}
	d := data{arch: native.audit, nr: nr}
	ret, _ := interpret(p.Insns, d.bytes(native.big), native.big)
	return denial(ret)
}

// OthersDecide says whether an action of Denies leaves the verdict to an agent or a tracer.
func OthersDecide(action string) bool {
	return action == "SCMP_ACT_NOTIFY" || action == "SCMP_ACT_TRACE"
}

// retMask selects the action of a verdict (seccomp(2), SECCOMP_RET_ACTION_FULL).
const retMask = 0xffff0000

func denial(ret uint32) string {
	switch ret & retMask {
	case retKillProcess:
		return "SCMP_ACT_KILL_PROCESS"
	case retKillThread:
		return "SCMP_ACT_KILL_THREAD"
	case retTrap:
		return "SCMP_ACT_TRAP"
	case retErrno:
		return "SCMP_ACT_ERRNO"
	case retNotify:
		return "SCMP_ACT_NOTIFY"
	case retTrace:
		return "SCMP_ACT_TRACE"
	}
	return ""
}

// data is struct seccomp_data without the instruction pointer.
type data struct {
	arch, nr uint32
	args     [6]uint64
}

// bytes lays the data out as a machine of either byte order does.
func (d *data) bytes(big bool) []byte {
	var order binary.ByteOrder = binary.LittleEndian
	if big {
		order = binary.BigEndian
	}
	b := make([]byte, 64)
	order.PutUint32(b[offNr:], d.nr)
	order.PutUint32(b[offArch:], d.arch)
	for i, v := range d.args {
		order.PutUint64(b[offArgs+8*i:], v)
	}
	return b
}

// interpret runs a checked program and returns its verdict and how many instructions that took.
func interpret(prog []Insn, mem []byte, big bool) (ret uint32, steps int) {
	var acc uint32
	for pc := 0; ; pc++ {
		steps++
		in := prog[pc]
		yes := false
		switch in.Code {
		case codeLoad:
			if big {
				acc = binary.BigEndian.Uint32(mem[in.K:])
			} else {
				acc = binary.LittleEndian.Uint32(mem[in.K:])
			}
			continue
		case codeAnd:
			acc &= in.K
			continue
		case codeRet:
			return in.K, steps
		case codeJa:
			pc += int(in.K)
			continue
		case codeJeq:
			yes = acc == in.K
		case codeJgt:
			yes = acc > in.K
		case codeJge:
			yes = acc >= in.K
		case codeJset:
			yes = acc&in.K != 0
		}
		if yes {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
}
