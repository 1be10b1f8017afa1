package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

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

// check applies the rules of the kernel's bpf_check_classic and seccomp_check_filter to the instructions in use here.
func check(prog []Insn) error {
	if len(prog) == 0 || len(prog) > MaxInsns {
		return fmt.Errorf("%d instructions", len(prog))
	}
	for i, in := range prog {
		switch in.Code {
		case codeLoad:
			if in.K%4 != 0 || in.K >= 64 {
				return fmt.Errorf("%d: load of offset %d", i, in.K)
			}
		case codeJa:
			if uint64(i)+1+uint64(in.K) >= uint64(len(prog)) {
				return fmt.Errorf("%d: jump out of the program", i)
			}
		case codeJeq, codeJgt, codeJge, codeJset:
			if i+1+int(max(in.Jt, in.Jf)) >= len(prog) {
				return fmt.Errorf("%d: jump out of the program", i)
			}
		case codeAnd, codeRet:
		default:
			return fmt.Errorf("%d: code %#x", i, in.Code)
		}
	}
	if prog[len(prog)-1].Code != codeRet {
		return errors.New("the last instruction is not a return")
	}
	return nil
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
