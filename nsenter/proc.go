package nsenter

// #include "steps.h"
import "C"

import "strings"

// The steps that write a file of a procfs: proc.c.

// Sysctl writes a file below /proc/sys.
type Sysctl struct{ Path, Value string }

func (Sysctl) Name() string       { return "sysctl" }
func (s Sysctl) String() string   { return "write sysctl " + strings.ReplaceAll(s.Path, "/", ".") }
func (s Sysctl) encode(r *record) { r.kind = C.K_proc_write; r.str("sys", s.Path, s.Value) }

// Label writes a security attribute of the process: Text to File below /proc/self/attr. Outside says that the process has
// not left the host's mount namespace yet, whose /proc will do.
type Label struct {
	Kind, Value, File, Text string
	Outside                 bool `json:",omitempty"`
}

func (Label) Name() string { return "label" }

func (s Label) String() string {
	return "apply " + s.Kind + " " + s.Value + " to `/proc/self/attr/" + s.File + "`" // in backquotes, for Podman
}

func (s Label) encode(r *record) {
	set(r, C.K_proc_write, C.struct_args_proc_write{outside: truth(s.Outside)})
	r.str("self/attr", s.File, s.Text)
}
