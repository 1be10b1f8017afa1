package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/intelrdt"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxFile bounds what is read back into memory.
const maxFile = 64 << 20

// dirMode is the mode of a container's directory. No other user can reach what is in it, whose socket for READY=1 all users of the
// container may send to. The sticky bit keeps nobody from anything there: it tells an empty directory that a killed create has
// left from an empty one of the user's (doctor). An older rt gave mode 0711.
const (
	dirMode      = unix.S_ISVTX | 0o700
	olderDirMode = 0o711
)

// Names in a container's directory.
const (
	stateFile   = "state.json"
	configFile  = "config.json"
	journalFile = "journal"
	startSocket = "start.sock"
	holderFile  = "holder"          // who has the lock
	askSocket   = "namespaces.sock" // where a process that a rootless rt may not look into hands out its namespaces
	notifyDir   = "notify"
	updateFile  = "update"  // what an update that is under way has to take back if it is killed
	devicesFile = "netdevs" // network devices that a create that is under way has moved
)

// A state is what rt keeps about a container: who it is, not what it is doing, which is asked of the kernel each time.
type state struct {
	OCIVersion    string            `json:"ociVersion"`
	ID            string            `json:"id"`
	Pid           int               `json:"pid"`
	StartTime     uint64            `json:"startTime"`          // clock ticks since boot: tells a reused pid
	PidInode      uint64            `json:"pidInode,omitempty"` // of its pidfds, where the kernel tells by that: see sys.Process
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
	PidNamespace  uint64            `json:"pidNamespace,omitempty"` // inode of rt's own, in which pid is a number
	// Namespaces of init, those that it shares with the host included: type -> inode.
	Namespaces       map[string]string `json:"namespaces,omitempty"`
	MountNamespaceID uint64            `json:"mountNamespaceId,omitempty"` // the kernel's, which is never used again
	Mounts           map[string]string `json:"mounts,omitempty"`           // ids of the mounts at a destination, in the order in which they were made
	BootID           string            `json:"bootId,omitempty"`           // of the boot that pid, cgroups and unit are of
	TimeNamespace    bool              `json:"timeNamespace,omitempty"`    // CRIU has made one that the configuration does not have
	Stdio            map[string]string `json:"stdio,omitempty"`            // what it got of rt's: number -> "KEY ACCESS" (given), or ""

	Taken map[string]string `json:"cgroupsTaken,omitempty"` // cgroups.Claim.Taken
	Mark  string            `json:"cgroupMark,omitempty"`   // cgroups.Claim.Mark
}

// A container is one that exists on disk.
type container struct {
	state
	dir   string
	owner uint32   // of --root, and so of all that is in it
	lock  *os.File // held, or nil
	rt    *Runtime
	cg    *cgroups.Cgroup

	note   *os.File // the holder's record, or nil
	holder holder
	killed []sys.Process // with the holder of the lock

	hookDir *os.File     // working directory of hooks in rt's namespaces; nil: rt's own
	rootDir plan.RootDir // the rootfs as create has found it, if there are createContainer hooks

	transfer  bool        // rt moves processes into the cgroup: they are killed when they are made there (killedAtBirth)
	gone      bool        // with an earlier boot of the machine
	early     bool        // there is no state: what is known is from the journal
	restored  bool        // with early: CRIU was to make its processes
	helper    sys.Process // CRIU while it restores: the one process of rt's in the cgroup that does not end with rt
	rdtShared string      // class of service that create makes for others, too, while it is under way
}

func (r *Runtime) dir(id string) string { return filepath.Join(r.Root, id) }

// open finds a container and, if lock is set, keeps every other rt from changing it.
func (r *Runtime) open(id string, lock bool) (*container, error) {
	if err := bundle.CheckID(id); err != nil {
		return nil, err
	}
	c := &container{dir: r.dir(id), rt: r}
	opened := false
	defer func() { // of a panic as well: what undoes its work takes the lock again
		if !opened {
			c.release()
		}
	}()
	if lock {
		if err := c.acquire(); err != nil {
			return nil, err
		}
		c.noteHolder()
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	if lock {
		if err := c.finishUpdate(); err != nil {
			return nil, err
		}
	}
	opened = true
	return c, nil
}

// lockWait bounds the wait for a container's lock: who has it may wait for others, as for a hook or the network of a checkpoint.
const lockWait = 60 * time.Second

func (c *container) acquire() error { return c.acquireWithin(lockWait) }

func (c *container) acquireWithin(limit time.Duration) error {
	if err := c.checkRoot(); err != nil {
		return err
	}
	d, err := sys.Open(c.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) { // a link is none of rt's
		return ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("lock container: %w", err)
	}
	if err := sys.Lock(d, limit); err != nil {
		d.Close()
		return fmt.Errorf("lock container %s: %w", c.dir, err)
	}
	if err := c.isStill(d); err != nil {
		d.Close()
		return err
	}
	c.lock = d
	return nil
}

// isStill: while the lock was awaited the container may have been deleted, and another one may have taken its name.
func (c *container) isStill(d *os.File) error {
	var locked, there unix.Stat_t
	err := unix.Stat(c.dir, &there)
	if err == unix.ENOENT {
		return ErrNotExist
	}
	if err == nil {
		err = unix.Fstat(int(d.Fd()), &locked)
	}
	if err != nil {
		return fmt.Errorf("lock container %s: %w", c.dir, err)
	}
	if locked.Ino != there.Ino || locked.Dev != there.Dev {
		return ErrNotExist
	}
	return c.checkDir(&locked)
}

func (c *container) release() {
	if c.lock != nil {
		c.forgetHolder()
		c.lock.Close()
		c.lock = nil
	}
}

// at names a file of the container for openat(2) and its like.
func (c *container) at(name string) (dirfd int, path string) {
	if c.rt == nil || c.rt.root == nil {
		return unix.AT_FDCWD, filepath.Join(c.dir, name)
	}
	return int(c.rt.root.Fd()), filepath.Base(c.dir) + "/" + name
}

func (c *container) load() error {
	if err := c.check(); err != nil {
		return err
	}
	data, err := c.read(stateFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return ErrNotExist
	}
	if distrusted(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("read state %s: %w", filepath.Join(c.dir, stateFile), sys.Cause(err))
	}
	if err := c.state.decode(data); err != nil {
		c.ID = filepath.Base(c.dir)
		return fmt.Errorf("read state %s: %w", filepath.Join(c.dir, stateFile), err)
	}
	if c.Pid < 0 { // to kill(2) it would be a group of processes, or all of them
		return fmt.Errorf("read state %s: %d is no pid", filepath.Join(c.dir, stateFile), c.Pid)
	}
	if err := c.checkState(); err != nil {
		return err
	}
	return c.checkBoot()
}

// save writes the state so that it is there as a whole or not at all.
func (c *container) save() error {
	if err := sys.ReplaceFile(filepath.Join(c.dir, stateFile), c.state.encode(), 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// config decodes the container's own copy of config.json.
func (c *container) config() (*specs.Spec, error) {
	data, err := c.read(configFile)
	if err != nil {
		return nil, fmt.Errorf("read the container's configuration: %w", err)
	}
	spec, err := bundle.Decode(data)
	if err == nil {
		c.addTimeNamespace(spec)
	}
	return spec, err
}

func (c *container) cgroup() (*cgroups.Cgroup, error) {
	if c.cg == nil && len(c.Cgroups) == 0 {
		c.cg = cgroups.Load(&cgroups.Host{}, nil) // rootless: there is none
	}
	if c.cg == nil {
		host, err := cgroups.Probe()
		if err != nil {
			return nil, err
		}
		c.cg = cgroups.Load(host, c.Cgroups)
		c.setClaim(c.cg)
	}
	return c.cg, nil
}

// init is the container's first process.
func (c *container) init() sys.Process {
	p := sys.Process{Pid: c.Pid, Start: c.StartTime, Inode: c.PidInode}
	if c.BootID == "" || c.rt.bootID() == "" { // inodes are counted anew at each boot
		p.Inode = 0
	}
	return p
}

// identify notes who init is, a child of this process.
func (c *container) identify(pid int) error {
	p, err := sys.Identify(pid)
	c.Pid, c.StartTime, c.PidInode = p.Pid, p.Start, p.Inode
	return err
}

// alive says whether init is there and has not ended. On an error that is not known.
func (c *container) alive() (bool, error) { return c.init().Alive() }

// mustRun is ErrNotRunning if init has ended.
func (c *container) mustRun() error {
	alive, err := c.alive()
	if err == nil && !alive {
		err = ErrNotRunning
	}
	return err
}

// checkBoot forgets what ended with an earlier boot of the machine, on a --root that has outlived it: pid, cgroups and
// unit are names that somebody else may have by now.
func (c *container) checkBoot() error {
	if c.BootID == "" {
		return nil
	}
	if err := c.rt.knowBoot(); err != nil {
		return err
	}
	if now := c.rt.bootID(); now == "" || c.BootID == now {
		return nil
	}
	c.Pid, c.StartTime, c.PidInode, c.Cgroups, c.Unit, c.Taken, c.Mark = 0, 0, 0, nil, "", nil, ""
	c.helper = sys.Process{}
	c.setRdt(intelrdt.Group{})
	c.rdtShared, c.gone = "", true
	return nil
}

// bootID is a name for this boot of the machine, "" if there is none.
func (r *Runtime) bootID() string {
	_ = r.knowBoot()
	return r.boot
}

// knowBoot reads the boot's name, once.
func (r *Runtime) knowBoot() error {
	if r.bootKnown {
		return nil
	}
	id, err := sys.ReadKernelFile("/proc/sys/kernel/random/boot_id", 64)
	if sys.Unseen(err) {
		return fmt.Errorf("tell this boot of the machine from others: %w", err)
	}
	r.boot, r.bootKnown = strings.TrimSpace(string(id)), true
	return nil
}

// status is derived from what is there; nothing that is written down can be out of date. On an error it is not known.
func (c *container) status() (specs.ContainerState, error) {
	if alive, err := c.alive(); err != nil || !alive {
		return specs.StateStopped, err
	}
	if frozen, err := c.frozen(); err != nil || frozen {
		return statePaused, err
	}
	if waits, err := c.awaitsStart(); err != nil || waits {
		return specs.StateCreated, err
	}
	return specs.StateRunning, nil
}

// statePaused is no state of the specification; engines know it from runc.
const statePaused specs.ContainerState = "paused"

// awaitsStart says whether init has not been given the word to become the program.
func (c *container) awaitsStart() (bool, error) {
	dirfd, path := c.at(startSocket)
	err := unix.Faccessat(dirfd, path, unix.F_OK, 0)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		err = fmt.Errorf("look for %s: %w", filepath.Join(c.dir, startSocket), err)
	}
	return err == nil, err
}

// recorded is the container's cgroup for those who only use its directories: the host is not probed for what else is
// mounted where.
func (c *container) recorded() *cgroups.Cgroup {
	if c.cg != nil {
		return c.cg
	}
	return cgroups.Load(&cgroups.Host{}, c.Cgroups)
}

func (c *container) frozen() (bool, error) { return c.rt.cgroups.Frozen(c.Cgroups) }

// view is the container as users see it.
func (c *container) view() (*ContainerState, error) {
	status, err := c.status()
	if err != nil {
		return nil, err
	}
	v := &ContainerState{
		OCIVersion: c.OCIVersion, ID: c.ID, Pid: c.Pid, Status: string(status), Bundle: c.Bundle,
		Rootfs: c.Rootfs, Created: c.Created, Annotations: c.Annotations,
	}
	if status == specs.StateStopped {
		v.Pid = 0
	}
	return v, nil
}

// hookState is what a hook reads on its standard input.
func (c *container) hookState(status specs.ContainerState) ([]byte, error) {
	s := specs.State{
		Version: c.OCIVersion, ID: c.ID, Status: status, Pid: c.Pid, Bundle: c.Bundle, Annotations: c.Annotations,
	}
	if status == specs.StateStopped {
		s.Pid = 0
	}
	return json.Marshal(&s)
}

// State tells about one container.
func (r *Runtime) State(id string) (*ContainerState, error) {
	r.reading = true
	c, err := r.open(id, false)
	if err != nil {
		return nil, err
	}
	return c.view()
}
