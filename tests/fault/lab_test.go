package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// patience is how long one call of rt, or one wait, may take; only a hang reaches it.
var patience = max(2*time.Minute, slow(20*time.Second))

// A lab is one id with a bundle and a --root directory of its own, in which things go wrong again and again.
type lab struct {
	t      testing.TB
	id     string
	dir    string
	root   string
	bundle string
	spec   *specs.Spec
	prefix []string // a command that runs rt, for every call
}

var labs atomic.Int64

func newLab(t testing.TB, edits ...func(*specs.Spec)) *lab {
	t.Helper()
	name := fmt.Sprintf("%d-%d", os.Getpid(), labs.Add(1))
	l := &lab{t: t, id: "rt-fault-" + name, dir: filepath.Join(machine.work, name)}
	l.root, l.bundle = filepath.Join(l.dir, "r"), filepath.Join(l.dir, "b")
	rootfs := filepath.Join(l.bundle, "rootfs")
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "mnt"} {
		l.must(os.MkdirAll(filepath.Join(rootfs, d), 0o755))
	}
	l.must(os.Mkdir(l.root, 0o700))
	busybox, err := os.ReadFile("/bin/busybox")
	l.must(err)
	l.must(os.WriteFile(filepath.Join(rootfs, "bin/busybox"), busybox, 0o755))
	for _, name := range []string{"sh", "sleep", "true", "cat"} {
		l.must(os.Symlink("busybox", filepath.Join(rootfs, "bin", name)))
	}
	l.spec = plain(l.id)
	for _, edit := range edits {
		edit(l.spec)
	}
	l.write()
	t.Cleanup(func() {
		l.rt("delete", "--force", l.id)
		if left := l.left(); len(left) > 0 {
			t.Errorf("left at the end: %v", left)
		}
		_ = os.RemoveAll(l.dir)
	})
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) write() {
	l.t.Helper()
	data, err := json.Marshal(l.spec)
	l.must(err)
	l.must(os.WriteFile(filepath.Join(l.bundle, "config.json"), data, 0o644))
}

const (
	memoryLimit = 64 << 20
	pidsLimit   = 50
)

// plain is what an engine asks for, more or less, with limits that can be looked at.
func plain(id string) *specs.Spec {
	memory, pids := int64(memoryLimit), int64(pidsLimit)
	caps := []string{"CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			Args: []string{"/bin/sleep", "1000"}, Cwd: "/", Env: []string{"PATH=/bin"}, NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
		},
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Hostname: "box",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "newinstance", "ptmxmode=0666"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/mnt", Type: "bind", Source: "/etc", Options: []string{"rbind", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + id,
			Resources: &specs.LinuxResources{
				Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
				Memory:  &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &pids},
			},
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}},
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// rich adds what has rt do more: a user namespace, hooks of all kinds, a filter, sysctl, tmpcopyup, a cgroup namespace.
func rich(s *specs.Spec) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"ptrace"}, Action: specs.ActErrno}}}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}},
		specs.Mount{Destination: "/etc", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
	hook := []specs.Hook{{Path: "/bin/busybox", Args: []string{"true"}}}
	s.Hooks = &specs.Hooks{CreateRuntime: hook, CreateContainer: hook, StartContainer: hook, Poststart: hook, Poststop: hook}
}

// withoutHooks: then the container's mount namespace begins without the host's tree.
func withoutHooks(s *specs.Spec) { s.Hooks = nil }

// A result is what one call of rt did.
type result struct {
	args           []string
	stdout, stderr string
	code           int
	report
}

func (r result) String() string {
	return fmt.Sprintf("rt %s: exit %d\nstdout: %.300s\nstderr: %.900s", strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

// point says where something was done.
func (r result) point() string {
	return fmt.Sprintf("call %d, %s(%s)", r.Calls, callName(r.Nr), r.Path)
}

// rt calls rt without any fault.
func (l *lab) rt(args ...string) result {
	l.t.Helper()
	cmd, out, errs := l.command(args...)
	return l.finish(cmd, args, out, errs)
}

func (l *lab) argv(args []string) []string {
	return slices.Concat(l.prefix, []string{machine.rt, "--root", l.root}, args)
}

// command is a call of rt. Its output goes to files: a container keeps a pipe open.
func (l *lab) command(args ...string) (cmd *exec.Cmd, out, errs *os.File) {
	l.t.Helper()
	argv := l.argv(args)
	cmd = exec.Command(argv[0], argv[1:]...)
	out, errs = l.temp(), l.temp()
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, out, errs
}

func (l *lab) finish(cmd *exec.Cmd, args []string, out, errs *os.File) result {
	l.t.Helper()
	timer := (*time.Timer)(nil)
	err := orphans.Start(cmd)
	if err == nil {
		timer = time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		err = orphans.Wait(cmd)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	r := result{args: args, stdout: text(l.t, out), stderr: text(l.t, errs), code: exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus))}
	if !timer.Stop() {
		l.t.Fatalf("hung: %s", r)
	}
	return r
}

func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// temp is an open file without a name.
func (l *lab) temp() *os.File {
	l.t.Helper()
	f, err := os.CreateTemp(l.dir, "out-")
	l.must(err)
	l.must(os.Remove(f.Name()))
	return f
}

func text(t testing.TB, f *os.File) string {
	t.Helper()
	defer f.Close()
	var b bytes.Buffer
	buf := make([]byte, 4096)
	for at := int64(0); ; {
		n, err := f.ReadAt(buf, at)
		b.Write(buf[:n])
		at += int64(n)
		if err != nil {
			return b.String()
		}
	}
}

// inject calls rt under the injector.
func (l *lab) inject(j job, args ...string) result {
	l.t.Helper()
	j.Args = l.argv(args)
	j.Dir, j.Limit = l.dir, patience
	if j.Only == 0 {
		j.Only = -1
	}
	files := [2]*os.File{}
	j.Files[0] = "/dev/null"
	for i := range files {
		f, err := os.CreateTemp(l.dir, "out-")
		l.must(err)
		defer os.Remove(f.Name())
		files[i], j.Files[i+1] = f, f.Name()
	}
	data, err := json.Marshal(j)
	l.must(err)
	said, w, err := os.Pipe()
	l.must(err)
	defer said.Close()
	cmd := exec.Command(machine.self)
	cmd.Env, cmd.ExtraFiles, cmd.Stderr = []string{jobVariable + "=" + string(data)}, []*os.File{w}, os.Stderr
	l.must(orphans.Start(cmd))
	w.Close()
	r := result{args: args}
	if err := json.NewDecoder(said).Decode(&r.report); err != nil || r.Err != "" {
		l.t.Fatalf("injector: %v %s", err, r.Err)
	}
	l.must(orphans.Wait(cmd))
	r.stdout, r.stderr, r.code = text(l.t, files[0]), text(l.t, files[1]), exitCode(r.Status)
	return r
}

// ok is rt, which must succeed.
func (l *lab) ok(args ...string) result {
	l.t.Helper()
	r := l.rt(args...)
	if r.code != 0 {
		l.t.Fatalf("want success: %s", r)
	}
	return r
}

func (l *lab) create() result { l.t.Helper(); return l.ok("create", "--bundle", l.bundle, l.id) }

func (l *lab) up() {
	l.t.Helper()
	l.create()
	l.ok("start", l.id)
}

// state is the container's state, or "" if it does not exist.
func (l *lab) state() (string, error) {
	r := l.rt("state", l.id)
	if r.code != 0 {
		if strings.Contains(r.stderr, "container does not exist") {
			return "", nil
		}
		return "", fmt.Errorf("%s", r)
	}
	var s specs.State
	err := json.Unmarshal([]byte(r.stdout), &s)
	return string(s.Status), err
}

// hasState says whether the container has a directory.
func (l *lab) hasState() bool {
	_, err := os.Stat(filepath.Join(l.root, l.id))
	return err == nil
}

// left lists what the machine has of this container. Processes get time: a killed one ends by and by.
func (l *lab) left() (left []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(3 * time.Millisecond) {
		if left = l.traces(); len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// traces: processes, cgroups, mounts, directories. A lock ends with its directory, network devices with a namespace that no
// process is in.
func (l *lab) traces() (left []string) {
	for _, dir := range cgroupMounts() {
		if _, err := os.Stat(filepath.Join(dir, l.id)); err == nil {
			left = append(left, "cgroup "+filepath.Join(dir, l.id))
		}
	}
	if entries, err := os.ReadDir(l.root); err == nil {
		for _, e := range entries {
			left = append(left, "state "+e.Name())
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return append(left, err.Error())
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], l.dir+"/") {
			left = append(left, "mount "+f[4])
		}
	}
	for _, p := range l.processes() {
		left = append(left, "process "+p)
	}
	return left
}

// processes are those in the container's cgroup, with its id in the command line, or rooted in its rootfs, but for the one by which
// the kernel tells systemd of an empty cgroup v1.
func (l *lab) processes() (found []string) {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cgroup, _ := os.ReadFile("/proc/" + d.Name() + "/cgroup")
		cmdline, _ := os.ReadFile("/proc/" + d.Name() + "/cmdline")
		root, _ := os.Readlink("/proc/" + d.Name() + "/root")
		ours := hasWord(string(cgroup), l.id) || hasWord(string(cmdline), l.id) || strings.HasPrefix(root, l.dir+"/")
		if ours && !dead(pid) && !strings.HasPrefix(string(cmdline), "/lib/systemd/systemd-cgroups-agent\x00") {
			found = append(found, d.Name()+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}

// hasWord: rt-fault-1-1 is not in rt-fault-1-10.
func hasWord(text, id string) bool {
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return r == '/' || r == '\n' || r == 0 || r == ':' }) {
		if f == id {
			return true
		}
	}
	return false
}

func dead(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	state := string(data)[strings.LastIndexByte(string(data), ')')+2]
	return state == 'Z' || state == 'X'
}

// cgroupMounts are where hierarchies of cgroups are mounted.
func cgroupMounts() (dirs []string) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if before, after, ok := strings.Cut(line, " - "); ok && strings.HasPrefix(after, "cgroup") {
			dirs = append(dirs, strings.Fields(before)[4])
		}
	}
	return dirs
}
