package nsenter

// #include "steps.h"
import "C"

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// The steps that set ids, groups and capabilities: credentials.c.

// DropGroups gives up the supplementary groups of rt's caller.
type DropGroups struct{}

func (DropGroups) Name() string     { return "drop-groups" }
func (DropGroups) String() string   { return "give up supplementary groups" }
func (DropGroups) encode(r *record) { r.call("setgroups", unix.SYS_SETGROUPS, 0, 0) }

// Dumpable lets an rt without privileges write the process's id maps and join it (proc(5), ptrace(2)).
type Dumpable struct{}

func (Dumpable) Name() string   { return "dumpable" }
func (Dumpable) String() string { return "let rt look into the process until it is the program" }

// A new user namespace clears nothing of it, and no process is in there that could look.
func (Dumpable) encode(r *record) { r.call("prctl", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1) }

// SetIDs makes the process uid and gid of the user namespace it has entered. Other processes cannot look into it; with Dumpable, those of
// that user can.
type SetIDs struct {
	UID, GID uint32
	Dumpable bool `json:",omitempty"`
}

func (SetIDs) Name() string { return "set-ids" }

func (s SetIDs) String() string {
	return fmt.Sprintf("become uid %d gid %d of the user namespace", s.UID, s.GID)
}

func (s SetIDs) encode(r *record) {
	set(r, C.K_set_ids, C.struct_args_set_ids{uid: u32(s.UID), gid: u32(s.GID), dumpable: truth(s.Dumpable)})
}

// NoNewPrivs forbids gaining privileges by execve.
type NoNewPrivs struct{}

func (NoNewPrivs) Name() string     { return "no-new-privileges" }
func (NoNewPrivs) String() string   { return "set no_new_privs" }
func (NoNewPrivs) encode(r *record) { r.kind = C.K_no_new_privs }

// Bounding cuts the capability bounding set down to Keep.
type Bounding struct{ Keep uint64 }

func (Bounding) Name() string { return "bounding-set" }

func (s Bounding) String() string {
	return fmt.Sprintf("keep capabilities %#x in the bounding set", s.Keep)
}

func (s Bounding) encode(r *record) { set(r, C.K_bounding, C.struct_args_bounding{keep: u64(s.Keep)}) }

// Credentials sets groups, gid and uid, sees that the process has them, and keeps other processes from looking into it.
type Credentials struct {
	UID, GID   uint32
	Groups     []uint32
	KeepGroups bool
	TryGroups  bool `json:",omitempty"` // set them unless the user namespace denies setgroups(2)
}

func (Credentials) Name() string { return "credentials" }

func (s Credentials) String() string {
	return fmt.Sprintf("become uid %d gid %d groups %v", s.UID, s.GID, s.Groups)
}

func (s Credentials) encode(r *record) { s.become(r, false) }

// become sends the groups sorted, for the stub looks for what the kernel has among them, and as many other numbers, which the
// kernel's answer is to replace.
func (s Credentials) become(r *record, keepCaps bool) {
	mode := truth(s.KeepGroups)
	if s.TryGroups {
		mode = 2
	}
	set(r, C.K_credentials, C.struct_args_credentials{uid: u32(s.UID), gid: u32(s.GID), groups: mode, count: u32(len(s.Groups)), keep_capabilities: truth(keepCaps)})
	sorted := slices.Sorted(slices.Values(s.Groups))
	var groups []byte
	for _, g := range sorted {
		groups = binary.NativeEndian.AppendUint32(groups, g)
	}
	for range sorted {
		groups = binary.NativeEndian.AppendUint32(groups, otherThan(sorted))
	}
	r.data = true
	r.str(string(groups))
}

// SetUser is Credentials for a process that goes on setting things up: its capabilities stay, all of them effective.
type SetUser Credentials

func (SetUser) Name() string { return "set-user" }

func (s SetUser) String() string {
	return fmt.Sprintf("become uid %d gid %d groups %v with all capabilities", s.UID, s.GID, s.Groups)
}

func (s SetUser) encode(r *record) { Credentials(s).become(r, true) }

// Capabilities sets the other four sets, and sees that the process has no more.
type Capabilities struct{ Effective, Permitted, Inheritable, Ambient uint64 }

func (Capabilities) Name() string   { return "capabilities" }
func (Capabilities) String() string { return "apply caps" }

func (s Capabilities) encode(r *record) {
	set(r, C.K_capabilities, C.struct_args_capabilities{effective: u64(s.Effective), permitted: u64(s.Permitted), inheritable: u64(s.Inheritable), ambient: u64(s.Ambient)})
}

// Capset is Capabilities without the ambient set, and without a look.
type Capset struct{ Effective, Permitted, Inheritable uint64 }

func (Capset) Name() string { return "capset" }

func (s Capset) String() string {
	return fmt.Sprintf("have capabilities %#x in effect", s.Effective)
}

func (s Capset) encode(r *record) {
	set(r, C.K_capabilities, C.struct_args_capabilities{effective: u64(s.Effective), permitted: u64(s.Permitted), inheritable: u64(s.Inheritable), only_set: 1})
}

// Undumpable undoes what a change of ids or of the user namespace may have done (proc(5), /proc/sys/fs/suid_dumpable).
type Undumpable struct{}

func (Undumpable) Name() string     { return "undumpable" }
func (Undumpable) String() string   { return "let nobody look into the process" }
func (Undumpable) encode(r *record) { r.call("prctl", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0) }

// otherThan is the largest number that is not in a sorted list.
func otherThan(sorted []uint32) uint32 {
	n := ^uint32(0)
	for i := len(sorted) - 1; i >= 0 && sorted[i] >= n; i-- {
		if sorted[i] == n {
			n--
		}
	}
	return n
}
