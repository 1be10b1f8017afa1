package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/place"
	"rt/libcontainer/state"
)

// errAlive is the error of a fix when the second look finds a container.
var errAlive = errors.New("it has come to life")

// directories are containers below the root that cannot be used any more.
func (s *search) directories() (found []Finding, err error) {
	err = s.Check()
	if state.Distrusted(err) {
		s.Warn("%v", err)
		return nil, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look at the containers: %w", err)
	}
	entries, err := sys.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the containers: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && bundle.CheckID(e.Name()) == nil && s.Container(e.Name()).HasOnlyOwnFiles() {
			if f := s.directory(e.Name()); f != nil {
				found = append(found, *f)
			}
		}
	}
	return found, nil
}

// directory is the finding of one container's directory, nil if there is none.
func (s *search) directory(id string) *Finding {
	c := s.Container(id)
	if err := c.Check(); state.Distrusted(err) {
		s.Warn("%v", err)
		return nil
	}
	if c.IsHeld() {
		return nil // another rt is at work
	}
	why := s.whyUnusable(c)
	if why == "" {
		return nil
	}
	f := s.container(c, why)
	if f.fix != nil {
		f.fix = func() error { return s.deleteContainer(id) }
	}
	return f
}

func (s *search) container(c *state.Container, why string) *Finding {
	f := &Finding{Kind: "container", Paths: []string{c.Dir}, Why: why, Fix: "delete the container, and what its journal names"}
	p := place.Of(c)
	f.fix = func() error { return s.remove(p) }
	cg, err := p.Cgroup()
	if err == nil {
		cg, err = cg.Own()
	}
	s.spare(f, cg, err)
	if int(c.Owner) != os.Geteuid() {
		f.Fix, f.fix = "do nothing, as it is another user's", nil
	}
	return f
}

// deleteContainer looks again under the lock, for another container may have taken the name, and deletes the container.
func (s *search) deleteContainer(id string) error {
	c := s.Container(id)
	if c.IsHeld() {
		return errors.New("another rt is at work there")
	}
	if err := c.Acquire(state.LockWait); err != nil {
		if errors.Is(err, state.ErrNotExist) {
			return nil
		}
		return err
	}
	defer c.Release()
	why := s.whyUnusable(c)
	if why == "" || !c.HasOnlyOwnFiles() {
		return errAlive
	}
	f := s.container(c, why)
	if f.fix == nil {
		return errors.New(f.Fix)
	}
	return f.fix()
}

// whyUnusable says why a container cannot be used any more; "" if it can, or if that cannot be told.
func (s *search) whyUnusable(c *state.Container) string {
	err := c.Load()
	switch {
	case errors.Is(err, state.ErrNotExist):
		if c.ReadJournal() != nil || len(c.Cgroups) > 0 && !state.IsOwnPidNamespace(c.PidNamespace) {
			return ""
		}
		return "it has no state: create was killed"
	case sys.Unseen(err):
		return ""
	case state.Distrusted(err):
		s.Warn("%v", err)
		return ""
	case err != nil:
		c.PidNamespace = 0
		if c.ReadJournal() != nil || !c.Gone && !state.IsOwnPidNamespace(c.PidNamespace) {
			return ""
		}
		return err.Error()
	case !c.Gone && !state.IsOwnPidNamespace(c.PidNamespace):
		return "" // whether it runs can be seen only there
	case c.Gone:
		return "it was made before the machine was started again"
	case !errors.Is(c.MustRun(), state.ErrNotRunning):
		return ""
	case c.Unit == "" && len(c.Cgroups) > 0 && !cgroups.Load(&cgroups.Host{}, c.Cgroups).Exists():
		return "its process and its cgroup are gone"
	case s.Stopped:
		return "it has stopped, and nobody has deleted it"
	}
	return ""
}
