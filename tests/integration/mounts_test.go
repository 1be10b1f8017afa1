package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestDefaultMounts: each mount of the default configuration, as the container's mountinfo has it.
func TestDefaultMounts(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	for _, want := range []struct{ point, fstype, options string }{
		{"/proc", "proc", "rw relatime"},
		{"/dev", "tmpfs", "rw nosuid size=65536k mode=755"},
		{"/dev/pts", "devpts", "rw nosuid noexec gid=5 mode=620 ptmxmode=666"},
		{"/dev/shm", "tmpfs", "rw nosuid nodev noexec size=65536k"},
		{"/dev/mqueue", "mqueue", "rw nosuid nodev noexec"},
		{"/sys", "sysfs", "ro nosuid nodev noexec"},
		{"/sys/fs/cgroup", "tmpfs", "ro nosuid nodev noexec"},
		{"/sys/fs/cgroup/memory", "cgroup", "ro nosuid nodev noexec memory"},
	} {
		if want.point == "/sys/fs/cgroup" && differs(t, "1.1 leaves the tmpfs over the v1 hierarchies writable") {
			continue
		}
		m := c.mountAt(want.point)
		if m.fstype != want.fstype {
			t.Errorf("%s: type %s, want %s", want.point, m.fstype, want.fstype)
		}
		for _, option := range strings.Fields(want.options) {
			if !m.has(option) {
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
				rtOnly(t, "1.1 hands defaults to the file system")
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

// TestBindOptions: what a bind mount must set with a second step, without losing what the source already has.
func TestBindOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []struct{ options, has, lacks string }{
		{"bind", "rw relatime", "nosuid"},
		{"rbind", "rw", "nosuid"},
		{"bind ro", "ro", "nosuid"},
		{"rbind ro nosuid nodev noexec", "ro nosuid nodev noexec", ""},
		{"bind noatime", "noatime", "relatime"},
		{"bind rprivate", "", "shared: master:"},
		{"bind private", "", "shared: master:"},
	} {
		t.Run(o.options, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t)
			c.file("src/file", "text", 0o644)
			mounted("/tmp", "bind", filepath.Join(c.dir, "src"), strings.Fields(o.options)...)(c.spec)
			c.write()
			c.up()
			checkOptions(t, c.mountAt("/tmp"), o.has, o.lacks)
			if got := c.sh("cat /tmp/file"); got != "text" {
				t.Errorf("read through the bind mount: %q", got)
			}
			if r := c.exec("touch", "/tmp/new"); (r.code == 0) == strings.Contains(o.options+" ", " ro ") {
				t.Errorf("write through the bind mount: %s", r)
			}
		})
	}
}

// TestBindKeepsLockedFlags: a bind mount of a nosuid, nodev source that asks for ro keeps them.
func TestBindOfMountWithFlags(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	src := filepath.Join(c.dir, "src")
	c.must(os.Mkdir(src, 0o755))
	c.must(unix.Mount("tmpfs", src, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=64k"))
	defer func() { c.must(unix.Unmount(src, unix.MNT_DETACH)) }()
	mounted("/tmp", "bind", src, "bind", "ro")(c.spec)
	c.write()
	c.up()
	m := c.mountAt("/tmp")
	checkOptions(t, m, "ro", "")
	if !m.has("nosuid") && !differs(t, "1.1 clears the flags of the source that are not asked for") {
		t.Errorf("the source's flags are gone: %+v", m)
	}
	c.delete("--force").ok()
}

// TestRecursiveBind: rbind brings the mounts below the source, bind does not.
func TestRecursiveBind(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]bool{"bind": false, "rbind": true} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t)
			sub := filepath.Join(c.dir, "src", "sub")
			c.must(os.MkdirAll(sub, 0o755))
			c.must(unix.Mount("tmpfs", sub, "tmpfs", 0, "size=64k"))
			defer func() { c.must(unix.Unmount(sub, unix.MNT_DETACH)) }()
			c.file("src/sub/below", "x", 0o644)
			mounted("/tmp", "bind", filepath.Join(c.dir, "src"), option)(c.spec)
			c.write()
			c.up()
			if seen := c.exec("test", "-e", "/tmp/sub/below").code == 0; seen != want {
				t.Errorf("the mount below the source is seen: %v, want %v", seen, want)
			}
			c.delete("--force").ok()
		})
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

// TestBindTargets: missing mount points are made, a file for a file and a directory for a directory.
func TestBindTargets(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	file := c.file("src/file", "text", 0o644)
	mounted("/made/by/mount/file", "bind", file, "bind")(c.spec)
	mounted("/made/by/mount/dir", "bind", filepath.Join(c.dir, "src"), "bind")(c.spec)
	mounted("/made/tmpfs", "tmpfs", "tmpfs")(c.spec)
	c.write()
	c.up()
	if got := c.sh("cat /made/by/mount/file /made/by/mount/dir/file; test -d /made/tmpfs && echo dir; stat -c %u:%g:%a /made/by"); got != "texttextdir\n0:0:755" {
		t.Errorf("got %q", got)
	}
}

// TestBindSpecialFiles binds a socket and a device: the mount point is a plain file.
func TestBindSpecialFiles(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	fifo := filepath.Join(c.dir, "fifo")
	c.must(unix.Mkfifo(fifo, 0o644))
	mounted("/fifo", "bind", fifo, "bind")(c.spec)
	mounted("/dev/myzero", "bind", "/dev/zero", "bind")(c.spec)
	c.write()
	c.up()
	if got := c.sh("test -p /fifo && stat -c %F /dev/myzero"); got != "character special file" {
		t.Errorf("got %q", got)
	}
}

func TestRelativeBindSource(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("/tmp", "bind", "beside", "bind"), args("cat", "/tmp/file"))
	c.file("b/beside/file", "in the bundle", 0o644)
	c.run().ok().prints("in the bundle")
}

// TestSymlinkedDestinations: a symbolic link in the rootfs is resolved in the rootfs, whatever it says.
func TestSymlinkedDestinations(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	outside := filepath.Join(c.dir, "outside")
	c.must(os.Mkdir(outside, 0o755))
	for link, target := range map[string]string{
		"absolute": outside, "up": "../../../../../../../../.." + outside, "inside": "/var/real", "chain": "inside", "proc-root": "/proc/1/root" + outside,
	} {
		c.must(os.Symlink(target, filepath.Join(c.rootfs, link)))
	}
	src := c.file("src/file", "text", 0o644)
	for _, dest := range []string{"/absolute/a", "/up/b", "/inside/c", "/chain/d"} {
		mounted(dest, "bind", src, "bind")(c.spec)
	}
	mounted("/absolute/t", "tmpfs", "tmpfs")(c.spec)
	c.write()
	c.up()
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("made outside of the rootfs: %v", entries)
	}
	if got := c.sh("cat " + outside + "/a /up/b /var/real/c /var/real/d && test -d " + outside + "/t && echo yes"); got != "texttexttexttextyes" {
		t.Errorf("seen inside: %q", got)
	}
}

func TestDestinationIsSymlinkItself(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	outside := c.file("outside", "the host's", 0o644)
	c.must(os.Symlink(outside, filepath.Join(c.rootfs, "link")))
	src := c.file("src", "the container's", 0o644)
	mounted("/link", "bind", src, "bind")(c.spec)
	c.write()
	c.up()
	if got := c.sh("cat /link"); got != "the container's" {
		t.Errorf("got %q", got)
	}
	if c.read("outside") != "the host's" || isMounted(t, outside) {
		t.Error("mounted outside of the rootfs")
	}
}

func isMounted(t *testing.T, point string) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(data), " "+point+" ")
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

// TestTmpcopyup: rt says that it does not have it; this test has to change with the feature.
func TestTmpcopyup(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("/etc", "tmpfs", "tmpfs", "tmpcopyup", "rw"), script("cat /etc/group | head -n 1; touch /etc/new"))
	if !differs(t, "it has tmpcopyup") {
		c.run().fails("tmpcopyup is not supported yet").oneError()
		return
	}
	c.run().ok().prints("root:x:0:")
	if _, err := os.Stat(filepath.Join(c.rootfs, "etc/new")); err == nil {
		t.Error("the copy was not a copy")
	}
}

// TestMountOrder: mounts come in the order of the list; a later one covers an earlier one.
func TestMountOrder(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("/tmp", "tmpfs", "first", "mode=700"), mounted("/tmp/sub", "tmpfs", "second"), mounted("/tmp", "tmpfs", "third", "mode=711")).up()
	if got := c.sh("ls -A /tmp; stat -c %a /tmp"); got != "711" && !differs(t, "1.1 gives a tmpfs the mode of the directory below, whatever mode= says") {
		t.Errorf("got %q", got)
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
			// Only the container's own cgroup is seen: its init is the first process in it.
			if got := c.sh("head -n 1 /sys/fs/cgroup/memory/cgroup.procs; head -n 1 /sys/fs/cgroup/pids/cgroup.procs"); got != "1\n1" {
				t.Errorf("cgroup.procs: %q", got)
			}
			c.sh("test ! -e /sys/fs/cgroup/memory/" + filepath.Base(c.cgroup("memory")))
			if made := c.exec("mkdir", "/sys/fs/cgroup/memory/sub").code == 0; made != v.rw {
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
			if dest == "/proc/sys/kernel" && differs(t, "1.1 looks at bind mounts only") {
				return
			}
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
