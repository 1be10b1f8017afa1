package nsenter

// #include "steps.h"
import "C"

// HandOut lets the process give the descriptors of its namespaces and its root to who asks at a listening socket, while it waits in
// AwaitStart, and as an init.
type HandOut struct{ Listener Slot }

func (HandOut) Name() string   { return "hand-out" }
func (HandOut) String() string { return "let rt's user have the namespaces" }
func (s HandOut) encode(r *record) {
	set(r, C.K_hand_out, C.struct_args_hand_out{listener: slot(s.Listener)})
}
