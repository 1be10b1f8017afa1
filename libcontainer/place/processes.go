package place

import (
	"errors"
	"strconv"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/state"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// Kill kills the container's processes in its cgroup. Init must have been killed.
func (p *Place) Kill() error {
	cg, err := p.Cgroup()
	if err != nil {
		return err
	}
	return cg.Locked(func(own *cgroups.Cgroup) error {
		_, err := p.killIn(own)
		return err
	})
}

// killPatiently is killIn for Remove, which it has wait as long as processes are seen to end.
func (p *Place) killPatiently() func(*cgroups.Cgroup) (ending bool, err error) {
	var wait *patience
	return func(own *cgroups.Cgroup) (ending bool, err error) {
		if ending, err = p.killIn(own); !ending || err != nil {
			return ending, err
		}
		if wait == nil { // the usual case: it has ended when it is looked at again
			wait = newPatience(p.Root)
			return true, nil
		}
		return wait.lasts(own.Remains()), nil
	}
}

// killIn kills the container's processes in a cgroup of its own. ending: the cgroup may be free soon. Init must have been
// killed: with a pid namespace of its own, all that was in there ends with it.
func (p *Place) killIn(own *cgroups.Cgroup) (ending bool, err error) {
	pids, others, err := own.Everybody()
	if err != nil {
		return false, err
	}
	if len(pids) == 0 && !others {
		return !own.Shared(), nil // the last one is about to leave
	}
	if p.PrivatePid {
		selected, err := p.leftOf(own)
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
func (p *Place) leftOf(own *cgroups.Cgroup) (func(pid int) bool, error) {
	top, err := own.OwnProcs()
	if err != nil {
		return nil, err
	}
	unknown := map[int]bool{}
	for _, pid := range top {
		unknown[pid] = sys.OwnChild(pid) ||
			p.Pid == 0 && (p.Restored || nsenter.IsStub(pid)) && !state.IsOwnPidNamespace(pidNamespaceOf(pid))
	}
	return func(pid int) bool { return unknown[pid] || pid == p.Helper.Pid && p.isHelper() }, nil
}

func (p *Place) isHelper() bool {
	alive, err := p.Helper.Alive()
	return alive && err == nil && state.IsOwnPidNamespace(p.PidNamespace)
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
