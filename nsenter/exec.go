package nsenter

// #include "steps.h"
import "C"

import (
	"encoding/json"
	"strings"

	"golang.org/x/sys/unix"
)

// The steps from the look for the program to execve: exec.c.

// FindExec chooses the program.
type FindExec struct {
	Arg        string // args[0]
	Candidates []string
}

func (FindExec) Name() string       { return "find-executable" }
func (s FindExec) String() string   { return "find executable " + s.Arg }
func (s FindExec) encode(r *record) { r.kind = C.K_find_exec; r.str(s.Candidates...) }

func (s FindExec) hint(_ string, errno unix.Errno) string {
	if errno == unix.ENOENT && len(s.Candidates) == 1 && !strings.Contains(s.Arg, "/") {
		return "process.env sets no PATH"
	}
	return ""
}

// AwaitStart waits for `rt start`.
type AwaitStart struct{ Listener Slot }

func (AwaitStart) Name() string   { return "await-start" }
func (AwaitStart) String() string { return "wait for start" }
func (s AwaitStart) encode(r *record) {
	set(r, C.K_await_start, C.struct_args_await_start{listener: slot(s.Listener)})
}

// Seccomp loads a filter.
type Seccomp struct {
	Program []byte
	Flags   uint32
	Notify  bool // rt is to have its listener
	Send    bool // which is sent, for rt may not take it
}

func (Seccomp) Name() string   { return "seccomp" }
func (Seccomp) String() string { return "load seccomp filter" }

func (s Seccomp) encode(r *record) {
	set(r, C.K_seccomp, C.struct_args_seccomp{size: u32(len(s.Program)), flags: u32(s.Flags), notify: truth(s.Notify), send: truth(s.Send)})
	r.data = true
	r.str(string(s.Program))
}

func (s Seccomp) hint(_ string, errno unix.Errno) string {
	const waitKillableRecv = 1 << 5 // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	if errno == unix.EINVAL && s.Flags&waitKillableRecv != 0 {
		return "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19"
	}
	return ""
}

// Gate holds Exec up until a byte has been read from the FIFO, which has room for one write.
type Gate struct {
	FIFO Slot
	Path string
}

func (Gate) Name() string       { return "gate" }
func (s Gate) String() string   { return "hold the program until " + s.Path + " is read" }
func (s Gate) encode(r *record) { set(r, C.K_gate, C.struct_args_gate{fifo: slot(s.FIFO)}) }

// Exec becomes the program. Program makes it.
type Exec struct {
	args, env []string
	failure   Failure
}

// Arg0 is the program's name.
func (s Exec) Arg0() string {
	if len(s.args) == 0 {
		return ""
	}
	return s.args[0]
}

// MarshalJSON shows the program.
func (s Exec) MarshalJSON() ([]byte, error) { return json.Marshal(ExecHost{s.args, s.env}) }

// Name is "exec".
func (Exec) Name() string { return "exec" }

func (s Exec) String() string   { return "exec " + s.Arg0() }
func (s Exec) encode(r *record) { r.program(s.args, s.env, s.failure) }

func (Exec) hint(_ string, errno unix.Errno) string {
	return loaderHint(errno)
}

// ExecHost becomes a program that the host supplies: a createContainer hook, whose path is resolved in the runtime's namespaces
// (config.md, POSIX-platform Hooks). It has the rights of rt.
type ExecHost struct{ Args, Env []string }

// Name is "exec-host".
func (ExecHost) Name() string { return "exec-host" }

func (s ExecHost) String() string   { return "exec " + s.Args[0] + " of the host" }
func (s ExecHost) encode(r *record) { r.program(s.Args, s.Env, Failure{}) }

func (ExecHost) hint(_ string, errno unix.Errno) string {
	return loaderHint(errno)
}

func (r *record) program(args, env []string, f Failure) {
	set(r, C.K_exec, C.struct_args_exec{environment: u32(len(args) + 1), own_end: truth(f.OwnEnd), but: u32(f.But)})
	r.str(args...)
	r.null()
	r.str(env...)
	r.null()
}

func loaderHint(errno unix.Errno) string {
	if errno == unix.ENOENT {
		return "the program's interpreter or dynamic loader is not in the rootfs"
	}
	return ""
}
