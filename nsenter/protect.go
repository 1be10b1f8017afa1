package nsenter

// #include "steps.h"
import "C"

// The steps that mask paths and make them read-only: protect.c.

// ReadonlyPath makes a path read-only.
type ReadonlyPath struct {
	Path string
	Keep bool `json:",omitempty"` // later steps refer to the mount
}

func (ReadonlyPath) Name() string     { return "readonly-path" }
func (s ReadonlyPath) String() string { return "make read-only " + s.Path }
func (s ReadonlyPath) encode(r *record) {
	set(r, C.K_readonly_path, C.struct_args_readonly_path{keep: truth(s.Keep)})
	r.str(s.Path)
}

// MaskPath hides a path.
type MaskPath struct {
	Path  string
	Label string `json:",omitempty"` // SELinux label of what covers a directory
}

func (MaskPath) Name() string       { return "mask-path" }
func (s MaskPath) String() string   { return "mask " + s.Path }
func (s MaskPath) encode(r *record) { r.kind = C.K_mask_path; r.str(s.Path, s.Label) }
