package place

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rt/cgroups"
	"rt/libcontainer/bundle"
	"rt/libcontainer/state"

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
	root := &state.Root{Dir: t.TempDir(), Warn: t.Logf}
	var r Reservation
	r.Begin(Of(root.Container("c")), CgroupOptions{Rootless: "true"}, &Undo{Warn: t.Logf})
	r.Spec, r.host = bundle.Normalise(&specs.Spec{Linux: &specs.Linux{}}), &cgroups.Host{Mode: cgroups.V2, Unified: full}
	if err := os.Mkdir(r.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.withoutCgroup(unix.EACCES); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("no room: %v", err)
	}
	if err := unix.Mount("", full, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := r.withoutCgroup(unix.EACCES); err != nil || len(r.Cgroups) > 0 {
		t.Errorf("a read-only cgroup: %v, %v", err, r.Cgroups)
	}
}

func TestHostUID(t *testing.T) {
	user := []specs.LinuxNamespace{{Type: specs.UserNamespace}}
	mappings := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10}, {ContainerID: 10, HostID: 5000, Size: 2}}
	for _, c := range []struct {
		name  string
		uid   uint32
		linux specs.Linux
		want  int
		ok    bool
	}{
		{"no user namespace", 7, specs.Linux{}, 7, true},
		{"root", 0, specs.Linux{Namespaces: user, UIDMappings: mappings}, 100000, true},
		{"last of the first", 9, specs.Linux{Namespaces: user, UIDMappings: mappings}, 100009, true},
		{"second", 11, specs.Linux{Namespaces: user, UIDMappings: mappings}, 5001, true},
		{"not mapped", 12, specs.Linux{Namespaces: user, UIDMappings: mappings}, 0, false},
		{"joined by path", 0, specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace, Path: "/x"}}}, 0, false},
	} {
		spec := &specs.Spec{Process: &specs.Process{User: specs.User{UID: c.uid}}, Linux: &c.linux}
		if got, ok := hostUID(spec); got != c.want || ok != c.ok {
			t.Errorf("%s: %d %v, want %d %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestWritesCgroups(t *testing.T) {
	own, joined := specs.LinuxNamespace{Type: specs.CgroupNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace, Path: "/x"}
	mount := func(destination string, options ...string) specs.Mount {
		return specs.Mount{Type: "cgroup", Source: "cgroup", Destination: destination, Options: options}
	}
	for _, c := range []struct {
		name  string
		ns    specs.LinuxNamespace
		mount specs.Mount
		want  bool
	}{
		{"writable", own, mount("/sys/fs/cgroup/", "nosuid"), true},
		{"read-only", own, mount("/sys/fs/cgroup", "nosuid", "ro"), false},
		{"somewhere else", own, mount("/cgroup"), false},
		{"a bind mount", own, specs.Mount{Type: "bind", Destination: "/sys/fs/cgroup"}, false},
		{"the namespace of another", joined, mount("/sys/fs/cgroup"), false},
		{"the host's namespace", specs.LinuxNamespace{Type: specs.PIDNamespace}, mount("/sys/fs/cgroup"), false},
	} {
		spec := &specs.Spec{Mounts: []specs.Mount{c.mount}, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{c.ns}}}
		if got := writesCgroups(spec); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestAsksForCgroup: what engines send for "nothing" is nothing; device rules are another matter.
func TestAsksForCgroup(t *testing.T) {
	limit, swappiness := int64(1<<20), uint64(60)
	for want, l := range map[string]*specs.Linux{
		"": {Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
			Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, BlockIO: &specs.LinuxBlockIO{}}},
		"/linux/cgroupsPath":            {CgroupsPath: "/x"},
		"/linux/resources/memory/limit": {Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}},
		"/linux/resources/pids/limit":   {Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}},
		"/linux/resources/unified/a.b":  {Resources: &specs.LinuxResources{Unified: map[string]string{"a.b": "1"}}},
		"/linux/resources":              {Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: &swappiness}}},
	} {
		if got := asksForCgroup(bundle.Normalise(&specs.Spec{Linux: l}).Linux); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := asksForCgroup(bundle.Normalise(&specs.Spec{}).Linux); got != "" {
		t.Error(got)
	}
}
