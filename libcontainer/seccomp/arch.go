package seccomp

import "sort"

// x32Bit is set in the number of every call of the x32 ABI, which otherwise looks like x86-64 to a filter
// (__X32_SYSCALL_BIT, asm/unistd.h).
const x32Bit = 0x40000000

// auditX86_64 is AUDIT_ARCH_X86_64, for x32 too.
const auditX86_64 = 0xc000003e

// An arch is one system call ABI.
type arch struct {
	name    string // as in linux.seccomp.architectures
	audit   uint32 // seccomp_data.arch: AUDIT_ARCH_*, linux/audit.h
	base    uint32 // added to the numbers of the table
	wide    bool   // arguments are compared in all of their 64 bits
	big     bool   // byte order
	mux     bool   // has socketcall(2) and ipc(2)
	numbers string // see ztable.go
}

// arches is sorted by name and never written to.
var arches = [...]arch{
	{name: "SCMP_ARCH_AARCH64", audit: 0xc00000b7, wide: true, numbers: numbersAARCH64},
	{name: "SCMP_ARCH_ARM", audit: 0x40000028, numbers: numbersARM},
	{name: "SCMP_ARCH_LOONGARCH64", audit: 0xc0000102, wide: true, numbers: numbersLOONGARCH64},
	{name: "SCMP_ARCH_MIPS", audit: 0x00000008, base: 4000, big: true, mux: true, numbers: numbersMIPS},
	{name: "SCMP_ARCH_MIPS64", audit: 0x80000008, base: 5000, wide: true, big: true, numbers: numbersMIPS64},
	{name: "SCMP_ARCH_MIPS64N32", audit: 0xa0000008, base: 6000, big: true, numbers: numbersMIPS64N32},
	{name: "SCMP_ARCH_MIPSEL", audit: 0x40000008, base: 4000, mux: true, numbers: numbersMIPS},
	{name: "SCMP_ARCH_MIPSEL64", audit: 0xc0000008, base: 5000, wide: true, numbers: numbersMIPS64},
	{name: "SCMP_ARCH_MIPSEL64N32", audit: 0xe0000008, base: 6000, numbers: numbersMIPS64N32},
	{name: "SCMP_ARCH_PPC", audit: 0x00000014, big: true, mux: true, numbers: numbersPPC},
	{name: "SCMP_ARCH_PPC64", audit: 0x80000015, wide: true, big: true, mux: true, numbers: numbersPPC64},
	{name: "SCMP_ARCH_PPC64LE", audit: 0xc0000015, wide: true, mux: true, numbers: numbersPPC64},
	{name: "SCMP_ARCH_RISCV64", audit: 0xc00000f3, wide: true, numbers: numbersRISCV64},
	{name: "SCMP_ARCH_S390", audit: 0x00000016, big: true, mux: true, numbers: numbersS390},
	{name: "SCMP_ARCH_S390X", audit: 0x80000016, wide: true, big: true, mux: true, numbers: numbersS390X},
	{name: "SCMP_ARCH_X32", audit: auditX86_64, base: x32Bit, numbers: numbersX32},
	{name: "SCMP_ARCH_X86", audit: 0x40000003, mux: true, numbers: numbersX86},
	{name: "SCMP_ARCH_X86_64", audit: auditX86_64, wide: true, numbers: numbersX86_64},
}

// archNamed returns the architecture of that name, nil if there is none.
func archNamed(name string) *arch {
	for i := range arches {
		if arches[i].name == name {
			return &arches[i]
		}
	}
	return nil
}

// nativeArch returns the architecture of binaries built for goarch, nil if there is no table for it.
func nativeArch(goarch string) *arch {
	name := ""
	switch goarch {
	case "386":
		name = "SCMP_ARCH_X86"
	case "amd64":
		name = "SCMP_ARCH_X86_64"
	case "arm":
		name = "SCMP_ARCH_ARM"
	case "arm64":
		name = "SCMP_ARCH_AARCH64"
	case "loong64":
		name = "SCMP_ARCH_LOONGARCH64"
	case "mips":
		name = "SCMP_ARCH_MIPS"
	case "mipsle":
		name = "SCMP_ARCH_MIPSEL"
	case "mips64":
		name = "SCMP_ARCH_MIPS64"
	case "mips64le":
		name = "SCMP_ARCH_MIPSEL64"
	case "ppc64":
		name = "SCMP_ARCH_PPC64"
	case "ppc64le":
		name = "SCMP_ARCH_PPC64LE"
	case "riscv64":
		name = "SCMP_ARCH_RISCV64"
	case "s390x":
		name = "SCMP_ARCH_S390X"
	}
	return archNamed(name)
}

// x32 tells the ABI that shares its audit value with x86-64.
func (a *arch) x32() bool { return a.base == x32Bit }

// enosys returns what a filter returns for ENOSYS, which is 89 on MIPS (asm/errno.h) and 38 elsewhere.
func (a *arch) enosys() uint32 {
	if a.audit&0xffff == 8 { // EM_MIPS
		return retErrno | 89
	}
	return retErrno | 38
}

// s390 tells the ABIs whose number 0 stands for every number that the kernel does not know.
func (a *arch) s390() bool { return a.audit&0x7fffffff == 0x16 }

// number returns the number of the call with that index in the names.
func (a *arch) number(index int) (nr uint32, ok bool) {
	v := uint32(a.numbers[2*index]) | uint32(a.numbers[2*index+1])<<8
	switch {
	case v == 0:
		return 0, false
	case v > 0xf000: // calls of 32-bit Arm's own range
		return v - 1 - 0xf000 + 0xf0000, true
	}
	return a.base + v - 1, true
}

// nameCount is how many names there are.
const nameCount = len(nameEnds) / 2

// nameAt returns the name with that index.
func nameAt(i int) string {
	end := func(i int) int { return int(nameEnds[2*i]) | int(nameEnds[2*i+1])<<8 }
	if i == 0 {
		return nameText[:end(0)]
	}
	return nameText[end(i-1):end(i)]
}

// nameIndex returns the index of a system call's name, -1 if no architecture has such a call.
func nameIndex(name string) int {
	i := sort.Search(nameCount, func(i int) bool { return nameAt(i) >= name })
	if i < nameCount && nameAt(i) == name {
		return i
	}
	return -1
}

// KnownSyscall tells whether any architecture has a system call of that name. Compile ignores the others, so that
// a profile may name calls that are newer than this table.
func KnownSyscall(name string) bool { return nameIndex(name) >= 0 }

// muxCall returns the number that socketcall(2) or ipc(2) has for a call (linux/net.h, linux/ipc.h), and which of
// the two it is; "" for every other call.
func muxCall(name string) (multiplexer string, call uint64) {
	socket := [...]string{
		1: "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
		"sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg",
		"sendmmsg",
	}
	ipc := [...]string{
		1: "semop", 2: "semget", 3: "semctl", 4: "semtimedop",
		11: "msgsnd", 12: "msgrcv", 13: "msgget", 14: "msgctl",
		21: "shmat", 22: "shmdt", 23: "shmget", 24: "shmctl",
	}
	for i := range socket {
		if socket[i] == name {
			return "socketcall", uint64(i)
		}
	}
	for i := range ipc {
		if ipc[i] == name {
			return "ipc", uint64(i)
		}
	}
	return "", 0
}
