package libcontainer

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/intelrdt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Delete removes a container that is stopped, or created and never started. With force it kills it first, and
// removes whatever a create that was killed has left; a container that is not there is then no error.
func (r *Runtime) Delete(id string, force bool) error {
	if err := bundle.CheckID(id); err != nil {
		return err
	}
	c := &container{dir: r.dir(id), rt: r, state: state{ID: id}}
	if err := r.lockToDelete(c, force); err != nil {
		if force && errors.Is(err, ErrNotExist) {
			return nil
		}
		return err
	}
	defer c.release()
	err := c.load()
	switch {
	case err == nil:
		return c.delete(force)
	case sys.Unseen(err), distrusted(err), !force && !errors.Is(err, ErrNotExist):
		return err
	}
	// Create was killed before there was a state, or the state is garbage.
	if err := c.readJournal(); err != nil {
		return err
	}
	if cleanErr := r.remove(c); cleanErr != nil {
		return cleanErr
	}
	if force {
		return nil
	}
	return err
}

// lockToDelete gets the container's lock; with force in spite of who has it.
func (r *Runtime) lockToDelete(c *container, force bool) (err error) {
	if force {
		r.deadline = time.Now().Add(forceTimeout)
	}
	if force && c.held() {
		err = r.takeOver(c)
	} else {
		err = c.acquireWithin(r.left(lockWait))
	}
	if err == nil && force {
		c.endLeftHelper()
	}
	if err == nil {
		c.noteHolder()
	}
	return err
}

// held says whether another rt has the lock.
func (c *container) held() bool {
	if c.check() != nil {
		return false
	}
	d, err := sys.Open(c.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	defer d.Close()
	return unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK
}

// killHeld kills the container's processes without the lock: who holds that may be a start that waits for an init which somebody
// in its pid namespace has stopped, a mounts add whose stub the container has frozen with itself, or a create that waits for a
// process that somebody has stopped. It gets the lock back only by their end.
func (r *Runtime) killHeld(id string) {
	c, err := r.open(id, false)
	if err != nil {
		c = &container{dir: r.dir(id), rt: r, state: state{ID: id}}
		if c.readJournal() != nil {
			return
		}
	}
	if err := c.end(); err != nil {
		r.Warn("%v", err)
	}
	if cg, err := c.cgroup(); err == nil {
		_ = cg.Locked(func(own *cgroups.Cgroup) error {
			_, err := c.killIn(own)
			return err
		})
	}
}

func (c *container) delete(force bool) error {
	status, err := c.status()
	if err != nil && !force {
		return err
	}
	switch {
	case status == specs.StateStopped, status == specs.StateCreated, force:
	default:
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", c.ID, status)
	}
	return c.rt.remove(c)
}

// remove ends every process of a container and undoes what create made: cgroup, directory; then come poststop hooks. If others are
// in the cgroup, the error is a cgroups.LeftError and the container is removed all the same.
func (r *Runtime) remove(c *container) error {
	if _, err := c.cgroup(); err != nil {
		return err
	}
	if err := c.end(); err != nil {
		return err
	}
	if err := c.stopUnit(false); err != nil {
		return err
	}
	left := c.removeCgroup()
	var others *cgroups.LeftError
	if left != nil && !errors.As(left, &others) {
		return left
	}
	if left != nil {
		if who := c.stuckHelper(); who != "" { // rt's own, not another's: the record stays until it has ended
			return fmt.Errorf("%w%s", left, who)
		}
	}
	if err := c.rdt().Remove(c.markedByOthers); err != nil {
		return err
	}
	if c.rdtShared != "" {
		if err := intelrdt.RemoveUnused(c.rdtShared); err != nil {
			return err
		}
	}
	if err := c.returnNetDevices(); err != nil {
		return err
	}
	spec, err := c.poststopSpec()
	if err != nil {
		return err
	}
	if err := removeDir(c.dir); err != nil {
		return fmt.Errorf("remove container directory: %w", err)
	}
	c.poststop(spec)
	return left
}

// end kills init and waits for its end. The kernel ends the rest of its pid namespace with it; what else is in the
// cgroup is found when that is cleared.
func (c *container) end() error {
	if c.Pid == 0 {
		return nil
	}
	p, err := c.init().Open()
	if errors.Is(err, unix.ESRCH) {
		return nil // gone
	}
	if err != nil {
		return err
	}
	defer p.Close()
	_ = sys.Signal(p, unix.SIGKILL)
	frozen, err := c.frozen()
	if err != nil {
		return err
	}
	wait := 20
	if frozen {
		wait = 0
	}
	looked, start := false, time.Now()
	for patience := c.rt.newPatience(); ; wait = min(2*wait+5, 200) {
		if ended, err := sys.AwaitExit(p, wait); err != nil || ended {
			return err
		}
		if cg, err := c.cgroup(); err != nil || !patience.lasts(cg.Remains()) {
			return fmt.Errorf("container init still running: process %d does not end%s", c.Pid, cmp.Or(c.sleepers(), c.withoutReaper()))
		}
		if !looked && !c.rt.deadline.IsZero() && time.Since(start) > grace {
			looked = true
			c.endParents()
		}
		if err := c.letEnd((*cgroups.Cgroup).ReleaseAll); err != nil {
			return err
		}
	}
}

// sleepers names what can keep a killed init from its end: a v1 cgroup above its own that is frozen, where processes look as if they
// were in an uninterruptible sleep, or processes of its pid namespace that are.
func (c *container) sleepers() string {
	if frozen, err := c.frozen(); err == nil && frozen { // its own has been thawed
		return ": a cgroup above the container's is frozen: thaw that"
	}
	cg, err := c.cgroup()
	if err != nil {
		return ""
	}
	pids, err := cg.Procs()
	if err != nil {
		return ""
	}
	for _, pid := range append(pids, c.Pid) {
		if sys.Uninterruptible(pid) {
			return fmt.Sprintf(": process %d is in an uninterruptible sleep (state D)", pid)
		}
	}
	return ""
}

// endTimeout bounds a wait for processes that were killed, since the moment when there were last seen to be fewer of them, or less
// memory; endAtMost bounds it in all. To free memory takes time, and a container that is left behind is no use to anyone.
const (
	endTimeout = 4 * time.Second
	endAtMost  = time.Minute
)

// A patience is such a wait.
type patience struct {
	r           *Runtime
	until, last time.Time
	least       cgroups.Remains
	looked      bool
}

func (r *Runtime) newPatience() *patience {
	now := time.Now()
	return &patience{r: r, until: now.Add(r.left(endTimeout)), last: now.Add(endAtMost)}
}

// lasts says whether to wait on, for what remains of a cgroup. What delete --force does afterwards has its time again.
func (p *patience) lasts(remains cgroups.Remains) bool {
	now := time.Now()
	if p.looked && remains.Fewer(p.least) && now.Before(p.last) {
		if !p.r.deadline.IsZero() {
			p.r.deadline = now.Add(forceTimeout)
		}
		p.until = now.Add(p.r.left(endTimeout))
	}
	if !p.looked || remains.Fewer(p.least) {
		p.least, p.looked = remains, true
	}
	return now.Before(p.until)
}

// letEnd thaws the container's cgroup and those that it has made below it: it may have frozen itself, and others of its
// processes may do so again until they have ended. CRIU, which may hold what it restores, is killed.
func (c *container) letEnd(release func(*cgroups.Cgroup) error) error {
	if c.isHelper() {
		if p, err := c.helper.Open(); err == nil {
			_ = sys.Signal(p, unix.SIGKILL)
			p.Close()
		}
	}
	cg, err := c.cgroup()
	if err != nil {
		return err
	}
	return cg.Locked(release)
}

// poststopSpec is the configuration if it has poststop hooks, else nil: decoding is worth it for them only.
func (c *container) poststopSpec() (*specs.Spec, error) {
	raw, err := c.read(configFile)
	if sys.Unseen(err) || distrusted(err) {
		return nil, fmt.Errorf("look for poststop hooks: %w", err)
	}
	if err != nil || !bytes.Contains(raw, []byte("poststop")) {
		return nil, nil
	}
	spec, err := bundle.Decode(raw)
	if err != nil {
		c.rt.Warn("poststop hooks: %v", err)
		return nil, nil
	}
	return spec, nil
}

// removeDir knows what is usually in a container's directory, which saves looking.
func removeDir(dir string) error {
	for _, name := range [...]string{configFile, startSocket, askSocket, stateFile, journalFile, holderFile} {
		if err := unix.Unlink(filepath.Join(dir, name)); err != nil && err != unix.ENOENT {
			break
		}
	}
	err := unix.Rmdir(dir)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	return os.RemoveAll(dir)
}
