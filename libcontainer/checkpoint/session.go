// Package checkpoint saves and restores containers by CRIU. It gives CRIU nothing that the container could have named, and compares what CRIU
// has restored with the configuration before it runs.
package checkpoint

import (
	"errors"
	"fmt"
	"os"

	"rt/internal/hint"
	"rt/libcontainer/criu"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Options are the flags that checkpoint and restore share.
type Options struct {
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

// imageDefault is the directory of images if no other is given.
const imageDefault = "checkpoint"

// Logs of CRIU in the directory of work files.
const (
	DumpLog    = "dump.log"
	RestoreLog = "restore.log"
)

// criuConfig is CRIU's configuration file for runtimes, unless the annotation names another.
const (
	criuConfig           = "/etc/criu/runc.conf"
	criuConfigAnnotation = "org.criu.config"
)

// oldestCriu is the first that tells its version.
const oldestCriu criu.Version = 30000

// A Session is a conversation with CRIU about a container, with the directories that CRIU works in.
type Session struct {
	*criu.Session
	container    *state.Container
	program      string
	version      criu.Version
	opts         criu.Options
	images, work *criu.Directory
	config       *os.File // CRIU's configuration file, if an annotation names one
}

// Open finds the program, --criu or criu in PATH, opens the directories, and sets what dump and restore have in common. make creates the
// directory of images. unprivileged: rt has no CAP_SYS_ADMIN.
func Open(c *state.Container, program string, o *Options, log string, make, unprivileged bool) (*Session, error) {
	program, err := criu.Find(program)
	if err != nil {
		return nil, err
	}
	if o.ImagePath == "" {
		o.ImagePath = imageDefault
	}
	s := &Session{container: c, program: program}
	if s.images, err = criu.OpenDirectory(o.ImagePath, make); err != nil {
		return nil, fmt.Errorf("open the directory of images: %w", err)
	}
	s.work = s.images
	if o.WorkPath != "" {
		if s.work, err = criu.OpenDirectory(o.WorkPath, true); err != nil {
			s.Close()
			return nil, fmt.Errorf("open the directory of work files: %w", err)
		}
		s.opts.WorkDirFd = int(s.work.Fd())
	}
	s.opts.Unprivileged = unprivileged
	if err := s.checkDirectories(o, log); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.set(o, log); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// checkDirectories looks at what is in the directories, before CRIU does.
func (s *Session) checkDirectories(o *Options, log string) error {
	if err := s.images.CheckImages(o.LazyPages); err != nil {
		return fmt.Errorf("look at the directory of images: %w", err)
	}
	if s.work == s.images {
		return nil
	}
	if err := s.work.CheckWork(log); err != nil {
		return fmt.Errorf("look at the directory of work files: %w", err)
	}
	return nil
}

// reopen opens the directories in the mount namespace of the calling thread. CRIU makes mounts where it works, which it can
// in its own namespace only.
func (s *Session) reopen() error {
	own := s.work != s.images
	if err := s.images.Reopen(); err != nil {
		return err
	}
	s.opts.ImagesDirFd = int(s.images.Fd())
	if !own {
		return nil
	}
	if err := s.work.Reopen(); err != nil {
		return err
	}
	s.opts.WorkDirFd = int(s.work.Fd())
	return nil
}

func (s *Session) set(o *Options, log string) error {
	opts := &s.opts
	opts.ImagesDirFd, opts.LogFile, opts.LogLevel = int(s.images.Fd()), log, 4
	opts.ExtUnixSk, opts.TCPEstablished, opts.TCPClose = o.ExtUnixSk, o.TCPEstablished, o.TCPClose
	opts.ShellJob, opts.FileLocks, opts.AutoDedup, opts.LazyPages = o.ShellJob, o.FileLocks, o.AutoDedup, o.LazyPages
	var known bool
	if opts.ManageCgroup, known = criu.CgroupModes()[o.ManageCgroups]; !known {
		return errors.New("invalid manage-cgroups-mode value")
	}
	if o.ManageCgroups == "" && len(s.container.Cgroups) == 0 {
		opts.ManageCgroup = criu.CgroupsIgnored
	}
	if opts.NetworkLock, known = criu.NetworkLocks()[o.NetworkLock]; !known {
		return fmt.Errorf("invalid network-lock method %q: iptables, nftables or skip", o.NetworkLock)
	}
	// rt does not know the devices in the network namespace and their addresses. Who has set them up for the first container does so again.
	opts.EmptyNS = unix.CLONE_NEWNET
	for _, ns := range o.EmptyNS {
		if ns != string(specs.NetworkNamespace) {
			return fmt.Errorf("namespace %q is not supported", ns)
		}
	}
	return s.setConfig()
}

// setConfig names CRIU's configuration file. The administrator's file is named by its path and need not exist. An annotation may come
// from a user who is not trusted with the host: its file is opened first.
func (s *Session) setConfig() (err error) {
	path, there := s.container.Annotations[criuConfigAnnotation]
	switch {
	case !there:
		s.opts.ConfigFile = criuConfig
	case path != "":
		if s.config, err = criu.OpenConfig(path); err != nil {
			return fmt.Errorf("annotation %s: %w", criuConfigAnnotation, err)
		}
		s.opts.ConfigFile = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.config.Fd())
	}
	return nil
}

// start starts CRIU and asks for its version.
func (s *Session) start(stdin, stdout *os.File, extra ...*os.File) (err error) {
	if s.Session, err = criu.Start(s.program, stdin, stdout, extra); err != nil {
		return err
	}
	s.container.RecordHelper(s.Pid)
	if s.version, err = s.Version(); err != nil {
		return err
	}
	if s.version < oldestCriu {
		return hint.With(fmt.Errorf("%s is CRIU %s", s.program, s.version), "rt needs CRIU 3.0 or later")
	}
	return nil
}

// Close ends the conversation and closes the directories.
func (s *Session) Close() {
	if s.Session != nil {
		s.Session.Close()
	}
	if s.work != nil && s.work != s.images {
		s.work.Close()
	}
	s.images.Close()
	s.config.Close()
}

// explain adds to an error of CRIU's what it has logged, and what may help.
func (s *Session) explain(err error) error {
	return s.work.Explain(err, s.opts.LogFile)
}
