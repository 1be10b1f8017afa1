package nsenter

import "golang.org/x/sys/unix"

// Rights are what the kernel lets a program do that the image supplies: an init, a process of exec, a startContainer hook.
// The zero value is the least: no capability, no limit raised.
type Rights struct {
	Limits     []Rlimit
	LateLimits []Rlimit // those that the steps between would not get along with
	Bounding   uint64
	User       Credentials
	Cwd        string
	NoNewPrivs bool
	Caps       Capabilities
	Filter     *Seccomp // nil for none
	Waits      bool     // the program is held up under its filter, by a Gate
	Failure    Failure  // what an execve that fails is
}

// A Failure says what it is when the program exists and execve fails: of another architecture, without its interpreter.
// The zero value is an error of rt's.
type Failure struct {
	OwnEnd bool       // it is the program's end: the reason on stderr, exit status 255, as with runc
	But    unix.Errno // an errno that is rt's error all the same, or 0
}

// Program is the end of a plan: all that makes a process one with these rights, then the execve. No other function makes an
// Exec of what the image supplies. The steps of between come when the process has its user and capabilities and lacks its
// filter; a wait belongs there.
//
// Nothing but execve is done under the filter, which could pretend success (SECCOMP_RET_ERRNO with 0). To load it without
// no_new_privs takes CAP_SYS_ADMIN (seccomp(2)), which the process keeps as permitted until then. execve drops it: what the
// program has comes from the inheritable, ambient and bounding sets (capabilities(7), Transformation of capabilities during
// execve); and those are final.
func (r Rights) Program(between []Step, args, env []string) []Step {
	var steps []Step
	for _, l := range r.Limits {
		steps = append(steps, l)
	}
	steps = append(steps, Bounding{Keep: r.Bounding}, r.User, Chdir{Path: r.Cwd})
	if r.NoNewPrivs {
		steps = append(steps, NoNewPrivs{})
	}
	caps, privileged := r.Caps, r.Filter != nil && !r.NoNewPrivs
	if privileged {
		caps.Permitted |= 1 << capSysAdmin
	}
	steps = append(append(steps, caps), between...)
	for _, l := range r.LateLimits {
		steps = append(steps, l)
	}
	if privileged {
		steps = append(steps, Capset{Effective: r.Caps.Effective | 1<<capSysAdmin, Permitted: caps.Permitted, Inheritable: r.Caps.Inheritable})
	}
	if r.Filter != nil {
		steps = append(steps, *r.Filter)
	}
	if privileged && r.Waits {
		steps = append(steps, Capset{Effective: r.Caps.Effective, Permitted: r.Caps.Permitted, Inheritable: r.Caps.Inheritable})
	}
	return append(steps, Exec{args, env, r.Failure})
}

const capSysAdmin = 21
