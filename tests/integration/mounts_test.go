package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestDefaultMounts: each mount of the default configuration, as the container's mountinfo has it.
func TestDefaultMounts(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	type wanted struct{ point, fstype, options string }
	ttyGroup := "5"
	if ordinaryUser() {
		ttyGroup = "100004" // what 5 is mapped to
	}
	cgroupMounts := []wanted{{"/sys/fs/cgroup", "tmpfs", "ro nosuid nodev noexec"}, {"/sys/fs/cgroup/memory", "cgroup", "ro nosuid nodev noexec memory"}}
	if onV2(t) {
		cgroupMounts = []wanted{{"/sys/fs/cgroup", "cgroup2", "ro nosuid nodev noexec"}}
	}
	for _, want := range append(cgroupMounts, []wanted{
		{"/proc", "proc", "rw relatime"},
		{"/dev", "tmpfs", "rw nosuid size=65536k mode=755"},
		{"/dev/pts", "devpts", "rw nosuid noexec mode=620 ptmxmode=666 gid=" + ttyGroup},
		{"/dev/shm", "tmpfs", "rw nosuid nodev noexec size=65536k"},
		{"/dev/mqueue", "mqueue", "rw nosuid nodev noexec"},
		{"/sys", "sysfs", "ro nosuid nodev noexec"},
	}...) {
		m := c.mountAt(want.point)
		if m.fstype != want.fstype {
			t.Errorf("%s: type %s, want %s", want.point, m.fstype, want.fstype)
		}
		for _, option := range strings.Fields(want.options) {
			if !m.has(option) && !(want.fstype == "tmpfs" && want.point == "/sys/fs/cgroup" && differs(t, "cgroup v1: the tmpfs")) {
				t.Errorf("%s lacks %s: %+v", want.point, option, m)
			}
		}
	}
	if got := c.sh("stat -c %a /dev /dev/shm; echo ok > /dev/shm/x && cat /dev/shm/x"); got != "755\n1777\nok" {
		t.Errorf("/dev and /dev/shm: %q", got)
	}
}

// TestMountOptions: each plain mount option, as mountinfo shows it.
func TestMountOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []struct{ options, has, lacks string }{
		{"", "rw relatime", "nosuid"},
		{"defaults", "rw relatime", "nosuid"},
		{"ro", "ro", ""},
		{"ro rw", "rw", ""},
		{"nosuid", "nosuid", "noexec"},
		{"nosuid suid", "rw", "nosuid"},
		{"nodev", "nodev", "noexec"},
		{"nodev dev", "rw", "nodev"},
		{"noexec", "noexec", "nodev"},
		{"noexec exec", "rw", "noexec"},
		{"noatime", "noatime", "relatime"},
		{"nodiratime", "nodiratime relatime", ""},
		{"relatime", "relatime", "noatime"},
		{"strictatime", "rw", "relatime noatime"},
		{"sync", "sync", ""},
		{"sync async", "rw", "sync"},
		{"dirsync", "dirsync", ""},
		{"nosuid nodev noexec ro size=64k mode=711", "ro nosuid nodev noexec size=64k mode=711", ""},
		{"private", "rw", "shared"},
	} {
		t.Run("tmpfs "+o.options, func(t *testing.T) {
			t.Parallel()
			if o.options == "defaults" {
				rtOnly(t, "mount option defaults")
			}
			c := newContainer(t, mounted("/tmp", "tmpfs", "tmpfs", strings.Fields(o.options)...)).up()
			m := c.mountAt("/tmp")
			checkOptions(t, m, o.has, o.lacks)
		})
	}
}

func checkOptions(t *testing.T, m mount, has, lacks string) {
	t.Helper()
	for _, option := range strings.Fields(has) {
		if !m.has(option) {
			t.Errorf("lacks %s: %+v", option, m)
		}
	}
	for _, option := range strings.Fields(lacks) {
		if m.has(option) || strings.Contains(m.tags, option) {
			t.Errorf("has %s: %+v", option, m)
		}
	}
}

// TestMountPropagation: propagation of one mount, by a mount that the host makes below its source later.
func TestMountPropagation(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		option, tag      string
		fromHost, toHost bool
	}{
		{"private", "", false, false}, {"rprivate", "", false, false},
		{"slave", "master:", true, false}, {"rslave", "master:", true, false},
		{"shared", "shared:", true, true}, {"rshared", "shared:", true, true},
		{"unbindable", "", false, false}, {"runbindable", "", false, false},
	} {
		t.Run(p.option, func(t *testing.T) {
			t.Parallel()
			h := hold(t, "--mount", "--propagation", "private")
			c := newContainer(t, capable("CAP_SYS_ADMIN"))
			c.prefix = h.enter()
			src := filepath.Join(c.dir, "src")
			for _, d := range []string{"host", "inner", "again"} {
				c.must(os.MkdirAll(filepath.Join(src, d), 0o755))
			}
			h.run(t, "mount", "--bind", src, src)
			h.run(t, "mount", "--make-shared", src)
			mounted("/tmp", "bind", src, "rbind", p.option)(c.spec)
			c.spec.Linux.RootfsPropagation = "slave"
			if strings.Contains(p.option, "shared") {
				c.spec.Linux.RootfsPropagation = "shared" // as engines do; otherwise the tree was made slave before
			}
			c.write()
			c.up()
			if tags := c.mountAt("/tmp").tags; p.tag != "" && !strings.Contains(tags, p.tag) || p.tag == "" && strings.Contains(tags, ":") {
				t.Errorf("tagged %q, want %q", tags, p.tag)
			}
			h.run(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", filepath.Join(src, "host"))
			if seen := c.isMounted("/tmp/host"); seen != p.fromHost {
				t.Errorf("a mount of the host is seen in the container: %v, want %v", seen, p.fromHost)
			}
			c.exec("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "/tmp/inner").ok()
			back := strings.Contains(procFile(t, h.pid, "mountinfo"), src+"/inner ")
			if back != p.toHost {
				t.Errorf("a mount of the container is seen on the host: %v, want %v", back, p.toHost)
			}
			if r := c.exec("mount", "-o", "bind", "/tmp", "/root"); (r.code != 0) != strings.Contains(p.option, "unbindable") {
				t.Errorf("bind of an unbindable mount: %s", r)
			}
			c.delete("--force").ok()
		})
	}
}

// TestRemount changes a mount that the configuration has made before.
func TestRemount(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("/tmp", "tmpfs", "tmpfs", "size=64k"), mounted("/tmp", "tmpfs", "tmpfs", "remount", "ro", "size=64k")).up()
	if m := c.mountAt("/tmp"); !m.has("ro") {
		t.Errorf("after remount: %+v", m)
	}
	c.exec("sh", "-c", "! touch /tmp/x").ok()
}

// TestLongMountOptions: fsconfig(2) takes 255 bytes, an overlay of many layers has more.
func TestLongMountOptions(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	layers := make([]string, 30)
	for i := range layers {
		layers[i] = filepath.Dir(c.file(fmt.Sprintf("layers/%02d/file%d", i, i), fmt.Sprint(i), 0o644))
	}
	overlay := func(options ...string) {
		c.spec.Mounts = append(c.spec.Mounts[:7:7], specs.Mount{Destination: "/tmp", Type: "overlay", Source: "overlay", Options: options})
		c.write()
	}
	overlay("lowerdir="+strings.Join(layers, ":"), "nosuid", "ro", "noatime")
	c.up()
	if got := c.sh("ls /tmp | wc -l; cat /tmp/file0 /tmp/file29"); got != "30\n029" {
		t.Errorf("got %q", got)
	}
	m := c.mountAt("/tmp")
	checkOptions(t, m, "ro nosuid noatime", "noexec relatime")
	if m.fstype != "overlay" || m.tags != "" {
		t.Errorf("%+v", m)
	}
	c.delete("--force").ok()
	overlay("lowerdir="+strings.Join(layers, ":"), "rshared")
	c.up()
	if m := c.mountAt("/tmp"); !strings.Contains(m.tags, "shared:") {
		t.Errorf("rshared: %+v", m)
	}
	c.delete("--force").ok()
	overlay("lowerdir=" + strings.Repeat(layers[0]+":", 120) + layers[1])
	c.create().fails().rtError("/mounts/7/options", "more than the 4095 that mount(2) takes")
	overlay("lowerdir="+strings.Join(layers, ":"), "nonsense=1")
	c.create().fails("invalid argument").rtError("mount overlay at /tmp")
}

// TestLongMountSource: a source may have as many bytes as a path, whatever the options are.
func TestLongMountSource(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("source", 60)
	c := newContainer(t, mounted("/tmp", "tmpfs", long), mounted("/tmp/a", "tmpfs", long, "ro", "size=64k"), mounted("/tmp/b", "tmpfs", long, "rro", "rslave", "rshared"),
		func(s *specs.Spec) { s.Mounts[0].Source = long }).up()
	checkOptions(t, c.mountAt("/tmp"), "rw", "ro")
	checkOptions(t, c.mountAt("/tmp/a"), "ro size=64k", "")
	if !differs(t, "mount options: recursive ones") {
		checkOptions(t, c.mountAt("/tmp/b"), "ro", "")
	}
	if m := c.mountAt("/tmp/b"); !strings.Contains(m.tags, "shared:") {
		t.Errorf("%+v", m)
	}
	if m := c.mountAt("/proc"); m.source != long {
		t.Errorf("%+v", m)
	}
	c.exec("grep", "-q", " tmpfs rt ", "/proc/self/mountinfo").exits(1) // where mount(2) had its place
}

// TestMountOrder: mounts come in the order of the list; a later one covers an earlier one.
func TestMountOrder(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("/tmp", "tmpfs", "first", "mode=700"), mounted("/tmp/sub", "tmpfs", "second"), mounted("/tmp", "tmpfs", "third", "mode=711")).up()
	if got := c.sh("ls -A /tmp; stat -c %a /tmp"); got != "711" {
		t.Errorf("got %q", got)
	}
}

// TestMountBelowLink: /var/run is a link to ../run in most images. Any number of mounts may lie behind it, and what is mounted at one
// place by two names is one place: what is masked stays masked.
func TestMountBelowLink(t *testing.T) {
	t.Parallel()
	const many = 300
	edits := []func(*specs.Spec){mounted("/var/run", "tmpfs", "first"), mounted("/run/x", "tmpfs", "second"), mounted("/var/run/x", "tmpfs", "third"),
		mounted("/var/run/x/secret", "tmpfs", "fourth"), func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/run/x/secret") }}
	for i := range many {
		edits = append(edits, mounted(fmt.Sprintf("/var/run/secrets/%s-%d", strings.Repeat("n", 100), i), "tmpfs", "one-of-many"))
	}
	c := newContainer(t, edits...)
	c.must(os.MkdirAll(filepath.Join(c.rootfs, "run"), 0o755))
	c.must(os.MkdirAll(filepath.Join(c.rootfs, "var"), 0o755))
	c.must(os.Symlink("../run", filepath.Join(c.rootfs, "var/run")))
	c.up()
	if got := c.sh("grep -c ' tmpfs one-of-many ' /proc/self/mountinfo"); got != fmt.Sprint(many) {
		t.Errorf("%s mounts, want %d", got, many)
	}
	for _, p := range []string{"/run/x/secret", "/var/run/x/secret"} {
		if r := c.exec("touch", p+"/file"); r.code == 0 {
			t.Errorf("%s is not masked: %v", p, r)
		}
	}
}

// TestCgroupMount: the cgroup mount with and without a cgroup namespace, read-only and writable.
func TestCgroupMount(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name           string
		ns, rw, dirOwn bool
	}{{"ro", false, false, true}, {"ro cgroupns", true, false, true}, {"rw", false, true, true}, {"rw cgroupns", true, true, true}} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, func(s *specs.Spec) {
				if v.ns {
					namespace(specs.CgroupNamespace, "")(s)
				}
				if v.rw {
					s.Mounts[len(s.Mounts)-1].Options = []string{"nosuid", "noexec", "nodev", "relatime", "rw"}
				}
			}).up()
			// Only the container's own cgroup is seen: its init is the first process in it. With the host's cgroup namespace
			// containers of root see all of v2.
			memory, pids := "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"
			if onV2(t) {
				memory, pids = "/sys/fs/cgroup", "/sys/fs/cgroup"
			}
			if onV2(t) && !v.ns && !ordinaryUser() {
				memory, pids = c.cgroup(""), c.cgroup("")
			}
			if got := c.sh("head -n 1 " + memory + "/cgroup.procs; head -n 1 " + pids + "/cgroup.procs"); got != "1\n1" {
				t.Errorf("cgroup.procs: %q", got)
			}
			c.sh("test ! -e " + memory + "/" + filepath.Base(c.cgroup("memory")))
			if made := c.exec("mkdir", memory+"/sub").code == 0; made != v.rw {
				t.Errorf("a cgroup below could be made: %v, want %v", made, v.rw)
			}
			if v.rw {
				if _, err := os.Stat(filepath.Join(c.cgroup("memory"), "sub")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestMountOverProc: a mount over /proc could redirect what the runtime writes there (CVE-2019-16884).
func TestMountOverProc(t *testing.T) {
	t.Parallel()
	for _, dest := range []string{"/proc/self", "/proc/sys/kernel", "/proc/1"} {
		t.Run(dest, func(t *testing.T) {
			c := newContainer(t, mounted(dest, "bind", "rootfs/tmp", "bind"))
			c.create().fails("proc")
			c.spec.Mounts[len(c.spec.Mounts)-1] = specs.Mount{Destination: dest, Type: "tmpfs", Source: "tmpfs"}
			c.write()
			c.create().fails("proc")
		})
	}
}

func TestProcOptions(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) { s.Mounts[0].Options = []string{"nosuid", "noexec", "nodev", "hidepid=2"} }).up()
	m := c.mountAt("/proc")
	if !m.has("nosuid") || !m.has("noexec") || !m.has("nodev") || !strings.Contains(m.super, "hidepid=") {
		t.Errorf("/proc: %+v", m)
	}
}
