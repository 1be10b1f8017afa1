package plan

import (
	"slices"

	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// stayAsInit adds what the process that stays does, behind the execve of its child. It has the program's user and limits by then.
// It is no way around what the program may not do: it has a filter of its own, and no capability that the program lacks. The
// child waits until that is so.
func (b *builder) stayAsInit(program nsenter.Rights) {
	at := slices.IndexFunc(b.Items, func(it Item) bool { return it.Step.Name() == "init" })
	init := b.Items[at].Step.(nsenter.Init)
	init.Steps = len(b.Items) - at - 1
	b.Items[at].Step = init
	b.ownLabels()
	kill := program.Bounding & program.Caps.Effective & (1 << unix.CAP_KILL) // for one that changes its user
	b.add("", nsenter.NoNewPrivs{}, nsenter.Capabilities{Effective: kill, Permitted: kill})
	b.add("", nsenter.Seccomp{Program: initFilter(), Flags: seccomp.FlagSpecAllow})
}

// initCalls are all that an init does: to pass on signals, to reap, to hand out its namespaces, and to end.
var initCalls = [...]string{
	"rt_sigtimedwait", "kill", "wait4", "exit_group", "restart_syscall",
	"ppoll", "accept4", "getsockopt", "sendmsg", "close",
	"munmap", "close_range", // of the plan and of all descriptors, once
}

// initFilter allows initCalls on this machine's architecture; others fail with EPERM.
func initFilter() []byte {
	f, err := seccomp.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno,
		Syscalls: []specs.LinuxSyscall{{Names: initCalls[:], Action: specs.ActAllow}}})
	if err != nil {
		panic(err) // the same for every configuration: TestInitFilter
	}
	return f.Bytes()
}
