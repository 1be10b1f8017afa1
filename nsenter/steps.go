package nsenter

// #include "steps.h"
import "C"

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

const (
	kinds    = C.K_END - 1 // how many there are
	argsSize = C.ARGS_SIZE
)

// Numbers as C has them.
type (
	u32 = C.uint32_t
	u64 = C.uint64_t
)

// set gives a step's record its kind and its arguments, as C has them: A is the struct of that kind, and no larger than ARGS_SIZE.
func set[A any](r *record, kind uint32, args A) {
	r.kind = kind
	*(*A)(unsafe.Pointer(&r.args)) = args
}

// slot is a slot as C has it.
func slot(s Slot) C.fd_slot {
	if s < 0 {
		return C.fd_slot{n: C.NO_FD}
	}
	return C.fd_slot{n: u32(s)}
}

// truth is a truth value as C has it.
func truth(b bool) u32 {
	if b {
		return 1
	}
	return 0
}

// Hint says what usually helps where a step has failed, by the system call that the stub names and its error; "" if nothing is known. In
// user namespaces the kernel says EPERM or EINVAL to most (user_namespaces(7), mount_namespaces(7)).
func Hint(s Step, call string, errno unix.Errno) string {
	if s, ok := s.(interface {
		hint(call string, errno unix.Errno) string
	}); ok {
		return s.hint(call, errno)
	}
	return ""
}
