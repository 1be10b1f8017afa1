package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// Who has a container's lock writes down who he is, and which process he waits for: a hook, CRIU, newuidmap. `delete --force` ends both:
// what they wait for may be another's, and may never come. That nothing could be written down is no error of the verb.

// A holder is the record, of one length always, so that it is read as a whole.
type holder struct {
	Pid          int    `json:"pid"`
	Start        uint64 `json:"start"`
	PidNamespace uint64 `json:"pidNamespace"` // inode
	Helper       int    `json:"helper,omitempty"`
	HelperStart  uint64 `json:"helperStart,omitempty"`
}

const holderSize = 256

// noteHolder is for who has just got the lock.
func (c *container) noteHolder() {
	start, _, err := sys.StartTime(os.Getpid())
	if err != nil {
		return
	}
	f, err := sys.OpenLock(filepath.Join(c.dir, holderFile))
	if err != nil {
		return
	}
	c.note = f
	c.holder = holder{Pid: os.Getpid(), Start: start, PidNamespace: pidNamespace()}
	c.writeHolder()
}

// noteHelper names the child that this process waits for from now on.
func (c *container) noteHelper(pid int) {
	if c.note == nil {
		return
	}
	if start, _, err := sys.StartTime(pid); err == nil {
		c.holder.Helper, c.holder.HelperStart = pid, start
		c.writeHolder()
	}
}

func (c *container) writeHolder() {
	text, err := json.Marshal(&c.holder)
	if err == nil && len(text) <= holderSize {
		_, _ = c.note.WriteAt([]byte(fmt.Sprintf("%-*s", holderSize, text)), 0)
	}
}

// forgetHolder is for who is about to give the lock back, and may live on.
func (c *container) forgetHolder() {
	if c.note != nil {
		_ = c.note.Truncate(0)
		c.note.Close()
		c.note = nil
	}
}

// forceTimeout bounds what delete --force does before the poststop hooks. grace is for a holder who has only waited for what has been
// killed: it undoes or finishes its work itself.
const (
	forceTimeout = 4500 * time.Millisecond
	grace        = 500 * time.Millisecond
)

// left is how much time is left of limit.
func (r *Runtime) left(limit time.Duration) time.Duration {
	if r.deadline.IsZero() {
		return limit
	}
	return min(limit, max(time.Until(r.deadline), 50*time.Millisecond))
}

// takeOver gets the lock from who has it: by the end of the container's processes, or by his own.
func (r *Runtime) takeOver(c *container) error {
	r.killHeld(c.ID)
	err := c.acquireWithin(r.left(grace))
	if !errors.Is(err, unix.ETIMEDOUT) {
		return err
	}
	who, endErr := c.endHolder()
	if err = c.acquireWithin(r.left(forceTimeout)); errors.Is(err, unix.ETIMEDOUT) {
		if endErr != nil {
			return fmt.Errorf("%w; %w", err, endErr)
		}
		if len(who) > 0 {
			return fmt.Errorf("%w%s", err, stuck(who))
		}
	}
	return err
}

// stuck says which of the processes that were killed has not ended, and why.
func stuck(pids []int) string {
	for _, pid := range pids {
		if sys.Uninterruptible(pid) {
			return fmt.Sprintf(": process %d was killed and does not end: it is in an uninterruptible sleep (state D)", pid)
		}
	}
	return fmt.Sprintf(": process %d was killed and does not end", pids[0])
}

// readHolder is the record of a lock that somebody has.
func (c *container) readHolder() (h holder, err error) {
	if err := c.check(); err != nil { // or anybody could name a process
		return h, err
	}
	data, err := c.read(holderFile)
	if err != nil {
		return h, fmt.Errorf("look who holds the lock: %w", err)
	}
	if err := json.Unmarshal([]byte(strings.TrimSpace(string(data))), &h); err != nil || h.Pid <= 1 {
		return holder{}, errors.New("look who holds the lock: he has not written it down")
	}
	if h.PidNamespace != pidNamespace() {
		return holder{}, errors.New("who holds the lock is in another pid namespace")
	}
	return h, nil
}

// endHolder kills who has the lock, and the process that he waits for, and returns their pids. A process that has one of the pids by
// now is another: it has started later.
func (c *container) endHolder() (killed []int, err error) {
	h, err := c.readHolder()
	if err != nil || h.Pid == os.Getpid() {
		return nil, err
	}
	p, err := sys.Process{Pid: h.Pid, Start: h.Start}.Open()
	if errors.Is(err, unix.ESRCH) { // he has ended, and somebody else has the lock
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer p.Close()
	killed = append(killed, h.Pid)
	helper := openHelper(h)
	forks := sys.Forks(h.Pid)
	c.rt.Warn("process %d (%s) holds the lock of container %s: it is killed", h.Pid, sys.Command(h.Pid), c.ID)
	err = sys.Signal(p, unix.SIGKILL)
	// Then those that he waits for: he starts no other.
	for _, child := range append(forks, helper) {
		if child != nil {
			killed = append(killed, sys.PidOf(child))
			c.killHelper(child)
		}
	}
	if errors.Is(err, unix.ESRCH) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("end process %d, which holds the lock: %w", h.Pid, err)
	}
	_, err = sys.AwaitExit(p, int(c.rt.left(grace).Milliseconds()))
	return killed, err
}

// endLeftHelper kills the process that a killed holder has waited for: its record is there still, as one that gives the lock back removes
// it. A stub in the container's cgroup may wait for a file system, and knows nothing of the end of its rt.
func (c *container) endLeftHelper() {
	h, err := c.readHolder()
	if err != nil || h.Pid == os.Getpid() {
		return
	}
	if p := openHelper(h); p != nil {
		c.killHelper(p)
	}
}

// killHelper kills a pidfd's process and its group, and notes who it was.
func (c *container) killHelper(p *os.File) {
	defer p.Close()
	pid := sys.PidOf(p)
	if start, _, err := sys.StartTime(pid); err == nil {
		c.killed = append(c.killed, sys.Process{Pid: pid, Start: start})
	}
	_ = sys.SignalGroup(p, unix.SIGKILL)
}

// stuckHelper says which of the processes that were killed with a holder of the lock has not ended; "" if none.
func (c *container) stuckHelper() string {
	for _, p := range c.killed {
		if there, err := p.Alive(); err == nil && there {
			return stuck([]int{p.Pid})
		}
	}
	return ""
}

func openHelper(h holder) *os.File {
	if h.Helper <= 1 {
		return nil
	}
	p, err := sys.Process{Pid: h.Helper, Start: h.HelperStart}.Open()
	if err != nil {
		return nil // it has ended
	}
	return p
}
