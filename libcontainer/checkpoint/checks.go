package checkpoint

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"rt/internal/sys"
	"rt/libcontainer/criu"

	"golang.org/x/sys/unix"
)

// CRIU restores processes from images, which another runtime may have made, and from the host's files as they are now. So rt checks them
// before they run. CRIU waits for rt's answer at two points:
//
//   - post-restore: memory, mounts, descriptors and namespaces are there, and CRIU obeys a refusal. Credentials, no_new_privs and
//     filters are not there yet.
//   - pre-resume: all is there. CRIU ignores a refusal, and a closed connection as well, and resumes the processes. So rt freezes
//     the cgroup first, and CRIU in it. If a check refuses, rt kills all of them and does not answer. If rt is killed, they stay
//     frozen, and as there is no state, resume cannot thaw them: delete --force removes them.

// A restored is what a check looks at: a container whose processes do not run.
type restored struct {
	*Restoration
	init int
	pids []int // init and all that descend from it
}

// A restoreCheck returns an error if what was restored must not run. Its error names the process and the configuration's
// pointer.
type restoreCheck struct {
	name  string
	check func(*restored) error
}

// checksAfterRestore are those at post-restore.
func checksAfterRestore() []restoreCheck {
	return []restoreCheck{
		{"mounts", (*restored).compareMounts},
		{"standard descriptors", (*restored).checkStdio},
	}
}

// checksBeforeResume are those at pre-resume. Some set what CRIU does not.
func checksBeforeResume() []restoreCheck {
	return []restoreCheck{
		{"namespaces", (*restored).checkPrivateNamespaces},
		{"no_new_privs", (*restored).checkNoNewPrivs},
		{"capabilities", (*restored).checkCapabilities},
		{"user", (*restored).checkUser},
		{"filters", (*restored).checkFilters},
		{"masks", (*restored).checkMasks},
		{"labels", (*restored).checkLabels},
		{"limits", (*restored).lowerRlimits},
		{"OOM score", (*restored).raiseOOMScore},
		{"root", (*restored).protectRoot},
		{"sysctls", (*restored).setSysctls},
		{"io priority", (*restored).setIOPriority},
	}
}

func (r *Restoration) runChecks(list []restoreCheck) error {
	pids, err := sys.Descendants(r.Pid)
	if err != nil {
		return fmt.Errorf("list the restored processes: %w", err)
	}
	processes := &restored{r, r.Pid, pids}
	for _, c := range list {
		if err := c.check(processes); err != nil {
			return fmt.Errorf("check %s of the restored processes: %w", c.name, err)
		}
	}
	return nil
}

// beforeResume runs the checks on frozen processes and saves the state. On an error they are dead when it returns.
func (r *Restoration) beforeResume() (err error) {
	if r.Pid == 0 {
		return errors.New("criu is about to resume and has restored no process")
	}
	cg := r.Cgroup
	frozen := cg.FreezerDir() != ""
	if frozen {
		if err := cg.Freeze(); err != nil {
			return r.refuse(err)
		}
	}
	if err = r.runChecks(checksBeforeResume()); err == nil {
		r.Created = time.Now().UTC()
		err = r.Save()
	}
	if err == nil && frozen {
		err = cg.Thaw()
	}
	if err != nil {
		return r.refuse(err)
	}
	r.passed = true
	return nil
}

// yardOf is the name of the directory (cgyard) on which CRIU mounts cgroups, and which it leaves when it is killed; "" if it has none.
func yardOf(pid int) string {
	list, err := mountsOf("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return "" // it has ended
	}
	for _, m := range list {
		if name := path.Base(m.Mountpoint); criu.IsYard(name) {
			return name
		}
	}
	return ""
}

// refuse kills the restored processes and then CRIU, which would resume them. A frozen process dies when it is thawed.
func (r *Restoration) refuse(why error) error {
	pids, err := sys.Descendants(r.Pid)
	if err != nil {
		pids = []int{r.Pid} // which takes its pid namespace along
	}
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL) // none is reaped before its tracer, CRIU, is dead
	}
	if sys.OwnChild(r.Session.Pid) {
		r.yard = yardOf(r.Session.Pid)
		_ = unix.Kill(r.Session.Pid, unix.SIGKILL)
	}
	if r.Cgroup.FreezerDir() == "" {
		return why
	}
	if err := r.Cgroup.Release(); err != nil {
		return fmt.Errorf("%w; and then end the restored processes: %w", why, err)
	}
	return why
}
