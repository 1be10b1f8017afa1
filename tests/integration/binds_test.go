package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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
			if o.options == "bind noatime" && ordinaryUser() {
				c.create().fails("hint: a user namespace cannot take off what the host's mount has").oneError()
				return
			}
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

// TestBindOfMountWithFlags: a bind mount of a nosuid, nodev source that asks for ro has ro alone. TestBindFlags has the whole table.
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
	checkOptions(t, c.mountAt("/tmp"), "ro", "nosuid nodev noexec")
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

// TestCopySymlink: with crun's option, which Podman asks for with no-dereference, a source that is a link becomes such a link.
func TestCopySymlink(t *testing.T) {
	t.Parallel()
	rtOnly(t, "mount option copy-symlink")
	c := newContainer(t, writable)
	c.file("src/file", "through the link", 0o644)
	c.must(os.Symlink("/etc/passwd", filepath.Join(c.dir, "link")))
	c.must(os.Symlink("nowhere", filepath.Join(c.dir, "dangling")))
	c.must(os.Symlink("/etc/passwd", filepath.Join(c.bundle, "relative")))
	c.must(os.Symlink(filepath.Join(c.dir, "src"), filepath.Join(c.dir, "dir")))
	for dest, source := range map[string]string{"/new/link": c.dir + "/link", "/dangling": c.dir + "/dangling", "/rel": "relative", "/plain": c.dir + "/src"} {
		mounted(dest, "bind", source, "bind", "copy-symlink")(c.spec)
	}
	mounted("/followed", "bind", c.dir+"/dir", "bind")(c.spec)
	c.write()
	c.up()
	if got := c.sh("readlink /new/link; readlink /dangling; readlink /rel; ls /plain /followed"); got != "/etc/passwd\nnowhere\n/etc/passwd\n/followed:\nfile\n\n/plain:\nfile" {
		t.Errorf("got %q", got)
	}
	c.delete("--force").ok()
	c.create().ok() // the links are there already
	c.delete("--force").ok()
	c.must(os.Remove(filepath.Join(c.rootfs, "dangling")))
	c.must(os.Symlink("elsewhere", filepath.Join(c.rootfs, "dangling")))
	c.create().fails("make link /dangling to nowhere", "file exists").oneError()
}
