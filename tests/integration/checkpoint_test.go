package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkpoint and restore with CRIU itself, where it works: `criu check` says so.

// criuProgram is the CRIU to test with: the one that RT_CRIU names, else the one that scripts/criu gets, else that in PATH.
func criuProgram() string {
	program, _ := criuFound()
	return program
}

// criuFound looks for it; missing is why scripts/criu has none.
var criuFound = sync.OnceValues(func() (program, missing string) {
	if program := os.Getenv("RT_CRIU"); program != "" {
		return program, ""
	}
	script, err := filepath.Abs("../../scripts/criu")
	if err != nil {
		return "criu", err.Error()
	}
	if _, err := os.Lstat(script); err != nil { // in a guest
		return "criu", ""
	}
	out, text, err := commandOutput(script)
	if err != nil {
		return "criu", text
	}
	return strings.TrimSpace(out), ""
})

// commandOutput runs a program as a child of this process, which reaps orphans too.
func commandOutput(program string, args ...string) (stdout, stderr string, err error) {
	var files [2]*os.File
	for i := range files {
		if files[i], err = os.CreateTemp(machine.work, "output-"); err != nil {
			return "", "", err
		}
		defer os.Remove(files[i].Name())
		defer files[i].Close()
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	if err = orphans.Start(cmd); err == nil {
		err = orphans.Wait(cmd)
	}
	var text [2]string
	for i, f := range files {
		data, readErr := os.ReadFile(f.Name())
		if text[i] = strings.TrimSpace(string(data)); readErr != nil {
			return "", "", readErr
		}
	}
	return text[0], text[1], err
}

// criuCheck is why CRIU does not work here, "" if it does.
var criuCheck = sync.OnceValue(func() string {
	program, missing := criuFound()
	path, err := exec.LookPath(program)
	if err != nil {
		return strings.TrimSpace("CRIU is not installed: " + missing)
	}
	if _, text, err := commandOutput(path, "check"); err != nil {
		return fmt.Sprintf("criu check: %v: %s %s", err, text, missing)
	}
	return ""
})

// criuNetworks is why CRIU cannot save a network namespace here, "" if it can: it is tried on a process that no runtime has made.
var criuNetworks = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp(machine.work, "criu-net-")
	if err != nil {
		return err.Error()
	}
	holder := exec.Command("unshare", "-n", "sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := orphans.Start(holder); err != nil {
		return err.Error()
	}
	defer func() {
		_ = holder.Process.Kill()
		_ = orphans.Wait(holder)
	}()
	for !strings.Contains(commandOf(holder.Process.Pid), "sleep 1000") {
		time.Sleep(time.Millisecond)
	}
	lock := "iptables"
	if _, err := exec.LookPath("iptables-restore"); err != nil {
		lock = "nftables"
	}
	dump := exec.Command(criuProgram(), "dump", "-t", pidText(holder.Process.Pid), "-D", dir, "-o", "log", "--leave-running", "--empty-ns", "net", "--network-lock", lock)
	if err := orphans.Start(dump); err == nil {
		_ = orphans.Wait(dump)
	}
	if dump.ProcessState != nil && dump.ProcessState.Success() {
		return ""
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "Error") {
			return "CRIU saves no network namespace here: " + strings.TrimSpace(line)
		}
	}
	return "CRIU saves no network namespace here"
})

func commandOf(pid int) string {
	data, _ := os.ReadFile("/proc/" + pidText(pid) + "/cmdline")
	return strings.ReplaceAll(string(data), "\x00", " ")
}

// networked leaves the container a network namespace if CRIU can save one; else it is in the host's.
func networked(t *testing.T) func(*specs.Spec) {
	t.Helper()
	if why := criuNetworks(); why != "" {
		t.Log(why)
		return namespace(specs.NetworkNamespace, "-")
	}
	return func(*specs.Spec) {}
}

// needsCriu skips where CRIU cannot do it.
func needsCriu(t *testing.T) {
	t.Helper()
	rtOnly(t, "checkpoint: a container whose stdin")
	if os.Geteuid() != 0 || ordinaryUser() {
		t.Skip("CRIU needs root")
	}
	if why := criuCheck(); why != "" {
		t.Skip(why)
	}
}

// counting is a process that counts in /tmp/n.
func counting(s *specs.Spec) {
	mounted("/tmp", "tmpfs", "tmpfs", "mode=1777")(s)
	script("trap 'exit 7' USR1; i=0; while :; do i=$((i+1)); echo $i > /tmp/m; mv /tmp/m /tmp/n; usleep 100000; done")(s)
}

// upOwned starts a container with a user namespace that CRIU can save, by rt below a prefix. CRIU asks for the limits of its processes (prlimit), which
// takes CAP_SYS_RESOURCE or the namespace's owner; without CAP_KILL rt makes itself the owner (nsenter/namespaces.c).
func (c *container) upOwned(prefix ...string) *container {
	c.t.Helper()
	c.prefix = prefix
	if !hasCapability(unix.CAP_SYS_RESOURCE) {
		c.prefix = append(slices.Clone(prefix), "setpriv", "--bounding-set=-kill")
	}
	c.create().ok()
	c.prefix = prefix
	c.start().ok()
	return c
}

// count is how far it has come.
func (c *container) count() int {
	c.t.Helper()
	n, err := strconv.Atoi(c.sh("until test -f /tmp/n; do usleep 10000; done; cat /tmp/n"))
	c.must(err)
	return n
}

// counts waits until the count is beyond n, and gives it.
func (c *container) counts(n int) (now int) {
	c.t.Helper()
	eventually(c.t, "a count beyond "+strconv.Itoa(n), func() bool { now = c.count(); return now > n })
	return now
}

// goesOn waits until a restored process has counted on from at least n, which it had reached before.
func (c *container) goesOn(n int) int {
	c.t.Helper()
	now := c.count()
	if now < n {
		c.t.Fatalf("it has begun anew: %d after %d", now, n)
	}
	return c.counts(now)
}

// checkpoint calls the verb with the CRIU that is tested with.
func (c *container) checkpoint(flags ...string) result {
	c.t.Helper()
	return c.do(viaCriu(criuProgram(), call{args: append(append([]string{"checkpoint"}, flags...), c.id)}))
}

// viaCriu is a call that uses this CRIU: rt by its flag, a peer by PATH.
func viaCriu(program string, c call) call {
	if machine.peer.isRt() {
		c.global = append(c.global, "--criu", program)
	} else {
		c.env = append(c.env, "PATH="+filepath.Dir(program)+":"+callerPath)
	}
	return c
}

// save makes images.
func (c *container) save(flags ...string) result {
	c.t.Helper()
	return c.checkpoint(append([]string{"--image-path", c.images()}, flags...)...)
}

// back restores the container detached.
func (c *container) back(flags ...string) result {
	c.t.Helper()
	return c.do(viaCriu(criuProgram(), call{args: c.with("restore", append([]string{"-d", "--image-path", c.images()}, flags...)...)}))
}

// TestCheckpointCounter: what was saved goes on, as often as one likes, as a container like any other.
func TestCheckpointCounter(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	before := c.counts(2)
	c.save("--leave-running").ok()
	c.counts(before)
	c.save().ok()
	c.rt("state", c.id).fails("does not exist")
	for range 2 {
		c.back().ok()
		if s := c.state(); s.Status != "running" || s.Pid == 0 || s.Bundle != c.bundle {
			t.Errorf("%+v", s)
		}
		n := c.goesOn(before)
		c.rt("pause", c.id).ok()
		c.awaitStatus("paused")
		c.rt("resume", c.id).ok()
		c.counts(n)
		c.rt("update", "--pids-limit", "77", c.id).ok()
		if ps := c.rt("ps", c.id).ok(); !strings.Contains(ps.stdout, "usleep") && !strings.Contains(ps.stdout, "sh -c") {
			t.Errorf("ps: %s", ps)
		}
		c.stopped()
		c.delete().ok()
	}
}

// TestCheckpointKeeps: identity, capabilities, filter, limits, mounts and masks are those of before.
func TestCheckpointKeeps(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t), mounted("/vol", "bind", "vol", "bind", "ro"), mounted("/etc/f", "bind", "file", "rbind"),
		namespace(specs.CgroupNamespace, ""), func(s *specs.Spec) {
			if hasCapability(unix.CAP_SYS_RESOURCE) { // without it CRIU cannot ask for the limits of another user's process
				s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{7}}
			}
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"personality"}, Action: specs.ActErrno}}}
		})
	c.file("b/vol/x", "volume", 0o644)
	c.file("b/file", "file", 0o644)
	c.up()
	look := func() string {
		return c.execWith([]string{"--user", "0"}, "sh", "-c", `grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)' /proc/1/status; cat /proc/1/limits | grep 'open files'
			cat /vol/x /etc/f; touch /vol/y 2>&1; cat /proc/kcore | wc -c; ls -A /sys/firmware | wc -l; echo x 2>&1 > /proc/sysrq-trigger; hostname; cat /proc/1/cgroup
			sed 's/^[0-9]* [0-9]* [0-9:]* //; s/ - \([a-z0-9]*\) .*/ \1/; s/shared:[0-9]* //; s/master:[0-9]* //' /proc/1/mountinfo | sort`).stdout
	}
	n, before := c.counts(0), look()
	c.save().ok()
	r := c.back().ok()
	c.goesOn(n)
	after := look()
	if strings.Contains(r.stderr, "/process/noNewPrivileges: this CRIU does not restore it") {
		after = strings.Replace(after, "NoNewPrivs:\t0", "NoNewPrivs:\t1", 1)
	}
	if after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if !strings.Contains(before, "volumefile") {
		t.Errorf("seen: %s", before)
	}
}

// TestCheckpointReadonlyRoot: a read-only root is read-only again, also where nothing in it can be written.
func TestCheckpointReadonlyRoot(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, script("while :; do usleep 100000; done"), networked(t)).up()
	c.save().ok()
	c.back().ok()
	if r := c.exec("touch", "/x"); !strings.Contains(r.stderr, "Read-only file system") {
		t.Errorf("the root can be written: %s", r)
	}
}

// TestCheckpointSubmounts: what is mounted below the source of an rbind is in the container again.
func TestCheckpointSubmounts(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t), mounted("/tree", "bind", "tree", "rbind"))
	c.file("b/tree/sub/x", "below", 0o644)
	c.file("other/x", "mounted", 0o644)
	sub := filepath.Join(c.bundle, "tree/sub")
	c.must(unix.Mount(filepath.Join(c.dir, "other"), sub, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(sub, unix.MNT_DETACH) })
	c.up()
	n := c.counts(1)
	c.save().ok()
	c.back().ok()
	c.goesOn(n)
	if text := c.sh("cat /tree/sub/x"); text != "mounted" {
		t.Errorf("seen: %q", text)
	}
}

// TestCheckpointForeground: restore waits for the process and has its exit status; its output is the caller's.
func TestCheckpointForeground(t *testing.T) {
	needsCriu(t)
	r, w, err := os.Pipe()
	c := newContainer(t, counting, networked(t), func(s *specs.Spec) {
		s.Process.Args[2] = strings.Replace(s.Process.Args[2], "; usleep", "; echo out$i; usleep", 1)
	})
	c.must(err)
	defer r.Close()
	defer w.Close()
	cmd := exec.Command(machine.rt, "--root", c.root, "run", "-d", "--bundle", c.bundle, c.id)
	cmd.Stdout = w
	c.must(orphans.Start(cmd))
	c.must(orphans.Wait(cmd))
	n := c.counts(2)
	c.save().ok()
	if text := c.read("images/descriptors.json"); !strings.Contains(text, `"pipe:[`) {
		t.Errorf("descriptors: %s", text)
	}
	got, out, err := os.Pipe()
	c.must(err)
	defer got.Close()
	with := viaCriu(criuProgram(), call{})
	fg := exec.Command(machine.rt, append(with.global, "--root", c.root, "restore", "--bundle", c.bundle, "--image-path", c.images(), c.id)...)
	fg.Env = append(os.Environ(), with.env...)
	fg.Stdout = out
	c.must(orphans.Start(fg))
	out.Close()
	c.awaitPath("r/" + c.id + "/state.json")
	c.goesOn(n)
	c.kill("USR1").ok()
	_ = orphans.Wait(fg)
	if code := exitCode(fg.ProcessState); code != 7 {
		t.Errorf("exit status %d", code)
	}
	text, err := io.ReadAll(got)
	if !strings.Contains(string(text), "out") {
		t.Errorf("output: %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(c.root, c.id)); err == nil {
		t.Error("the container is still there")
	}
}

// TestCheckpointTerminal: the terminal of before is a new one's, which the console socket gets.
func TestCheckpointTerminal(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, withTerminal, args("sh"), networked(t))
	socket := c.consoleSocket()
	c.create("--console-socket", socket.path).ok()
	term, _ := socket.receive()
	c.start().ok()
	term.shows("/ # ")
	term.types("x=17; echo it\\ is $x\n")
	term.shows("it is 17")
	c.save().ok()
	c.must(os.Remove(socket.path))
	again := c.consoleSocket()
	c.back("--console-socket", again.path).ok()
	term, _ = again.receive()
	term.types("echo still $x $(tty)\n")
	term.shows("still 17 /dev/")
	term.types("sleep 500\n")
	c.awaitProcess("sleep 500")
	term.types("\x03")
	term.types("echo status=$?\n")
	term.shows("status=130")
}

// TestCheckpointPreDump: memory is saved in rounds, each adding to the one before.
func TestCheckpointPreDump(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	n := c.counts(1)
	first := c.checkpoint("--pre-dump", "--image-path", filepath.Join(c.dir, "pre1"))
	if strings.Contains(first.stderr, "MemTrack") {
		t.Skipf("this kernel does not track changes of memory: %s", first.stderr)
	}
	first.ok()
	n = c.counts(n)
	c.checkpoint("--pre-dump", "--image-path", filepath.Join(c.dir, "pre2"), "--parent-path", "../pre1").ok()
	n = c.counts(n)
	c.save("--parent-path", "../pre2", "--work-path", filepath.Join(c.dir, "work")).ok()
	if target, err := os.Readlink(filepath.Join(c.images(), "parent")); err != nil || target != "../pre2" {
		t.Errorf("parent: %q, %v", target, err)
	}
	c.back("--work-path", filepath.Join(c.dir, "work")).ok()
	c.goesOn(n)
	c.read("work/restore.log")
}

// TestCheckpointLazyPages: the processes run before their memory has come.
func TestCheckpointLazyPages(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	n := c.counts(1)
	ready, w, err := os.Pipe()
	c.must(err)
	defer ready.Close()
	dump := c.begin(viaCriu(criuProgram(), call{files: []*os.File{w}, args: []string{"checkpoint", "--lazy-pages", "--page-server", "127.0.0.1:27277", "--status-fd", "3",
		"--image-path", c.images(), c.id}}))
	w.Close()
	buf := make([]byte, 1)
	if n, err := ready.Read(buf); n != 1 || buf[0] != 0 {
		r := dump.wait()
		if strings.Contains(r.stderr, "LazyPages") {
			t.Skipf("this kernel has no userfaultfd: %s", r.stderr)
		}
		t.Fatalf("%d bytes, %v: %s", n, err, r)
	}
	pages := exec.Command(criuProgram(), "lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", "27277", "-D", c.images())
	c.must(orphans.Start(pages))
	defer func() {
		_ = pages.Process.Kill()
		_ = orphans.Wait(pages)
	}()
	eventually(t, "the daemon's socket", func() bool { _, err := os.Stat(filepath.Join(c.images(), "lazy-pages.socket")); return err == nil })
	// The first container's directory has the id until its pages have been fetched.
	other := *c
	other.root = filepath.Join(c.dir, "r2")
	t.Cleanup(func() { other.delete("--force") })
	c.spec.Linux.CgroupsPath += "-2"
	c.write()
	back := other.begin(viaCriu(criuProgram(), call{args: other.with("restore", "-d", "--image-path", c.images(), "--lazy-pages")}))
	const fault = "page-pipe: splice: -1: Bad file descriptor"
	broken := false
	eventually(t, "the end of restore, or of the page server", func() bool {
		log, _ := os.ReadFile(filepath.Join(c.images(), "dump.log"))
		broken = strings.Contains(string(log), fault)
		return broken || back.hasEnded()
	})
	if broken { // it hangs, and CRIU with it
		back.kill()
		other.delete("--force").ok()
		t.Skipf("this CRIU's page server fails on this kernel: %s", fault)
	}
	back.wait().ok()
	other.goesOn(n)
	dump.wait().ok()
}

// hasEnded says whether wait would return at once.
func (r *running) hasEnded() bool {
	select {
	case err := <-r.ended:
		r.ended <- err
		return true
	default:
		return false
	}
}

// TestCheckpointTCP: a connection within the container outlives it.
func TestCheckpointTCP(t *testing.T) {
	needsCriu(t)
	if why := criuNetworks(); why != "" {
		t.Skip(why)
	}
	c := newContainer(t, mounted("/tmp", "tmpfs", "tmpfs", "mode=1777"), script(
		"sleep 100000 | nc -l 127.0.0.1:1234 >/tmp/got & i=0; while :; do i=$((i+1)); echo $i; usleep 100000; done | while ! nc 127.0.0.1 1234; do usleep 10000; done"))
	c.up()
	got := func() int {
		lines := strings.Fields(c.sh("cat /tmp/got 2>/dev/null || :"))
		if len(lines) == 0 {
			return 0
		}
		n, err := strconv.Atoi(lines[len(lines)-1])
		if err != nil {
			return 0
		}
		return n
	}
	eventually(t, "lines over the connection", func() bool { return got() > 2 })
	c.save().fails("criu failed:", "dump.log").oneError()
	n := got()
	eventually(t, "lines after a checkpoint that was refused", func() bool { return got() > n })
	if r := c.save("--tcp-established"); strings.Contains(r.stderr, "sockets: Can't get 1:16 opt") {
		t.Skipf("this CRIU does not know that SO_PASSCRED is for unix sockets only from Linux 6.16 on: %s", r)
	} else {
		r.ok()
	}
	n = 0
	c.back("--tcp-established").ok()
	n = got()
	eventually(t, "lines after restore", func() bool { return got() > n+2 })
}

// TestCheckpointPaused: a paused container can be saved; what is restored runs.
func TestCheckpointPaused(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	n := c.counts(1)
	c.rt("pause", c.id).ok()
	c.save("--leave-running").ok()
	c.awaitStatus("paused")
	c.save().ok()
	c.back().ok()
	c.goesOn(n)
}

// TestCheckpointPod: network and pid namespaces of somebody else stay outside of the images.
func TestCheckpointPod(t *testing.T) {
	needsCriu(t)
	if why := criuNetworks(); why != "" {
		t.Skip(why)
	}
	pod := newContainer(t).up()
	ns := func(name string) string { return "/proc/" + pidText(pod.pid()) + "/ns/" + name }
	c := newContainer(t, counting, namespace(specs.NetworkNamespace, ns("net")), namespace(specs.IPCNamespace, ns("ipc")), namespace(specs.UTSNamespace, ns("uts"))).up()
	n := c.counts(1)
	c.save().ok()
	c.back().ok()
	c.goesOn(n)
	for _, name := range []string{"net", "ipc", "uts"} {
		if own, theirs := readlink(t, "/proc/"+pidText(c.pid())+"/ns/"+name), readlink(t, ns(name)); own != theirs {
			t.Errorf("%s namespace %s, the pod's is %s", name, own, theirs)
		}
	}
}

// TestCheckpointUserNamespace: ids are mapped after restore as they were.
func TestCheckpointUserNamespace(t *testing.T) {
	needsCriu(t)
	if why := criuNetworks(); why != "" { // without its own it has no sysfs
		t.Skip(why)
	}
	c := newContainer(t, counting, networked(t), namespace(specs.UserNamespace, ""), func(s *specs.Spec) {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
		s.Linux.GIDMappings = s.Linux.UIDMappings
	})
	c.upOwned()
	n := c.counts(1)
	c.save().ok()
	c.back().ok()
	c.goesOn(n)
	if uids := c.sh("cat /proc/self/uid_map"); strings.Join(strings.Fields(uids), " ") != "0 100000 65536" {
		t.Errorf("uid_map: %q", uids)
	}
}

// TestCheckpointElsewhere: with the mode ignore the processes come back in the cgroup that the configuration names now.
func TestCheckpointElsewhere(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	n := c.counts(1)
	c.save("--manage-cgroups-mode", "ignore").ok()
	s := c.sibling(counting, networked(t))
	s.do(viaCriu(criuProgram(), call{args: s.with("restore", "-d", "--manage-cgroups-mode", "ignore", "--image-path", c.images())})).ok()
	s.goesOn(n)
	data, err := os.ReadFile("/proc/" + pidText(s.pid()) + "/cgroup")
	c.must(err)
	if !strings.Contains(string(data), s.id) || strings.Contains(string(data), c.id) {
		t.Errorf("cgroups: %s", data)
	}
}

// TestCheckpointBroken: of images that CRIU cannot read nothing is left but its log.
func TestCheckpointBroken(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	c.counts(1)
	c.save().ok()
	pages, err := filepath.Glob(filepath.Join(c.images(), "core-1.img"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no image: %v", err)
	}
	c.must(os.Truncate(pages[0], 16))
	c.back().fails("criu failed:", c.images()+"/restore.log").oneError()
	if left := c.leftovers(false); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	var st syscall.Stat_t
	if syscall.Stat(filepath.Join(c.root, c.id), &st) == nil {
		t.Error("the container's directory is left")
	}
}

// hasCapability says whether this process has a capability.
func hasCapability(n int) bool {
	status, _ := os.ReadFile("/proc/self/status")
	caps, err := strconv.ParseUint(value(string(status), "CapEff"), 16, 64)
	return err == nil && caps>>n&1 != 0
}
