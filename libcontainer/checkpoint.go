package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/criu"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CriuOptions are the flags that checkpoint and restore share.
type CriuOptions struct {
	ImagePath      string // directory of the images; "" is ./checkpoint
	WorkPath       string // directory of logs; "" is that of the images
	TCPEstablished bool
	TCPClose       bool // established connections are not kept: restored as closed
	ExtUnixSk      bool
	ShellJob       bool
	FileLocks      bool
	LazyPages      bool
	AutoDedup      bool
	ManageCgroups  string   // a name of criu.CgroupModes
	EmptyNS        []string // network
	NetworkLock    string   // a name of criu.NetworkLocks
}

// CheckpointOptions are the flags of checkpoint.
type CheckpointOptions struct {
	CriuOptions
	ParentPath      string // of the images that these add to, relative to ImagePath
	LeaveRunning    bool
	PreDump         bool // memory only, and the container goes on
	TCPSkipInFlight bool
	LinkRemap       bool
	StatusFd        int // is written a zero byte when lazy pages are served; 0 for none
	PageServer      *criu.PageServer
}

// Names in the directory of images.
const (
	imageDefault = "checkpoint"
	dumpLog      = "dump.log"
	restoreLog   = "restore.log"
)

// criuConfig is CRIU's configuration file for runtimes, unless the annotation names another.
const (
	criuConfig           = "/etc/criu/runc.conf"
	criuConfigAnnotation = "org.criu.config"
)

// oldestCriu is the first that tells its version.
const oldestCriu criu.Version = 30000

// Checkpoint saves a running container into files. It is gone afterwards, unless it is to be left running.
func (r *Runtime) Checkpoint(id string, o CheckpointOptions) error {
	c, err := r.open(id, true)
	if err != nil {
		return err
	}
	defer c.Release()
	status, err := c.status()
	if err != nil {
		return err
	}
	if status != specs.StateRunning && status != statePaused {
		//lint:ignore ST1005 runc's words
		return fmt.Errorf("Container cannot be checkpointed in %s state", status)
	}
	if err := c.dump(o); err != nil {
		if status != statePaused {
			err = c.thawAfterDump(err)
		}
		return fmt.Errorf("checkpoint container: %w", err)
	}
	if o.LeaveRunning || o.PreDump {
		return nil
	}
	return r.remove(c)
}

// thawAfterDump lets a container go on whose dump has failed for a reason. CRIU, which has ended, does so itself unless it is killed.
func (c *container) thawAfterDump(reason error) error {
	frozen, err := c.frozen()
	if err == nil && frozen {
		var cg *cgroups.Cgroup
		if cg, err = c.cgroup(); err == nil {
			err = cg.Thaw()
		}
	}
	if err != nil {
		return fmt.Errorf("%w; and then let the container go on: %w", reason, err)
	}
	return reason
}

func (c *container) dump(o CheckpointOptions) error {
	spec, err := c.config()
	if err != nil {
		return err
	}
	init, err := c.openInit(spec) // CRIU knows it by its pid
	if err != nil {
		return err
	}
	init.close()
	t, err := c.talk(&o.CriuOptions, dumpLog, true)
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.setDump(c, spec, &o); err != nil {
		return err
	}
	if gid := rootGroup(spec); gid != 0 && t.images.Made {
		if err := t.images.Share(gid); err != nil {
			return err
		}
	}
	kind := criu.Dump
	if o.PreDump {
		kind = criu.PreDump
	} else if err := t.setContents(c, spec); err != nil {
		return err
	}
	null, err := sys.OpenNull()
	if err != nil {
		return err
	}
	defer null.Close()
	if err := t.start(null, null); err != nil {
		return err
	}
	if err := t.checkFeatures(o.PreDump, o.LazyPages); err != nil {
		return err
	}
	t.lockNetwork(spec)
	status, err := t.statusFd(o)
	if err != nil {
		return err
	}
	_, err = t.Do(kind, &t.opts, func(n criu.Notification) error {
		if n.Fd >= 0 {
			unix.Close(n.Fd)
		}
		if n.Script == "status-ready" && status != nil {
			if _, err := status.Write([]byte{0}); err != nil {
				c.rt.Warn("--status-fd: %v", err)
			}
			status.Close()
			status = nil
		}
		return nil
	})
	return t.explain(err)
}

// A talk is a conversation with CRIU, and what it is about.
type talk struct {
	*criu.Session
	program      string
	note         func(pid int) // writes down that this process waits for CRIU
	version      criu.Version
	opts         criu.Options
	images, work *criu.Directory
	config       *os.File // of CRIU's, if an annotation has named one
}

// talk opens the directories and sets what dump and restore have in common.
func (c *container) talk(o *CriuOptions, log string, make bool) (*talk, error) {
	if err := mayCriu(facts.OwnPrivileges()); err != nil {
		return nil, err
	}
	program, err := criu.Find(c.rt.Criu)
	if err != nil {
		return nil, err
	}
	if o.ImagePath == "" {
		o.ImagePath = imageDefault
	}
	t := &talk{program: program, note: c.RecordHelper}
	if t.images, err = criu.OpenDirectory(o.ImagePath, make); err != nil {
		return nil, fmt.Errorf("open the directory of images: %w", err)
	}
	t.work = t.images
	if o.WorkPath != "" {
		if t.work, err = criu.OpenDirectory(o.WorkPath, true); err != nil {
			t.close()
			return nil, fmt.Errorf("open the directory of work files: %w", err)
		}
		t.opts.WorkDirFd = int(t.work.Fd())
	}
	if err := t.checkDirectories(o, log); err != nil {
		t.close()
		return nil, err
	}
	if err := t.set(c, o, log); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// checkDirectories looks at what is in the directories, before CRIU can.
func (t *talk) checkDirectories(o *CriuOptions, log string) error {
	if err := t.images.CheckImages(o.LazyPages); err != nil {
		return fmt.Errorf("look at the directory of images: %w", err)
	}
	if t.work == t.images {
		return nil
	}
	if err := t.work.CheckWork(log); err != nil {
		return fmt.Errorf("look at the directory of work files: %w", err)
	}
	return nil
}

// reopen opens the directories in the mount namespace of the calling thread. CRIU makes mounts where it works, which it can
// in its own namespace only.
func (t *talk) reopen() error {
	own := t.work != t.images
	if err := t.images.Reopen(); err != nil {
		return err
	}
	t.opts.ImagesDirFd = int(t.images.Fd())
	if !own {
		return nil
	}
	if err := t.work.Reopen(); err != nil {
		return err
	}
	t.opts.WorkDirFd = int(t.work.Fd())
	return nil
}

func (t *talk) set(c *container, o *CriuOptions, log string) error {
	opts := &t.opts
	opts.ImagesDirFd, opts.LogFile, opts.LogLevel = int(t.images.Fd()), log, 4
	opts.ExtUnixSk, opts.TCPEstablished, opts.TCPClose = o.ExtUnixSk, o.TCPEstablished, o.TCPClose
	opts.ShellJob, opts.FileLocks, opts.AutoDedup, opts.LazyPages = o.ShellJob, o.FileLocks, o.AutoDedup, o.LazyPages
	opts.Unprivileged = !facts.OwnPrivileges().Admin()
	var known bool
	if opts.ManageCgroup, known = criu.CgroupModes()[o.ManageCgroups]; !known {
		return errors.New("invalid manage-cgroups-mode value")
	}
	if o.ManageCgroups == "" && len(c.Cgroups) == 0 {
		opts.ManageCgroup = criu.CgroupsIgnored
	}
	if opts.NetworkLock, known = criu.NetworkLocks()[o.NetworkLock]; !known {
		return fmt.Errorf("invalid network-lock method %q: iptables, nftables or skip", o.NetworkLock)
	}
	// What devices there are in the network namespace, and their addresses, is not rt's to know; who has set them up for the
	// first container does so again.
	opts.EmptyNS = unix.CLONE_NEWNET
	for _, ns := range o.EmptyNS {
		if ns != string(specs.NetworkNamespace) {
			return fmt.Errorf("namespace %q is not supported", ns)
		}
	}
	return t.setConfig(c)
}

// setConfig: the administrator's file is known by its path, which need not exist. Who names another in an annotation need
// not be trusted with the host.
func (t *talk) setConfig(c *container) (err error) {
	path, there := c.Annotations[criuConfigAnnotation]
	switch {
	case !there:
		t.opts.ConfigFile = criuConfig
	case path != "":
		if t.config, err = criu.OpenConfig(path); err != nil {
			return fmt.Errorf("annotation %s: %w", criuConfigAnnotation, err)
		}
		t.opts.ConfigFile = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), t.config.Fd())
	}
	return nil
}

// mayCriu refuses what CRIU has no chance to do. It decides itself what it can do with the lesser capability.
func mayCriu(p facts.Privileges) error {
	if p.Admin() || p.Has(unix.CAP_CHECKPOINT_RESTORE) {
		return nil
	}
	return hint.With(fmt.Errorf("CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE: %w", unix.EPERM),
		"containers of an ordinary user cannot be saved; run rt as root")
}

// setDump sets what is about the process, and how the dump is made.
func (t *talk) setDump(c *container, spec *specs.Spec, o *CheckpointOptions) error {
	opts := &t.opts
	opts.Pid, opts.Root = c.Pid, c.Rootfs
	opts.LeaveRunning, opts.TCPSkipInFlight, opts.LinkRemap = o.LeaveRunning, o.TCPSkipInFlight, o.LinkRemap
	opts.PageServer = o.PageServer
	opts.FreezeCgroup = c.recorded().FreezerDir()
	for kind, name := range externalNamespaces() {
		file := bundle.JoinedNamespace(spec, kind)
		if file == "" {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			return &os.PathError{Op: "stat", Path: file, Err: err}
		}
		opts.External = append(opts.External, fmt.Sprintf("%s[%d]:%s", plan.NamespaceFile(kind), st.Ino, name))
	}
	if o.ParentPath == "" {
		return nil
	}
	if err := checkParent(t.images, o.ParentPath); err != nil {
		return err
	}
	opts.ParentImg, opts.TrackMem = o.ParentPath, true
	return nil
}

// rootGroup is the host's id of the group of a user namespace's root, 0 if there is none.
func rootGroup(spec *specs.Spec) int {
	for _, m := range spec.Linux.GIDMappings {
		if m.ContainerID == 0 && bundle.HasNamespace(spec, specs.UserNamespace) {
			return int(m.HostID)
		}
	}
	return 0
}

func checkParent(images *criu.Directory, parent string) error {
	if filepath.IsAbs(parent) {
		return errors.New("--parent-path must be relative")
	}
	if err := images.CheckParent(parent); err != nil {
		return fmt.Errorf("invalid --parent-path: %w", err)
	}
	return nil
}

// setContents sets what of the container comes from outside, and writes down its first descriptors for restore.
func (t *talk) setContents(c *container, spec *specs.Spec) error {
	mounts, err := readMounts(c.Pid, "")
	if err != nil {
		return err
	}
	defer mounts.close()
	if err := c.checkMounts(spec, mounts); err != nil {
		return err
	}
	view, err := c.cgroupBindView(spec)
	if err != nil {
		return err
	}
	list, err := c.externals(spec, mounts, view)
	if err != nil {
		return err
	}
	for _, m := range list {
		t.opts.ExtMounts = append(t.opts.ExtMounts, criu.Pair{Key: m.Key, Value: m.Key})
	}
	keys, how, external, err := c.stdioOf(mounts)
	if err != nil {
		return err
	}
	t.opts.External = append(t.opts.External, external...)
	return t.images.WriteDescriptors(keys, how)
}

func (t *talk) start(stdin, stdout *os.File, extra ...*os.File) (err error) {
	if t.Session, err = criu.Start(t.program, stdin, stdout, extra); err != nil {
		return err
	}
	t.note(t.Pid)
	if t.version, err = t.Version(); err != nil {
		return err
	}
	if t.version < oldestCriu {
		return hint.With(fmt.Errorf("%s is CRIU %s", t.program, t.version), "rt needs CRIU 3.0 or later")
	}
	return nil
}

func (t *talk) close() {
	if t.Session != nil {
		t.Session.Close()
	}
	if t.work != nil && t.work != t.images {
		t.work.Close()
	}
	t.images.Close()
	t.config.Close()
}

func (t *talk) checkFeatures(preDump, lazyPages bool) error {
	if !preDump && !lazyPages {
		return nil
	}
	have, err := t.Features(criu.Features{MemTrack: preDump, LazyPages: lazyPages})
	switch {
	case err != nil:
		return err
	case preDump && !have.MemTrack:
		return hint.With(errors.New("criu is missing features: MemTrack"), "--pre-dump needs a kernel with CONFIG_MEM_SOFT_DIRTY")
	case lazyPages && !have.LazyPages:
		return hint.With(errors.New("criu is missing features: LazyPages"), "--lazy-pages needs a kernel with CONFIG_USERFAULTFD, and the sysctl vm.unprivileged_userfaultfd or CAP_SYS_PTRACE")
	}
	return nil
}

// lockNetwork chooses how the network of a container that has its own is blocked meanwhile. CRIU's default are the iptables
// programs, which are not everywhere; from 3.17 on it can do without.
func (t *talk) lockNetwork(spec *specs.Spec) {
	if t.opts.NetworkLock != 0 || t.version < 31700 || !bundle.HasNamespace(spec, specs.NetworkNamespace) {
		return
	}
	if _, err := exec.LookPath("iptables-restore"); err != nil {
		t.opts.NetworkLock = criu.LockNFTables
	}
}

// statusFd is the file to write to when lazy pages are served. Before 3.15 CRIU does so itself, instead of telling.
func (t *talk) statusFd(o CheckpointOptions) (*os.File, error) {
	if !o.LazyPages || o.StatusFd <= 0 {
		return nil, nil
	}
	flags, err := unix.FcntlInt(uintptr(o.StatusFd), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_ACCMODE == unix.O_RDONLY {
		err = errors.New("not writable")
	}
	if err != nil {
		return nil, fmt.Errorf("invalid --status-fd argument %d: %w", o.StatusFd, err)
	}
	if t.version < 31500 {
		t.opts.StatusFd = o.StatusFd
		return nil, nil
	}
	return os.NewFile(uintptr(o.StatusFd), "--status-fd"), nil
}

// explain adds to an error of CRIU's what it has logged, and what may help.
func (t *talk) explain(err error) error {
	return t.work.Explain(err, t.opts.LogFile)
}

// Checkpoints says whether the program is there without which nothing can be saved.
func (r *Runtime) Checkpoints() bool {
	_, err := criu.Find(r.Criu)
	return err == nil
}
