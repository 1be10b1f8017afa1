package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A Mark is the text that rt writes on a container's cgroups and resctrl groups (sys.SetMark). It tells whose they are when nothing else
// does.
type Mark struct {
	View         string // in which Dir is a path: mount namespace and root directory of the rt that made the mark
	Dir          string // of the container
	PidNamespace uint64 // inode of that rt's; 0: an rt made the mark that did not write it
	Unit         string // systemd unit of the container, or ""
	Trusted      bool   // by sys.Mark
}

// MarkText is the text of the container's mark; "" if rt cannot tell its own view.
func (c *Container) MarkText() string {
	view := ownView()
	if view == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d:%s %s", view, c.PidNamespace, c.Unit, c.Dir)
}

// ParseMark reads the text of a mark.
func ParseMark(text string, trusted bool) (m Mark, ok bool) {
	view, dir, _ := strings.Cut(text, " ")
	f := strings.SplitN(view, ":", 5)
	if len(f) != 3 && len(f) != 5 || !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return Mark{}, false
	}
	m = Mark{View: strings.Join(f[:3], ":"), Dir: dir, Trusted: trusted}
	if len(f) == 5 {
		m.PidNamespace, _ = strconv.ParseUint(f[3], 10, 64)
		m.Unit = f[4]
	}
	return m, true
}

// IsForeign says whether the mark was made in another view of the files.
func (m Mark) IsForeign() bool { return ownView() != m.View }

// IsForeignMark says so of the text of a mark. It implements cgroups.Claim.Elsewhere.
func IsForeignMark(text string) bool {
	m, ok := ParseMark(text, true)
	return ok && m.IsForeign()
}

// mounts is the inode of the view's mount namespace.
func (m Mark) mounts() uint64 {
	ns, _, _ := strings.Cut(m.View, ":")
	n, _ := strconv.ParseUint(ns, 10, 64)
	return n
}

// MarkedContainer is the directory of the container that a mark names, "" if there is none. lives: it runs, or is being created, or that
// cannot be told. The mark counts only if the container's record names the inode of the marked directory. MarkedContainer implements
// cgroups.Claim.Other.
func (r *Root) MarkedContainer(text string, trusted bool, inode uint64) (dir string, lives bool) {
	m, ok := ParseMark(text, trusted)
	if !ok || !trusted && os.Geteuid() == 0 { // a user can write any text
		return "", false
	}
	if m.IsForeign() && (m.mounts() == 0 || isInUse(m.mounts())) {
		return m.Dir, trusted // the container's record cannot be seen here
	}
	c := r.ContainerAt(m.Dir)
	err := c.Load()
	if errors.Is(err, ErrNotExist) {
		if _, err := os.Lstat(m.Dir); errors.Is(err, fs.ErrNotExist) {
			return "", false
		}
		if err = c.ReadJournal(); err == nil {
			return m.ifRecorded(c, inode, c.IsHeld())
		}
	}
	if err != nil {
		return m.ifRecorded(c, inode, true)
	}
	if c.Gone {
		return "", false
	}
	alive, err := c.IsAlive()
	return m.ifRecorded(c, inode, alive || err != nil || !IsOwnPidNamespace(c.PidNamespace))
}

// ifRecorded returns the container's directory if its record names the inode. Other directories with this mark belong to a container of
// the same name elsewhere, as in a container that runs containers. An older rt made no record: then a trusted mark counts.
func (m Mark) ifRecorded(c *Container, inode uint64, lives bool) (string, bool) {
	if m.Trusted && c.Taken == nil {
		return m.Dir, lives
	}
	for _, taken := range c.Taken {
		if taken == strconv.FormatUint(inode, 10) {
			return m.Dir, lives
		}
	}
	return "", false
}

// MayLive says whether the container exists that has marked these cgroups, or whether that cannot be told. Without cgroups any
// container in the mark's directory counts.
func (r *Root) MayLive(m Mark, cgroups []string) bool {
	if !IsOwnPidNamespace(m.PidNamespace) {
		return true
	}
	if m.IsForeign() {
		// Another rt may see the directory, or it may be here all the same.
		return isInUse(m.mounts()) || r.mayHave(m.Dir, cgroups) || r.mayHave(r.Path(filepath.Base(m.Dir)), cgroups)
	}
	return r.mayHave(m.Dir, cgroups)
}

// mayHave says whether the container in this directory has one of the cgroups, or whether that cannot be told.
func (r *Root) mayHave(dir string, cgroups []string) bool {
	c := r.ContainerAt(dir)
	if c.IsHeld() {
		return true
	}
	err := c.Load()
	if err != nil && !sys.Unseen(err) {
		err = c.ReadJournal()
	}
	if err != nil {
		return true
	}
	if len(c.Cgroups) == 0 || cgroups == nil {
		_, err := os.Lstat(dir)
		return !errors.Is(err, fs.ErrNotExist) && !c.Gone
	}
	return slices.ContainsFunc(cgroups, func(cgroup string) bool {
		for _, own := range c.Cgroups {
			if own == cgroup || isSameFile(own, cgroup) { // a hierarchy may be mounted twice
				return true
			}
		}
		return false
	})
}

func isSameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// isInUse says whether a process is in a mount namespace; also if that cannot be seen of every process.
func isInUse(mounts uint64) bool {
	entries, err := sys.ReadDir("/proc")
	if err != nil || unix.Access("/proc/1", unix.F_OK) != nil { // hidepid hides processes
		return true
	}
	for _, e := range entries {
		if n := e.Name(); n[0] < '0' || n[0] > '9' {
			continue
		}
		var st unix.Stat_t
		err := unix.Stat("/proc/"+e.Name()+"/ns/mnt", &st)
		if err == nil && st.Ino == mounts || err != nil && err != unix.ENOENT && err != unix.ESRCH { // it has ended
			return true
		}
	}
	return false
}

// OwnPidNamespace is the inode of rt's own pid namespace, 0 if it cannot be told.
func OwnPidNamespace() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
}

// IsOwnPidNamespace says whether a pid namespace is rt's own. The processes of another one cannot be seen from here.
func IsOwnPidNamespace(ns uint64) bool { return ns != 0 && ns == OwnPidNamespace() }

// ownView identifies the files that rt sees: inode of its mount namespace, device and inode of its root directory.
func ownView() string {
	ns, root := ownMountNamespace(), unix.Stat_t{}
	if ns == 0 || unix.Stat("/proc/self/root/.", &root) != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d:%d", ns, root.Dev, root.Ino)
}

// ownMountNamespace is the inode of rt's own mount namespace, 0 if it cannot be told.
func ownMountNamespace() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/mnt", &st) != nil {
		return 0
	}
	return st.Ino
}
