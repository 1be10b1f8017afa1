package state

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

// A holder is the record of the process that has a container's lock, and of the child that it waits for: a hook, CRIU or newuidmap.
// `delete --force` ends both, for the child may wait for ever. A record that cannot be written is no error of the verb.
type holder struct {
	Pid          int    `json:"pid"`
	Start        uint64 `json:"start"`
	PidNamespace uint64 `json:"pidNamespace"` // inode
	Helper       int    `json:"helper,omitempty"`
	HelperStart  uint64 `json:"helperStart,omitempty"`
}

// holderSize is the length of the record, which never changes: so a reader sees all of one record.
const holderSize = 256

// RecordHolder records this process as the holder of the lock that it has just taken.
func (c *Container) RecordHolder() {
	start, _, err := sys.StartTime(os.Getpid())
	if err != nil {
		return
	}
	f, err := sys.OpenLock(filepath.Join(c.Dir, holderFile))
	if err != nil {
		return
	}
	c.record = f
	c.holder = holder{Pid: os.Getpid(), Start: start, PidNamespace: OwnPidNamespace()}
	c.writeRecord()
}

// RecordHelper adds the child that this process waits for from now on.
func (c *Container) RecordHelper(pid int) {
	if c.record == nil {
		return
	}
	if start, _, err := sys.StartTime(pid); err == nil {
		c.holder.Helper, c.holder.HelperStart = pid, start
		c.writeRecord()
	}
}

func (c *Container) writeRecord() {
	text, err := json.Marshal(&c.holder)
	if err == nil && len(text) <= holderSize {
		_, _ = c.record.WriteAt([]byte(fmt.Sprintf("%-*s", holderSize, text)), 0)
	}
}

// removeRecord empties the record before the lock is given back: this process may run on.
func (c *Container) removeRecord() {
	if c.record != nil {
		_ = c.record.Truncate(0)
		c.record.Close()
		c.record = nil
	}
}

// readHolder reads the record of another process.
func (c *Container) readHolder() (h holder, err error) {
	if err := c.Check(); err != nil { // another user's record could name any process
		return h, err
	}
	data, err := c.ReadFile(holderFile)
	if err != nil {
		return h, fmt.Errorf("look who holds the lock: %w", err)
	}
	if err := json.Unmarshal([]byte(strings.TrimSpace(string(data))), &h); err != nil || h.Pid <= 1 {
		return holder{}, errors.New("look who holds the lock: he has not written it down")
	}
	if h.PidNamespace != OwnPidNamespace() {
		return holder{}, errors.New("who holds the lock is in another pid namespace")
	}
	return h, nil
}

// EndHolder kills the process that has the lock and the children that it waits for, and returns their pids. It waits for the end of the
// holder for at most the given time. A process that has started later than the recorded one has only the same pid.
func (c *Container) EndHolder(wait time.Duration) (killed []int, err error) {
	h, err := c.readHolder()
	if err != nil || h.Pid == os.Getpid() {
		return nil, err
	}
	p, err := sys.Process{Pid: h.Pid, Start: h.Start}.Open()
	if errors.Is(err, unix.ESRCH) { // it has ended, and another process has the lock
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer p.Close()
	killed = append(killed, h.Pid)
	helper := openHelper(h)
	forks := sys.Forks(h.Pid)
	c.Root.Warn("process %d (%s) holds the lock of container %s: it is killed", h.Pid, sys.Command(h.Pid), c.ID)
	err = sys.Signal(p, unix.SIGKILL)
	// Its children come after it, so that it starts no other.
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
	_, err = sys.AwaitExit(p, int(wait.Milliseconds()))
	return killed, err
}

// EndHelper kills the child that a killed holder has waited for. Its record is still there, for only a release removes it. A stub in the
// container's cgroup may wait for a file system and not notice that its rt has ended.
func (c *Container) EndHelper() {
	h, err := c.readHolder()
	if err != nil || h.Pid == os.Getpid() {
		return
	}
	if p := openHelper(h); p != nil {
		c.killHelper(p)
	}
}

// killHelper kills the process of a pidfd and its process group, and remembers it for StuckHelper.
func (c *Container) killHelper(p *os.File) {
	defer p.Close()
	pid := sys.PidOf(p)
	if start, _, err := sys.StartTime(pid); err == nil {
		c.killed = append(c.killed, sys.Process{Pid: pid, Start: start})
	}
	_ = sys.SignalGroup(p, unix.SIGKILL)
}

// StuckHelper says which of the killed children has not ended, for an error text; "" if all have.
func (c *Container) StuckHelper() string {
	for _, p := range c.killed {
		if there, err := p.Alive(); err == nil && there {
			return Stuck([]int{p.Pid})
		}
	}
	return ""
}

// Stuck says which of some killed processes has not ended and why, for an error text.
func Stuck(pids []int) string {
	for _, pid := range pids {
		if sys.Uninterruptible(pid) {
			return fmt.Sprintf(": process %d was killed and does not end: it is in an uninterruptible sleep (state D)", pid)
		}
	}
	return fmt.Sprintf(": process %d was killed and does not end", pids[0])
}

// openHelper opens a pidfd of the holder's child; nil if it has ended.
func openHelper(h holder) *os.File {
	if h.Helper <= 1 {
		return nil
	}
	p, err := sys.Process{Pid: h.Helper, Start: h.HelperStart}.Open()
	if err != nil {
		return nil
	}
	return p
}
