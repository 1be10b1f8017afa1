package libcontainer

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

// What CRIU has restored comes from images, which may be another runtime's, and from the host's files as they are now. So rt looks
// at the processes before they run. CRIU waits for rt's answer at two points:
//
//   - post-restore: memory, mounts, descriptors and namespaces are there, and CRIU obeys a refusal. Credentials, no_new_privs and
//     filters are not there yet.
//   - pre-resume: all is there. CRIU ignores a refusal, and a closed connection as well, and resumes the processes. So rt freezes
//     the cgroup first, and CRIU in it. If a check refuses, rt kills all of them and does not answer. If rt is killed, they stay
//     frozen, and as there is no state, resume cannot thaw them: delete --force removes them.

// A restored is what a check looks at: a container whose processes do not run.
type restored struct {
	*making
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

func (k *making) runChecks(list []restoreCheck) error {
	pids, err := sys.Descendants(k.c.Pid)
	if err != nil {
		return fmt.Errorf("list the restored processes: %w", err)
	}
	r := &restored{making: k, init: k.c.Pid, pids: pids}
	for _, c := range list {
		if err := c.check(r); err != nil {
			return fmt.Errorf("check %s of the restored processes: %w", c.name, err)
		}
	}
	return nil
}

// beforeResume runs the checks on frozen processes and saves the state. On an error they are dead when it returns.
func (k *making) beforeResume(criu int) (err error) {
	if k.c.Pid == 0 {
		return errors.New("criu is about to resume and has restored no process")
	}
	cg, err := k.c.cgroup()
	if err != nil {
		return k.refuse(criu, err)
	}
	frozen := cg.FreezerDir() != ""
	if frozen {
		if err := cg.Freeze(); err != nil {
			return k.refuse(criu, err)
		}
	}
	if err = k.runChecks(checksBeforeResume()); err == nil {
		k.c.Created = time.Now().UTC()
		err = k.c.Save()
	}
	if err == nil && frozen {
		err = cg.Thaw()
	}
	if err != nil {
		return k.refuse(criu, err)
	}
	k.checked = true
	return nil
}

// yardOf is the name of the directory that CRIU leaves when it is killed, "" if it has none.
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
func (k *making) refuse(criu int, why error) error {
	pids, err := sys.Descendants(k.c.Pid)
	if err != nil {
		pids = []int{k.c.Pid} // which takes its pid namespace along
	}
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL) // none is reaped before its tracer, CRIU, is dead
	}
	if sys.OwnChild(criu) {
		k.yard = yardOf(criu)
		_ = unix.Kill(criu, unix.SIGKILL)
	}
	cg, err := k.c.cgroup()
	if err == nil && cg.FreezerDir() != "" {
		err = cg.Release()
	}
	if err != nil {
		return fmt.Errorf("%w; and then end the restored processes: %w", why, err)
	}
	return why
}
