package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSourceInEarlierMount: the source of a bind mount lies in what an earlier mount of the configuration has put below the rootfs. Sources
// are opened in the order of the list.
func TestSourceInEarlierMount(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T, ...func(*specs.Spec)) *container{"plain": newContainer, "user namespace": newMapped} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := make(t, writable)
			c.file("volume/sub/file", "of the volume", 0o644)
			c.file("other/file", "of the other", 0o644)
			for _, d := range []string{"mnt/sub", "late", "tree/below", "real/volume"} {
				c.must(os.MkdirAll(filepath.Join(c.rootfs, d), 0o755))
			}
			c.file("b/rootfs/late/file", "of the image", 0o644)
			c.must(os.Symlink("/real", filepath.Join(c.rootfs, "link")))
			for _, m := range []specs.Mount{
				{Destination: "/mnt", Source: c.dir + "/volume", Options: []string{"bind"}},
				{Destination: "/a", Source: c.rootfs + "/mnt/sub", Options: []string{"bind", "ro"}},
				{Destination: "/b", Source: "rootfs/mnt/sub/file", Options: []string{"bind"}}, // a relative source, and a file
				{Destination: "/c", Source: c.rootfs + "/late", Options: []string{"bind"}},    // nothing is mounted there yet
				{Destination: "/late", Source: c.dir + "/other", Options: []string{"bind"}},
				{Destination: "/d", Source: c.rootfs + "/late", Options: []string{"bind"}},
				{Destination: "/tree/below", Source: c.dir + "/other", Options: []string{"bind"}},
				{Destination: "/e", Source: c.rootfs + "/tree", Options: []string{"rbind"}},
				{Destination: "/tmpfs", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=64k"}},
				{Destination: "/tmpfs/in/it", Source: c.dir + "/other", Options: []string{"bind"}},
				{Destination: "/f", Source: c.rootfs + "/tmpfs/in", Options: []string{"rbind"}},
				{Destination: "/link/volume", Source: c.dir + "/volume", Options: []string{"bind"}}, // a link leads the mount to its place
				{Destination: "/g", Source: c.rootfs + "/link/volume/sub", Options: []string{"bind"}},
			} {
				if m.Type == "" {
					m.Type = "bind"
				}
				if strings.HasPrefix(m.Source, c.rootfs+"/link") && differs(t, "the source of a bind mount in what an earlier mount") {
					m.Source = c.rootfs + "/real/volume/sub" // runc follows the link on the host
				}
				c.spec.Mounts = append(c.spec.Mounts, m)
			}
			c.write()
			c.up()
			for file, want := range map[string]string{
				"/a/file": "of the volume", "/b": "of the volume", "/c/file": "of the image", "/d/file": "of the other",
				"/e/below/file": "of the other", "/f/it/file": "of the other", "/g/file": "of the volume",
			} {
				if got := c.exec("cat", file).out(); got != want {
					t.Errorf("%s: %q, want %q", file, got, want)
				}
			}
			checkOptions(t, c.mountAt("/a"), "ro", "")
		})
	}
	c := newContainer(t, mounted("/tmp", "tmpfs", "tmpfs"))
	mounted("/var", "bind", c.rootfs+"/tmp/none", "bind")(c.spec)
	c.write()
	c.create().fails("no such file or directory").oneError()
}

// TestIDMappedSourceInEarlierMount: the ids of such a source can be mapped, but not in a user namespace that others are in.
func TestIDMappedSourceInEarlierMount(t *testing.T) {
	t.Parallel()
	rtOnly(t, "mounts.uidMappings and gidMappings, idmap, ridmap")
	needRoot(t, "ids are mapped")
	with := func(c *container, options ...string) *container {
		c.must(os.Chown(c.file("volume/sub/file", "x", 0o644), 7, 7))
		c.must(os.MkdirAll(filepath.Join(c.rootfs, "mnt"), 0o755))
		mounted("/mnt", "bind", c.dir+"/volume", "bind")(c.spec)
		c.spec.Mounts = append(c.spec.Mounts, specs.Mount{Destination: "/tmp", Type: "bind", Source: c.rootfs + "/mnt/sub", Options: append(options, "rbind")})
		return c
	}
	plain := with(newContainer(t))
	plain.spec.Mounts[len(plain.spec.Mounts)-1].UIDMappings = maps(7, 1007, 1)
	plain.spec.Mounts[len(plain.spec.Mounts)-1].GIDMappings = maps(7, 1007, 1)
	user := with(newMapped(t), "idmap")
	for c, want := range map[*container]string{plain: "1007:1007", user: "7:7"} {
		c.write()
		c.up()
		if got := c.sh("stat -c %u:%g /tmp/file"); got != want {
			t.Errorf("7:7 is seen as %s, want %s", got, want)
		}
		if m := c.mountAt("/tmp"); !m.has("idmapped") {
			t.Errorf("%+v", m)
		}
	}
	joined := with(newMapped(t, namespace(specs.UserNamespace, "/proc/"+pidText(user.pid())+"/ns/user")), "idmap")
	joined.write()
	joined.create().fails("/mounts/8: mount /tmp cannot be id-mapped: its source", "lies in another mount of the configuration") // beside warnings
}

// TestBoundDeviceKeepsItsOwner: a device that is bound in a user namespace is the host's node. It stays as it is, and rt says so where the
// configuration wants another mode or owner.
func TestBoundDeviceKeepsItsOwner(t *testing.T) {
	t.Parallel()
	device := func(mode os.FileMode, uid, gid uint32) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/full", Type: "c", Major: 1, Minor: 7, FileMode: &mode, UID: &uid, GID: &gid}}
		}
	}
	for _, v := range []struct {
		edit func(*specs.Spec)
		warn []string
	}{
		{device(0o666, 0, 0), nil},
		{device(0o640, 0, 0), []string{"/linux/devices/0/fileMode: /dev/full is the host's node, and keeps its mode 0666"}},
		{device(0o600, 7, 8), []string{"keeps its mode 0666", "/linux/devices/0: /dev/full is the host's node, and keeps its owner 0:0"}},
	} {
		c := newMapped(t, v.edit, args("stat", "-c", "%a %u:%g", "/dev/full"))
		r := c.run().ok().prints("666 65534:65534")
		for _, w := range v.warn {
			if !differs(t, "fileMode, uid and gid of a device that is bound") && !strings.Contains(r.stderr, w) {
				t.Errorf("no warning %q: %s", w, r)
			}
		}
		if v.warn == nil && r.stderr != "" {
			t.Errorf("a warning without a reason: %s", r)
		}
		st, err := os.Stat("/dev/full")
		c.must(err)
		if uid, gid := owner(st); uid != 0 || gid != 0 || st.Mode().Perm() != 0o666 {
			t.Errorf("the host's node was changed: %v %d:%d", st.Mode(), uid, gid)
		}
	}
}

// TestInnerSourceKeepsPropagation: a recursive source that an earlier mount lies in, and a read-only path, change nothing about the propagation of other
// volumes: what the host mounts in them later is seen.
func TestInnerSourceKeepsPropagation(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name string
		make func(*testing.T, ...func(*specs.Spec)) *container
		full bool // the volumes have a mount of the host's in them
	}{{"plain", newContainer, true}, {"user namespace", newMapped, false}, {"user namespace and mounts below", newMapped, true}} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			kept := !k.full || k.name == "plain" || differs(t, "a recursive bind mount whose source")
			h := hold(t, "--mount", "--propagation", "private")
			c := k.make(t, func(s *specs.Spec) { s.Linux.RootfsPropagation = "shared" })
			c.prefix = h.enter()
			src := filepath.Join(c.dir, "src")
			for _, d := range []string{src + "/host", src + "/before", c.rootfs + "/tree/below"} {
				c.must(os.MkdirAll(d, 0o755))
			}
			h.run(t, "mount", "--bind", src, src)
			h.run(t, "mount", "--make-shared", src)
			if k.full {
				h.run(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", src+"/before")
			}
			want := map[string]string{"rslave": "master:", "rshared": "shared:", "rprivate": "", "unbindable": "unbindable"}
			if !kept {
				want["rslave"], want["rshared"] = "", ""
			}
			for option := range want {
				c.must(os.MkdirAll(c.rootfs+"/"+option, 0o755))
				mounted("/"+option, "bind", src, "rbind", option)(c.spec)
			}
			mounted("/tree/below", "tmpfs", "tmpfs")(c.spec)
			mounted("/tmp", "bind", c.rootfs+"/tree", "rbind")(c.spec)
			c.spec.Linux.ReadonlyPaths = append(c.spec.Linux.ReadonlyPaths, "/tree")
			c.write()
			c.up()
			for option, tag := range want {
				if tags := c.mountAt("/" + option).tags; !strings.Contains(tags, tag) || tag == "" && tags != "" {
					t.Errorf("%s is tagged %q, want %q", option, tags, tag)
				}
			}
			if !c.isMounted("/tmp/below") {
				t.Error("the source has lost the mount below it")
			}
			h.run(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", src+"/host")
			for option, seen := range map[string]bool{"rslave": kept, "rshared": kept, "rprivate": false, "unbindable": false} {
				if got := c.isMounted("/" + option + "/host"); got != seen {
					t.Errorf("%s: a later mount of the host is seen: %v, want %v", option, got, seen)
				}
			}
		})
	}
}
