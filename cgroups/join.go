package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// Join moves a process into the v2 directory. A process counts against pids.max but is not refused for it: only a
// fork is.
func (c *Cgroup) Join(pid int) error {
	err := writeFile(c.dirOf("")+"/cgroup.procs", strconv.Itoa(pid))
	if isErrno(err, unix.EBUSY) {
		err = hint.With(fmt.Errorf("join cgroup: %w", err), "controllers are enabled for its children, so it can hold no processes; name one of them")
	} else if err != nil {
		err = fmt.Errorf("join cgroup: %w", err)
	}
	return err
}

// JoinAll moves a process, with all of its threads, into every directory of the cgroup.
func (c *Cgroup) JoinAll(pid int) error {
	for _, m := range c.members {
		if err := writeFile(m.dir+"/cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// JoinWith is Join for a container that runs. If its cgroup cannot hold processes because the container has enabled
// controllers for cgroups below it (EBUSY), or is gone, the process goes into the cgroup of the container's init (DirOfInit).
func (c *Cgroup) JoinWith(pid int, dirOfInit func() (string, error)) error {
	err := c.Join(pid)
	if !isErrno(err, unix.EBUSY) && (c.host.Mode != V2 || !gone(err)) {
		return err
	}
	dir, initErr := dirOfInit()
	if initErr != nil {
		return fmt.Errorf("%w; join the cgroup of the container's init instead: %w", err, initErr)
	}
	sub := Cgroup{host: c.host, members: []member{{dir: dir, v2: true}}}
	return sub.Join(pid)
}

// DirOfInit is the v2 directory that a process's /proc/PID/cgroup names. It must be below c's: init chose it, and could have left
// nothing else. Or anywhere, as with runc, for the host's root: only a container that sees the whole hierarchy, and may write to it,
// can move its init elsewhere, or the host has.
func (c *Cgroup) DirOfInit(text string, anywhere bool) (string, error) {
	for names, own := range PathsOf(text) {
		if names != "" {
			continue
		}
		// Outside of rt's own cgroup namespace it begins with "/..".
		dir, known := path.Join(c.host.Unified, own), path.Clean("/"+own) == own
		if anywhere && known && c.host.Unified != "" || known && below(dir, c.dirOf("")) != "" {
			return dir, nil
		}
		return "", fmt.Errorf("cgroup %s of the container's init is not below %s", own, c.dirOf(""))
	}
	return "", errors.New("the container's init has no cgroup v2")
}

// Delegate gives the v2 directory to a user, with the files by which a cgroup is managed and not limited: those
// that the kernel lists for it (Documentation/admin-guide/cgroup-v2.rst, "Model of Delegation").
func (c *Cgroup) Delegate(uid int) error { return c.delegate(uid, "/sys/kernel/cgroup/delegate") }

func (c *Cgroup) delegate(uid int, list string) error {
	names, err := readFields(list)
	if errors.Is(err, os.ErrNotExist) {
		names, err = []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}, nil
	}
	if err != nil {
		return err
	}
	dir := c.dirOf("")
	for _, name := range append([]string{""}, names...) {
		if strings.Contains(name, "/") {
			continue
		}
		file := path.Join(dir, name)
		// Not every controller's files are in every cgroup.
		if err := sys.ChownEntry(file, uid); err != nil && (name == "" || !isErrno(err, unix.ENOENT)) {
			return err
		}
	}
	return nil
}
