package nsenter

// #include "steps.h"
import "C"

// The steps that only a plan for a running container has: hotplug.c.

// Undo lets a failure of the plan take back the mounts that come after this step, MaxUndo of them at most.
type Undo struct{ Proc Slot }

func (Undo) Name() string       { return "undo" }
func (Undo) String() string     { return "take back the mounts if one fails" }
func (s Undo) encode(r *record) { set(r, C.K_undo, C.struct_args_undo{proc: slot(s.Proc)}) }

// Unmount detaches the mount at a path, or with Check only sees whether it is there.
type Unmount struct {
	Target string
	Check  bool
	ID     uint64 // of the mount that it must be
}

func (Unmount) Name() string { return "unmount" }

func (s Unmount) String() string {
	if s.Check {
		return "look for a mount at " + s.Target
	}
	return "unmount " + s.Target
}

func (s Unmount) encode(r *record) {
	set(r, C.K_unmount, C.struct_args_unmount{id: u64(s.ID), check: u64(truth(s.Check))})
	r.str(s.Target)
}

// MaxUndo is how many mounts a plan with Undo can make.
const MaxUndo = 64
