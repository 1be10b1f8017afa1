// Package seccomp compiles linux.seccomp of an OCI configuration into a classic BPF program. It is pure: no
// system call, no C library. The stub loads the program right before execve.
//
// The verdict of a program is that of runc with libseccomp for the same profile; doc.md in this directory has the
// rules that matter and the few places where this compiler differs on purpose.
package seccomp

import (
	"encoding/binary"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

//go:generate go run ./internal/gen

// MaxInsns is the largest program that the kernel takes (BPF_MAXINSNS, linux/bpf_common.h).
const MaxInsns = 4096

// Flags of seccomp(2), linux/seccomp.h.
const (
	FlagTsync            uint32 = 1 << 0
	FlagLog              uint32 = 1 << 1
	FlagSpecAllow        uint32 = 1 << 2
	FlagNewListener      uint32 = 1 << 3
	FlagWaitKillableRecv uint32 = 1 << 5
)

// An Insn is one instruction: struct sock_filter of linux/filter.h.
type Insn struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// A Program is what seccomp(SECCOMP_SET_MODE_FILTER) is given.
type Program struct {
	Insns    []Insn
	Flags    uint32 // SECCOMP_FILTER_FLAG_*
	Notify   bool   // the call returns an fd (SECCOMP_FILTER_FLAG_NEW_LISTENER is set) that is owed to listenerPath
	Warnings []string
	Unknown  []string // pointers into the profile, with the name: system calls that no architecture has, which are left out
}

// Bytes returns the program as the kernel reads it: an array of struct sock_filter, 8 bytes each, in the byte order
// of this machine.
func (p *Program) Bytes() []byte {
	b := make([]byte, 0, 8*len(p.Insns))
	for _, in := range p.Insns {
		b = binary.NativeEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.NativeEndian.AppendUint32(b, in.K)
	}
	return b
}

// An Error is a profile that cannot be compiled.
type Error struct {
	Pointer string // JSON pointer below /linux/seccomp, "" for the profile as a whole
	Cause   string
}

func (e *Error) Error() string { return "compile /linux/seccomp" + e.Pointer + ": " + e.Cause }

// Compile translates a profile (config-linux.md, "Seccomp") for the architecture of this binary, which is always
// part of the program, and those that the profile names.
//
// A nil profile and one with neither a default action nor rules mean no filter: the result is nil without error.
// Every error is an *Error.
func Compile(c *specs.LinuxSeccomp) (*Program, error) {
	if c == nil || (c.DefaultAction == "" && len(c.Syscalls) == 0) {
		return nil, nil
	}
	native := nativeArch(runtime.GOARCH)
	if native == nil {
		return nil, &Error{Cause: "no system call table for " + runtime.GOARCH}
	}
	return compileFor(c, native)
}

// compileFor is Compile on a machine of the given architecture.
func compileFor(c *specs.LinuxSeccomp, native *arch) (*Program, error) {
	p, err := parse(c, native)
	if err != nil {
		return nil, err
	}
	prog := &Program{Notify: p.notify, Warnings: p.warnings, Unknown: p.unknown}
	if prog.Flags, err = filterFlags(c, prog); err != nil {
		return nil, err
	}
	var a assembler
	if prog.Insns, err = a.program(p); err != nil {
		return nil, err
	}
	return prog, nil
}
