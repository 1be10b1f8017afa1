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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	for _, t := range l.targets {
		if !l.isLive(t) {
			continue
		}
		argv := l.argv(t, "delete", "--force", "live")
		if _, err := output(ctx, argv[0], argv[1:]...); err != nil {
			errs = append(errs, err)
		}
	}
	for _, h := range l.hierarchies {
		errs = append(errs, removeGroups(filepath.Join(h.point, l.group)))
		if strings.HasPrefix(h.point, l.dir) {
			errs = append(errs, syscall.Unmount(h.point, 0))
		}
	}
	if err := errors.Join(errs...); err != nil {
		// Not RemoveAll: it would go into what is still mounted there.
		return fmt.Errorf("clean up, %s is left: %w", l.dir, err)
	}
	return os.RemoveAll(l.dir)
}

func (l *lab) isLive(t target) bool {
	for _, name := range l.live {
		if name == t.name {
			return true
		}
	}
	return false
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
