package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// procName is the name of a namespace type under /proc/PID/ns.
var procName = map[specs.LinuxNamespaceType]string{
	specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.MountNamespace: "mnt", specs.IPCNamespace: "ipc",
	specs.UTSNamespace: "uts", specs.CgroupNamespace: "cgroup", specs.UserNamespace: "user",
}

func TestNewNamespaces(t *testing.T) {
	t.Parallel()
	c := newContainer(t, namespace(specs.CgroupNamespace, "")).up()
	for kind, name := range procName {
		isNew := c.ns(name) != nsOf(t, "self", name)
		if wantNew := kind != specs.UserNamespace; isNew != wantNew {
			t.Errorf("%s: a new namespace: %v, want %v", kind, isNew, wantNew)
		}
	}
}

// TestHostNamespaces: a namespace that is not in the list is the caller's, whichever it is.
func TestHostNamespaces(t *testing.T) {
	t.Parallel()
	for _, kind := range []specs.LinuxNamespaceType{specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, namespace(kind, "-"), func(s *specs.Spec) {
				if kind == specs.UTSNamespace {
					s.Hostname = ""
				}
				if kind == specs.NetworkNamespace || kind == specs.IPCNamespace {
					s.Linux.ReadonlyPaths = nil
				}
				if ordinaryUser() {
					bindsHost(s, map[specs.LinuxNamespaceType]string{specs.PIDNamespace: "/proc", specs.NetworkNamespace: "/sys", specs.IPCNamespace: "/dev/mqueue"}[kind])
				}
			}).up()
			for other, name := range procName {
				same := c.ns(name) == nsOf(t, "self", name)
				want := other == kind || other == specs.UserNamespace && !ordinaryUser() || other == specs.CgroupNamespace
				if same != want {
					t.Errorf("%s shared with the host: %v, want %v", other, same, want)
				}
			}
		})
	}
}

// hostPids leaves the container in the host's PID namespace.
func hostPids(s *specs.Spec) {
	namespace(specs.PIDNamespace, "-")(s)
	if ordinaryUser() {
		bindsHost(s, "/proc")
	}
}

// bindsHost makes the mount at path one of what the host has there: a file system that shows a namespace can be mounted
// anew only by who owns the namespace.
func bindsHost(s *specs.Spec, path string) {
	for i := range s.Mounts {
		if s.Mounts[i].Destination == path {
			s.Mounts[i] = specs.Mount{Destination: path, Type: "bind", Source: path, Options: []string{"rbind", "nosuid", "noexec", "nodev"}}
		}
	}
}

// TestJoinEach joins each kind of namespace of another container by path.
func TestJoinEach(t *testing.T) {
	t.Parallel()
	owner := newContainer(t, namespace(specs.CgroupNamespace, "")).up()
	for _, kind := range []specs.LinuxNamespaceType{specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace} {
		t.Run(string(kind), func(t *testing.T) {
			c := newContainer(t, namespace(kind, owner.nsPath(procName[kind])), func(s *specs.Spec) { s.Hostname = "" }).up()
			for other, name := range procName {
				if other == specs.UserNamespace || other == specs.CgroupNamespace && kind != other {
					continue
				}
				if joined := c.ns(name) == owner.ns(name); joined != (other == kind) {
					t.Errorf("%s joined: %v", other, joined)
				}
			}
			if kind == specs.PIDNamespace {
				c.sh("ps -o args | grep -c '^sleep 1000$' | grep -x 2")
			}
			c.stopped()
			if owner.status() != "running" {
				t.Fatal("the end of one container has ended the owner of its namespace")
			}
		})
	}
}

// TestJoinMountNamespace: the container's root is put up inside a mount namespace that somebody else holds.
func TestJoinMountNamespace(t *testing.T) {
	t.Parallel()
	h := hold(t, "--mount", "--propagation", "private")
	c := newContainer(t, namespace(specs.MountNamespace, h.path("mnt"))).up()
	if c.ns("mnt") != nsOf(t, pidText(h.pid), "mnt") {
		t.Fatal("the mount namespace was not joined")
	}
	c.sh("test -x /bin/busybox && test ! -e " + c.dir)
	c.delete("--force").ok()
}

// TestJoinMix: some of another container's, some new, some the host's: as the containers of a pod have it.
func TestJoinMix(t *testing.T) {
	t.Parallel()
	pod := newContainer(t).up()
	c := newContainer(t, namespace(specs.NetworkNamespace, pod.nsPath("net")), namespace(specs.IPCNamespace, pod.nsPath("ipc")),
		namespace(specs.UTSNamespace, "-"), func(s *specs.Spec) { s.Hostname = "" }, namespace(specs.CgroupNamespace, "")).up()
	for name, want := range map[string]string{
		"net": pod.ns("net"), "ipc": pod.ns("ipc"), "uts": nsOf(t, "self", "uts"),
	} {
		if got := c.ns(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"pid", "mnt", "cgroup"} {
		if got := c.ns(name); got == pod.ns(name) || got == nsOf(t, "self", name) {
			t.Errorf("%s: %s is not new", name, got)
		}
	}
}

// TestJoinByBindMount joins a namespace that is held by a bind mount of its file, as ip netns has them.
func TestJoinByBindMount(t *testing.T) {
	t.Parallel()
	h := hold(t, "--net")
	c := newContainer(t)
	held := c.file("netns", "", 0o644)
	c.must(unix.Mount(h.path("net"), held, "", unix.MS_BIND, ""))
	defer func() { c.must(unix.Unmount(held, 0)) }()
	namespace(specs.NetworkNamespace, held)(c.spec)
	c.write()
	c.up()
	if c.ns("net") != nsOf(t, pidText(h.pid), "net") {
		t.Fatal("the network namespace was not joined")
	}
	c.delete("--force").ok()
}

// TestJoinDeadPidNamespace: a pid namespace whose init has died can be held, but takes no process any more.
func TestJoinDeadPidNamespace(t *testing.T) {
	t.Parallel()
	owner := newContainer(t).up()
	held, err := os.Open(owner.nsPath("pid"))
	owner.must(err)
	defer held.Close()
	owner.stopped()
	c := newContainer(t, namespace(specs.PIDNamespace, "/proc/"+pidText(os.Getpid())+"/fd/"+pidText(int(held.Fd()))))
	c.create().fails().rtError("pid namespace")
	if left := c.leftovers(false); len(left) > 0 {
		t.Fatalf("after a failed create: %v", left)
	}
}

func TestJoinErrors(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"missing": "/proc/self/ns/nothing", "wrong type": "/proc/self/ns/uts", "a plain file": "/etc/passwd"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, namespace(specs.NetworkNamespace, path))
			c.create().exits(1)
			if left := c.leftovers(false); len(left) > 0 {
				t.Fatalf("after a failed create: %v", left)
			}
		})
	}
}

func TestLoopbackIsUp(t *testing.T) {
	t.Parallel()
	newContainer(t, script("ip addr show lo | grep -q 'inet 127.0.0.1/8' && ip link show lo | grep -q 'LOOPBACK,UP' && ls /sys/class/net")).run().ok().prints("lo")
}

func TestHostname(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) { s.Hostname = "some-name" }, script("hostname"))
	before, _ := os.Hostname()
	c.run().ok().prints("some-name")
	if after, _ := os.Hostname(); after != before {
		t.Fatalf("the host's name became %s", after)
	}
}

func TestDomainname(t *testing.T) {
	t.Parallel()
	newContainer(t, func(s *specs.Spec) { s.Domainname = "example.org" }, args("cat", "/proc/sys/kernel/domainname")).run().ok().prints("example.org")
}

// TestCgroupNamespace: inside, the container's cgroup is the root.
func TestCgroupNamespace(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("cat", "/proc/self/cgroup"), namespace(specs.CgroupNamespace, ""))
	for _, line := range c.run().ok().lines() {
		if !strings.HasSuffix(line, ":/") && (onV2(t) || !strings.HasPrefix(line, "0:")) { // on a hybrid host rt leaves v2 alone
			t.Errorf("cgroup seen inside: %s", line)
		}
	}
	host := newContainer(t, args("cat", "/proc/self/cgroup"))
	if out := host.run().ok().out(); !strings.Contains(out, ":"+host.cgroupPath()) {
		t.Errorf("without a cgroup namespace the host's path is seen: %s", out)
	}
}

func TestTimeNamespace(t *testing.T) {
	t.Parallel()
	c := newContainer(t, namespace(specs.TimeNamespace, ""), func(s *specs.Spec) {
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 86400000}, "monotonic": {Secs: 5000, Nanosecs: 7}}
	}).up()
	if c.ns("time") == nsOf(t, "self", "time") {
		t.Fatal("the time namespace is the host's")
	}
	up := c.sh("cut -d. -f1 /proc/uptime")
	if len(up) < 8 || up < "86400000" {
		t.Errorf("uptime inside: %s", up)
	}
	joined := newContainer(t, namespace(specs.TimeNamespace, c.nsPath("time")), args("cut", "-d.", "-f1", "/proc/uptime"))
	if up := joined.run().ok().out(); len(up) < 8 || up < "86400000" {
		t.Errorf("uptime in a joined time namespace: %s", up)
	}
	if up := c.exec("readlink", "/proc/self/ns/time").ok().out(); up != c.ns("time") {
		t.Errorf("exec is in time namespace %s, init in %s", up, c.ns("time"))
	}
}

// A holder is a process outside any container that keeps new namespaces.
type holder struct{ pid int }

// hold starts `unshare flags sleep`; it ends with the test.
func hold(t *testing.T, flags ...string) holder {
	t.Helper()
	if ordinaryUser() {
		t.Skipf("an ordinary user cannot: unshare %v", flags)
	}
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command("unshare", append(flags, "sh", "-c", "touch "+ready+"; exec sleep 300")...)
	if err := orphans.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = orphans.Wait(cmd) })
	eventually(t, "the holder of a namespace", func() bool { _, err := os.Stat(ready); return err == nil })
	return holder{cmd.Process.Pid}
}

// enter is the command that runs another one in the holder's mount namespace.
func (h holder) enter() []string { return []string{"nsenter", "-t", pidText(h.pid), "--mount"} }

// run runs a command of the host in the holder's mount namespace.
func (h holder) run(t *testing.T, args ...string) {
	t.Helper()
	host(t, append(h.enter(), args...)...)
}

func (h holder) path(kind string) string { return filepath.Join("/proc", pidText(h.pid), "ns", kind) }
