package configs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A job is what a worker is told.
type job struct {
	Stage     int // 1: join the cgroups; 2: in all namespaces
	Dir       string
	RT        string
	Hierarchy []hierarchy
	Seed      uint64
	First     int // the cases First, First+Step ... below Count
	Step      int
	Count     int
	Limit     time.Duration // of one call of rt
}

// A hierarchy is a mount of cgroups, and the worker's directory in it.
type hierarchy struct {
	Mount, Type, Options string
	Dir                  string
}

const jobVariable = "RT_CONFIGS_JOB"

const namespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// hierarchies are those of the host; each gets a directory for the worker.
func hierarchies(name string) (all []hierarchy, err error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) < 6 || len(g) < 3 || g[0] != "cgroup" && g[0] != "cgroup2" || !strings.HasPrefix(f[4], "/sys/fs/cgroup") || seen[f[4]] {
			continue
		}
		seen[f[4]] = true
		var options []string
		for _, o := range strings.Split(g[2], ",") {
			if o != "rw" && o != "ro" && o != "xattr" && !strings.HasPrefix(o, "release_agent=") {
				options = append(options, o)
			}
		}
		h := hierarchy{Mount: f[4], Type: g[0], Dir: filepath.Join(f[4], name)}
		if g[0] == "cgroup" {
			h.Options = strings.Join(options, ",")
		}
		all = append(all, h)
	}
	if len(all) == 0 {
		return nil, errors.New("there are no cgroups")
	}
	for _, h := range all {
		if err := os.Mkdir(h.Dir, 0o755); err != nil {
			return all, err
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // a new v1 cpuset is empty
			if value, err := os.ReadFile(filepath.Join(h.Mount, file)); err == nil && h.Type == "cgroup" {
				if err := os.WriteFile(filepath.Join(h.Dir, file), value, 0); err != nil {
					return all, err
				}
			}
		}
	}
	return all, nil
}

// enableAll has a pure v2 root hand down its controllers, as systemd has it.
func enableAll(all []hierarchy) {
	if len(all) != 1 || all[0].Type != "cgroup2" {
		return
	}
	controllers, _ := os.ReadFile(filepath.Join(all[0].Mount, "cgroup.controllers"))
	for _, c := range strings.Fields(string(controllers)) {
		_ = os.WriteFile(filepath.Join(all[0].Mount, "cgroup.subtree_control"), []byte("+"+c), 0)
	}
}

// removeAll removes the worker's directories, when its last process has ended.
func removeAll(all []hierarchy) (err error) {
	for _, h := range all {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if err = removeTree(h.Dir); err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func removeTree(dir string) error {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// work is a worker's main.
func work(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	if j.Stage == 1 {
		return j.join()
	}
	if err := j.enter(); err != nil {
		return fmt.Errorf("make the sandbox: %w", err)
	}
	return j.cases()
}

// join moves the worker into its cgroups, makes that the root of its cgroup namespace, and starts again in there.
func (j *job) join() error {
	for _, h := range j.Hierarchy {
		if err := os.WriteFile(filepath.Join(h.Dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
	}
	runtime.LockOSThread() // which execve makes the process's only one
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	j.Stage = 2
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", []string{"worker"}, []string{jobVariable + "=" + string(data)})
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", kind, target, err)
	}
	return nil
}

// enter makes a root of its own, and leaves that of the host.
func (j *job) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	root := j.Dir
	if err := mount("tmpfs", root, "tmpfs", 0, "size=256m,mode=755"); err != nil {
		return err
	}
	for from, to := range map[string]string{j.RT: "/rt", "/bin/busybox": "/bin/busybox"} {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(root+to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(root+to, data, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(root+"/bin/hook", []byte("#!/bin/busybox sh\n/bin/busybox cat > /dev/null\n"), 0o755); err != nil {
		return err
	}
	for _, m := range []struct {
		kind, at string
		flags    uintptr
		data     string
	}{
		{"proc", "/proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sysfs", "/sys", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "size=16m,mode=755"},
		{"tmpfs", "/tmp", 0, "size=128m,mode=1777"}, // bundles are there
		{"tmpfs", "/dev", unix.MS_NOSUID, "size=1m,mode=755"},
	} {
		if err := mount(m.kind, root+m.at, m.kind, m.flags, m.data); err != nil {
			return err
		}
	}
	for name, number := range map[string][2]uint32{"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0}} {
		if err := errors.Join(unix.Mknod(root+"/dev/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(number[0], number[1]))), os.Chmod(root+"/dev/"+name, 0o666)); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(j.Hierarchy, func(h hierarchy) bool { return h.Mount == "/sys/fs/cgroup" }) {
		if err := mount("tmpfs", root+"/sys/fs/cgroup", "tmpfs", 0, "size=1m,mode=755"); err != nil {
			return err
		}
	}
	for _, h := range j.Hierarchy {
		if err := mount("cgroup", root+h.Mount, h.Type, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, h.Options); err != nil {
			return err
		}
		// The root of the cgroup namespace must not hold processes, or v2 hands down no controllers.
		leaf := root + h.Mount + "/worker"
		if err := os.Mkdir(leaf, 0o755); err != nil {
			return err
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(root + h.Mount + "/" + file); err == nil && h.Type == "cgroup" {
				if err := os.WriteFile(leaf+"/"+file, value, 0); err != nil {
					return err
				}
			}
		}
		if err := os.WriteFile(leaf+"/cgroup.procs", []byte("0"), 0); err != nil {
			return err
		}
	}
	return leaveHost(root)
}

// CAP_SYS_TIME stays, for the offsets of time namespaces need it; no configuration grants it.

// leaveHost makes root the root, detaches the host's, makes what rt has no business to write to read-only, and gives up the
// capabilities by which a machine is changed.
func leaveHost(root string) error {
	if err := os.MkdirAll(root+"/old", 0o755); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, root+"/old"); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := errors.Join(os.Chdir("/"), unix.Unmount("/old", unix.MNT_DETACH), os.Remove("/old")); err != nil {
		return err
	}
	for _, at := range []string{"/", "/dev"} {
		if err := unix.MountSetattr(unix.AT_FDCWD, at, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("make %s read-only: %w", at, err)
		}
	}
	for _, c := range []uintptr{unix.CAP_SYS_BOOT, unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYSLOG, unix.CAP_MAC_ADMIN,
		unix.CAP_MAC_OVERRIDE, unix.CAP_LINUX_IMMUTABLE, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND, unix.CAP_SYS_PACCT, unix.CAP_SYS_TTY_CONFIG} {
		if err := everyThread(unix.PR_CAPBSET_DROP, c); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// everyThread makes a prctl in all threads, from any of which rt may be started.
func everyThread(option, arg uintptr) error {
	if _, _, e := syscall.AllThreadsSyscall(syscall.SYS_PRCTL, option, arg, 0); e != 0 && e != syscall.EINVAL {
		return e
	}
	return nil
}

// A call is what one call of rt did.
type call struct {
	args           []string
	code           int
	stdout, stderr string
	late           bool
	took           time.Duration
}

func (c call) String() string {
	return fmt.Sprintf("rt %s: exit status %d after %v\nstdout: %.500s\nstderr: %.1500s", strings.Join(c.args, " "), c.code, c.took.Round(time.Millisecond), c.stdout, c.stderr)
}

// rt calls rt. Its output goes to files: a container keeps a pipe open.
func (j *job) rt(dir string, args ...string) (call, error) {
	c := call{args: args}
	var files [2]*os.File
	for i := range files {
		f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
		if err != nil {
			return c, err
		}
		defer f.Close()
		files[i] = f
	}
	cmd := exec.Command("/rt", append([]string{"--root", dir + "/root"}, args...)...)
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	cmd.Env = []string{"PATH=/bin"}
	begin := time.Now()
	if err := orphans.Start(cmd); err != nil {
		return c, err
	}
	timer := time.AfterFunc(j.Limit, func() { _ = cmd.Process.Kill() })
	_ = orphans.Wait(cmd) // the status says it
	c.late, c.took = !timer.Stop(), time.Since(begin)
	c.code = cmd.ProcessState.ExitCode()
	for i, to := range []*string{&c.stdout, &c.stderr} {
		data := make([]byte, 1<<16)
		n, _ := files[i].ReadAt(data, 0)
		*to = string(data[:n])
	}
	return c, nil
}

// cgroupLine tells the cgroup of a container, which has rt's mark, from one that was made because a container's is below it. Those stay, as
// with runc: another container may be about to use them.
func cgroupLine(dir string) string {
	if n, err := unix.Getxattr(dir, "trusted.rt.container", nil); err == nil && n > 0 {
		return "container's cgroup " + dir
	}
	return "cgroup " + dir
}

// picture is what a case must leave as it was: processes, mounts, cgroups.
func (j *job) picture() (lines []string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if e.Name()[0] >= '1' && e.Name()[0] <= '9' {
			name, err := os.ReadFile("/proc/" + e.Name() + "/comm")
			if err == nil {
				lines = append(lines, "process "+strings.TrimSpace(string(name)))
			}
		}
	}
	if f, err := os.Open("/proc/self/mountinfo"); err == nil {
		for s := bufio.NewScanner(f); s.Scan(); {
			lines = append(lines, "mount "+s.Text())
		}
		f.Close()
	}
	for _, h := range j.Hierarchy {
		_ = filepath.WalkDir(h.Mount, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				lines = append(lines, cgroupLine(path))
			}
			return nil
		})
	}
	return lines
}
