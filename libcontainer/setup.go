package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/facts"
	"rt/libcontainer/netdev"
	"rt/libcontainer/place"
	"rt/libcontainer/state"
	"rt/libcontainer/stdio"
	"rt/libcontainer/stub"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A setup is what create, run and restore have in common: a container from its configuration to its place on the host, and how to take
// that back.
type setup struct {
	rt       *Runtime
	id       string
	o        CreateOptions
	detached bool // no rt stays to hold a terminal
	extra    int  // descriptors from 3 on that go to the container

	c       *container
	b       *bundle.Bundle
	spec    *specs.Spec
	priv    facts.Privileges
	warned  []string          // of the configuration
	streams *stdio.Streams    // what the container gets of rt's stdio
	stdio   map[string]string // state.State.Stdio, if the container has no terminal
	place   place.Reservation
	out     handOver
	moved   *netdev.Moved // or nil
	undo    place.Undo

	owesPoststop bool // hooks, for there has been a process of the container
}

func newSetup(r *Runtime, id string, o CreateOptions) setup {
	return setup{rt: r, id: id, o: o, out: handOver{HandOverOptions: o.HandOverOptions}}
}

// do carries out steps. If one fails, all that was done is taken back.
func (s *setup) do(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return s.fail(err)
		}
	}
	return nil
}

// fail takes back what was done, and returns the error that was the reason.
func (s *setup) fail(err error) error {
	s.undo.Run()
	if s.owesPoststop && err != stub.ErrKilledAtBirth {
		s.owesPoststop = false
		s.c.poststop(s.spec)
	}
	if s.c != nil {
		s.c.Release()
	}
	if errors.Is(err, unix.ENOSYS) {
		return hint.With(err, "rt needs Linux 5.14 or newer")
	}
	return err
}

func (s *setup) begin() error {
	if err := bundle.CheckID(s.id); err != nil {
		return err
	}
	s.c = s.rt.newContainer(s.id)
	s.undo.Warn = s.rt.Warn
	s.place.Begin(s.c.Place, s.rt.CgroupOptions, &s.undo)
	return nil
}

func (s *setup) openStreams() (err error) {
	if s.streams, err = stdio.Open(callerStdio(), !s.detached); err == nil {
		s.undo.Add(s.streams.Close)
	}
	return err
}

func (s *setup) warnStreams() error {
	s.rt.warnStreams(s.streams, s.spec.Process)
	return nil
}

// load reads the bundle.
func (s *setup) load() (err error) {
	s.b, err = bundle.LoadFile(s.o.Bundle, s.o.Config)
	return err
}

// check refuses what is wrong with the bundle, and what cannot be done for it. Nothing is made.
func (s *setup) check() error {
	err := s.checkBundle()
	s.rt.warnAll(s.warned)
	if err != nil {
		return err
	}
	return checkTerminal(s.spec.Process.Terminal, s.detached, s.o.ConsoleSocket)
}

// checkBundle is check without the flags.
func (s *setup) checkBundle() error {
	problems := s.b.Check()
	if err := bundle.Join(problems); err != nil {
		return err
	}
	for _, p := range problems {
		s.warned = append(s.warned, p.Pointer+": "+p.Text)
	}
	s.spec = s.b.Spec
	if err := facts.CheckLabels(s.spec); err != nil {
		return err
	}
	s.priv = facts.OwnPrivileges()
	s.place.Spec, s.place.Privileges = s.spec, s.priv
	return s.priv.Check(s.spec)
}

// describe fills in what the state says of the configuration.
func (s *setup) describe() (err error) {
	c := s.c
	if c.Stdio = s.stdio; s.spec.Process.Terminal {
		c.Stdio = checkpoint.NoStdio()
	}
	c.OCIVersion, c.Annotations, c.Bundle = s.spec.Version, s.spec.Annotations, s.b.Dir
	c.SystemdCgroup, c.NoKeyring = s.rt.SystemdCgroup, s.o.NoNewKeyring
	if c.Keyring, err = facts.NewKeyringName(c.ID); err != nil {
		return err
	}
	if err := s.findRootfs(); err != nil {
		return err
	}
	return c.openHookDir(s.spec)
}

func (s *setup) findRootfs() (err error) {
	s.c.Init = s.o.Init || s.spec.Annotations[bundle.InitAnnotation] == "true"
	s.c.Rootfs, s.c.rootDir, err = facts.Rootfs(s.b)
	return err
}

// copyConfig keeps the configuration as it is now: the bundle's may be changed.
func (s *setup) copyConfig() error {
	if err := sys.CreateFile(filepath.Join(s.c.Dir, state.ConfigFile), s.b.Raw, 0o600); err != nil {
		return fmt.Errorf("copy config.json: %w", err)
	}
	return nil
}

// keepTerminal keeps the terminal's master, or nil, until it is handed over.
func (s *setup) keepTerminal(master *os.File) {
	if s.out.master = master; master != nil {
		s.undo.Add(s.out.close)
	}
}

// moveNetDevices moves what linux.netDevices names into the network namespace that the new process is already in. They
// are brought back if the container does not come to be. Afterwards they share the fate of the namespace: the
// specification forbids to move them out.
func (s *setup) moveNetDevices(devices map[string]specs.LinuxNetDevice) error {
	if len(devices) == 0 {
		return nil
	}
	ns := "/proc/" + strconv.Itoa(s.c.Pid) + "/ns/net"
	var note func(*netdev.Record) error
	if path := bundle.JoinedNamespace(s.spec, specs.NetworkNamespace); path != "" { // one of the container's own ends with it, and the devices with that
		note = func(r *netdev.Record) error {
			r.Path, r.Boot = path, s.rt.BootID()
			return s.c.WriteDevices(r)
		}
	}
	shared := note != nil || bundle.JoinedNamespace(s.spec, specs.UserNamespace) != "" // whose root has rights in a new one, too
	moved, err := netdev.Move(devices, ns, shared, note)
	if moved == nil {
		return err
	}
	s.moved = moved
	s.undo.Add(func() { s.bringBack(note != nil) })
	return err
}

// moveRestored moves the devices for a restored container. In a namespace that is given by path those of the container that was saved
// are still there.
func (s *setup) moveRestored() error {
	devices := s.spec.Linux.NetDevices
	if path := bundle.JoinedNamespace(s.spec, specs.NetworkNamespace); path != "" && len(devices) > 0 {
		var err error
		if devices, err = netdev.ToMove(devices, "/proc/"+strconv.Itoa(s.c.Pid)+"/ns/net"); err != nil {
			return err
		}
	}
	return s.moveNetDevices(devices)
}

// bringBack takes back moveNetDevices. What is not noted is in a namespace that ends now.
func (s *setup) bringBack(noted bool) {
	err := s.moved.Back()
	s.moved.Close()
	if noted && err != nil && !netdev.OnlyStay(err) {
		s.undo.Result(err)
	} else if err != nil {
		s.c.rt.Warn("%v", err)
	}
}

// keepNetDevices leaves the devices to the container, which is complete: those that are noted delete would bring back.
func (s *setup) keepNetDevices() error {
	if s.moved == nil {
		return nil
	}
	if err := s.c.RemoveDevices(); err != nil {
		return err
	}
	s.moved.Close()
	return nil
}
