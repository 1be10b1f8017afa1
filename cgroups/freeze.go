package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// On a hybrid host the v1 freezer is the one used, as other tools look there; v2's cgroup.freeze is used
// where there is no v1 freezer.

// errNoFreezer: neither hierarchy has one.
var errNoFreezer = errors.New("controller freezer is not available")

// ErrFrozen is of a container that cannot be made, because its cgroup is frozen from above.
var ErrFrozen = errors.New("container's cgroup unexpectedly frozen")

// freezeTimeout bounds how long tasks may take to stop: one in an uninterruptible sleep does not.
const freezeTimeout = 10 * time.Second

// Freeze stops every process of the cgroup and below. It returns when all are stopped; if they do not stop
// within ten seconds they are thawed again and the error is ETIMEDOUT.
func (c *Cgroup) Freeze() error { return c.freeze(freezeTimeout) }

func (c *Cgroup) freeze(timeout time.Duration) error {
	if m := c.memberOf("freezer"); m != nil {
		return m.freezeV1(time.Now().Add(timeout))
	}
	if m := c.memberOf(""); m != nil {
		return m.freezeV2(time.Now().Add(timeout))
	}
	return errNoFreezer
}

// Thaw lets the processes go on. It reaches both freezers of a hybrid host. A cgroup that is gone is no error.
func (c *Cgroup) Thaw() error {
	v1, v2 := c.memberOf("freezer"), c.memberOf("")
	if v1 == nil && v2 == nil {
		return errNoFreezer
	}
	if v1 != nil {
		if err := writeFile(v1.dir+"/freezer.state", "THAWED"); err != nil && !gone(err) {
			return err
		}
		if v2 != nil {
			if frozen, err := v2.frozen(); err != nil || !frozen {
				return err
			}
		}
	}
	if v2 != nil {
		if err := writeFile(v2.dir+"/cgroup.freeze", "0"); err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

// Release lets killed processes end: it thaws the cgroup and every one below it. A v1 process that is frozen does not die.
func (c *Cgroup) Release() error { return c.release(nil) }

// ReleaseAll is Release of a cgroup in which nothing of the container is to live on: it takes the limits of CPU time away, too, under
// which memory of many megabytes is not freed for minutes. Not where other containers are below: they live on under those limits. One that
// has come below while the lock was given away gets them back.
func (c *Cgroup) ReleaseAll() error {
	if c.shared(c.next) {
		return c.release(nil)
	}
	taken := limits{}
	err := c.release(taken)
	if c.given != nil && *c.given > 0 && len(taken) > 0 && c.shared(c.next) {
		if e := c.putBack(taken); err == nil {
			err = e
		}
	}
	return err
}

// putBack writes limits again that were taken away. Where a directory is another container's by now, the limits are that one's.
func (c *Cgroup) putBack(taken limits) (first error) {
	for i := range c.members {
		m := &c.members[i]
		if has, err := c.hold(m); err != nil || has != full {
			continue
		}
		for file, text := range taken {
			if below(file, m.dir) == "" {
				continue
			}
			if err := notGone(writeFile(file, text)); first == nil {
				first = err
			}
		}
	}
	return first
}

// limits are those of CPU time that were taken away, by their files.
type limits map[string]string

// take takes a limit away, if there is one.
func (l limits) take(file, none string) {
	text, err := readShort(file)
	if err == nil && text != none && !strings.HasPrefix(text, none+" ") && writeFile(file, none) == nil {
		l[file] = text
	}
}

// release thaws, and takes away limits unless taken is nil.
func (c *Cgroup) release(taken limits) error {
	var first error
	for i := range c.members {
		m := &c.members[i]
		err := m.release(m.dir, taken)
		_ = eachChild(m.dir, c.isOthers, func(dir string) error { _ = m.release(dir, taken); return c.next(m) }, nil)
		if first == nil {
			first = err
		}
	}
	return first
}

// release is for one directory. Only a thaw's error counts. A v1 hierarchy may have the freezer and cpu together.
func (m *member) release(dir string, taken limits) (err error) {
	freezer, thawed, quota, none := "/freezer.state", "THAWED", "/cpu.cfs_quota_us", "-1"
	if m.v2 {
		freezer, thawed, quota, none = "/cgroup.freeze", "0", "/cpu.max", "max"
	}
	if m.v2 || slices.Contains(m.controllers, "freezer") {
		err = persist(func() error { return notGone(writeFile(dir+freezer, thawed)) })
	}
	if taken != nil && (m.v2 || slices.Contains(m.controllers, "cpu")) {
		taken.take(dir+quota, none)
	}
	return err
}

// LetEnd moves a killed process that is frozen in a v1 cgroup to the nearest one above that is not frozen, where it ends. On v2 it ends
// where it is.
func (c *Cgroup) LetEnd(pid int) error {
	m := c.memberOf("freezer")
	if m == nil {
		return nil
	}
	for dir := path.Dir(m.dir); below(dir, c.host.V1["freezer"]) != "" || dir == c.host.V1["freezer"]; dir = path.Dir(dir) {
		state, err := (*Root)(nil).readShort(dir + "/freezer.state")
		if err != nil && !isErrno(err, unix.ENOENT) {
			return err
		}
		if err != nil || state == "THAWED" { // the root has no such file
			return writeFile(dir+"/cgroup.procs", strconv.Itoa(pid))
		}
	}
	return nil
}

// Frozen says whether the cgroup is frozen, by itself or by an ancestor. One that is gone is not.
func (c *Cgroup) Frozen() (bool, error) { return Frozen(c.Paths()) }

// Frozen is the same for who has no more than a cgroup's paths (see Paths), and needs no more.
func Frozen(paths map[string]string) (bool, error) { return (*Root)(nil).Frozen(paths) }

// Frozen is the same for who asks about many cgroups.
func (r *Root) Frozen(paths map[string]string) (bool, error) {
	if dir := paths["freezer"]; dir != "" {
		return r.frozen(&member{dir: dir, controllers: []string{"freezer"}})
	}
	if dir := paths[""]; dir != "" {
		return r.frozen(&member{dir: dir, v2: true})
	}
	return false, nil
}

// FreezerKeys are the keys of a cgroup's paths that Frozen looks at.
func FreezerKeys() []string { return []string{"freezer", ""} }

// FreezerDir is the directory of the freezer that Freeze uses, "" if there is none.
func (c *Cgroup) FreezerDir() string {
	if dir := c.dirOf("freezer"); dir != "" {
		return dir
	}
	return c.dirOf("")
}

// frozen reads the member's freezer; false if it has none. Being asked to freeze counts (v1's FREEZING, v2's
// cgroup.freeze): new processes would be stopped, and a signal to a frozen process makes the v2 events say
// "frozen 0" for a moment.
func (m *member) frozen() (bool, error) { return (*Root)(nil).frozen(m) }

func (r *Root) frozen(m *member) (bool, error) {
	switch {
	case m.v2:
		text, err := r.readOnce(m.dir + "/cgroup.events")
		if err == nil && !strings.Contains("\n"+text+"\n", "\nfrozen 1\n") { // which an ancestor can cause, too
			text, err = r.readShort(m.dir + "/cgroup.freeze")
			return err == nil && text == "1", notGone(err)
		}
		return err == nil, notGone(err) // the root has no such file
	case slices.Contains(m.controllers, "freezer"):
		state, err := r.readShort(m.dir + "/freezer.state")
		return err == nil && state != "THAWED", notGone(err)
	}
	return false, nil
}

// freezeV1 freezes by freezer.state. A fork or a process moving in while the kernel walks the tasks leaves
// the state at FREEZING; writing FROZEN again mostly helps, and else a thaw and a new start
// (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
func (m *member) freezeV1(deadline time.Time) error {
	state, err := openFile(m.dir+"/freezer.state", unix.O_RDWR)
	if err != nil {
		return err
	}
	defer state.close()
	if err := state.freeze(deadline); err != nil {
		return state.unfreeze("THAWED", fmt.Errorf("freeze %s: %w", m.dir, err))
	}
	return nil
}

func (f file) freeze(deadline time.Time) error {
	for round := 1; time.Now().Before(deadline); round++ {
		if round%50 == 0 {
			if err := f.write("THAWED"); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := f.write("FROZEN"); err != nil {
			return err
		}
		text, err := f.again()
		switch state := strings.TrimSpace(text); {
		case err != nil:
			return err
		case state == "FROZEN":
			return nil
		case state == "THAWED":
			return errors.New("somebody else has thawed it meanwhile")
		case state != "FREEZING":
			return fmt.Errorf("unexpected state %q", state)
		}
		time.Sleep(time.Duration(min(round*10, 1000)) * time.Microsecond)
	}
	return unix.ETIMEDOUT
}

// freezeV2 writes cgroup.freeze and waits for cgroup.events to say so.
func (m *member) freezeV2(deadline time.Time) error {
	events, err := openFile(m.dir+"/cgroup.events", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer events.close()
	state, err := openFile(m.dir+"/cgroup.freeze", unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer state.close()
	if err = state.write("1"); err == nil {
		err = events.await("frozen 1", deadline)
	}
	if err != nil {
		return state.unfreeze("0", fmt.Errorf("freeze %s: %w", m.dir, err))
	}
	return nil
}

// unfreeze takes a freeze back that has gone wrong. The file is open since before it was begun: no lack of descriptors keeps
// the cgroup frozen. The error is the one given, and what went wrong here.
func (f file) unfreeze(value string, why error) error {
	if err := persist(func() error { return notGone(f.write(value)) }); err != nil {
		return fmt.Errorf("%w, and then thaw it: %w", why, err)
	}
	return why
}

// persist tries more than once what must not be left undone for a moment's want of memory or descriptors.
func persist(thaw func() error) (err error) {
	for range 5 {
		if err = thaw(); err == nil || isErrno(err, unix.EACCES, unix.EPERM, unix.EROFS) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// again reads a short file from its start.
func (f file) again() (string, error) {
	var buf [512]byte
	var n int
	if err := sys.Retry(func() (err error) { n, err = unix.Pread(f.fd, buf[:], 0); return err }); err != nil {
		return "", &os.PathError{Op: "read", Path: f.path, Err: err}
	}
	return string(buf[:n]), nil
}

// await reads f again after each POLLPRI, which kernfs gives after a change since the last read, until it
// has the line.
func (f file) await(line string, deadline time.Time) error {
	for {
		text, err := f.again()
		if err != nil {
			return err
		}
		if strings.Contains("\n"+text, "\n"+line+"\n") {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		fds := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return err
		}
	}
}
