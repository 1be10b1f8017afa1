package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rt/internal/names"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A State is what rt keeps about a container: who it is. What it is doing is asked of the kernel each time.
type State struct {
	OCIVersion    string            `json:"ociVersion"`
	ID            string            `json:"id"`
	Pid           int               `json:"pid"`
	StartTime     uint64            `json:"startTime"`          // clock ticks since boot: tells a reused pid
	PidInode      uint64            `json:"pidInode,omitempty"` // of its pidfds, where the kernel tells processes apart by it: see sys.Process
	Bundle        string            `json:"bundle"`
	Rootfs        string            `json:"rootfs"`
	Created       time.Time         `json:"created"`
	Annotations   map[string]string `json:"annotations,omitempty"`
	Cgroups       map[string]string `json:"cgroups,omitempty"` // controller -> directory
	SystemdCgroup bool              `json:"systemdCgroup,omitempty"`
	Unit          string            `json:"systemdUnit,omitempty"`
	PrivatePid    bool              `json:"privatePid,omitempty"` // has a pid namespace of its own
	NoKeyring     bool              `json:"noKeyring,omitempty"`
	Keyring       string            `json:"keyring,omitempty"`      // name of the session keyring; an older rt's is _ses.ID
	Init          bool              `json:"init,omitempty"`         // the program runs under rt's init
	RdtGroup      string            `json:"rdtGroup,omitempty"`     // resctrl directory of the class of service
	RdtMonitor    string            `json:"rdtMonitor,omitempty"`   // of the monitoring group
	RdtOwn        bool              `json:"rdtOwn,omitempty"`       // the class of service ends with the container
	RdtTaken      map[string]string `json:"rdtTaken,omitempty"`     // intelrdt.Group.Taken
	PidNamespace  uint64            `json:"pidNamespace,omitempty"` // inode of the one that rt ran in, in which pid is a number
	// Namespaces of init, those that it shares with the host included: type -> inode.
	Namespaces       map[string]string `json:"namespaces,omitempty"`
	MountNamespaceID uint64            `json:"mountNamespaceId,omitempty"` // the kernel's, which is never used again
	Mounts           map[string]string `json:"mounts,omitempty"`           // ids of the mounts at a destination, in the order in which they were made
	BootID           string            `json:"bootId,omitempty"`           // of the boot that pid, cgroups and unit belong to
	TimeNamespace    bool              `json:"timeNamespace,omitempty"`    // CRIU has made one that the configuration does not have
	Stdio            map[string]string `json:"stdio,omitempty"`            // what it got of rt's: number -> "KEY ACCESS" (given), or ""

	Taken map[string]string `json:"cgroupsTaken,omitempty"` // cgroups.Claim.Taken
	Mark  string            `json:"cgroupMark,omitempty"`   // cgroups.Claim.Mark
}

// A Container is the directory of one container, with what its files say.
type Container struct {
	State
	Root  *Root
	Dir   string
	Owner uint32 // user ID of the owner of --root, to whom all files in it belong

	Gone      bool        // its processes and cgroups ended with an earlier boot of the machine
	Early     bool        // there is no state: what is known comes from the journal
	Restored  bool        // with Early: CRIU was to create its processes
	Helper    sys.Process // CRIU during a restore: the one process of rt's in the cgroup that does not end with rt
	RdtShared string      // class of service that a create has made and others may use, while it is under way

	own    bool          // Owner is the user of this process
	lock   *os.File      // the locked directory; nil: this process does not have the lock
	record *os.File      // of the holder; nil: there is none
	holder holder        // what record says
	killed []sys.Process // children of a killed holder
}

// Load reads and checks the state.
func (c *Container) Load() error {
	if err := c.Check(); err != nil {
		return err
	}
	data, err := c.ReadFile(StateFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return ErrNotExist
	}
	if Distrusted(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("read state %s: %w", filepath.Join(c.Dir, StateFile), sys.Cause(err))
	}
	if err := c.State.decode(data, c.Root.Brief && c.own); err != nil {
		c.ID = filepath.Base(c.Dir)
		return fmt.Errorf("read state %s: %w", filepath.Join(c.Dir, StateFile), err)
	}
	if c.Pid < 0 { // kill(2) takes it for a process group, or for all processes
		return fmt.Errorf("read state %s: %d is no pid", filepath.Join(c.Dir, StateFile), c.Pid)
	}
	if err := c.checkState(); err != nil {
		return err
	}
	return c.checkBoot()
}

// Save writes the state. A reader sees the old state or the new one.
func (c *Container) Save() error {
	if err := sys.ReplaceFile(filepath.Join(c.Dir, StateFile), c.State.encode(), 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// checkBoot drops what ended with an earlier boot of the machine, if --root has survived it: by now pid, cgroups and unit may be the
// names of others.
func (c *Container) checkBoot() error {
	if c.BootID == "" {
		return nil
	}
	if err := c.Root.ReadBootID(); err != nil {
		return err
	}
	if now := c.Root.BootID(); now == "" || c.BootID == now {
		return nil
	}
	c.Pid, c.StartTime, c.PidInode, c.Cgroups, c.Unit, c.Taken, c.Mark = 0, 0, 0, nil, "", nil, ""
	c.Helper = sys.Process{}
	c.RdtGroup, c.RdtMonitor, c.RdtOwn, c.RdtTaken = "", "", false, nil
	c.RdtShared, c.Gone = "", true
	return nil
}

// InitProcess is the container's first process.
func (c *Container) InitProcess() sys.Process {
	p := sys.Process{Pid: c.Pid, Start: c.StartTime, Inode: c.PidInode}
	if c.BootID == "" || c.Root.BootID() == "" { // inodes are counted anew at each boot
		p.Inode = 0
	}
	return p
}

// SetInit records which process is init. It must be a child of this process.
func (c *Container) SetInit(pid int) error {
	p, err := sys.Identify(pid)
	c.Pid, c.StartTime, c.PidInode = p.Pid, p.Start, p.Inode
	return err
}

// IsAlive says whether init exists and has not ended. With an error that is not known.
func (c *Container) IsAlive() (bool, error) { return c.InitProcess().Alive() }

// MustRun returns ErrNotRunning if init has ended.
func (c *Container) MustRun() error {
	alive, err := c.IsAlive()
	if err == nil && !alive {
		err = ErrNotRunning
	}
	return err
}

// MountIDs are the IDs in Mounts. For a container that was restored, or that an older rt has made, there are those of mounts add since.
func (s *State) MountIDs() (map[string][]uint64, error) {
	ids := map[string][]uint64{}
	for target, text := range s.Mounts {
		for _, word := range strings.Fields(text) {
			id, err := names.Unsigned(word, 64)
			if err != nil {
				return nil, fmt.Errorf("read %s: mounts: %w", StateFile, err)
			}
			ids[target] = append(ids[target], id)
		}
	}
	return ids, nil
}
