package seccomp

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Of returns the profile of a configuration, or nil if there is none. As for runc, a profile with neither a default action nor a
// system call is none.
func Of(spec *specs.Spec) *specs.LinuxSeccomp {
	if spec == nil || spec.Linux == nil || spec.Linux.Seccomp == nil {
		return nil
	}
	if p := spec.Linux.Seccomp; p.DefaultAction != "" || len(p.Syscalls) > 0 {
		return p
	}
	return nil
}

// Denies names the action, if it is another than to let the call happen, that a profile takes on a system call whose arguments are
// all 0. A profile that cannot be compiled denies nothing.
func Denies(profile *specs.LinuxSeccomp, call string) (action string) {
	p, err := Compile(profile)
	if err != nil || p == nil {
		return ""
	}
	return p.Denies(call)
}
