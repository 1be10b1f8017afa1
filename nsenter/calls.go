package nsenter

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The steps that are one system call and nothing more, which the stub need not know.

// call encodes system call number with up to six arguments; name is for the error.
func (r *record) call(name string, number uintptr, args ...uint64) {
	r.callWith("", 0, name, number, args...)
}

// callWith is call with argument at (from 1) a pointer to data.
func (r *record) callWith(data string, at uint64, name string, number uintptr, args ...uint64) {
	r.set(kCall, append([]uint64{uint64(number)}, args...)...)
	r.a[7] = at
	r.blob = true
	r.str(data, name)
}

// slotAt says that argument at (from 1) is a slot, of whose descriptor the call is to be made.
func (r *record) slotAt(at uint64) { r.a[7] |= at << 8 }

func longs(list ...uint64) string {
	var b []byte
	for _, w := range list {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return string(b)
}

func (s Unshare) encode(r *record) { r.call("unshare", unix.SYS_UNSHARE, s.Flags) }
func (s JoinNS) encode(r *record) {
	r.call("setns", unix.SYS_SETNS, slot(s.File), s.Type)
	r.slotAt(1)
}

// A new user namespace clears nothing of it, and nobody is in there who could look.
func (Dumpable) encode(r *record) { r.call("prctl", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1) }

func (DropGroups) encode(r *record) { r.call("setgroups", unix.SYS_SETGROUPS, 0, 0) }

func (Undumpable) encode(r *record) { r.call("prctl", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0) }

// Writing 0 moves the caller's own, only thread; the kernel then skips the global cgroup_threadgroup_rwsem and with it
// the wait for an RCU grace period (Linux 5.6).
func (s CgroupJoin) encode(r *record) {
	r.callWith("0", 2, "write", unix.SYS_WRITE, slot(s.Tasks), 0, 1)
	r.slotAt(1)
}
func (Setsid) encode(r *record) { r.call("setsid", unix.SYS_SETSID) }
func (s Hostname) encode(r *record) {
	r.callWith(s.Value, 1, "sethostname", unix.SYS_SETHOSTNAME, 0, uint64(len(s.Value)))
	r.blob = false
}
func (s Domainname) encode(r *record) {
	r.callWith(s.Value, 1, "setdomainname", unix.SYS_SETDOMAINNAME, 0, uint64(len(s.Value)))
	r.blob = false
}
func (s Propagation) encode(r *record) {
	r.callWith("/", 2, "mount", unix.SYS_MOUNT, 0, 0, 0, s.Flags)
}
func (s Umask) encode(r *record)       { r.call("umask", unix.SYS_UMASK, uint64(s.Mask)) }
func (s Personality) encode(r *record) { r.call("personality", unix.SYS_PERSONALITY, s.Domain) }

// The kernel reads one bit of the mask less than it is told (set_mempolicy(2)).
func (s MemPolicy) encode(r *record) {
	r.callWith(longs(s.Nodes...), 2, "set_mempolicy", unix.SYS_SET_MEMPOLICY, uint64(s.Mode), 0, uint64(len(s.Nodes)*64+1))
}

// encode writes the first 48 bytes of struct sched_attr, SCHED_ATTR_SIZE_VER0.
func (s Scheduler) encode(r *record) {
	b := binary.NativeEndian.AppendUint32(nil, 48)
	b = binary.NativeEndian.AppendUint32(b, s.Policy)
	b = binary.NativeEndian.AppendUint64(b, s.Flags)
	b = binary.NativeEndian.AppendUint32(b, uint32(s.Nice))
	b = binary.NativeEndian.AppendUint32(b, s.Priority)
	r.callWith(string(b)+longs(s.Runtime, s.Deadline, s.Period_), 2, "sched_setattr", unix.SYS_SCHED_SETATTR)
}

func (s IOPriority) encode(r *record) {
	const who = 1 // IOPRIO_WHO_PROCESS
	r.call("ioprio_set", unix.SYS_IOPRIO_SET, who, 0, uint64(s.Class)<<13|uint64(s.Level))
}

func (s Rlimit) encode(r *record) {
	r.callWith(longs(s.Soft, s.Hard), 3, "prlimit", unix.SYS_PRLIMIT64, 0, uint64(s.Number))
}
