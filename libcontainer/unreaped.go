package libcontainer

import (
	"fmt"
	"os"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// Init does not end before the last process of its pid namespace has been reaped. The parent of one that `rt exec` has started is outside:
// that rt, which may wait for a file system where it writes the pid file, or be stopped.

// unreaped are processes of the container that have ended, and their parents, which are not of the container. By its cgroup v2 alone
// can one that has ended be known: v1's it has left.
func (c *container) unreaped() map[int]int {
	cg, err := c.cgroup()
	if err != nil {
		return nil
	}
	list := sys.Unreaped()
	for pid, parent := range list {
		its, err := cg.Below(pid)
		parents, parentErr := cg.Below(parent)
		if err != nil || parentErr != nil || its == "" || parents != "" || parent <= 1 || parent == os.Getpid() {
			delete(list, pid)
		}
	}
	return list
}

// endParents kills each rt that does not reap a process of the container: who takes the orphan reaps it.
func (c *container) endParents() {
	for pid, parent := range c.unreaped() {
		fd, err := unix.PidfdOpen(parent, 0)
		if err != nil {
			continue
		}
		p := os.NewFile(uintptr(fd), "pidfd")
		if sys.SameProgram(parent) && sys.Unreaped()[pid] == parent {
			c.rt.Warn("process %d (%s) does not reap process %d of container %s: it is killed", parent, sys.Command(parent), pid, c.ID)
			_ = sys.Signal(p, unix.SIGKILL)
		}
		p.Close()
	}
}

// withoutReaper says which process keeps init from its end, for an error; "" if there is none.
func (c *container) withoutReaper() string {
	for pid, parent := range c.unreaped() {
		text := fmt.Sprintf(": process %d has ended, and its parent, process %d (%s), does not reap it", pid, parent, sys.Command(parent))
		if sys.Uninterruptible(parent) {
			text += fmt.Sprintf(": process %d is in an uninterruptible sleep (state D)", parent)
		}
		return text
	}
	return ""
}
