package nsenter

// The steps that are one system call and nothing more, which the stub need not know: call.c.

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
