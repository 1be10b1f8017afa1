package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What joins a container that CRIU has restored, and what the next checkpoint makes of it.

// TestRestoredTimeNamespace: CRIU makes a time namespace, also for a container that had none. exec joins it, and what it has
// started is saved and restored with the rest.
func TestRestoredTimeNamespace(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t)).up()
	n := c.counts(1)
	for range 2 {
		c.save().ok()
		c.back().ok()
		n = c.goesOn(n)
		init := readlink(t, "/proc/"+pidText(c.pid())+"/ns/time")
		if got := strings.TrimSpace(c.sh("readlink /proc/self/ns/time")); got != init {
			t.Errorf("exec is in %s, init in %s", got, init)
		}
		c.execWith([]string{"-d"}, "sleep", "1000").ok()
		if own := readlink(t, "/proc/self/ns/time"); own == init {
			t.Log("this CRIU makes no time namespace")
		}
	}
}

// TestRestoredStdio: of a pipe that the container got, the next one is a pipe of restore's caller; a file stands for none, and
// /dev/null does.
func TestRestoredStdio(t *testing.T) {
	needsCriu(t)
	c := newContainer(t, counting, networked(t))
	r, w, err := os.Pipe()
	c.must(err)
	defer r.Close()
	defer w.Close()
	c.do(call{args: c.with("create"), stdin: r}).ok()
	c.start().ok()
	n := c.counts(1)
	c.save().ok()
	if text := c.read("images/descriptors-access.json"); !strings.HasPrefix(text, `["r",`) {
		t.Errorf("access: %s", text)
	}
	file, err := os.Open(c.file("input", "typed\n", 0o600))
	c.must(err)
	defer file.Close()
	restore := viaCriu(criuProgram(), call{args: c.with("restore", "-d", "--image-path", c.images())})
	restore.stdin = file
	c.do(restore).fails("descriptor 0 of the container: it was a pipe, and stdin of rt is none", "hint: give rt a pipe as its stdin, or /dev/null")
	restore.stdin = r
	c.do(restore).ok()
	n = c.goesOn(n)
	if got, want := readlink(t, "/proc/"+pidText(c.pid())+"/fd/0"), readlink(t, "/proc/self/fd/"+pidText(int(r.Fd()))); got != want {
		t.Errorf("stdin is %s, want %s", got, want)
	}
	c.save().ok()
	restore.stdin = nil
	c.do(restore).ok()
	n = c.goesOn(n)
	c.save().ok() // with a null device that no mount of the container has
	c.do(restore).ok()
	c.goesOn(n)
}

// TestRestoreVolumes: a container comes back with its volumes, whether the host's mounts are shared or not, also with a user namespace, a
// --root that only root may enter, and images in that. The host is a mount namespace of the test's own.
func TestRestoreVolumes(t *testing.T) {
	needsCriu(t)
	for _, propagation := range []string{"private", "shared"} {
		for _, owned := range []bool{false, true} {
			name := propagation
			if owned {
				name += ", user namespace"
			}
			t.Run(name, func(t *testing.T) {
				if owned {
					if why := criuNetworks(); why != "" { // without its own it has no sysfs
						t.Skip(why)
					}
				}
				h := hold(t, "--mount", "--propagation", "private")
				h.run(t, "mount", "--make-r"+propagation, "/")
				c := withVolumes(t, h, owned)
				c.upOwned(h.enter()...)
				sub := filepath.Join(c.bundle, "tree/sub")
				if owned {
					c.save().fails("mount at " + sub + ": CRIU restores no mount below the source of an rbind in a user namespace (/mounts/")
					c.delete("--force").ok()
					h.run(t, "umount", sub)
					c.upOwned(h.enter()...)
				}
				before := c.volumes()
				n := c.counts(1)
				for _, at := range []string{c.images(), filepath.Join(c.root, "images")} {
					images := []string{"--image-path", at, "--work-path", at + "-work"}
					c.checkpoint(images...).ok()
					c.do(viaCriu(criuProgram(), call{args: c.with("restore", append([]string{"-d"}, images...)...)})).ok()
					n = c.goesOn(n)
					if after := c.volumes(); after != before {
						t.Errorf("volumes:\n%s\nwant\n%s", after, before)
					}
					c.noPeers(h)
					c.must(errors.Join(os.RemoveAll(at), os.RemoveAll(at+"-work")))
				}
				later := filepath.Join(c.bundle, "bound/later")
				h.run(t, "mount", "--bind", filepath.Join(c.dir, "other"), later)
				want := propagation == "shared"
				for _, point := range []string{"/bound/later", "/ro/later"} {
					if seen := c.isMounted(point); seen != want {
						t.Errorf("a later mount of the host is seen at %s: %v, want %v", point, seen, want)
					}
				}
				h.run(t, "umount", later)
				c.save().ok()
				h.run(t, "mount", "--make-rprivate", "/")
				c.back().ok()
				c.goesOn(n)
				if tags := c.mountAt("/bound").tags; tags != "" {
					t.Errorf("where the host's mounts are private, a volume is tagged %s", tags)
				}
				c.delete("--force").ok()
			})
		}
	}
}

// withVolumes is a container in the namespace of a holder: with volumes, and a --root that only root may enter.
func withVolumes(t *testing.T, h holder, owned bool) *container {
	c := newContainer(t, counting, networked(t),
		mounted("/bound", "bind", "bound", "bind"), mounted("/ro", "bind", "bound", "bind", "ro"),
		mounted("/tree", "bind", "tree", "rbind"), mounted("/tree-ro", "bind", "tree", "rbind", "ro"),
		mounted("/file", "bind", "tree/file", "bind"), mounted("/private", "bind", "bound", "bind", "private"),
		mounted("/slave", "bind", "tree", "rbind", "rslave"), mounted("/shared", "bind", "bound", "bind", "shared"))
	c.must(os.Chmod(c.root, 0o700))
	for _, name := range []string{"b/bound/later/x", "b/tree/file", "b/tree/sub/x"} {
		c.file(name, "below", 0o644)
	}
	c.file("other/x", "mounted", 0o644)
	h.run(t, "mount", "--bind", filepath.Join(c.dir, "other"), filepath.Join(c.bundle, "tree/sub"))
	if owned {
		for _, point := range []string{"bound", "ro", "tree", "tree-ro", "private", "slave", "shared"} {
			c.must(os.Mkdir(filepath.Join(c.rootfs, point), 0o755))
		}
		c.must(os.WriteFile(filepath.Join(c.rootfs, "file"), nil, 0o644))
		namespace(specs.UserNamespace, "")(c.spec)
		c.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
		c.spec.Linux.GIDMappings = c.spec.Linux.UIDMappings
		c.must(os.Chmod(filepath.Join(c.bundle, "bound"), 0o777))
	}
	c.write()
	return c
}

// volumes is what a process sees of the volumes that withVolumes has made.
func (c *container) volumes() string {
	c.t.Helper()
	return c.sh("for f in bound/later/x ro/later/x private/later/x tree/sub/x tree-ro/sub/x slave/sub/x file; do echo $f $(cat /$f); done;" +
		"for d in bound ro private shared tree tree/sub tree-ro tree-ro/sub slave/sub file; do " +
		`echo $d $(awk -v d=/$d '$5 == d {split($6, o, ","); print o[1], $7 ~ /:/ ? substr($7, 1, 6) : "private"}' /proc/self/mountinfo); done`)
}

// peers are the peer groups of the mounts in the holder's mount namespace.
func (h holder) peers(t *testing.T) map[string]bool {
	t.Helper()
	groups := map[string]bool{}
	for line := range strings.Lines(readFile(t, "/proc/"+pidText(h.pid)+"/mountinfo")) {
		fields, _, _ := strings.Cut(line, " - ")
		for field := range strings.FieldsSeq(fields) {
			if strings.HasPrefix(field, "shared:") {
				groups[field] = true
			}
		}
	}
	return groups
}

// TestRestoreSharedVolumes: volumes that were peers of the host's mounts are none after restore, and shared still.
func TestRestoreSharedVolumes(t *testing.T) {
	needsCriu(t)
	for _, mode := range []string{"shared", "rshared", "slave", "private"} {
		t.Run(mode, func(t *testing.T) {
			h := hold(t, "--mount", "--propagation", "private")
			h.run(t, "mount", "--make-rshared", "/")
			c := withVolumes(t, h, false)
			c.spec.Linux.RootfsPropagation = mode
			c.write()
			c.upOwned(h.enter()...)
			before, n := c.volumes(), c.counts(1)
			c.save().ok()
			c.back().ok()
			c.goesOn(n)
			if after := c.volumes(); after != before || !strings.Contains(after, "shared rw shared") {
				t.Errorf("volumes:\n%s\nwant\n%s", after, before)
			}
			c.noPeers(h)
			c.delete("--force").ok()
		})
	}
}

// noPeers: no mount of the container is a peer of one in the holder's mount namespace. The container's are read first: the number of a peer
// group is used again when its last mount is gone.
func (c *container) noPeers(h holder) {
	c.t.Helper()
	mounts := c.mounts()
	groups := h.peers(c.t)
	for _, m := range mounts {
		for tag := range strings.FieldsSeq(m.tags) {
			if groups[tag] {
				c.t.Errorf("%s is a peer of a mount of the host: %s", m.point, tag)
			}
		}
	}
}
