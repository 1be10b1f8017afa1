package libcontainer

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A mark is what rt writes on a container's cgroup, for `rt doctor`: whose it is when nothing else tells.
type mark struct {
	view string // where dir is a path: mount namespace and root of who has made it
	dir  string // the container's directory

	pids    uint64 // pid namespace of who has made it, 0 if the mark is of an rt that did not write it
	unit    string // the container's systemd unit, or ""
	trusted bool   // by sys.Mark
}

// mark is "" where it cannot be told what rt itself sees.
func (c *container) mark() string {
	view := viewOf("self")
	if view == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d:%s %s", view, c.PidNamespace, c.Unit, c.dir)
}

// pidNamespace is the inode of rt's own pid namespace, 0 if it cannot be told.
func pidNamespace() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
}

// ourPids says whether a pid namespace is rt's own: what is of another one has processes that cannot be seen from here.
func ourPids(ns uint64) bool { return ns != 0 && ns == pidNamespace() }

// viewOf says which files a process sees: inode of its mount namespace, and what its root is there.
func viewOf(pid string) string {
	ns, root := mountNamespace(pid), unix.Stat_t{}
	if ns == 0 || unix.Stat("/proc/"+pid+"/root/.", &root) != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d:%d", ns, root.Dev, root.Ino)
}

// mountNamespace is the inode of a process's mount namespace, 0 if it cannot be told.
func mountNamespace(pid string) uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/"+pid+"/ns/mnt", &st) != nil {
		return 0
	}
	return st.Ino
}

func parseMark(text string, trusted bool) (m mark, ok bool) {
	view, dir, _ := strings.Cut(text, " ")
	f := strings.SplitN(view, ":", 5)
	if len(f) != 3 && len(f) != 5 || !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return mark{}, false
	}
	m = mark{view: strings.Join(f[:3], ":"), dir: dir, trusted: trusted}
	if len(f) == 5 {
		m.pids, _ = strconv.ParseUint(f[3], 10, 64)
		m.unit = f[4]
	}
	return m, true
}

// mounts is the inode of the mark's mount namespace.
func (m mark) mounts() uint64 {
	ns, _, _ := strings.Cut(m.view, ":")
	n, _ := strconv.ParseUint(ns, 10, 64)
	return n
}
