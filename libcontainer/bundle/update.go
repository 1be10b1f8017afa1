package bundle

import (
	"reflect"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// DecodeResources reads and checks what `update --resources` is given, a linux.resources object. The pointers
// of the problems, some of them warnings, are relative to it. Device rules, which update does not
// apply, are not looked at, as with runc. A document that is not such an object is a *DecodeError.
func DecodeResources(raw []byte) (*specs.LinuxResources, []Problem, error) {
	r := new(specs.LinuxResources)
	if err := decode("resources", raw, r); err != nil {
		return nil, nil, err
	}
	problems := unknownFields(raw, reflect.TypeFor[specs.LinuxResources]())
	r.Devices = nil
	return r, append(problems, CheckResources(r)...), nil
}

// CheckResources checks resources by themselves: what of them is wrong on every host.
func CheckResources(r *specs.LinuxResources) []Problem {
	const pointer = "/linux/resources"
	c := new(checker)
	if c.resourceCounts(r); c.errors > 0 {
		return c.relative(pointer)
	}
	c.noNUL(reflect.ValueOf(r), pointer)
	c.resources(r)
	return c.relative(pointer)
}
