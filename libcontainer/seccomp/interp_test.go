package seccomp

import (
	"errors"
	"fmt"
)

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
