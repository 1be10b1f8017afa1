package nsenter

// #include "steps.h"
import "C"

import "golang.org/x/sys/unix"

// The steps that make directories, links and devices, and the terminal: devices.c.

// Mkdir makes a directory and those above it.
type Mkdir struct {
	Path string
	Mode uint32
}

func (Mkdir) Name() string     { return "mkdir" }
func (s Mkdir) String() string { return "make directory " + s.Path }
func (s Mkdir) encode(r *record) {
	set(r, C.K_mkdir, C.struct_args_mkdir{mode: u32(s.Mode)})
	r.str(s.Path)
}

// Symlink makes a symbolic link, unless something is there; with Must that must be such a link.
type Symlink struct {
	Path, Target string
	Must         bool `json:",omitempty"`
}

func (Symlink) Name() string     { return "symlink" }
func (s Symlink) String() string { return "make link " + s.Path + " to " + s.Target }
func (s Symlink) encode(r *record) {
	set(r, C.K_symlink, C.struct_args_symlink{must: truth(s.Must)})
	r.str(s.Path, s.Target)
}

// Mknod makes a device node, or binds the host's where it may not.
type Mknod struct {
	Path     string
	Mode     uint32 // with the S_IF* type
	Dev      uint64
	UID, GID uint32
	HostNode Slot
	Bind     bool
	HostPath string
}

func (Mknod) Name() string     { return "mknod" }
func (s Mknod) String() string { return "make device " + s.Path }

func (s Mknod) encode(r *record) {
	set(r, C.K_mknod, C.struct_args_mknod{host_node: slot(s.HostNode), mode: u32(s.Mode), major: u32(unix.Major(s.Dev)), minor: u32(unix.Minor(s.Dev)),
		uid: u32(s.UID), gid: u32(s.GID), bind: truth(s.Bind)})
	r.str(s.Path, s.HostPath)
}

func (Mknod) hint(_ string, errno unix.Errno) string {
	if errno == unix.EPERM || errno == unix.ENODEV {
		return "in a user namespace no device can be made; the host's are bound, if they have the same path and number below /dev"
	}
	return ""
}

// Console opens a terminal, hands its master to rt and makes it the controlling one.
type Console struct {
	Rows, Cols uint32
	UID        uint32
	DevConsole bool
}

func (Console) Name() string   { return "console" }
func (Console) String() string { return "open a terminal" }

func (s Console) encode(r *record) {
	set(r, C.K_console, C.struct_args_console{rows: u32(s.Rows), columns: u32(s.Cols), uid: u32(s.UID), dev_console: truth(s.DevConsole)})
}
