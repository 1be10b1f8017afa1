package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// withoutMounts is a configuration without a mount namespace, and nothing that needs one.
func withoutMounts(s *specs.Spec) {
	namespace(specs.MountNamespace, "-")(s)
	s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Root.Readonly = nil, nil, nil, false
}

// TestNoMountNamespace: without a mount namespace what would change the host's tree is an error, in runc's words. The host is a
// mount namespace of the test's own.
func TestNoMountNamespace(t *testing.T) {
	t.Parallel()
	rtOnly(t, "no mount namespace: a read-only root")
	h := hold(t, "--mount", "--propagation", "private")
	readonly := []string{"ro"}
	for name, c := range map[string]struct {
		edit func(*specs.Spec)
		says string
	}{
		"root":           {func(s *specs.Spec) { s.Root.Readonly = true }, "unable to make rootfs read-only without a private MNT namespace"},
		"tmpfs":          {mounted("/tmp", "tmpfs", "tmpfs", readonly...), "unable to make /tmp read-only without a private MNT namespace"},
		"dev":            {mounted("/dev", "devtmpfs", "dev", readonly...), "unable to make /dev read-only without a private MNT namespace"},
		"masked path":    {func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/etc"} }, "unable to restrict sys entries without a private MNT namespace"},
		"read-only path": {func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"/etc"} }, "unable to restrict sys entries without a private MNT namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			con := newContainer(t, withoutMounts, c.edit)
			con.prefix = h.enter()
			before := procFile(t, h.pid, "mountinfo")
			con.create().fails(c.says).oneError()
			if after := procFile(t, h.pid, "mountinfo"); after != before {
				t.Errorf("mounts of the host:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// TestMountsOfHost: rt makes no mounts without a mount namespace; runc makes them in the host's, and leaves them there.
func TestMountsOfHost(t *testing.T) {
	t.Parallel()
	h := hold(t, "--mount", "--propagation", "private")
	c := newContainer(t, withoutMounts, mounted("/proc", "proc", "proc"), mounted("/tmp", "tmpfs", "tmpfs"))
	c.prefix = h.enter()
	before := procFile(t, h.pid, "mountinfo")
	r := c.create()
	if differs(t, "no mount namespace: mounts") {
		r.ok()
		c.delete("--force").ok()
		if left := procFile(t, h.pid, "mountinfo"); !strings.Contains(left, c.rootfs+"/tmp ") {
			t.Error("runc leaves nothing any more: the row in runc-compat.md is not true")
		}
		return
	}
	r.fails("/mounts: mounts need a mount namespace").oneError()
	if after := procFile(t, h.pid, "mountinfo"); after != before {
		t.Errorf("mounts of the host:\n%s\nbefore:\n%s", after, before)
	}
}

// TestRslaveUnmount: what the host mounts and unmounts below the rootfs reaches a container with rootfsPropagation rslave, and by default.
func TestRslaveUnmount(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"rslave", "slave", ""} {
		for _, pivot := range []string{"", "--no-pivot"} {
			t.Run("mode "+mode+pivot, func(t *testing.T) {
				t.Parallel()
				if mode == "" {
					rtOnly(t, "no rootfsPropagation")
				}
				h := hold(t, "--mount", "--propagation", "private")
				h.run(t, "mount", "--make-rshared", "/")
				c := newContainer(t, func(s *specs.Spec) { s.Linux.RootfsPropagation = mode })
				c.prefix = h.enter()
				before, later := filepath.Join(c.rootfs, "before"), filepath.Join(c.rootfs, "later")
				c.must(os.Mkdir(before, 0o755))
				c.must(os.Mkdir(later, 0o755))
				h.run(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", before)
				if pivot == "" {
					c.up()
				} else {
					c.up(pivot)
				}
				if !c.isMounted("/before") {
					t.Error("a mount of the host that was there before is not seen")
				}
				h.run(t, "umount", before)
				if c.isMounted("/before") {
					t.Error("a mount of the host is seen after it was unmounted")
				}
				h.run(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", later)
				if !c.isMounted("/later") {
					t.Error("a later mount of the host is not seen")
				}
				h.run(t, "umount", later)
				if c.isMounted("/later") {
					t.Error("it is seen after it was unmounted")
				}
				c.delete("--force").ok()
			})
		}
	}
}

// TestDuplicateMaskedPaths: a path that is there twice is masked once.
func TestDuplicateMaskedPaths(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, func(s *specs.Spec) {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/secret.txt", "/secret.d", "/secret.d", "//secret.d", "/./secret.d/", "/secret.txt", "/proc/timer_list", "/proc/timer_list")
	})
	c.file("b/rootfs/secret.txt", "secret", 0o644)
	c.file("b/rootfs/secret.d/file", "secret", 0o644)
	c.up()
	for _, point := range []string{"/secret.txt", "/secret.d", "/proc/timer_list"} {
		n := 0
		for _, m := range c.mounts() {
			if m.point == point {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d masks on %s, want 1", n, point)
		}
	}
	if got := c.sh("cat /secret.txt; ls -A /secret.d"); got != "" {
		t.Errorf("masked paths: %q", got)
	}
}
