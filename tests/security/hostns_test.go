package security

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A fakeHost is a set of namespaces that stands for the machine's: rt is started in it, and nothing of the real one changes.
type fakeHost struct {
	t   *testing.T
	pid int
	rt  string // a program that runs rt there
}

func newFakeHost(v *victim) *fakeHost {
	v.t.Helper()
	cmd := exec.Command("unshare", "--net", "--ipc", "--uts", "--mount", "--propagation", "private", "sleep", "1000")
	must(v.t, cmd.Start())
	v.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	h := &fakeHost{t: v.t, pid: cmd.Process.Pid}
	eventually(v.t, "the namespaces of the host", func() bool {
		comm, _ := os.ReadFile("/proc/" + strconv.Itoa(h.pid) + "/comm")
		return string(comm) == "sleep\n"
	})
	v.file("in-host", "#!/bin/sh\nexec nsenter -t "+strconv.Itoa(h.pid)+" --net --ipc --uts --mount "+host.rt+" \"$@\"\n", 0o755)
	h.rt = v.dir + "/in-host"
	return h
}

func (h *fakeHost) ns(name string) string { return "/proc/" + strconv.Itoa(h.pid) + "/ns/" + name }

// tells runs a command in the host's namespaces.
func (h *fakeHost) tells(args ...string) string {
	h.t.Helper()
	out, err := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(h.pid), "--net", "--ipc", "--uts", "--mount"}, args...)...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func joins(v *victim, kind specs.LinuxNamespaceType, path string) {
	list := v.spec.Linux.Namespaces[:0:0]
	for _, ns := range v.spec.Linux.Namespaces {
		if ns.Type != kind {
			list = append(list, ns)
		}
	}
	v.spec.Linux.Namespaces = append(list, specs.LinuxNamespace{Type: kind, Path: path})
}

// TestHostByPath: the configuration names the host's own namespace by a path and asks for something that is then the host's:
// docker run --network host --sysctl net.core.somaxconn=555 changed the host. A namespace of somebody else's is still joined.
func TestHostByPath(t *testing.T) {
	for _, c := range []struct {
		name, file string
		kind       specs.LinuxNamespaceType
		set        func(s *specs.Spec)
		error      string
		look       []string // tells what may not change
	}{
		{"net", "net", specs.NetworkNamespace, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.core.somaxconn": "555"} },
			`sysctl "net.core.somaxconn" not allowed in host network namespace`, []string{"cat", "/proc/sys/net/core/somaxconn"}},
		{"net with slashes", "net", specs.NetworkNamespace, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net/core/somaxconn": "555"} },
			`sysctl "net/core/somaxconn" not allowed in host network namespace`, []string{"cat", "/proc/sys/net/core/somaxconn"}},
		{"shm", "ipc", specs.IPCNamespace, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.shmmni": "555"} },
			`sysctl "kernel.shmmni" is not allowed in the hosts ipc namespace`, []string{"cat", "/proc/sys/kernel/shmmni"}},
		{"mqueue", "ipc", specs.IPCNamespace, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"fs.mqueue.msg_max": "55"} },
			`sysctl "fs.mqueue.msg_max" is not allowed in the hosts ipc namespace`, []string{"cat", "/proc/sys/fs/mqueue/msg_max"}},
		{"hostname", "uts", specs.UTSNamespace, func(s *specs.Spec) { s.Hostname = "attacker" },
			"unable to set hostname without a private UTS namespace", []string{"uname", "-n"}},
		{"domainname", "uts", specs.UTSNamespace, func(s *specs.Spec) { s.Domainname = "attacker" },
			"unable to set domainname without a private UTS namespace", []string{"cat", "/proc/sys/kernel/domainname"}},
		{"kernel.domainname", "uts", specs.UTSNamespace, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.domainname": "attacker"} },
			`sysctl "kernel.domainname" is not allowed in the hosts uts namespace`, []string{"cat", "/proc/sys/kernel/domainname"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVictim(t, args("true"))
			h := newFakeHost(v)
			v.spec.Hostname, v.spec.Domainname = "", ""
			joins(v, c.kind, h.ns(c.file))
			c.set(v.spec)
			v.write()
			before := h.tells(c.look...)
			r := v.do(call{args: v.with("run"), exe: h.rt})
			if after := h.tells(c.look...); after != before {
				t.Errorf("the host has %q now, and had %q", after, before)
			}
			if r.code == 0 || !strings.Contains(r.stderr, c.error) {
				t.Errorf("want %s: %s", c.error, r)
			}
			// Seen from elsewhere it is not the host's, but another container's.
			v.run().ok(t)
			if after := h.tells(c.look...); after == before {
				t.Errorf("a namespace that is not the host's has %q still", after)
			}
		})
	}
	t.Run("by another name", func(t *testing.T) {
		v := newVictim(t, args("true"))
		h := newFakeHost(v)
		name := v.dir + "/netns"
		v.file("netns", "", 0o644)
		h.tells("mount", "--bind", h.ns("net"), name)
		v.spec.Linux.Sysctl = map[string]string{"net.core.somaxconn": "555"}
		joins(v, specs.NetworkNamespace, name)
		v.write()
		before := h.tells("cat", "/proc/sys/net/core/somaxconn")
		if r := v.do(call{args: v.with("run"), exe: h.rt}); r.code == 0 || h.tells("cat", "/proc/sys/net/core/somaxconn") != before {
			t.Errorf("the host is reached by a bind mount of its namespace: %s", r)
		}
	})
}

// TestHostMountsByPath: the mount namespace is the host's, whose root would become the container's.
func TestHostMountsByPath(t *testing.T) {
	v := newVictim(t, args("true"))
	h := newFakeHost(v)
	joins(v, specs.MountNamespace, h.ns("mnt"))
	v.write()
	var before, after unix.Stat_t
	root := filepath.Join("/proc", strconv.Itoa(h.pid), "root/.")
	must(t, unix.Stat(root, &before))
	r := v.do(call{args: v.with("run"), exe: h.rt})
	must(t, unix.Stat(root, &after))
	if after.Ino != before.Ino || after.Dev != before.Dev {
		t.Errorf("the host's root is another directory now: %s", r)
	}
	if r.code == 0 || !strings.Contains(r.stderr, "the mount namespace is the host's") {
		t.Error(r)
	}
}

// TestRestoreHostByPath: the same at restore. The container is in namespaces of another one, and the bundle names the host's by now.
func TestRestoreHostByPath(t *testing.T) {
	needsRealCriu(t)
	for _, c := range []struct {
		kind      specs.LinuxNamespaceType
		ns        string
		key, file string
	}{
		{specs.NetworkNamespace, "net", "net.core.somaxconn", "/proc/sys/net/core/somaxconn"},
		{specs.IPCNamespace, "ipc", "kernel.shmmni", "/proc/sys/kernel/shmmni"},
	} {
		t.Run(c.ns, func(t *testing.T) {
			v := newVictim(t, script(""))
			h := newFakeHost(v)
			joins(v, c.kind, h.ns(c.ns)) // seen from elsewhere it is another container's
			v.write()
			v.ready()
			v.checkpoint("").ok(t)
			v.spec.Linux.Sysctl = map[string]string{c.key: "555"}
			v.write()
			h.tells("ip", "link", "set", "lo", "up") // CRIU connects to itself
			before := h.tells("cat", c.file)
			v.exe = h.rt
			r := v.restore("")
			v.exe = ""
			if after := h.tells("cat", c.file); after != before {
				t.Errorf("the host has %s %q now, and had %q: %s", c.key, after, before, r)
			}
			if r.code == 0 || !strings.Contains(r.stderr, "not allowed in") {
				t.Errorf("want an error about %s: %s", c.key, r)
			}
		})
	}
}

// TestRestoreReplacedNamespace: the path of a namespace leads to another one from when rt starts CRIU on. The container is restored in
// the one that rt has opened and judged.
func TestRestoreReplacedNamespace(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, script(""))
	first, other := newFakeHost(v), newFakeHost(v)
	v.spec.Hostname = ""
	path := v.dir + "/uts"
	must(t, os.Symlink(first.ns("uts"), path))
	joins(v, specs.UTSNamespace, path)
	v.write()
	v.ready()
	v.checkpoint("").ok(t)
	r := v.restore("ln -sfn " + other.ns("uts") + " " + path)
	if r.code != 0 {
		t.Fatal(r)
	}
	is, err := os.Readlink("/proc/" + strconv.Itoa(v.pid()) + "/ns/uts")
	must(t, err)
	want, err := os.Readlink(first.ns("uts"))
	must(t, err)
	if is != want {
		t.Errorf("the container is in %s, and rt had opened %s", is, want)
	}
}
