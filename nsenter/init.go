package nsenter

// #include "steps.h"
import "C"

// Init goes on with the next Steps in a child, which becomes the program; the process itself skips them, and stays
// as the container's init when the plan is at its end.
type Init struct {
	Steps    int
	Terminal bool
}

func (Init) Name() string     { return "init" }
func (s Init) String() string { return "stay as init; the program is a child" }
func (s Init) encode(r *record) {
	set(r, C.K_init, C.struct_args_init{steps: u32(s.Steps), terminal: truth(s.Terminal)})
}
