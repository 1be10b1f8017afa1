package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// underSystemd says that RT_SYSTEMD_CGROUP asks for --systemd-cgroup with every call.
var underSystemd = sync.OnceValue(func() bool { return os.Getenv("RT_SYSTEMD_CGROUP") != "" })

// needRoot leaves out what no ordinary user can do, delegated cgroup or not.
func needRoot(t *testing.T, why string) {
	t.Helper()
	if ordinaryUser() {
		t.Skipf("root only: %s", why)
	}
}

// ordinaryUser says that the tests run as an ordinary user, who has a cgroup v2 delegated to him.
func ordinaryUser() bool { return os.Geteuid() != 0 }

// delegated is the cgroup that an ordinary user's containers are made in, "" for root.
var delegated string

// leaveCgroup moves this process of an ordinary user, and those that it shares its cgroup with, into a cgroup below
// that: the kernel gives no controllers to the children of a cgroup that has processes.
func leaveCgroup() error {
	if !ordinaryUser() {
		return nil
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	own, found := strings.CutPrefix(strings.TrimSpace(string(text)), "0::")
	if !found || !pureV2() {
		return fmt.Errorf("an ordinary user needs a delegated cgroup v2; this one has %q", text)
	}
	delegated = strings.TrimSuffix(own, "/suite")
	suite := filepath.Join(cgroupRoot, delegated, "suite")
	if err := os.MkdirAll(suite, 0o755); err != nil {
		return err
	}
	pids, err := os.ReadFile(filepath.Join(cgroupRoot, delegated, "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, pid := range strings.Fields(string(pids)) {
		if err := os.WriteFile(filepath.Join(suite, "cgroup.procs"), []byte(pid), 0); err != nil {
			return err
		}
	}
	return nil
}

// cgroupsPath is what a container's configuration has as linux.cgroupsPath.
func cgroupsPath(id string) string {
	if underSystemd() {
		return "system.slice:rt-test:" + id
	}
	return filepath.Join("/", delegated, "rt-test-"+id)
}

// cgroupPath is where the container's cgroup is in each hierarchy: what /proc/PID/cgroup says.
func (c *container) cgroupPath() string {
	parts := strings.Split(c.spec.Linux.CgroupsPath, ":")
	if len(parts) == 3 {
		return filepath.Join("/", parts[0], parts[1]+"-"+parts[2]+".scope")
	}
	return c.spec.Linux.CgroupsPath
}

// cgroup is the directory of the container's cgroup; v2 has but one.
func (c *container) cgroup(controller string) string {
	if pureV2() {
		return filepath.Join(cgroupRoot, c.cgroupPath())
	}
	return filepath.Join(cgroupRoot, controller, c.cgroupPath())
}

// cgroupFile reads a file of the container's cgroup.
func (c *container) cgroupFile(controller, file string) string {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.cgroup(controller), file))
	c.must(err)
	return strings.TrimSpace(string(data))
}

// lines are those of a file of the container's cgroup.
func (c *container) lines(controller, file string) []string {
	c.t.Helper()
	return strings.Fields(c.cgroupFile(controller, file))
}

// cgroupDirs are the directories named after this container in any hierarchy.
func (c *container) cgroupDirs() (dirs []string) {
	if pureV2() {
		return cgroupsBelow(cgroupRoot, c.id)
	}
	for _, pattern := range []string{"*", "*/*"} {
		found, _ := filepath.Glob(filepath.Join(cgroupRoot, pattern, "*"+c.id+"*"))
		for _, dir := range found { // a controller may be a link to the hierarchy that it shares
			if dir, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// cgroupsBelow finds the topmost cgroups with this in their names. Others come and go meanwhile.
func cgroupsBelow(dir, name string) (found []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		switch path := filepath.Join(dir, e.Name()); {
		case !e.IsDir():
		case strings.Contains(e.Name(), name):
			found = append(found, path)
		default:
			found = append(found, cgroupsBelow(path, name)...)
		}
	}
	return found
}

// onlyFileDriver leaves out a test that --systemd-cgroup has no counterpart of.
func onlyFileDriver(t *testing.T, why string) {
	t.Helper()
	if underSystemd() {
		t.Skipf("file driver only: %s", why)
	}
}

// kernelBefore says that the kernel is older than a version.
func kernelBefore(major, minor int) bool {
	var u unix.Utsname
	var x, y int
	if err := unix.Uname(&u); err != nil {
		panic(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &x, &y); err != nil {
		panic(err)
	}
	return x < major || x == major && y < minor
}

// noMappedTmpfs: a tmpfs cannot be id-mapped before Linux 6.3.
func noMappedTmpfs() bool { return kernelBefore(6, 3) }
