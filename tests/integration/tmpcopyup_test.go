package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestTmpcopyup(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("/etc", "tmpfs", "tmpfs", "tmpcopyup", "rw"), script("cat /etc/group | head -n 1; touch /etc/new"))
	c.run().ok().prints("root:x:0:")
	if _, err := os.Stat(filepath.Join(c.rootfs, "etc/new")); err == nil {
		t.Error("the copy was not a copy")
	}
}

// oddTree fills a directory with one of everything that a file system holds.
func oddTree(c *container, dir string, owner int) {
	c.t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	file := func(name, text string, mode uint32) {
		c.t.Helper()
		c.must(os.WriteFile(in(name), []byte(text), 0o600))
		c.must(os.Lchown(in(name), owner+5, owner+6))
		c.must(unix.Chmod(in(name), mode))
	}
	c.must(os.MkdirAll(in("sub/deeper"), 0o755))
	file("plain", "text", 0o640)
	file("setuid", "x", 0o6755)
	file("empty", "", 0o444)
	file("big", strings.Repeat("0123456789abcdef", 5000), 0o600)
	file("sub/deeper/file", "deep", 0o604)
	if !differs(c.t, "tmpcopyup") {
		c.must(unix.Mkfifo(in("fifo"), 0o622))
		c.must(os.Lchown(in("fifo"), owner, owner+9))
	}
	c.must(os.Symlink("/etc/shadow", in("link")))
	c.must(os.Symlink("nowhere", in("sub/dangling")))
	c.must(os.Lchown(in("link"), owner+7, owner+8))
	c.must(os.Link(in("plain"), in("second")))
	c.must(os.Truncate(in("empty"), 0))
	for _, d := range []string{"sub/deeper", "sub", ""} {
		c.must(unix.Chmod(in(d), 0o1750))
		c.must(os.Lchown(in(d), owner+1, owner+2))
		c.must(os.Chtimes(in(d), time.Unix(1e9, 0), time.Unix(1e9, 5)))
	}
}

// listing is what a container says of a tree; the sizes of directories are their file system's own business.
const listing = `cd /odd && find . | sort | while read f; do
	size=$(stat -c %s "$f"); test -d "$f" -a ! -L "$f" && size=
	echo "$f $(stat -c '%f %u:%g' "$f") $size $(readlink "$f") $(test -f "$f" -a ! -L "$f" && md5sum "$f")"; done`

// TestTmpcopyupOddTree: the copy lists like the original, with and without a user namespace.
func TestTmpcopyupOddTree(t *testing.T) {
	t.Parallel()
	rtOnly(t, "tmpcopyup")
	for name, make := range map[string]func(*testing.T, ...func(*specs.Spec)) *container{"host ids": newContainer, "user namespace": newMapped} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := make(t, capable("CAP_DAC_OVERRIDE"))
			owner := 0
			if name == "user namespace" {
				owner = 100000
			}
			dir := filepath.Join(c.rootfs, "odd")
			c.must(os.Mkdir(dir, 0o755))
			oddTree(c, dir, owner)
			c.up()
			want := c.sh(listing)
			c.delete("--force").ok()
			for _, options := range []string{"tmpcopyup", "tmpcopyup ro nosuid", "tmpcopyup size=1m"} {
				c.spec.Mounts = append(c.spec.Mounts[:7:7], specs.Mount{Destination: "/odd", Type: "tmpfs", Source: "tmpfs", Options: strings.Fields(options)})
				c.write()
				c.up()
				if got := c.sh(listing); got != want {
					t.Errorf("%s:\n got %s\nwant %s", options, got, want)
				}
				m := c.mountAt("/odd")
				if m.fstype != "tmpfs" || m.has("ro") != strings.Contains(options, "ro ") || m.has("nosuid") != strings.Contains(options, "nosuid") {
					t.Errorf("%s: %+v", options, m)
				}
				if got := c.sh("stat -c %Y /odd/sub"); got != "1000000000" {
					t.Errorf("%s: changed at %s", options, got)
				}
				c.delete("--force").ok()
			}
		})
	}
}

// TestTmpcopyupAttributes: file capabilities and access lists come along; holes stay holes; devices stay behind.
func TestTmpcopyupAttributes(t *testing.T) {
	t.Parallel()
	rtOnly(t, "tmpcopyup")
	c := newContainer(t, mounted("/odd", "tmpfs", "tmpfs", "tmpcopyup", "size=1m"))
	dir := filepath.Join(c.rootfs, "odd")
	c.must(os.Mkdir(dir, 0o755))
	file := c.file("b/rootfs/odd/ping", "x", 0o755)
	capability := []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // vfs_cap_data 2: cap_net_raw=ep
	c.must(unix.Setxattr(file, "security.capability", capability, 0))
	hole := c.file("b/rootfs/odd/hole", "begin", 0o644)
	c.must(os.Truncate(hole, 1<<40))
	c.must(unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	c.up()
	root := fmt.Sprintf("/proc/%d/root/odd/", c.pid())
	got := make([]byte, 64)
	n, err := unix.Getxattr(root+"ping", "security.capability", got)
	if err != nil || string(got[:n]) != string(capability) {
		t.Errorf("security.capability: %x, %v", got[:max(n, 0)], err)
	}
	if got := c.sh("stat -c %s /odd/hole; test $(stat -c %b /odd/hole) -lt 64 && head -c 5 /odd/hole; ls /odd"); got != "1099511627776\nbeginhole\nping" {
		t.Errorf("got %q", got)
	}
}

// TestTmpfsMode: a tmpfs has the mode of the directory that it hides, unless mode= says otherwise.
func TestTmpfsMode(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ target, options, want string }{
		{"/var", "", "750 0:0"}, {"/var", "mode=700", "700 0:0"}, {"/new", "", "1777 0:0"}, {"/var", "tmpcopyup", "750 3:4"},
		{"/var", "tmpcopyup uid=9", "750 9:0"}, {"/var", "tmpcopyup mode=1777", "1777 3:4"}, {"/new", "tmpcopyup", "1777 0:0"},
	} {
		t.Run(v.target+" "+v.options, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, writable, mounted(v.target, "tmpfs", "tmpfs", strings.Fields(v.options)...))
			c.must(os.Chown(filepath.Join(c.rootfs, "var"), 3, 4))
			c.must(os.Chmod(filepath.Join(c.rootfs, "var"), 0o750))
			c.up()
			if got := c.sh("stat -c '%a %u:%g' " + v.target); got != v.want && !(strings.HasPrefix(v.options, "tmpcopyup") && differs(t, "tmpcopyup")) {
				t.Errorf("got %s, want %s", got, v.want)
			}
		})
	}
}

// TestTmpcopyupLimits: what does not fit is an error, and the copy is the container's memory, not the caller's.
func TestTmpcopyupLimits(t *testing.T) {
	t.Parallel()
	rtOnly(t, "tmpcopyup")
	c := newContainer(t, mounted("/odd", "tmpfs", "tmpfs", "tmpcopyup", "size=64k"))
	c.file("b/rootfs/odd/big", strings.Repeat("x", 1<<20), 0o644)
	c.run().fails("no space left on device").oneError()
	c.spec.Mounts[len(c.spec.Mounts)-1].Options = []string{"tmpcopyup"}
	c.write()
	c.up()
	if usage := memoryUsage(c); usage < 1<<20 {
		t.Errorf("the container is charged %d bytes", usage)
	}
	c.delete("--force").ok()

	deep := filepath.Join(c.rootfs, "odd")
	for range 300 {
		deep = filepath.Join(deep, "d")
	}
	c.must(os.MkdirAll(deep, 0o755))
	c.run().fails("directories lie too deep").oneError()
}

// memoryUsage is what a container's memory controller counts, be it v1 or v2.
func memoryUsage(c *container) (bytes int) {
	c.t.Helper()
	file := filepath.Join("/sys/fs/cgroup", value(c.proc("cgroup"), "0:"), "memory.current")
	if !exists(file) {
		file = filepath.Join(c.cgroup("memory"), "memory.usage_in_bytes")
	}
	data, err := os.ReadFile(file)
	c.must(err)
	_, err = fmt.Sscan(string(data), &bytes)
	c.must(err)
	return bytes
}

// TestTmpcopyupInUnbindable: the stub copies from a clone of the mount, and the kernel clones no unbindable one.
func TestTmpcopyupInUnbindable(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	c := newContainer(t, mounted("/volume", "bind", volume, "bind", "unbindable"), mounted("/volume/dir", "tmpfs", "tmpfs", "tmpcopyup"),
		script("cat /volume/dir/file; grep -c ' /volume .* unbindable ' /proc/self/mountinfo"))
	c.must(os.Mkdir(volume+"/dir", 0o755))
	c.must(os.WriteFile(volume+"/dir/file", []byte("copied\n"), 0o644))
	c.run().ok().prints("copied\n1")
}
