package nsenter

// #include "steps.h"
import "C"

// The steps that are one system call and nothing more, which the stub need not know: call.c.

// call encodes system call number with up to six arguments; name is for the error.
func (r *record) call(name string, number uintptr, args ...uint64) {
	r.callWith("", 0, name, number, args...)
}

// callWith is call with argument at (from 1) a pointer to data. size is how much of it there is, NUL included: the kernel reads no more.
func (r *record) callWith(data string, at int, name string, number uintptr, args ...uint64) {
	var a [6]u64
	for i, arg := range args {
		a[i] = u64(arg)
	}
	set(r, C.K_call, C.struct_args_call{
		number: u64(number), arg1: a[0], arg2: a[1], arg3: a[2], arg4: a[3], arg5: a[4], arg6: a[5], data: u32(at), size: u32(len(data) + 1),
	})
	r.data = true
	r.str(data, name)
}
