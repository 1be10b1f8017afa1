package criu

// The messages that rt sends, by the field numbers of CRIU's images/rpc.proto.

// A RequestType is what CRIU is asked to do, and what its answer is about (criu_req_type).
type RequestType int

// The requests of which rt makes use.
const (
	Empty        RequestType = 0
	Dump         RequestType = 1
	Restore      RequestType = 2
	PreDump      RequestType = 4
	notify       RequestType = 6
	featureCheck RequestType = 9
	versionCheck RequestType = 10
)

// String is the name in the protocol.
func (t RequestType) String() string {
	names := [...]string{"EMPTY", "DUMP", "RESTORE", "CHECK", "PRE_DUMP", "PAGE_SERVER", "NOTIFY", "CPUINFO_DUMP",
		"CPUINFO_CHECK", "FEATURE_CHECK", "VERSION", "WAIT_PID", "PAGE_SERVER_CHLD", "SINGLE_PRE_DUMP"}
	if t < 0 || int(t) >= len(names) {
		return "UNKNOWN"
	}
	return names[t]
}

// Options are what a dump or restore is to be like (criu_opts). The zero value of a field is CRIU's default unless it says
// otherwise. What is a descriptor of rt's own, CRIU opens by way of rt's /proc/PID/fd; of InheritFd's, it has them itself.
type Options struct {
	ImagesDirFd int // of rt's own
	WorkDirFd   int // of rt's own; 0 for the images' directory
	LogFile     string
	LogLevel    int
	ConfigFile  string // what it says overrides the rest
	Pid         int    // the process to dump
	Root        string // a mount point, the root of the restored container

	LeaveRunning    bool
	ExtUnixSk       bool
	TCPEstablished  bool
	TCPSkipInFlight bool
	TCPClose        bool
	EvasiveDevices  bool
	ShellJob        bool
	FileLocks       bool
	LinkRemap       bool
	TrackMem        bool
	AutoDedup       bool
	LazyPages       bool
	RstSibling      bool // the restored process is a child of rt
	Unprivileged    bool // with CAP_CHECKPOINT_RESTORE only

	ParentImg    string
	PageServer   *PageServer
	StatusFd     int        // of rt's own; 0 for none
	ManageCgroup CgroupMode // always sent
	CgroupRoots  []Pair     // controllers, cgroup path
	FreezeCgroup string
	ExtMounts    []Pair // dump: mount point, name; restore: name, path of the host
	External     []string
	InheritFd    []Inherited
	JoinNS       []Pair // kind, file
	EmptyNS      uint64 // CLONE_NEW*
	NetworkLock  int

	LSMProfile      string
	LSMMountContext string
}

// A Pair is an entry of a map.
type Pair struct{ Key, Value string }

// An Inherited is a descriptor that takes the place of a restored one.
type Inherited struct {
	Key string
	Fd  int // in CRIU's process
}

// A PageServer is where memory is sent instead of into the image.
type PageServer struct {
	Address string
	Port    int
}

// A CgroupMode says what CRIU does about cgroups (criu_cg_mode).
type CgroupMode int

// CgroupModes are the modes by their names.
func CgroupModes() map[string]CgroupMode {
	return map[string]CgroupMode{"ignore": 0, "none": 1, "props": 2, "soft": 3, "full": 4, "strict": 5, "": 6}
}

// CgroupsIgnored leaves restored processes in the cgroup that CRIU itself is in.
const CgroupsIgnored CgroupMode = 0

// The methods to block a container's network meanwhile (criu_network_lock_method), by their names.
const (
	LockNFTables = 2
)

// NetworkLocks are the methods by their names.
func NetworkLocks() map[string]int {
	return map[string]int{"": 0, "iptables": 1, "nftables": LockNFTables, "skip": 3}
}

func (o *Options) encode() []byte {
	var m message
	m.int(1, o.ImagesDirFd)
	if o.Pid != 0 {
		m.int(2, o.Pid)
	}
	for _, f := range [...]struct {
		field int
		set   bool
	}{
		{3, o.LeaveRunning}, {4, o.ExtUnixSk}, {5, o.TCPEstablished}, {6, o.EvasiveDevices}, {7, o.ShellJob}, {8, o.FileLocks},
		{12, true /* notify_scripts */}, {15, o.TrackMem}, {16, o.AutoDedup}, {18, o.LinkRemap}, {24, true /* manage_cgroups */},
		{26, o.RstSibling}, {46, o.TCPSkipInFlight}, {48, o.LazyPages}, {50, true /* orphan_pts_master */}, {52, o.TCPClose},
		{67, o.Unprivileged},
	} {
		m.flag(f.field, f.set)
	}
	m.int(9, o.LogLevel)
	m.text(10, o.LogFile)
	if p := o.PageServer; p != nil {
		var ps message
		ps.text(1, p.Address)
		ps.int(2, p.Port)
		m.bytes(11, ps)
	}
	m.text(13, o.Root)
	m.text(14, o.ParentImg)
	if o.WorkDirFd != 0 {
		m.int(17, o.WorkDirFd)
	}
	m.pairs(23, o.ExtMounts)
	m.pairs(25, o.CgroupRoots)
	for _, in := range o.InheritFd {
		var fd message
		fd.bytes(1, []byte(in.Key))
		fd.int(2, in.Fd)
		m.bytes(27, fd)
	}
	m.int(34, int(o.ManageCgroup))
	for _, e := range o.External {
		m.text(37, e)
	}
	m.uint(38, o.EmptyNS)
	m.pairs(39, o.JoinNS)
	m.text(44, o.FreezeCgroup)
	if o.StatusFd != 0 {
		m.int(49, o.StatusFd)
	}
	m.text(51, o.ConfigFile)
	m.text(53, o.LSMProfile)
	m.text(63, o.LSMMountContext)
	if o.NetworkLock != 0 {
		m.int(64, o.NetworkLock)
	}
	return m
}

// pairs writes messages of two strings, neither of which may be left out: "" is the name of cgroup v2.
func (m *message) pairs(field int, list []Pair) {
	for _, p := range list {
		var pair message
		pair.bytes(1, []byte(p.Key))
		pair.bytes(2, []byte(p.Value))
		m.bytes(field, pair)
	}
}

// A request is one message to CRIU (criu_req).
type request struct {
	kind     RequestType
	opts     *Options
	done     bool // a notification has been served
	keepOpen bool
	features Features
}

func (r *request) encode() []byte {
	var m message
	m.int(1, int(r.kind))
	if r.opts != nil {
		m.bytes(2, r.opts.encode())
	}
	m.flag(3, r.done)
	m.flag(4, r.keepOpen)
	if r.kind == featureCheck {
		m.bytes(5, r.features.encode())
	}
	return m
}

// Features are what CRIU can or cannot do on this kernel (criu_features).
type Features struct{ MemTrack, LazyPages bool }

func (f Features) encode() []byte {
	var m message
	m.flag(1, f.MemTrack)
	m.flag(2, f.LazyPages)
	return m
}
