package nsenter

import "fmt"

// A Slot is the position of a descriptor among those sent with a plan; NoSlot is none.
type Slot int

// NoSlot says that a step has no descriptor to work on.
const NoSlot Slot = -1

// A Step is one thing that the stub does. String says what, for plans and errors: verb and object.
type Step interface {
	fmt.Stringer
	Name() string
	encode(r *record)
}
