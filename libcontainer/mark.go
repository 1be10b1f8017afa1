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
}

// mark is "" where it cannot be told what rt itself sees.
func (c *container) mark() string {
	view := viewOf("self")
	if view == "" {
		return ""
	}
	return view + " " + c.dir
}

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

func parseMark(text string) (m mark, ok bool) {
	view, dir, _ := strings.Cut(text, " ")
	if strings.Count(view, ":") != 2 || !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return mark{}, false
	}
	return mark{view, dir}, true
}

// mounts is the inode of the mark's mount namespace.
func (m mark) mounts() uint64 {
	ns, _, _ := strings.Cut(m.view, ":")
	n, _ := strconv.ParseUint(ns, 10, 64)
	return n
}
