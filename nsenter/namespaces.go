package nsenter

// #include "steps.h"
import "C"

import "golang.org/x/sys/unix"

// The steps that enter and make namespaces and cgroups, and set up what belongs to a new one: namespaces.c.

// JoinNS enters a namespace: setns(2) on its file.
type JoinNS struct {
	File Slot
	Type uint64
	Kind string
	Path string
}

func (JoinNS) Name() string     { return "join-namespace" }
func (s JoinNS) String() string { return "join " + s.Kind + " namespace " + s.Path }

func (s JoinNS) encode(r *record) {
	set(r, C.K_join_namespace, C.struct_args_join_namespace{file: slot(s.File), _type: r.low(s.Type)})
}

func (JoinNS) hint(_ string, errno unix.Errno) string {
	if errno == unix.EPERM {
		return "a namespace is joined with the rights in the user namespace that it belongs to"
	}
	return ""
}

// TakeRoot makes the root of the mount namespace just joined the one below which paths are looked for.
type TakeRoot struct{}

func (TakeRoot) Name() string     { return "take-root" }
func (TakeRoot) String() string   { return "take the root of the mount namespace" }
func (TakeRoot) encode(r *record) { r.kind = C.K_take_root }

// Unshare makes new namespaces for this process.
type Unshare struct {
	Flags uint64
	Kinds string
}

func (Unshare) Name() string       { return "unshare" }
func (s Unshare) String() string   { return "make new namespaces " + s.Kinds }
func (s Unshare) encode(r *record) { r.call("unshare", unix.SYS_UNSHARE, s.Flags) }

func (Unshare) hint(_ string, errno unix.Errno) string {
	return namespacesHint(errno)
}

// Clone goes on in a new process in new namespaces; Cgroup is the v2 directory that it is born in.
type Clone struct {
	Flags  uint64
	Kinds  string
	Cgroup Slot
}

func (Clone) Name() string { return "clone" }

func (s Clone) String() string {
	if s.Kinds == "" {
		return "clone a process"
	}
	return "clone into new namespaces " + s.Kinds
}

func (s Clone) encode(r *record) {
	set(r, C.K_clone, C.struct_args_clone{cgroup: slot(s.Cgroup), flags: r.low(s.Flags)})
}

func (Clone) hint(_ string, errno unix.Errno) string {
	switch errno {
	case unix.ENOMEM:
		return "a pid namespace that is joined by path has no init any more; it cannot be used again (pid_namespaces(7))"
	case unix.EAGAIN:
		return processesHint
	}
	return namespacesHint(errno)
}

// CgroupJoin enters a cgroup v1 directory by its tasks file.
type CgroupJoin struct {
	Tasks Slot
	Path  string
}

func (CgroupJoin) Name() string     { return "join-cgroup" }
func (s CgroupJoin) String() string { return "join cgroup " + s.Path }

func (s CgroupJoin) encode(r *record) {
	set(r, C.K_join_cgroup, C.struct_args_join_cgroup{tasks: slot(s.Tasks)})
}

// Setsid starts a new session.
type Setsid struct{}

func (Setsid) Name() string     { return "setsid" }
func (Setsid) String() string   { return "start a session" }
func (Setsid) encode(r *record) { r.call("setsid", unix.SYS_SETSID) }

// Keyring joins a new session keyring.
type Keyring struct{ Keyring string }

func (Keyring) Name() string       { return "keyring" }
func (s Keyring) String() string   { return "join session keyring " + s.Keyring }
func (s Keyring) encode(r *record) { r.kind = C.K_keyring; r.str(s.Keyring) }

// LoopbackUp brings up lo.
type LoopbackUp struct{}

func (LoopbackUp) Name() string     { return "loopback-up" }
func (LoopbackUp) String() string   { return "bring up lo" }
func (LoopbackUp) encode(r *record) { r.kind = C.K_loopback_up }

func (LoopbackUp) hint(_ string, errno unix.Errno) string {
	if errno == unix.EPERM {
		return "rt lacks CAP_NET_ADMIN in its user namespace"
	}
	return ""
}

// Hostname sets the UTS namespace's host name.
type Hostname struct{ Value string }

func (Hostname) Name() string     { return "hostname" }
func (s Hostname) String() string { return "set hostname " + s.Value }

func (s Hostname) encode(r *record) {
	r.callWith(s.Value, 1, "sethostname", unix.SYS_SETHOSTNAME, 0, uint64(len(s.Value)))
	r.data = false // a NUL is an error
}

// Domainname sets the UTS namespace's NIS domain name.
type Domainname struct{ Value string }

func (Domainname) Name() string     { return "domainname" }
func (s Domainname) String() string { return "set domainname " + s.Value }

func (s Domainname) encode(r *record) {
	r.callWith(s.Value, 1, "setdomainname", unix.SYS_SETDOMAINNAME, 0, uint64(len(s.Value)))
	r.data = false
}

const processesHint = "a limit on processes is reached: the cgroup's pids.max, RLIMIT_NPROC or kernel.pid_max"

func namespacesHint(errno unix.Errno) string {
	if errno == unix.ENOSPC || errno == unix.EUSERS {
		return "a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces"
	}
	return ""
}
