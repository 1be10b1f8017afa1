package nsenter

// The steps that make directories, links and devices, and the terminal: devices.c.

// Mkdir makes a directory and those above it.
type Mkdir struct {
	Path string
	Mode uint32
}

func (Mkdir) Name() string       { return "mkdir" }
func (s Mkdir) String() string   { return "make directory " + s.Path }
func (s Mkdir) encode(r *record) { r.set(kMkdir, uint64(s.Mode)); r.str(s.Path) }

// Symlink makes a symbolic link, unless something is there; with Must that must be such a link.
type Symlink struct {
	Path, Target string
	Must         bool `json:",omitempty"`
}

func (Symlink) Name() string       { return "symlink" }
func (s Symlink) String() string   { return "make link " + s.Path + " to " + s.Target }
func (s Symlink) encode(r *record) { r.set(kSymlink, b2u(s.Must)); r.str(s.Path, s.Target) }

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
	r.set(kMknod, uint64(s.Mode), s.Dev, uint64(s.UID), uint64(s.GID), slot(s.HostNode), b2u(s.Bind))
	r.str(s.Path, s.HostPath)
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
	r.set(kConsole, uint64(s.Rows), uint64(s.Cols), uint64(s.UID), b2u(s.DevConsole))
}
