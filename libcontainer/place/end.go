package place

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"rt/cgroups"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// reapTime is how long a killed init may take before EndInit looks for processes that do not reap.
const reapTime = 500 * time.Millisecond

// EndInit kills init and waits for its end. The kernel ends the rest of its pid namespace with it; what else is in the
// cgroup is found when that is cleared.
func (p *Place) EndInit() error {
	if p.Pid == 0 {
		return nil
	}
	init, err := p.InitProcess().Open()
	if errors.Is(err, unix.ESRCH) {
		return nil // gone
	}
	if err != nil {
		return err
	}
	defer init.Close()
	_ = sys.Signal(init, unix.SIGKILL)
	frozen, err := cgroups.Frozen(p.Cgroups)
	if err != nil {
		return err
	}
	wait := 20
	if frozen {
		wait = 0
	}
	looked, start := false, time.Now()
	for patience := newPatience(p.Root); ; wait = min(2*wait+5, 200) {
		if ended, err := sys.AwaitExit(init, wait); err != nil || ended {
			return err
		}
		if cg, err := p.Cgroup(); err != nil || !patience.lasts(cg.Remains()) {
			return fmt.Errorf("container init still running: process %d does not end%s", p.Pid, cmp.Or(p.sleepers(), p.withoutReaper()))
		}
		if !looked && !p.Root.Deadline.IsZero() && time.Since(start) > reapTime {
			looked = true
			p.endParents()
		}
		if err := p.LetEnd((*cgroups.Cgroup).ReleaseAll); err != nil {
			return err
		}
	}
}

// sleepers names what can keep a killed init from its end: a v1 cgroup above its own that is frozen, where processes look as if they
// were in an uninterruptible sleep, or processes of its pid namespace that are.
func (p *Place) sleepers() string {
	if frozen, err := cgroups.Frozen(p.Cgroups); err == nil && frozen { // its own has been thawed
		return ": a cgroup above the container's is frozen: thaw that"
	}
	cg, err := p.Cgroup()
	if err != nil {
		return ""
	}
	pids, err := cg.Procs()
	if err != nil {
		return ""
	}
	for _, pid := range append(pids, p.Pid) {
		if sys.Uninterruptible(pid) {
			return fmt.Sprintf(": process %d is in an uninterruptible sleep (state D)", pid)
		}
	}
	return ""
}

// unreaped are processes of the container that have ended, and their parents, which are not of the container. Init does not end before the
// last process of its pid namespace has been reaped. The parent of one that `rt exec` has started is that rt: it may wait for a file system
// where it writes the pid file, or be stopped. A process that has ended is known by its cgroup v2 alone: it has left those of v1.
func (p *Place) unreaped() map[int]int {
	cg, err := p.Cgroup()
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

// endParents kills each rt that does not reap a process of the container. The process that becomes the parent reaps it.
func (p *Place) endParents() {
	for pid, parent := range p.unreaped() {
		fd, err := unix.PidfdOpen(parent, 0)
		if err != nil {
			continue
		}
		reaper := os.NewFile(uintptr(fd), "pidfd")
		if sys.SameProgram(parent) && sys.Unreaped()[pid] == parent {
			p.Root.Warn("process %d (%s) does not reap process %d of container %s: it is killed", parent, sys.Command(parent), pid, p.ID)
			_ = sys.Signal(reaper, unix.SIGKILL)
		}
		reaper.Close()
	}
}

// withoutReaper says which process keeps init from its end, for an error; "" if there is none.
func (p *Place) withoutReaper() string {
	for pid, parent := range p.unreaped() {
		text := fmt.Sprintf(": process %d has ended, and its parent, process %d (%s), does not reap it", pid, parent, sys.Command(parent))
		if sys.Uninterruptible(parent) {
			text += fmt.Sprintf(": process %d is in an uninterruptible sleep (state D)", parent)
		}
		return text
	}
	return ""
}

// LetEnd thaws the container's cgroup and those that it has made below it: it may have frozen itself, and others of its
// processes may do so again until they have ended. CRIU, which may hold what it restores, is killed.
func (p *Place) LetEnd(release func(*cgroups.Cgroup) error) error {
	if p.isHelper() {
		if helper, err := p.Helper.Open(); err == nil {
			_ = sys.Signal(helper, unix.SIGKILL)
			helper.Close()
		}
	}
	cg, err := p.Cgroup()
	if err != nil {
		return err
	}
	return cg.Locked(release)
}
