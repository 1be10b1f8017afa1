package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// close ends the long-lived containers, kills what else is in our cgroups, and removes cgroups, mounts and files.
// It does not use the benchmark's context, which may be the reason for closing.
func (l *lab) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // for thousands of containers
	defer cancel()
	var errs []error
	for _, c := range l.running {
		argv := l.argv(c.target, "delete", "--force", c.id)
		if _, err := output(ctx, argv[0], argv[1:]...); err != nil {
			errs = append(errs, err)
		}
	}
	for _, h := range l.hierarchies {
		errs = append(errs, removeGroups(filepath.Join(h.point, l.group)))
		if strings.HasPrefix(h.point, l.dir) {
			errs = append(errs, giveBack(h))
		}
	}
	if err := syscall.Unmount(filepath.Join(l.dir, "roots"), syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
		errs = append(errs, fmt.Errorf("unmount the directories of states: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		// Not RemoveAll: it would go into what is still mounted there.
		return fmt.Errorf("clean up, %s is left: %w", l.dir, err)
	}
	return os.RemoveAll(l.dir)
}

// giveBack unmounts a v1 hierarchy that was mounted here, until v2 has its controller again. The kernel ends a hierarchy
// with its last mount only if it has no cgroup, and one that was removed counts until its memory is freed, a little
// later; mounting and unmounting once more is then what ends it.
func giveBack(h hierarchy) error {
	for deadline := time.Now().Add(60 * time.Second); ; {
		if err := syscall.Unmount(h.point, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", h.point, err)
		}
		time.Sleep(250 * time.Millisecond)
		hierarchies, err := os.ReadFile("/proc/self/cgroup")
		if err != nil || !strings.Contains(string(hierarchies), ":"+h.controllers+":") {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the v1 hierarchy %s stays: somebody has a cgroup in it, which keeps the controller from v2", h.controllers)
		}
		if err := syscall.Mount("cgroup", h.point, "cgroup", 0, h.controllers); err != nil {
			return fmt.Errorf("mount %s: %w", h.controllers, err)
		}
	}
}

// removeGroups kills every process in the cgroups at and below dir and removes them, children first. Killed processes
// need a while to leave.
func removeGroups(dir string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		var dirs []string
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
				killGroup(path)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := len(dirs) - 1; i >= 0; i-- {
			err = errors.Join(err, os.Remove(dirs[i]))
		}
		if err == nil {
			return nil
		}
		if _, gone := os.Stat(dir); errors.Is(gone, os.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func killGroup(dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, line := range strings.Fields(string(text)) {
		// 0 stands for a process of another pid namespace; kill(0) would be ourselves.
		if pid, err := strconv.Atoi(line); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone in the meantime is as good
		}
	}
}
