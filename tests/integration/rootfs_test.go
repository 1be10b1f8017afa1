package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// owner of a file, as numbers.
func owner(st os.FileInfo) (uid, gid int) {
	sys := st.Sys().(*syscall.Stat_t)
	return int(sys.Uid), int(sys.Gid)
}

// TestPivotRoot: the container's mount table has nothing of the host's.
func TestPivotRoot(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	var points []string
	for _, m := range c.mounts() {
		points = append(points, m.point)
		if strings.HasPrefix(m.point, "/tmp/") || strings.Contains(m.point, "oldroot") || strings.Contains(m.point, "put_old") {
			t.Errorf("a mount of the host: %+v", m)
		}
	}
	if points[0] != "/" {
		t.Errorf("mounts: %v", points)
	}
	for _, want := range []string{"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/proc/sys", "/proc/timer_list"} {
		if !strings.Contains(" "+strings.Join(points, " ")+" ", " "+want+" ") {
			t.Errorf("no mount at %s: %v", want, points)
		}
	}
	// The host's directories cannot be reached by going up.
	if got := c.sh("cd / && cd ../../../../.. && ls -d boot mnt usr 2>/dev/null; pwd"); got != "/" {
		t.Errorf("above the root: %q", got)
	}
}

func TestNoPivot(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("ls -d /bin/busybox && readlink /proc/1/root && cd ../.. && pwd && ls"))
	out := c.run("--no-pivot").ok().out()
	if !strings.HasPrefix(out, "/bin/busybox\n/\n/\nbin\n") {
		t.Fatalf("with --no-pivot: %q", out)
	}
	for _, p := range []string{"private", "rprivate"} {
		newContainer(t, func(s *specs.Spec) { s.Linux.RootfsPropagation = p }).create("--no-pivot").
			fails("rootfsPropagation of [r]private is not safe without pivot_root").oneError()
	}
	admin := newContainer(t, args("true"), func(s *specs.Spec) {
		s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_SYS_ADMIN")
	})
	admin.run("--no-pivot").ok().rtSays("--no-pivot leaves the host's tree below the container's root")
}

func TestReadonlyRoot(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	if m := c.mountAt("/"); !m.has("ro") {
		t.Errorf("/ is not read-only: %+v", m)
	}
	c.exec("sh", "-c", "! touch /new 2>&1 | grep -v 'Read-only file system'").ok()
	if _, err := os.Stat(filepath.Join(c.rootfs, "new")); err == nil {
		t.Error("a read-only root was written to")
	}
	w := newContainer(t, writable, args("touch", "/new"))
	w.run().ok()
	if _, err := os.Stat(filepath.Join(w.rootfs, "new")); err != nil {
		t.Error(err)
	}
}

// TestRootfsPropagation mounts below the rootfs on the host after the container has started, and in the container,
// and looks who sees it. The host is a mount namespace of the test's own, in which everything is shared.
func TestRootfsPropagation(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		mode, tag                     string
		fromHost, toChild, unbindable bool
	}{
		{mode: "private"}, {mode: "rprivate"},
		{mode: "slave", tag: "master:", fromHost: true}, {mode: "rslave", tag: "master:", fromHost: true},
		{mode: "shared", tag: "shared:", toChild: true}, {mode: "rshared", tag: "shared:", toChild: true},
		{mode: "unbindable", unbindable: true}, {mode: "runbindable", unbindable: true},
	} {
		t.Run("mode "+p.mode, func(t *testing.T) {
			t.Parallel()
			if p.mode == "runbindable" && !onV2(t) {
				rtOnly(t, "rootfsPropagation runbindable")
			}
			h := hold(t, "--mount", "--propagation", "private")
			h.run(t, "mount", "--make-rshared", "/") // and no peer of the host's, as it would be of one that is shared
			c := newContainer(t, writable, capable("CAP_SYS_ADMIN"), func(s *specs.Spec) { s.Linux.RootfsPropagation = p.mode })
			c.prefix = h.enter()
			for _, d := range []string{"host", "inner", "bound"} {
				c.must(os.Mkdir(filepath.Join(c.rootfs, d), 0o755))
			}
			c.up()
			if tags := c.mountAt("/").tags; p.tag != "" && !strings.Contains(tags, p.tag) || p.tag == "" && strings.Contains(tags, ":") {
				t.Errorf("/ is tagged %q, want %q", tags, p.tag)
			}
			h.run(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", filepath.Join(c.rootfs, "host"))
			if seen := c.isMounted("/host"); seen != p.fromHost {
				t.Errorf("a mount of the host is seen in the container: %v, want %v", seen, p.fromHost)
			}
			// A copy of the container's mount namespace is a peer if the root is shared.
			c.execWith([]string{"--detach"}, "probe", "copymounts").ok()
			c.awaitPath("b/rootfs/child")
			c.exec("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "/inner").ok()
			if seen := c.seenByChild("/inner"); seen != p.toChild {
				t.Errorf("a mount of the container is seen by a peer: %v, want %v", seen, p.toChild)
			}
			if r := c.exec("mount", "-o", "bind", "/", "/bound"); (r.code != 0) != p.unbindable {
				t.Errorf("bind mount of /, unbindable %v: %s", p.unbindable, r)
			}
			c.delete("--force").ok()
		})
	}
}

// isMounted says whether something is mounted at this point of the container.
func (c *container) isMounted(point string) bool {
	c.t.Helper()
	for _, m := range c.mounts() {
		if m.point == point {
			return true
		}
	}
	return false
}

// seenByChild says whether the process of the container with another mount namespace than init's has this mount.
func (c *container) seenByChild(point string) bool {
	c.t.Helper()
	for _, p := range c.processes() {
		link, _ := os.Readlink(filepath.Join("/proc", pidText(p.pid), "ns/mnt"))
		if link == "" || link == c.ns("mnt") || !strings.Contains(p.text, "copymounts") {
			continue
		}
		return strings.Contains(procFile(c.t, p.pid, "mountinfo"), " "+point+" ")
	}
	c.t.Fatal("the process with a copy of the mount namespace is not there")
	return false
}

// TestHostMountsUnchanged: making a container's mounts leaves no mount on the host, even where the host's / is shared.
func TestHostMountsUnchanged(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("/tmp", "tmpfs", "tmpfs")).up()
	data, err := os.ReadFile("/proc/self/mountinfo")
	c.must(err)
	if strings.Contains(string(data), c.dir) {
		t.Errorf("the container's mounts show on the host:\n%s", data)
	}
}

func TestMaskedPaths(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, func(s *specs.Spec) {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/secret.txt", "/secret.d", "/not/there")
	})
	c.file("b/rootfs/secret.txt", "secret", 0o644)
	c.file("b/rootfs/secret.d/file", "secret", 0o644)
	c.up()
	if got := c.sh("cat /secret.txt; ls -A /secret.d; test -e /not && echo made; wc -c < /proc/timer_list; stat -c %t:%T /secret.txt"); got != "0\n1:3" {
		t.Errorf("masked paths: %q", got)
	}
	c.exec("sh", "-c", "! touch /secret.d/new").ok()
	if m := c.mountAt("/secret.d"); !m.has("ro") || m.fstype != "tmpfs" {
		t.Errorf("/secret.d: %+v", m)
	}
}

func TestReadonlyPaths(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, func(s *specs.Spec) {
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/ro", "/not/there", "/file")
	})
	c.file("b/rootfs/ro/file", "x", 0o666)
	c.file("b/rootfs/file", "x", 0o666)
	c.up()
	c.sh("! touch /ro/new && ! echo y > /ro/file && ! echo y > /file && touch /elsewhere && test ! -e /not")
	c.exec("sh", "-c", "! echo 1 > /proc/sys/kernel/panic").ok()
	if m := c.mountAt("/proc/sys"); !m.has("ro") {
		t.Errorf("/proc/sys: %+v", m)
	}
}

func TestSysctl(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "1234567", "fs.mqueue.msg_max": "77"}
	}, script("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max"))
	c.run().ok().prints("1\n1234567\n77")
	for _, key := range []string{"kernel.panic", "vm.swappiness", "fs.file-max"} {
		bad := newContainer(t, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{key: "1"} })
		bad.create().fails(key)
	}
	user := map[string]string{"user.max_net_namespaces": "77"}
	newMapped(t, func(s *specs.Spec) { s.Linux.Sysctl = user }, args("cat", "/proc/sys/user/max_net_namespaces")).run().ok().prints("77")
	newContainer(t, func(s *specs.Spec) { s.Linux.Sysctl = user }).create().fails("user.max_net_namespaces")
	host := newContainer(t, namespace(specs.NetworkNamespace, "-"), func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"} })
	host.create().fails("net.ipv4.ip_forward")
}
