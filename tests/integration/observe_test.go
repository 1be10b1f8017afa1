package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// proc reads a file of /proc/PID of the container's init, on the host.
func (c *container) proc(name string) string {
	c.t.Helper()
	return procFile(c.t, c.pid(), name)
}

func procFile(t *testing.T, pid int, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", pidText(pid), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// ns is the identity of a namespace of the container's init, "net:[4026531840]".
func (c *container) ns(kind string) string { c.t.Helper(); return nsOf(c.t, pidText(c.pid()), kind) }

// nsOf is the identity of a namespace of a process; pid may be "self".
func nsOf(t *testing.T, pid, kind string) string {
	t.Helper()
	link, err := os.Readlink(filepath.Join("/proc", pid, "ns", kind))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// nsPath is the path of a namespace of the container's init, to be joined.
func (c *container) nsPath(kind string) string {
	c.t.Helper()
	return fmt.Sprintf("/proc/%d/ns/%s", c.pid(), kind)
}

// A mount is one line of mountinfo (proc(5)).
type mount struct {
	root, point, fstype, source string
	options                     string // of the mount, comma separated
	tags                        string // "shared:N master:N", "" when private
	super                       string // options of the file system
}

func parseMountinfo(text string) (mounts []mount) {
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		dash := 6
		for f[dash] != "-" {
			dash++
		}
		mounts = append(mounts, mount{root: f[3], point: f[4], options: f[5], tags: strings.Join(f[6:dash], " "),
			fstype: f[dash+1], source: f[dash+2], super: f[dash+3]})
	}
	return mounts
}

// mounts are those of the container's init.
func (c *container) mounts() []mount { c.t.Helper(); return parseMountinfo(c.proc("mountinfo")) }

// mountAt is the topmost mount at this point in the container.
func (c *container) mountAt(point string) mount {
	c.t.Helper()
	var found *mount
	mounts := c.mounts()
	for i := range mounts {
		if mounts[i].point == point {
			found = &mounts[i]
		}
	}
	if found == nil {
		c.t.Fatalf("no mount at %s in the container: %v", point, mounts)
	}
	return *found
}

// has says whether a comma separated list of options has this one.
func (m mount) has(option string) bool {
	return strings.Contains(","+m.options+","+m.super+",", ","+option+",")
}

// traces is everything that the machine has of this container: processes, mounts, cgroups, state directories.
func (c *container) traces() (left []string) {
	for _, p := range c.processes() {
		left = append(left, p.text)
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	c.must(err)
	for _, m := range parseMountinfo(string(data)) {
		if strings.HasPrefix(m.point, c.dir+"/") {
			left = append(left, "mount "+m.point)
		}
	}
	for _, dir := range c.cgroupDirs() {
		left = append(left, "cgroup "+dir)
	}
	if entries, err := os.ReadDir(c.root); err == nil {
		for _, e := range entries {
			if strings.Contains(e.Name(), c.id) {
				left = append(left, "state "+filepath.Join(c.root, e.Name()))
			}
		}
	}
	return left
}

type process struct {
	pid  int
	text string
}

// processes are those in the container's cgroup, with its id in the command line, or rooted in its rootfs. Zombies
// do not count: they end when their parent looks.
func (c *container) processes() (found []process) {
	dirs, err := os.ReadDir("/proc")
	c.must(err)
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cgroup, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "cgroup"))
		cmdline, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "cmdline"))
		root, _ := os.Readlink(filepath.Join("/proc", d.Name(), "root"))
		if !strings.Contains(string(cgroup), c.id) && !strings.Contains(string(cmdline), c.id) && root != c.rootfs {
			continue
		}
		// The kernel starts it, on a host whose systemd has v1 hierarchies, when a cgroup is empty, and names that.
		if strings.Contains(string(cmdline), "/systemd-cgroups-agent\x00") || dead(pid) {
			continue
		}
		found = append(found, process{pid, fmt.Sprintf("process %d (%s)", pid, strings.ReplaceAll(string(cmdline), "\x00", " "))})
	}
	return found
}

// dead says that a process is gone or a zombie.
func dead(pid int) bool {
	data, err := os.ReadFile(filepath.Join("/proc", pidText(pid), "stat"))
	if err != nil {
		return true
	}
	state := string(data)[strings.LastIndexByte(string(data), ')')+2]
	return state == 'Z' || state == 'X'
}

// sweep removes what a failed test has left, so that the next one finds a clean machine.
func (c *container) sweep() {
	for _, dir := range c.cgroupDirs() {
		_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
		_ = os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	}
	for range 500 {
		left := c.processes()
		if len(left) == 0 {
			break
		}
		for _, p := range left {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
	data, _ := os.ReadFile("/proc/self/mountinfo")
	mounts := parseMountinfo(string(data))
	for i := len(mounts) - 1; i >= 0; i-- {
		if strings.HasPrefix(mounts[i].point, c.dir+"/") {
			_ = unix.Unmount(mounts[i].point, unix.MNT_DETACH)
		}
	}
	dirs := c.cgroupDirs()
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(dirs[i])
	}
}
