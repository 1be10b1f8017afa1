package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rt/cgroups"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestWithoutCgroup: a container goes without a cgroup if rt may not make one, not if there was no room for it.
func TestWithoutCgroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a file system without room needs root")
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut("\n"+string(text), "\n0::")
	own, _, _ = strings.Cut(own, "\n")
	full := t.TempDir()
	inodes := len(strings.FieldsFunc(own, func(r rune) bool { return r == '/' })) + 1
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, fmt.Sprintf("nr_inodes=%d", inodes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(full, unix.MNT_DETACH) })
	if err := os.MkdirAll(filepath.Join(full, own), 0o755); err != nil {
		t.Fatal(err)
	}
	r, _ := newRuntime(t)
	r.Rootless = "true"
	place(t, r, "c", nil)
	k := &making{c: r.newContainer("c"), spec: &specs.Spec{Linux: &specs.Linux{}}}
	k.host = &cgroups.Host{Mode: cgroups.V2, Unified: full}
	if err := k.withoutCgroup(unix.EACCES); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("no room: %v", err)
	}
	if err := unix.Mount("", full, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := k.withoutCgroup(unix.EACCES); err != nil || len(k.c.Cgroups) > 0 {
		t.Errorf("a read-only cgroup: %v, %v", err, k.c.Cgroups)
	}
}
