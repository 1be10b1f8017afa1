package seccomp

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestDenies(t *testing.T) {
	for action, want := range map[specs.LinuxSeccompAction]string{
		specs.ActKill: "SCMP_ACT_KILL_THREAD", specs.ActKillThread: "SCMP_ACT_KILL_THREAD", specs.ActKillProcess: "SCMP_ACT_KILL_PROCESS",
		specs.ActTrap: "SCMP_ACT_TRAP", specs.ActErrno: "SCMP_ACT_ERRNO", specs.ActNotify: "SCMP_ACT_NOTIFY", specs.ActTrace: "SCMP_ACT_TRACE",
		specs.ActLog: "",
	} {
		p, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"execve"}, Action: action}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Denies("execve"); got != want {
			t.Errorf("%s: execve is denied by %q, want %q", action, got, want)
		}
		if got := p.Denies("execveat"); got != "" {
			t.Errorf("%s: execveat is denied by %q", action, got)
		}
	}
	p, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Denies("execve"); got != "SCMP_ACT_ERRNO" {
		t.Errorf("by default execve is denied by %q", got)
	}
}
