package nsenter

// #include "steps.h"
import "C"

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// The steps that set attributes of the process: process.c, and call.c for what is one system call.

// Umask sets the file mode creation mask.
type Umask struct{ Mask uint32 }

func (Umask) Name() string       { return "umask" }
func (s Umask) String() string   { return fmt.Sprintf("set umask %04o", s.Mask) }
func (s Umask) encode(r *record) { r.call("umask", unix.SYS_UMASK, uint64(s.Mask)) }

// Personality sets the execution domain.
type Personality struct{ Domain uint64 }

func (Personality) Name() string       { return "personality" }
func (Personality) String() string     { return "set personality" }
func (s Personality) encode(r *record) { r.call("personality", unix.SYS_PERSONALITY, s.Domain) }

// MemPolicy sets the NUMA memory policy: set_mempolicy(2).
type MemPolicy struct {
	Mode  uint32   // MPOL_* with its flags
	Nodes []uint64 // a bit for each node
	Text  string   // what was asked for
}

func (MemPolicy) Name() string     { return "memory-policy" }
func (s MemPolicy) String() string { return "set memory policy " + s.Text }

// The kernel reads one bit of the mask less than it is told (set_mempolicy(2)).
func (s MemPolicy) encode(r *record) {
	r.callWith(longs(s.Nodes...), 2, "set_mempolicy", unix.SYS_SET_MEMPOLICY, uint64(s.Mode), 0, uint64(len(s.Nodes)*64+1))
}

// Scheduler sets policy and attributes: sched_setattr(2).
type Scheduler struct {
	Policy                     uint32
	Flags                      uint64
	Nice                       int32
	Priority                   uint32
	Runtime, Deadline, Period_ uint64
}

func (Scheduler) Name() string   { return "scheduler" }
func (Scheduler) String() string { return "set scheduler" }

// encode writes the first 48 bytes of struct sched_attr, SCHED_ATTR_SIZE_VER0.
func (s Scheduler) encode(r *record) {
	b := binary.NativeEndian.AppendUint32(nil, 48)
	b = binary.NativeEndian.AppendUint32(b, s.Policy)
	b = binary.NativeEndian.AppendUint64(b, s.Flags)
	b = binary.NativeEndian.AppendUint32(b, uint32(s.Nice))
	b = binary.NativeEndian.AppendUint32(b, s.Priority)
	r.callWith(string(b)+longs(s.Runtime, s.Deadline, s.Period_), 2, "sched_setattr", unix.SYS_SCHED_SETATTR)
}

// IOPriority sets class and level: ioprio_set(2).
type IOPriority struct{ Class, Level uint32 }

func (IOPriority) Name() string     { return "io-priority" }
func (s IOPriority) String() string { return "set io priority" }

func (s IOPriority) encode(r *record) {
	const who = 1 // IOPRIO_WHO_PROCESS
	r.call("ioprio_set", unix.SYS_IOPRIO_SET, who, 0, uint64(s.Class)<<13|uint64(s.Level))
}

// ChownStdio gives pipes and sockets among stdio to the user, and puts the container's null device in place of the host's.
type ChownStdio struct{ UID, GID uint32 }

func (ChownStdio) Name() string     { return "chown-stdio" }
func (s ChownStdio) String() string { return "give stdio to uid " + strconv.Itoa(int(s.UID)) }
func (s ChownStdio) encode(r *record) {
	set(r, C.K_chown_stdio, C.struct_args_chown_stdio{uid: u32(s.UID)})
}

// Chdir enters the working directory.
type Chdir struct {
	Path  string
	Retry bool // EACCES is fine: Chdir comes again after Credentials
}

func (Chdir) Name() string { return "chdir" }

func (s Chdir) String() string {
	return "chdir to cwd (" + strconv.Quote(s.Path) + ") set in config.json"
}

func (s Chdir) encode(r *record) {
	set(r, C.K_chdir, C.struct_args_chdir{retry: truth(s.Retry)})
	r.str(s.Path)
}

// ChdirRootfs enters the rootfs by its path in the mount namespace: no links lead there, and it is the directory with these numbers.
type ChdirRootfs struct {
	Path     string
	Dev, Ino uint64
}

func (ChdirRootfs) Name() string     { return "chdir-rootfs" }
func (s ChdirRootfs) String() string { return "chdir to rootfs " + s.Path }

func (s ChdirRootfs) encode(r *record) {
	set(r, C.K_chdir, C.struct_args_chdir{is_rootfs: 1, device: u64(s.Dev), inode: u64(s.Ino)})
	r.str(s.Path)
}

// Rlimit sets a resource limit.
type Rlimit struct {
	Type       string
	Number     int
	Soft, Hard uint64
}

func (Rlimit) Name() string     { return "rlimit" }
func (s Rlimit) String() string { return fmt.Sprintf("set rlimit %s %d:%d", s.Type, s.Soft, s.Hard) }

func (s Rlimit) encode(r *record) {
	r.callWith(longs(s.Soft, s.Hard), 3, "prlimit", unix.SYS_PRLIMIT64, 0, uint64(s.Number))
}

func (Rlimit) hint(_ string, errno unix.Errno) string {
	if errno == unix.EPERM {
		return "only CAP_SYS_RESOURCE raises a hard limit, and nothing raises that on open files above sysctl fs.nr_open"
	}
	return ""
}

// CloseFds hides every descriptor from First on from the program.
type CloseFds struct{ First int }

func (CloseFds) Name() string     { return "close-fds" }
func (s CloseFds) String() string { return "close descriptors from " + strconv.Itoa(s.First) }
func (s CloseFds) encode(r *record) {
	set(r, C.K_close_fds, C.struct_args_close_fds{first: u32(s.First)})
}

func longs(list ...uint64) string {
	var b []byte
	for _, w := range list {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return string(b)
}
