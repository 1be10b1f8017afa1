package integration

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSeccompTolerated: a rule without names, and an errno beside an action that has none, are ignored, as runc does and engines
// rely on; the other rules hold. What is wrong beside them is an error still.
func TestSeccompTolerated(t *testing.T) {
	t.Parallel()
	errno := uint(38)
	profile := func(rules ...specs.LinuxSyscall) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: &errno, Syscalls: append(rules,
				specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: &errno})}
		}
	}
	r := newContainer(t, script("mkdir /tmp/x"), profile(specs.LinuxSyscall{Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 9}}},
		specs.LinuxSyscall{Names: []string{"swapon"}, Action: specs.ActKill, ErrnoRet: &errno})).run().exits(1).says("not implemented")
	r.rtSays("/linux/seccomp/defaultErrnoRet: ignored", "/linux/seccomp/syscalls/0/names: empty: the rule is ignored",
		"/linux/seccomp/syscalls/1/errnoRet: ignored")
	bad := newContainer(t, profile(specs.LinuxSyscall{Action: "SCMP_ACT_NOTHING"}))
	bad.create().fails("SCMP_ACT_NOTHING").rtSays("/linux/seccomp/syscalls/0/action")
}

// TestNumbersBeyondTheKernels: CPUs and memory nodes above what a kernel has are taken, and have no effect.
func TestNumbersBeyondTheKernels(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0,1030", Final: ",0,9000,65535,"}
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0,1030"}
	})
	if differs(t, "execCPUAffinity and memoryPolicy: CPUs and nodes from 1024 to 65535 are taken") {
		c.create().fails("values larger than 1023 are not supported")
		return
	}
	c.up()
	c.exec("sh", "-c", allowedCPUs+"; head -n1 /proc/self/numa_maps | cut -d' ' -f2").ok().prints("0\nbind:0")
	newContainer(t, func(s *specs.Spec) {
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "65536"}
	}).create().
		fails("larger than 65535").rtSays("/linux/memoryPolicy/nodes")
	newContainer(t, func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "65536"} }).create().
		fails("larger than 65535").rtSays("/process/execCPUAffinity/final")
}

// TestAmbientWarning: an ambient capability that is not permitted and inheritable is a warning.
func TestAmbientWarning(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("grep", "CapAmb", "/proc/self/status"), func(s *specs.Spec) {
		kill := []string{"CAP_KILL"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Permitted: kill, Effective: kill, Inheritable: kill,
			Ambient: []string{"CAP_CHOWN", "CAP_KILL"}}
	})
	c.run().ok().prints("CapAmb:\t0000000000000020").says("can't raise ambient capability CAP_CHOWN")
}
