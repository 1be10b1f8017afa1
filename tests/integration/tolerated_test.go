package integration

import (
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
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

// TestNoProgramAndNoWrite: where the filter keeps a process from writing why its program cannot be executed, the runtime says so, or, where
// it has not heard of it, which calls the filter denies.
func TestNoProgramAndNoWrite(t *testing.T) {
	t.Parallel()
	denied := func(calls ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: calls, Action: specs.ActErrno}}}
		}
	}
	for _, k := range []struct {
		calls []string
		code  int
		text  string
	}{
		{[]string{"write"}, 255, "exec /bin/garbage: exec format error; the container's stderr lacks this, for the seccomp filter denies write (SCMP_ACT_ERRNO, /linux/seccomp)"},
		{[]string{"write", "sendmsg"}, 1, "hint: the seccomp filter denies sendmsg and write (/linux/seccomp)"},
	} {
		c := newContainer(t, denied(k.calls...), args("/bin/garbage"))
		c.file("b/rootfs/bin/garbage", "garbage", 0o755)
		if r := c.run(); differs(t, "seccomp: what a filter has to allow") { // which runc's start wants
			r.fails()
			continue
		} else {
			r.exits(k.code).says(k.text)
		}
		d := newContainer(t, denied(k.calls...))
		d.file("b/rootfs/bin/garbage", "garbage", 0o755)
		d.up()
		d.exec("/bin/garbage").exits(255).says(k.text)
	}
}

// TestNoProfile: a profile with neither a default action nor a system call is no filter, whatever else it has, for create and exec. With
// a system call it needs the default action.
func TestNoProfile(t *testing.T) {
	t.Parallel()
	profile := func(p specs.LinuxSeccomp) func(*specs.Spec) { return func(s *specs.Spec) { s.Linux.Seccomp = &p } }
	c := newContainer(t, profile(specs.LinuxSeccomp{}))
	if r := c.create().ok(); differs(t, "seccomp: a profile with neither") {
		c.start().ok()
	} else {
		r.says("/linux/seccomp: neither defaultAction nor syscalls: no filter is installed")
		c.start().ok()
	}
	if got := value(c.proc("status"), "Seccomp"); got != "0" {
		t.Errorf("mode %s", got)
	}
	c.exec("grep", "Seccomp:", "/proc/self/status").ok().prints("Seccomp:\t0")
	newContainer(t, args("grep", "Seccomp:", "/proc/self/status"), profile(specs.LinuxSeccomp{ListenerPath: "/nowhere", Flags: []specs.LinuxSeccompFlag{"x"}})).
		run().ok().prints("Seccomp:\t0")
	newContainer(t, profile(specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}})).create().
		fails("action").rtSays("/linux/seccomp/defaultAction: unknown seccomp action")
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

// TestAmbientBySecurebits: as is one that the securebits of the caller forbid, in create and in exec. A process in a user namespace of its
// own has other securebits.
func TestAmbientBySecurebits(t *testing.T) {
	t.Parallel()
	ambient := func(s *specs.Spec) {
		kill := []string{"CAP_KILL"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: kill, Permitted: kill, Effective: kill, Inheritable: kill, Ambient: kill}
	}
	const none, both, warning = "CapAmb:\t0000000000000000", "CapAmb:\t0000000000000020", "can't raise ambient capability CAP_KILL"
	read := args("grep", "CapAmb", "/proc/self/status")
	other, inside := newContainer(t, ambient).up(), newContainer(t, read, ambient, mapped)
	c := newContainer(t, read, ambient)
	runtime.LockOSThread()                                                    // never unlocked: the thread ends with the test, and its securebits with it
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, 1<<6, 0, 0, 0); err != nil { // SECBIT_NO_CAP_AMBIENT_RAISE
		t.Fatal(err)
	}
	c.run().ok().prints(none).says(warning)
	other.exec("grep", "CapAmb", "/proc/self/status").ok().prints(none).says(warning)
	if r := inside.run().ok().prints(both); strings.Contains(r.stderr, warning) {
		t.Error(r)
	}
}
