package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestDefaultDevices(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	owner := " 0:0"
	if ordinaryUser() { // the host's nodes, of its root, whom the container does not know
		owner = " 65534:65534"
	}
	for path, want := range map[string]string{
		"null": "character special file 1:3 666 0:0", "zero": "character special file 1:5 666 0:0", "full": "character special file 1:7 666 0:0",
		"random": "character special file 1:8 666 0:0", "urandom": "character special file 1:9 666 0:0", "tty": "character special file 5:0 666 0:0",
	} {
		if got := c.sh("stat -c '%F %t:%T %a %u:%g' /dev/" + path); got != strings.Replace(want, " 0:0", owner, 1) {
			t.Errorf("/dev/%s: %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if got := c.exec("readlink", "/dev/"+path).ok().out(); got != want {
			t.Errorf("/dev/%s -> %s, want %s", path, got, want)
		}
	}
	if got := c.sh("echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 2 /dev/urandom | wc -c; echo x > /dev/full || echo full; test -e /dev/console || echo none"); got != "4\n2\nfull\nnone" {
		t.Errorf("use: %q", got)
	}
	c.sh("test ! -e /dev/mem && test ! -e /dev/kmsg && test -z \"$(find /dev -type b)\"")
}

func TestConfiguredDevices(t *testing.T) {
	needRoot(t, "device nodes are made")
	t.Parallel()
	mode := func(m os.FileMode) *os.FileMode { return &m }
	id := func(n uint32) *uint32 { return &n }
	c := newContainer(t, func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/char", Type: "c", Major: 1, Minor: 5, FileMode: mode(0o640), UID: id(7), GID: id(8)},
			{Path: "/dev/deep/block", Type: "b", Major: 7, Minor: 200, FileMode: mode(0o600)},
			{Path: "/dev/pipe", Type: "p", FileMode: mode(0o622)},
			{Path: "/elsewhere", Type: "u", Major: 1, Minor: 7, FileMode: mode(0o604)},
		}
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: i64(1), Minor: i64(5), Access: "rwm"})
	}, writable, capable("CAP_DAC_OVERRIDE")).up()
	for path, want := range map[string]string{
		"/dev/char": "character special file 1:5 640 7:8", "/dev/deep/block": "block special file 7:c8 600 0:0",
		"/dev/pipe": "fifo 0:0 622 0:0", "/elsewhere": "character special file 1:7 604 0:0",
	} {
		if got := c.sh("stat -c '%F %t:%T %a %u:%g' " + path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := c.sh("head -c 3 /dev/char | wc -c"); got != "3" {
		t.Errorf("read an allowed device: %s", got)
	}
	if r := c.exec("head", "-c", "1", "/dev/deep/block"); r.code == 0 {
		t.Errorf("a device that is not allowed was read: %s", r)
	}
}

func i64(n int64) *int64 { return &n }

// TestDeviceOverDefault: a configured /dev/null replaces the default one.
func TestDeviceOverDefault(t *testing.T) {
	needRoot(t, "device nodes are made")
	t.Parallel()
	m := os.FileMode(0o600)
	c := newContainer(t, func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/full", Type: "c", Major: 1, Minor: 7, FileMode: &m}}
	}, args("stat", "-c", "%t:%T %a", "/dev/full"))
	r := c.run().ok()
	if r.out() != "1:7 600" {
		t.Errorf("got %s", r.out())
	}
}

// TestDevIsBound: with /dev bound from the host, nothing is made in it.
func TestDevIsBound(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	src := filepath.Join(c.dir, "dev")
	c.must(os.Mkdir(src, 0o755))
	c.must(unix.Mknod(filepath.Join(src, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	var kept []specs.Mount
	for _, m := range c.spec.Mounts {
		switch m.Destination {
		case "/dev/pts", "/dev/shm", "/dev/mqueue":
		case "/dev":
			kept = append(kept, specs.Mount{Destination: "/dev", Type: "bind", Source: src, Options: []string{"rbind"}})
		default:
			kept = append(kept, m)
		}
	}
	c.spec.Mounts = kept
	c.write()
	c.up()
	if entries, _ := os.ReadDir(src); len(entries) != 1 {
		t.Errorf("made in a bound /dev: %v", entries)
	}
	c.delete("--force").ok()
	if err := checkDevNull(); err != nil {
		t.Error(err)
	}
}

// TestDevSymlink: a /dev that is a symbolic link must not lead device nodes outside (CVE-2026-41579, CVE-2026-47766).
func TestDevSymlink(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	outside := filepath.Join(c.dir, "outside")
	c.must(os.Mkdir(outside, 0o755))
	c.must(os.Remove(filepath.Join(c.rootfs, "dev")))
	c.must(os.Symlink(outside, filepath.Join(c.rootfs, "dev")))
	c.create()
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("made outside of the rootfs: %v", entries)
	}
}

// TestProcSymlink: a /proc of the image that is a symbolic link is refused (CVE-2023-28642).
func TestProcSymlink(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"proc", "sys"} {
		c := newContainer(t, writable)
		c.must(os.Remove(filepath.Join(c.rootfs, name)))
		c.must(os.Symlink("/tmp", filepath.Join(c.rootfs, name)))
		c.create().fails(name)
	}
}
