package seccomp

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestOf(t *testing.T) {
	with := func(p *specs.LinuxSeccomp) *specs.Spec { return &specs.Spec{Linux: &specs.Linux{Seccomp: p}} }
	for name, spec := range map[string]*specs.Spec{
		"no configuration": nil, "no linux": {}, "no profile": with(nil),
		"a profile that says nothing": with(&specs.LinuxSeccomp{Architectures: []specs.Arch{specs.ArchX86_64}}),
	} {
		if p := Of(spec); p != nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for name, profile := range map[string]*specs.LinuxSeccomp{
		"a default action": {DefaultAction: specs.ActErrno},
		"a system call":    {Syscalls: []specs.LinuxSyscall{{Names: []string{"execve"}, Action: specs.ActErrno}}},
	} {
		if p := Of(with(profile)); p != profile {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestDeniesOfProfile(t *testing.T) {
	profile := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"execve"}, Action: specs.ActErrno}}}
	for call, want := range map[string]string{"execve": string(specs.ActErrno), "write": ""} {
		if got := Denies(profile, call); got != want {
			t.Errorf("%s: %q, want %q", call, got, want)
		}
	}
	for name, p := range map[string]*specs.LinuxSeccomp{"none": nil, "not to be compiled": {DefaultAction: "SCMP_ACT_NONE"}} {
		if got := Denies(p, "execve"); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
