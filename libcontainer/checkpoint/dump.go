package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/criu"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// DumpOptions are the flags of checkpoint.
type DumpOptions struct {
	Options
	ParentPath      string // of the images that these add to, relative to ImagePath
	LeaveRunning    bool
	PreDump         bool // memory only, and the container goes on
	TCPSkipInFlight bool
	LinkRemap       bool
	StatusFd        int // is written a zero byte when lazy pages are served; 0 for none
	PageServer      *criu.PageServer
}

// A Dump is a container that is saved, with what the verb knows of it.
type Dump struct {
	*Session
	Spec    *specs.Spec
	Freezer string                           // directory of the cgroup that freezes the container; "" if there is none
	View    plan.CgroupView                  // what the container's mounts of cgroups show, if they are bind mounts
	Warn    func(format string, args ...any) // gets the warnings
}

// Save saves the container into files.
func (d *Dump) Save(o *DumpOptions) error {
	if err := d.setDump(o); err != nil {
		return err
	}
	if gid := rootGroup(d.Spec); gid != 0 && d.images.Made {
		if err := d.images.Share(gid); err != nil {
			return err
		}
	}
	kind := criu.Dump
	if o.PreDump {
		kind = criu.PreDump
	} else if err := d.setContents(); err != nil {
		return err
	}
	null, err := sys.OpenNull()
	if err != nil {
		return err
	}
	defer null.Close()
	if err := d.start(null, null); err != nil {
		return err
	}
	if err := d.checkFeatures(o.PreDump, o.LazyPages); err != nil {
		return err
	}
	d.lockNetwork()
	status, err := d.statusFd(o)
	if err != nil {
		return err
	}
	_, err = d.Do(kind, &d.opts, func(n criu.Notification) error {
		if n.Fd >= 0 {
			unix.Close(n.Fd)
		}
		if n.Script == "status-ready" && status != nil {
			if _, err := status.Write([]byte{0}); err != nil {
				d.Warn("--status-fd: %v", err)
			}
			status.Close()
			status = nil
		}
		return nil
	})
	return d.explain(err)
}

// setDump sets what is about the process, and how the dump is made.
func (d *Dump) setDump(o *DumpOptions) error {
	opts := &d.opts
	opts.Pid, opts.Root = d.container.Pid, d.container.Rootfs
	opts.LeaveRunning, opts.TCPSkipInFlight, opts.LinkRemap = o.LeaveRunning, o.TCPSkipInFlight, o.LinkRemap
	opts.PageServer = o.PageServer
	opts.FreezeCgroup = d.Freezer
	for kind, name := range externalNamespaces() {
		file := bundle.JoinedNamespace(d.Spec, kind)
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
	if err := checkParent(d.images, o.ParentPath); err != nil {
		return err
	}
	opts.ParentImg, opts.TrackMem = o.ParentPath, true
	return nil
}

// rootGroup is the host's ID of the group of a user namespace's root, 0 if there is none.
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

// setContents sets what of the container comes from outside, and writes its first descriptors into the images, for restore.
func (d *Dump) setContents() error {
	mounts, err := readMounts(d.container.Pid, "")
	if err != nil {
		return err
	}
	defer mounts.close()
	if err := checkMounts(d.container, d.Spec, mounts); err != nil {
		return err
	}
	list, err := externals(d.container, d.Spec, mounts, d.View)
	if err != nil {
		return err
	}
	for _, m := range list {
		d.opts.ExtMounts = append(d.opts.ExtMounts, criu.Pair{Key: m.Key, Value: m.Key})
	}
	keys, how, external, err := stdioOf(d.container, mounts)
	if err != nil {
		return err
	}
	d.opts.External = append(d.opts.External, external...)
	return d.images.WriteDescriptors(keys, how)
}

func (d *Dump) checkFeatures(preDump, lazyPages bool) error {
	if !preDump && !lazyPages {
		return nil
	}
	have, err := d.Features(criu.Features{MemTrack: preDump, LazyPages: lazyPages})
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

// lockNetwork chooses how CRIU blocks the network of a container that has its own. By default it executes the iptables programs, which
// are not everywhere; from 3.17 on it can do without.
func (d *Dump) lockNetwork() {
	if d.opts.NetworkLock != 0 || d.version < 31700 || !bundle.HasNamespace(d.Spec, specs.NetworkNamespace) {
		return
	}
	if _, err := exec.LookPath("iptables-restore"); err != nil {
		d.opts.NetworkLock = criu.LockNFTables
	}
}

// statusFd is the file to write to when lazy pages are served. CRIU before 3.15 writes to it itself.
func (d *Dump) statusFd(o *DumpOptions) (*os.File, error) {
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
	if d.version < 31500 {
		d.opts.StatusFd = o.StatusFd
		return nil, nil
	}
	return os.NewFile(uintptr(o.StatusFd), "--status-fd"), nil
}
