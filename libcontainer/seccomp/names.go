package seccomp

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Actions of a filter, linux/seccomp.h.
const (
	retKillProcess uint32 = 0x80000000
	retKillThread  uint32 = 0x00000000
	retTrap        uint32 = 0x00030000
	retErrno       uint32 = 0x00050000
	retNotify      uint32 = 0x7fc00000
	retTrace       uint32 = 0x7ff00000
	retLog         uint32 = 0x7ffc0000
	retAllow       uint32 = 0x7fff0000

	eperm = 1
	// maxErrno is the largest errno that a filter can return; the kernel lowers anything above to it.
	maxErrno = 4095
)

// Actions returns the actions that Compile knows, sorted.
func Actions() []string {
	return []string{
		"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
		"SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
	}
}

// Operators returns the argument operators that Compile knows, sorted.
func Operators() []string {
	return []string{
		"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
	}
}

// Archs returns the architectures that Compile knows, sorted.
func Archs() []string {
	names := make([]string, 0, len(arches))
	for i := range arches {
		names = append(names, arches[i].name)
	}
	return names
}

// KnownFlags returns the filter flags that Compile knows, sorted.
func KnownFlags() []string {
	return []string{
		"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
		"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
	}
}

// SupportedFlags returns the flags that Compile can ask the kernel for, sorted. Whether this kernel has
// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (Linux 5.19) is not looked at: features-linux.md wants the answer
// irrespective of the host's kernel.
func SupportedFlags() []string { return KnownFlags() }

// actionRet returns what a filter returns for an action. An errno that the action has no use for is ignored: config-linux.md has runtimes
// refuse it, but profiles in use have it, and runc ignores it. bundle.Check warns.
func actionRet(action specs.LinuxSeccompAction, errno *uint) (ret uint32, cause string) {
	data, largest := uint(eperm), uint(maxErrno)
	if action == specs.ActTrace {
		largest = 0xffff
	}
	if errno != nil {
		data = *errno
	}
	switch action {
	case specs.ActErrno, specs.ActTrace:
		if data > largest {
			return 0, fmt.Sprintf("errno %d is larger than %d", data, largest)
		}
		if action == specs.ActErrno {
			return retErrno | uint32(data), ""
		}
		return retTrace | uint32(data), ""
	case specs.ActKill, specs.ActKillThread:
		ret = retKillThread
	case specs.ActKillProcess:
		ret = retKillProcess
	case specs.ActTrap:
		ret = retTrap
	case specs.ActAllow:
		ret = retAllow
	case specs.ActLog:
		ret = retLog
	case specs.ActNotify:
		ret = retNotify
	default:
		return 0, fmt.Sprintf("string %s is not a valid action for seccomp", action)
	}
	return ret, ""
}

// filterFlags returns the flags of seccomp(2), and adds a warning to prog for one that has no effect.
func filterFlags(c *specs.LinuxSeccomp, prog *Program) (uint32, error) {
	var flags uint32
	if c.Flags == nil {
		// Without it every process in a container pays for the Speculative Store Bypass mitigation. An empty list
		// is a choice and stays empty.
		flags = FlagSpecAllow
	}
	if prog.Notify {
		flags |= FlagNewListener
	}
	for i, f := range c.Flags {
		switch f {
		case specs.LinuxSeccompFlagLog:
			flags |= FlagLog
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= FlagSpecAllow
		case "SECCOMP_FILTER_FLAG_TSYNC":
			// The filter is loaded by a process with one thread: there is nothing to synchronise, and together
			// with NEW_LISTENER the kernel would refuse it.
		case specs.LinuxSeccompFlagWaitKillableRecv:
			if !prog.Notify { // the kernel says EINVAL to it without a listener
				prog.Warnings = append(prog.Warnings, "ignore seccomp flag "+string(f)+": no rule has SCMP_ACT_NOTIFY")
				continue
			}
			flags |= FlagWaitKillableRecv
		default:
			return 0, &Error{Pointer: fmt.Sprintf("/flags/%d", i), Cause: fmt.Sprintf("seccomp flag %s is not known", f)}
		}
	}
	return flags, nil
}
