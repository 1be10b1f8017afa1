package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// readonlyDev makes /dev read-only, as the pods of Podman have it.
func readonlyDev(s *specs.Spec) {
	for i := range s.Mounts {
		if s.Mounts[i].Destination == "/dev" {
			s.Mounts[i].Options = append(slices.Clone(s.Mounts[i].Options), "ro")
		}
	}
}

// TestReadonlyDev: /dev becomes read-only when everything below it is there: mounts, devices, links and the terminal.
func TestReadonlyDev(t *testing.T) {
	t.Parallel()
	mode := os.FileMode(0o640)
	device := func(s *specs.Spec) {
		s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/deep/er/zero", Type: "c", Major: 1, Minor: 5, FileMode: &mode})
	}
	for name, edits := range map[string][]func(*specs.Spec){
		"plain":           {readonlyDev, device},
		"user namespace":  {readonlyDev, mapped},
		"read-only root":  {readonlyDev, device, func(s *specs.Spec) { s.Root.Readonly = true }},
		"working dir":     {readonlyDev, func(s *specs.Spec) { s.Process.Cwd = "/dev/made/work" }},
		"without options": {func(s *specs.Spec) { s.Mounts[1].Options = []string{"ro"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, append(edits, mounted("/dev/made/by/mount", "tmpfs", "tmpfs", "size=64k"))...).up()
			if m := c.mountAt("/dev"); !m.has("ro") {
				t.Errorf("/dev: %+v", m)
			}
			for _, point := range []string{"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/made/by/mount"} {
				if m := c.mountAt(point); !m.has("rw") {
					t.Errorf("%s: %+v", point, m)
				}
			}
			if got := c.sh("echo x > /dev/null && test -c /dev/tty && readlink /dev/fd; readlink /dev/ptmx; touch /dev/shm/a /dev/made/by/mount/b; touch /dev/c 2>/dev/null || echo read-only"); got != "/proc/self/fd\npts/ptmx\nread-only" {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("terminal", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, readonlyDev, withTerminal, args("sh", "-c", "touch /dev/x; test -c /dev/console && echo a con''sole"))
		socket := c.consoleSocket()
		c.create("--console-socket", socket.path).ok()
		term, _ := socket.receive()
		c.start().ok()
		term.shows("Read-only file system")
		term.shows("a console")
		c.awaitStatus("stopped")
	})
}

// TestReadonlyMounts: the same for every tmpfs, also where a mount is changed, covered or id-mapped, and where links lead into it.
func TestReadonlyMounts(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	file := c.file("src/file", "text", 0o644)
	c.must(os.MkdirAll(filepath.Join(c.rootfs, "links"), 0o755))
	c.must(os.Symlink("/by-link", filepath.Join(c.rootfs, "links/link")))
	c.spec.Mounts = append(c.spec.Mounts, []specs.Mount{
		{Destination: "/filled", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "mode=711"}},
		{Destination: "/filled/file", Type: "bind", Source: file, Options: []string{"bind"}},
		{Destination: "/filled/dir/in/it", Type: "bind", Source: filepath.Dir(file), Options: []string{"bind", "ro"}},
		{Destination: "/by-link", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		{Destination: "/links/link/file", Type: "bind", Source: file, Options: []string{"bind"}},
		{Destination: "/covered", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		{Destination: "/covered/sub", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		{Destination: "/covered", Type: "tmpfs", Source: "on top", Options: []string{"rw"}},
		{Destination: "/covered/sub", Type: "tmpfs", Source: "tmpfs"},
		{Destination: "/alone", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "nosuid"}},
		{Destination: "/later", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid"}},
		{Destination: "/later", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "ro", "nosuid"}},
		{Destination: "/later/sub", Type: "tmpfs", Source: "tmpfs"},
	}...)
	c.write()
	c.up()
	for point, want := range map[string]string{
		"/filled": "ro", "/filled/file": "rw", "/filled/dir/in/it": "ro", "/by-link": "ro", "/by-link/file": "rw",
		"/covered/sub": "rw", "/alone": "ro nosuid", "/later": "ro nosuid", "/later/sub": "rw",
	} {
		checkOptions(t, c.mountAt(point), want, "")
	}
	if got := c.sh("cat /filled/file /filled/dir/in/it/file /by-link/file; stat -c %a /filled; touch /filled/x /by-link/x 2>/dev/null || echo read-only"); got != "texttexttext711\nread-only" {
		t.Errorf("got %q", got)
	}
	if !differs(t, "a tmpfs, or /dev, with `ro`") { // runc changes what is on top of /covered, twice
		checkOptions(t, c.mountAt("/covered"), "rw", "")
	}
}

// TestReadonlyKinds: what runc has not: file systems other than tmpfs, and a remount that takes read-only back.
func TestReadonlyKinds(t *testing.T) {
	t.Parallel()
	rtOnly(t, "a tmpfs, or /dev, with `ro`")
	c := newContainer(t, writable)
	file := c.file("src/file", "text", 0o644)
	ids := maps(0, 0, 65536)
	for _, m := range []specs.Mount{
		{Destination: "/ramfs", Type: "ramfs", Source: "ramfs", Options: []string{"ro"}},
		{Destination: "/ramfs/file", Type: "bind", Source: file, Options: []string{"bind"}},
		{Destination: "/back", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		{Destination: "/back", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "rw"}},
		{Destination: "/recursive", Type: "tmpfs", Source: "tmpfs", Options: []string{"rro"}},
		{Destination: "/recursive/sub", Type: "tmpfs", Source: "tmpfs"},
		{Destination: "/mapped", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}, UIDMappings: ids, GIDMappings: ids},
		{Destination: "/mapped/file", Type: "bind", Source: file, Options: []string{"bind"}},
	} {
		if len(m.UIDMappings) > 0 && noMappedTmpfs() {
			continue
		}
		c.spec.Mounts = append(c.spec.Mounts, m)
	}
	c.write()
	c.up()
	for point, want := range map[string]string{"/ramfs": "ro", "/ramfs/file": "rw", "/back": "rw", "/recursive": "ro", "/recursive/sub": "rw"} {
		checkOptions(t, c.mountAt(point), want, "")
	}
	if !noMappedTmpfs() {
		checkOptions(t, c.mountAt("/mapped"), "ro idmapped", "")
		checkOptions(t, c.mountAt("/mapped/file"), "rw", "")
	}
}

// TestReadonlyVolume: no mount point is made in a read-only volume of the host: that is an error, and the volume is as it was.
func TestReadonlyVolume(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	volume := filepath.Dir(c.file("volume/file", "text", 0o644))
	mounted("/tmp", "bind", volume, "bind", "ro")(c.spec)
	mounted("/tmp/sub", "tmpfs", "tmpfs")(c.spec)
	c.write()
	c.create().fails("read-only file system").oneError()
	if entries, err := os.ReadDir(volume); err != nil || len(entries) != 1 {
		t.Errorf("the volume has %v, %v", entries, err)
	}
}

// TestReadonlyFileSystem: with ro a new file system is read-only itself, not this mount of it alone: nothing is written to its device, which
// may be read-only, and no other mount of it is writable. A tmpfs, which is filled first, is writable as such.
func TestReadonlyFileSystem(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	dir := t.TempDir()
	c.must(os.WriteFile(filepath.Join(dir, "disk"), make([]byte, 8<<20), 0o600))
	if out, err := hostCommand("mkfs.ext4", "-q", filepath.Join(dir, "disk")); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	disk := attachLoop(t, "-r", filepath.Join(dir, "disk"))
	before, err := os.ReadFile(filepath.Join(dir, "disk"))
	c.must(err)
	for _, d := range []string{"lower", "upper", "work"} {
		c.must(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	overlay := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	long := "lowerdir=" + dir + strings.Repeat("/lower/..", 30) + "/lower:" + dir + "/upper" // fsconfig(2) takes 255 bytes
	c.spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	for i := range c.spec.Mounts {
		if c.spec.Mounts[i].Destination == "/proc" {
			c.spec.Mounts[i].Options = []string{"ro"}
		}
	}
	c.spec.Mounts = append(c.spec.Mounts, []specs.Mount{
		{Destination: "/disk", Type: "ext4", Source: disk, Options: []string{"ro"}},
		{Destination: "/overlay", Type: "overlay", Source: "overlay", Options: append(strings.Split(overlay, ","), "ro")},
		{Destination: "/long", Type: "overlay", Source: "overlay", Options: []string{"ro", long}},
		{Destination: "/tmpfs", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		{Destination: "/pts", Type: "devpts", Source: "devpts", Options: []string{"ro", "newinstance"}},
		{Destination: "/again", Type: "devpts", Source: "devpts", Options: []string{"ro", "newinstance"}},
		{Destination: "/again", Type: "devpts", Source: "devpts", Options: []string{"remount", "rw"}},
		{Destination: "/sysfs", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}},
	}...)
	c.write()
	c.up()
	want := map[string]string{"/proc": "ro", "/disk": "ro", "/overlay": "ro", "/long": "ro", "/tmpfs": "rw", "/pts": "ro", "/again": "rw", "/sysfs": "rw"}
	if differs(t, "a new file system with `ro`") {
		want["/sysfs"] = "ro"
	}
	for point, fs := range want {
		m := c.mountAt(point)
		if mine, _, _ := strings.Cut(m.options, ","); mine != "ro" && point != "/again" {
			t.Errorf("%s: %+v", point, m)
		}
		if got, _, _ := strings.Cut(m.super, ","); got != fs {
			t.Errorf("%s: the file system is %s, want %s", point, got, fs)
		}
	}
	after, err := os.ReadFile(filepath.Join(dir, "disk"))
	c.must(err)
	if !bytes.Equal(before, after) {
		t.Error("a read-only file system was written to")
	}
}
