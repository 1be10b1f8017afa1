package facts

import (
	"errors"
	"fmt"

	"rt/internal/text"
	"rt/libcontainer/bundle"
	"rt/libcontainer/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Filter compiles the seccomp profile of a configuration; nil if it has none. It refuses a filter whose listener an rt
// with these privileges cannot have.
func (p Privileges) Filter(spec *specs.Spec) (*seccomp.Program, error) {
	f, err := CompileFilter(spec)
	if err != nil {
		return nil, err
	}
	return f, p.maySendListener(f)
}

// CompileFilter compiles the seccomp profile of a configuration; nil if it has none.
func CompileFilter(spec *specs.Spec) (*seccomp.Program, error) {
	if seccomp.Of(spec) == nil {
		return nil, nil
	}
	f, err := seccomp.Compile(spec.Linux.Seccomp)
	if err != nil {
		return nil, fmt.Errorf("compile seccomp filter: %w", err)
	}
	if f != nil && len(f.Unknown) > 0 && annotated(spec, bundle.FailUnknownSyscall) {
		return nil, fmt.Errorf("compile seccomp filter: unknown system call (/linux/seccomp%s), and the annotation %s does not allow that",
			text.Short(f.Unknown[0]), bundle.FailUnknownSyscall)
	}
	return f, nil
}

// annotated says whether an annotation of crun's asks for what it is named after. crun treats any value as true; rt
// treats "0" and "false" as false.
func annotated(spec *specs.Spec, name string) bool {
	v, ok := spec.Annotations[name]
	return ok && v != "0" && v != "false"
}

// maySendListener refuses a filter that holds up sendmsg(2), by which an rt that may not take the listener has it sent:
// no process would have the listener to allow that call.
func (p Privileges) maySendListener(f *seccomp.Program) error {
	if f != nil && f.Notify && !p.MayTrace() && f.Denies("sendmsg") == string(specs.ActNotify) {
		return errors.New("load seccomp filter: a rootless rt cannot have the listener of a filter with SCMP_ACT_NOTIFY for sendmsg: it is sent by that call (/linux/seccomp)")
	}
	return nil
}
