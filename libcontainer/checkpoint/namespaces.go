package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"rt/internal/bug"
	"rt/internal/sys"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// A taskMounts is the mount namespace of a thread.
type taskMounts struct {
	task string // directory below /proc
	list []*mountinfo.Info
}

// mountNamespaces are those of the threads of some processes, in their order. With alive a process that has ended meanwhile is an error,
// and so is a mount that a thread sees and the root of its mount namespace does not lead to.
func mountNamespaces(pids []int, alive bool) (found []taskMounts, err error) {
	known := map[string]map[int]bool{} // by namespace: ids of its mounts
	err = eachTask(pids, alive, func(task string) error {
		name, err := os.Readlink(task + "/ns/mnt")
		if err != nil {
			return err
		}
		if known[name] == nil {
			list, err := allMounts(task)
			if err != nil {
				return err
			}
			found = append(found, taskMounts{task, list})
			known[name] = map[int]bool{}
			for _, m := range list {
				known[name][m.ID] = true
			}
		}
		if !alive {
			return nil
		}
		return seesOnly(task, known[name])
	})
	return found, err
}

// allMounts lists the mounts of a thread's mount namespace from its root on: in the thread's own mountinfo is only what is below the
// thread's root, which chroot(2) changes.
func allMounts(task string) (list []*mountinfo.Info, err error) {
	proc, err := sys.Open("/proc", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	err = inMountNamespace(task, func() error {
		text, err := sys.ReadKernelFileAt(int(proc.Fd()), "thread-self/mountinfo", maxFile)
		if err == nil {
			list, err = parseMounts(text, task)
		}
		return err
	})
	return list, err
}

// inMountNamespace calls f at the root of a thread's mount namespace.
func inMountNamespace(task string, f func() error) (err error) {
	ns, err := sys.OpenKernelFile(task+"/ns/mnt", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer ns.Close()
	sys.OnThread(func() {
		defer bug.Catch(&err)
		if err = unix.Unshare(unix.CLONE_FS); err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)
		}
		if err == nil {
			err = f()
		}
	})
	return err
}

// seesOnly refuses a mount that a thread sees and that is not known: what is mounted on the root of a mount namespace hides others from
// those who enter it, and not from those who were there before.
func seesOnly(task string, known map[int]bool) error {
	list, err := mountsOf(task)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !known[m.ID] {
			return fmt.Errorf("a mount at %s is hidden from the root of its mount namespace", m.Mountpoint)
		}
	}
	return nil
}

// eachTask calls f with the directory below /proc of each thread of some processes.
func eachTask(pids []int, alive bool, f func(task string) error) error {
	gone := func(err error) bool {
		return !alive && (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL))
	}
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid) + "/task"
		threads, err := sys.ReadDir(dir)
		if err != nil && !gone(err) {
			return fmt.Errorf("list the threads of process %d: %w", pid, err)
		}
		for _, thread := range threads {
			task := dir + "/" + thread.Name()
			dead, err := isZombie(task)
			if err == nil && !dead {
				err = f(task)
			}
			if err != nil && !gone(err) {
				return err
			}
		}
	}
	return nil
}

// isZombie says whether a thread has ended and was not reaped: it has no namespaces any more.
func isZombie(task string) (bool, error) {
	text, err := sys.ReadKernelFile(task+"/stat", 4096)
	if err != nil {
		return false, err
	}
	rest := string(text)
	rest = strings.TrimLeft(rest[strings.LastIndexByte(rest, ')')+1:], " ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X"), nil
}

// mountsOf reads the mountinfo of a process's directory.
func mountsOf(proc string) ([]*mountinfo.Info, error) {
	text, err := sys.ReadKernelFile(proc+"/mountinfo", maxFile)
	if err != nil {
		return nil, err
	}
	return parseMounts(text, proc)
}

func parseMounts(text []byte, proc string) ([]*mountinfo.Info, error) {
	list, err := mountinfo.GetMountsFromReader(strings.NewReader(string(text)), nil)
	if err != nil {
		return nil, fmt.Errorf("read %s/mountinfo: %w", proc, err)
	}
	return list, nil
}
