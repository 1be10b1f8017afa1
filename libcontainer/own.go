package libcontainer

import (
	"errors"
	"os"
	"strconv"
	"time"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/state"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// What of a cgroup is a container's own. Others may have put processes there, or cgroups below it; another container may
// have the same path; a directory of this name may have been made again. None of that is killed or removed.

// setClaim tells the cgroup what is the container's.
func (c *container) setClaim(cg *cgroups.Cgroup) {
	claim := cgroups.Claim{Mark: c.Mark, Taken: c.Taken, Other: c.rt.MarkedContainer, Elsewhere: state.IsForeignMark, Lock: c.rt.lockCgroups, Record: c.recordTaken}
	if c.Taken == nil { // an older rt's
		claim.IsOwn = func(text string) bool {
			m, ok := state.ParseMark(text, false)
			return ok && m.Dir == c.Dir && m.Unit == c.Unit
		}
	}
	cg.SetClaim(claim)
}

// recordTaken writes down which directories have become the container's.
func (c *container) recordTaken(taken map[string]string) error {
	c.Taken = taken
	return c.WriteJournal()
}

// lockAtLeast is how long a delete --force whose deadline has passed still waits for the lock: it removes thousands of cgroups and gives the
// lock away meanwhile.
const lockAtLeast = time.Second

// lockCgroups implements cgroups.Claim.Lock.
func (r *Runtime) lockCgroups() (unlock func(), err error) {
	return r.LockCgroups(max(r.left(state.CgroupsLockWait), lockAtLeast))
}

// removeCgroup removes the container's cgroup, and kills those of its processes that are still there.
func (c *container) removeCgroup() error {
	cg, err := c.cgroup()
	if err != nil {
		return err
	}
	if c.Taken == nil && len(c.Cgroups) > 0 && cg.Exists() {
		c.rt.Warn("an older rt has made container %s: of its cgroups, those with its mark are taken for its own", c.ID)
	}
	return cg.Remove(c.killPatiently())
}

// killPatiently is killIn for Remove, which it has wait as long as processes are seen to end.
func (c *container) killPatiently() func(*cgroups.Cgroup) (ending bool, err error) {
	var wait *patience
	return func(own *cgroups.Cgroup) (ending bool, err error) {
		if ending, err = c.killIn(own); !ending || err != nil {
			return ending, err
		}
		if wait == nil { // the usual case: it has ended when it is looked at again
			wait = c.rt.newPatience()
			return true, nil
		}
		return wait.lasts(own.Remains()), nil
	}
}

// killIn kills the container's processes in a cgroup of its own. ending: the cgroup may be free soon. Init must have been
// killed: with a pid namespace of its own, all that was in there ends with it.
func (c *container) killIn(own *cgroups.Cgroup) (ending bool, err error) {
	pids, others, err := own.Everybody()
	if err != nil {
		return false, err
	}
	if len(pids) == 0 && !others {
		return !own.Shared(), nil // the last one is about to leave
	}
	if c.PrivatePid {
		selected, err := c.leftOf(own)
		if err != nil {
			return false, err
		}
		mine := own.Only(selected)
		if list, err := mine.Procs(); err != nil || len(list) == 0 {
			return anyStub(pids), errors.Join(err, own.Release())
		}
		return true, errors.Join(mine.Kill(unix.SIGKILL), own.Release())
	}
	return len(pids) > 0, errors.Join(own.Kill(unix.SIGKILL), own.ReleaseAll())
}

// leftOf selects what may be left of a container whose pid namespace has ended with its init: CRIU, and children of rt's that it
// has made; and of a create that was killed before it could write down which process is init, that process. It is in the cgroup itself, in another pid namespace,
// and still the stub, or being restored.
func (c *container) leftOf(own *cgroups.Cgroup) (func(pid int) bool, error) {
	top, err := own.OwnProcs()
	if err != nil {
		return nil, err
	}
	unknown := map[int]bool{}
	for _, pid := range top {
		unknown[pid] = sys.OwnChild(pid) ||
			c.Pid == 0 && (c.Restored || nsenter.IsStub(pid)) && !state.IsOwnPidNamespace(pidNamespaceOf(pid))
	}
	return func(pid int) bool { return unknown[pid] || pid == c.Helper.Pid && c.isHelper() }, nil
}

func (c *container) isHelper() bool {
	alive, err := c.Helper.Alive()
	return alive && err == nil && state.IsOwnPidNamespace(c.PidNamespace)
}

// anyStub: a stub that has lost its rt ends by itself.
func anyStub(pids []int) bool {
	for _, pid := range pids {
		if nsenter.IsStub(pid) {
			return true
		}
	}
	return false
}

// pidNamespaceOf is the inode of a process's pid namespace; rt's own if it cannot be told.
func pidNamespaceOf(pid int) uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/pid", &st) != nil {
		return state.OwnPidNamespace()
	}
	return st.Ino
}

// inPidNamespace says whether a process is in a pid namespace, or in one below it.
func inPidNamespace(pid int, ns uint64) bool {
	f, err := sys.OpenNamespace("/proc/" + strconv.Itoa(pid) + "/ns/pid")
	for err == nil {
		defer f.Close()
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) != nil {
			return false
		}
		if st.Ino == ns {
			return true
		}
		var up int
		if up, err = unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_PARENT); err == nil {
			f = os.NewFile(uintptr(up), "pid namespace")
		}
	}
	return false
}
