package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/facts"
	"rt/libcontainer/netdev"
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
	place   place
	out     handOver
	moved   *netdev.Moved // or nil
	undo    undo

	owesPoststop bool // hooks, for there has been a process of the container
}

func newSetup(r *Runtime, id string, o CreateOptions) setup {
	return setup{rt: r, id: id, o: o, out: o.handOver()}
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
	s.undo.run()
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
	s.undo.warn = s.rt.Warn
	s.place.begin(s.c, &s.undo)
	return nil
}

func (s *setup) openStreams() (err error) {
	if s.streams, err = stdio.Open(callerStdio(), !s.detached); err == nil {
		s.undo.add(s.streams.Close)
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
	s.place.spec, s.place.priv = s.spec, s.priv
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
		s.undo.add(s.out.close)
	}
}

// An undo is what takes back the steps of a setup that fails.
type undo struct {
	process func() // ends the process; what it is in is taken back afterwards
	steps   []func()
	left    bool // something could not be taken back
	warn    func(format string, args ...any)
}

// add notes how to take back what was done, or may have been done, last.
func (u *undo) add(step func()) { u.steps = append(u.steps, step) }

// run takes everything back, latest first. A step that panics is not repeated by another run.
func (u *undo) run() {
	if end := u.process; end != nil {
		u.process = nil
		end()
	}
	for len(u.steps) > 0 {
		last := u.steps[len(u.steps)-1]
		u.steps = u.steps[:len(u.steps)-1]
		last()
	}
}

// result notes whether a step has failed to take back what it should.
func (u *undo) result(err error) {
	if err != nil {
		u.left = true
		u.warn("%v; delete --force tries again", err)
	}
}
