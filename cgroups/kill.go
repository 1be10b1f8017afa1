package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Kill sends sig to every process in the cgroup and below. ENOENT of the cgroup and processes that are gone
// already are no errors.
//
// SIGKILL in v2 is cgroup.kill, which no fork escapes. Else the cgroup is frozen if it can be, so that the
// list of processes stands still, and thawed after. After SIGKILL it is thawed in any case: in a frozen v1
// cgroup the signal stays pending (v2 lets a frozen process die). Another signal leaves a cgroup that was
// frozen before as it was.
func (c *Cgroup) Kill(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		return c.killAll()
	}
	was, err := c.Frozen()
	if err != nil {
		return err
	}
	if was {
		return c.signal(sig, true)
	}
	return c.signalFrozen(sig)
}

func (c *Cgroup) killAll() error {
	if c.only != nil || c.guarded && c.Shared() { // the kernel kills, and freezes, everybody below
		err := c.signal(unix.SIGKILL, false)
		return errors.Join(err, c.Release())
	}
	born := c.memberOf("")
	// Where the kernel kills the v2 side, the v1 side only matters for processes that are not in it.
	strays := true
	if born != nil && exists(born.dir+"/cgroup.kill") {
		if c.v1Count() > 0 {
			v2, err := c.procs(true, func(m *member) bool { return m.v2 })
			if err != nil {
				return err
			}
			v1, err := c.procs(true, func(m *member) bool { return !m.v2 })
			if err != nil {
				return err
			}
			strays = slices.ContainsFunc(v1, func(pid int) bool { _, in := slices.BinarySearch(v2, pid); return !in })
		} else {
			strays = false
		}
		if err := writeFile(born.dir+"/cgroup.kill", "1"); err != nil && !gone(err) {
			if !isErrno(err, unix.EOPNOTSUPP) { // a threaded cgroup has processes of other cgroups
				return err
			}
			strays = true
		}
	}
	var err error
	if strays {
		err = c.signalFrozen(unix.SIGKILL)
	}
	if thawErr := c.Thaw(); err == nil && thawErr != errNoFreezer {
		err = thawErr
	}
	return err
}

// killFreezeTimeout: a process in an uninterruptible sleep does not freeze, and must not hold up a kill.
const killFreezeTimeout = 500 * time.Millisecond

// signalFrozen freezes, signals and thaws. A cgroup that cannot be frozen is signalled as it is, and thawed all the same: a
// freeze that went wrong half-way may have left it frozen. Where it may not be thawed, it could not be frozen either.
func (c *Cgroup) signalFrozen(sig unix.Signal) error {
	freezeErr := c.freeze(killFreezeTimeout)
	err := c.signal(sig, freezeErr == nil)
	if freezeErr == errNoFreezer {
		return err
	}
	thawErr := persist(c.Thaw)
	if err == nil && (freezeErr == nil || !isErrno(thawErr, unix.EACCES, unix.EPERM, unix.EROFS)) {
		err = thawErr
	}
	return err
}

// signal sends sig to all processes. Frozen, the list is exact: nobody forks, and nobody that is listed can
// go away and leave its pid to a stranger. Else each process is held by a pidfd and sent the signal only if
// it is still listed after that; and SIGKILL goes on until a round finds no new process.
func (c *Cgroup) signal(sig unix.Signal, frozen bool) error {
	done := map[int]bool{}
	for range 100 {
		pids, err := c.Procs()
		if err != nil {
			return err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return done[pid] })
		for batch := range slices.Chunk(pids, 128) {
			if err := c.signalBatch(sig, batch, frozen); err != nil {
				return err
			}
		}
		for _, pid := range pids {
			done[pid] = true
		}
		if frozen || sig != unix.SIGKILL || len(pids) == 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("kill %v: new processes keep appearing: %w", c.Dirs(), unix.EAGAIN)
}

func (c *Cgroup) signalBatch(sig unix.Signal, pids []int, frozen bool) error {
	if frozen {
		for _, pid := range pids {
			if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		return nil
	}
	held := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		switch fd, err := unix.PidfdOpen(pid, 0); err {
		case nil:
			held[pid] = fd
		case unix.ESRCH, unix.EINVAL: // EINVAL: a thread that leads no process, listed for a threaded cgroup
		default:
			return fmt.Errorf("pidfd_open %d: %w", pid, err)
		}
	}
	still, err := c.Procs()
	if err != nil {
		return err
	}
	for _, pid := range still {
		if fd, ok := held[pid]; ok {
			if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
	}
	return nil
}
