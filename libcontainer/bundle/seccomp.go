package bundle

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxErrno is the kernel's MAX_ERRNO: seccomp(2) cuts a larger one down.
const maxErrno = 4095

// seccomp checks config-linux.md, "Seccomp". Names of system calls are not checked: an unknown one is no
// error, so that a profile can be newer than the runtime.
func (c *checker) seccomp(s *specs.LinuxSeccomp) {
	if s == nil {
		return
	}
	const ptr = "/linux/seccomp"
	if s.DefaultAction == "" && len(s.Syscalls) == 0 { // engines write {} for unconfined, and runc installs no filter
		c.warn(ptr, "neither defaultAction nor syscalls: no filter is installed")
		return
	}
	c.seccompAction(s.DefaultAction, s.DefaultErrnoRet, ptr, "defaultAction", "defaultErrnoRet")
	if s.DefaultAction == specs.ActNotify {
		// the runtime itself could make no call any more, not even to pass on the listener
		c.fail(ptr+"/defaultAction", "SCMP_ACT_NOTIFY cannot be used as default action")
	}
	for i, a := range s.Architectures {
		if !seccompArch(a) {
			c.fail(at(ptr, "architectures", i), "unknown architecture %s", quote(a))
		}
	}
	for i, f := range s.Flags {
		if !seccompFlag(f) {
			c.fail(at(ptr, "flags", i), "unknown seccomp flag %s", quote(f))
		}
	}
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		c.warn(ptr+"/listenerMetadata", "ignored without listenerPath")
	}
	for i := range s.Syscalls {
		c.seccompRule(&s.Syscalls[i], i, s.ListenerPath != "")
	}
}

func (c *checker) seccompRule(r *specs.LinuxSyscall, i int, listener bool) {
	const ptr = "/linux/seccomp/syscalls"
	if len(r.Names) == 0 { // engines send such rules; runc looks at their action only
		c.warn(at(ptr, i, "names"), "empty: the rule is ignored")
		c.seccompAction(r.Action, nil, at(ptr, i), "action", "errnoRet")
		return
	}
	if !seccompActionKnown(r.Action) || r.ErrnoRet != nil {
		c.seccompAction(r.Action, r.ErrnoRet, at(ptr, i), "action", "errnoRet")
	}
	if r.Action == specs.ActNotify {
		if !listener {
			c.fail(at(ptr, i, "action"), "SCMP_ACT_NOTIFY needs a listenerPath")
		}
		for j, name := range r.Names {
			if name == "write" { // the call that tells the runtime the filter's file descriptor
				c.fail(at(ptr, i, "names", j), "SCMP_ACT_NOTIFY cannot be used for the write syscall")
			}
		}
	}
	for j := range r.Args {
		a := &r.Args[j]
		if a.Index > 5 { // seccomp_data has six arguments
			c.fail(at(ptr, i, "args", j, "index"), "%d is not from 0 to 5", a.Index)
		}
		if !seccompOperator(a.Op) {
			c.fail(at(ptr, i, "args", j, "op"), "unknown operator %s", quote(a.Op))
		}
	}
}

func (c *checker) seccompAction(a specs.LinuxSeccompAction, errno *uint, ptr, actionField, errnoField string) {
	if !seccompActionKnown(a) {
		c.fail(at(ptr, actionField), "unknown seccomp action %s", quote(a))
		return
	}
	if errno == nil {
		return
	}
	switch {
	case a != specs.ActErrno && a != specs.ActTrace:
		c.warn(at(ptr, errnoField), "ignored, for action %s has no errno", a)
	case *errno > maxErrno:
		c.fail(at(ptr, errnoField), "%d is larger than %d", *errno, maxErrno)
	}
}

func seccompActionKnown(a specs.LinuxSeccompAction) bool {
	switch a {
	case specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace,
		specs.ActAllow, specs.ActLog, specs.ActNotify:
		return true
	}
	return false
}

func seccompArch(a specs.Arch) bool {
	switch a {
	case specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS,
		specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
		specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC,
		specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB:
		return true
	}
	return false
}

func seccompFlag(f specs.LinuxSeccompFlag) bool {
	switch f {
	case "SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow,
		specs.LinuxSeccompFlagWaitKillableRecv:
		return true
	}
	return false
}

func seccompOperator(o specs.LinuxSeccompOperator) bool {
	switch o {
	case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual,
		specs.OpGreaterThan, specs.OpMaskedEqual:
		return true
	}
	return false
}
