package nsenter_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"rt/libcontainer/plan"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// spec is what `rt spec` writes, more or less, and some more so that most kinds of steps are in the plan.
func spec() *specs.Spec {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	mask := uint32(0o27)
	return &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "rootfs", Readonly: true}, Hostname: "rt-test", Domainname: "rt-test",
		Process: &specs.Process{
			Terminal: true, Args: []string{"busybox", "true"}, Env: []string{"PATH=/none:/bin", "TERM=xterm"}, Cwd: "/srv/dir", NoNewPrivileges: true,
			User:         specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5}, Umask: &mask},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
			Scheduler:    &specs.Scheduler{Policy: specs.SchedBatch, Nice: 1},
			IOPriority:   &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 5},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/etc/passwd", Type: "bind", Source: "/etc/passwd", Options: []string{"rbind", "ro", "rprivate"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"remount", "size=1024k"}},
		},
		Linux: &specs.Linux{
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/scsi"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			Sysctl:        map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "12345"},
			Personality:   &specs.LinuxPersonality{Domain: specs.PerLinux},
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.CgroupNamespace}, {Type: specs.TimeNamespace}},
			TimeOffsets: map[string]specs.LinuxTimeOffset{"boottime": {Secs: 5}},
		},
		Hooks: &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}},
	}
}

func compile(t *testing.T, s *specs.Spec, root string) *plan.Plan {
	t.Helper()
	p, err := plan.Create(s, plan.Options{ID: "rt-test", Rootfs: root}, plan.Facts{Bounding: ^uint64(0), Home: "/"})
	must(t, err)
	return p
}

// inputs opens what a plan refers to, which here are trees alone.
func inputs(t *testing.T, p *plan.Plan) []*os.File {
	t.Helper()
	var files []*os.File
	for _, in := range p.Inputs {
		if in.Kind != plan.Tree {
			t.Fatalf("an input of kind %s", in.Kind)
		}
		files = append(files, openTree(t, in.Path))
	}
	return files
}

// serve leads a stub through its plan to the end, and returns the errors that it told. sync points are answered.
func (b *box) serve() (failures []*nsenter.Reply) {
	b.t.Helper()
	for r := b.next(); r != nil; r = b.next() {
		switch {
		case r.Type == nsenter.ReplyError:
			failures = append(failures, r)
		case r.File != nil:
			defer r.File.Close()
		case r.Type == nsenter.ReplySync && r.Value != nsenter.SyncExec:
			b.goOn()
		}
	}
	return failures
}

func TestWholePlan(t *testing.T) {
	root := rootfs(t)
	p := compile(t, spec(), root)
	b := start(t, p.Steps(), inputs(t, p)...)
	if failures := b.serve(); failures != nil {
		i := len(p.Items) - failures[0].Left
		t.Fatalf("step %d, %s: %s: %v", i, p.Items[i].Step, failures[0].Text, unix.Errno(failures[0].Value))
	}
	if ws := b.reap(b.pid, false); ws != 0 {
		t.Errorf("the program ended with %#x: %s", ws, b.text())
	}
}

// mountsOf lists the mounts of this process's namespace at and below dir. Other programs of the host may make others meanwhile.
func mountsOf(t *testing.T, dir string) string {
	t.Helper()
	var found []string
	for line := range strings.Lines(read(t, "/proc/self/mountinfo")) {
		if at := strings.Fields(line)[4]; at == dir || strings.HasPrefix(at, dir+"/") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// Wherever a plan fails, rt hears of it once, of the right step, and nothing stays behind.
func TestFailureEverywhere(t *testing.T) {
	root := rootfs(t)
	p := compile(t, spec(), root)
	good := p.Steps()
	devices := mountsOf(t, "/dev")
	failing := nsenter.JoinNS{File: nsenter.NoSlot, Type: unix.CLONE_NEWNS} // fails in every state: there is no descriptor
	for i := range len(good) {
		t.Run(good[i].Name(), func(t *testing.T) {
			b := start(t, slices.Insert(slices.Clone(good), i, step(failing)), inputs(t, p)...)
			failures := b.serve()
			if len(failures) != 1 {
				t.Fatalf("step %d: %d errors", i, len(failures))
			}
			if r := failures[0]; unix.Errno(r.Value) != unix.EBADF || r.Text != "setns" || len(good)+1-r.Left != i {
				t.Errorf("step %d: step %d, %s: %v", i, len(good)+1-r.Left, r.Text, unix.Errno(r.Value))
			}
			cloned := slices.IndexFunc(good, func(s step) bool { _, is := s.(nsenter.Clone); return is })
			if (b.pid != 0) != (i > cloned) {
				t.Errorf("step %d: pid %d", i, b.pid)
			}
			for _, pid := range []int{b.stub.Pid, b.pid} {
				if pid == 0 {
					continue
				}
				want := 1
				if pid == b.stub.Pid && b.pid != 0 { // it had cloned, and was done
					want = 0
				}
				if ws := b.reap(pid, false); !ws.Exited() || ws.ExitStatus() != want {
					t.Errorf("step %d: process %d ended with %#x", i, pid, ws)
				}
			}
		})
	}
	if have := mountsOf(t, root); have != "" {
		t.Errorf("mounts of the host's namespace below the rootfs:\n%s", have)
	}
	if have := mountsOf(t, "/dev"); have != devices {
		t.Errorf("the host's mounts on /dev were\n%s\nand are\n%s", devices, have)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("there is a child %d left, %v", pid, err)
	}
	if st := stat(t, os.DevNull); st.Uid != 0 || st.Mode != unix.S_IFCHR|0o666 || st.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("/dev/null is %+v", st)
	}
}

// The conversation may end at any time: rt was killed. A stub that waits for it ends then.
func TestRtIsGone(t *testing.T) {
	root := rootfs(t)
	p := compile(t, spec(), root)
	for _, point := range []int{nsenter.SyncTime, nsenter.SyncHooks, nsenter.SyncReady} {
		b := start(t, p.Steps(), inputs(t, p)...)
		for {
			r := b.next()
			if r == nil {
				t.Fatalf("the stub ended before sync point %d", point)
			}
			if r.Type == nsenter.ReplyError {
				t.Fatalf("%s: %v", r.Text, unix.Errno(r.Value))
			}
			if r.File != nil { // without its master a terminal is hung up
				t.Cleanup(func() { r.File.Close() })
			}
			if r.Type == nsenter.ReplySync {
				if r.Value == point {
					break
				}
				b.goOn()
			}
		}
		last := b.stub.Pid
		if point != nsenter.SyncTime {
			b.proc("")
			last = b.pid
		}
		b.stub.Close()
		if ws := b.reap(last, false); ws.ExitStatus() != 1 {
			t.Errorf("at sync point %d: status %#x", point, ws)
		}
	}
}
