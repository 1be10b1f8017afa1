package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// under makes the lab call rt by a script of busybox, which needs next to nothing itself.
func (l *lab) under(script string) {
	l.prefix = []string{"/bin/busybox", "sh", "-c", script + `; exec "$@"`, "sh"}
}

// step: every limit, or every third.
func step() int {
	if full() {
		return 1
	}
	return 3
}

// stride: every call of a kind, or every third in a guest.
func stride() int {
	if slow(1) > 1 {
		return 3
	}
	return 1
}

// short wants an error that is clear: few lines, no trace.
func short(r result) error {
	if n := strings.Count(r.stderr, "\n"); n > 3 || r.stderr == "" || strings.Contains(r.stderr, "goroutine ") {
		return fmt.Errorf("no clear error: %s", r)
	}
	return nil
}

// TestNoDescriptors: RLIMIT_NOFILE from 3 up. The mounts that later steps refer to are kept open.
func TestNoDescriptors(t *testing.T) {
	var limits []int
	for n := 3; n <= 64; n += step() {
		limits = append(limits, n)
	}
	l := newLab(t, rich, func(s *specs.Spec) { s.Process.Rlimits = nil }) // create would refuse one above the hard limit
	w := within{what: "descriptors", clean: true, enter: func(n int) string { return fmt.Sprintf("ulimit -n %d", n) }}
	w.create(l, limits)
}

// limited makes a cgroup with one limit for rt itself, and gives what sets it and a script that enters.
func (l *lab) limited(v1, v2 string) (enter func(n int) string) {
	l.t.Helper()
	controller, _, _ := strings.Cut(v1, ".")
	dir := "/sys/fs/cgroup/" + controller
	name, procs := v1, "tasks"
	if _, err := os.Stat(dir); err != nil {
		dir, name, procs = "/sys/fs/cgroup", v2, "cgroup.procs"
		_ = os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+controller), 0)
	}
	group := filepath.Join(dir, l.id+"-caller")
	l.must(os.Mkdir(group, 0o755))
	l.t.Cleanup(func() {
		l.must(l.eventually("the caller's cgroup empty", func() bool { return os.Remove(group) == nil }))
	})
	return func(n int) string {
		l.must(os.WriteFile(filepath.Join(group, name), []byte(fmt.Sprint(n)), 0))
		return "echo $$ > " + filepath.Join(group, procs)
	}
}

// TestNoPids: the caller of rt may have few processes. rt may end in the middle, as its threads are processes, too.
func TestNoPids(t *testing.T) {
	var limits []int
	for n := 1; n <= 24; n += step() {
		limits = append(limits, n)
	}
	l := newLab(t)
	w := within{what: "processes", enter: l.limited("pids.max", "pids.max")}
	w.create(l, limits)
}

// TestNoMemory: the caller's cgroup is too small for rt, which the kernel kills.
func TestNoMemory(t *testing.T) {
	var limits []int
	for kib := 16 << 10; kib >= 256; kib = kib * 3 / 4 {
		limits = append(limits, kib<<10)
	}
	l := newLab(t)
	w := within{what: "bytes of memory", killed: 137, enter: l.limited("memory.limit_in_bytes", "memory.max")}
	w.create(l, limits)
}

// within is a limit for rt itself.
type within struct {
	what   string
	enter  func(n int) string // gives a script that sets it for the shell
	killed int                // an exit status that is the kernel's doing and needs no error, or 0
	clean  bool               // a create that fails leaves nothing by itself
}

// create makes a container below each of some limits, which are to be too low and high enough.
func (w *within) create(l *lab, limits []int) {
	l.t.Helper()
	failed, made := 0, 0
	for _, n := range limits {
		l.under(w.enter(n))
		r := l.rt("create", "--bundle", l.bundle, l.id)
		l.prefix = nil
		if r.code == 0 {
			made++
		} else {
			failed++
		}
		if r.code != 0 && r.code != w.killed {
			if err := short(r); err != nil {
				l.t.Errorf("%d %s: %v", n, w.what, err)
			}
		}
		if r.code != 0 && w.clean {
			if left := l.left(); len(left) > 0 {
				l.t.Errorf("%d %s: left: %v", n, w.what, left)
			}
		}
		if err := l.sound(nil); err != nil {
			l.t.Errorf("%d %s: %v", n, w.what, err)
		}
	}
	l.t.Logf("%d creates failed for want of %s, %d did not", failed, w.what, made)
	if failed == 0 || made == 0 {
		l.t.Error("the limits were not chosen well")
	}
}

// TestNoNamespaces: in a user namespace of the test's own, /proc/sys/user/max_*_namespaces is 0.
func TestNoNamespaces(t *testing.T) {
	if _, err := os.Stat("/proc/sys/user/max_user_namespaces"); err != nil {
		t.Skipf("this kernel has no user namespaces: %v", err)
	}
	for _, kind := range []string{"none", "pid", "mnt", "net", "ipc", "uts", "user"} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t, func(s *specs.Spec) {
				ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}}
				s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
				s.Linux.CgroupsPath, s.Linux.Resources = "", nil
				s.Mounts = s.Mounts[:1]
			})
			script := "true"
			if kind != "none" {
				script = "echo 0 > /proc/sys/user/max_" + kind + "_namespaces"
			}
			l.prefix = []string{"unshare", "--user", "--map-root-user", "--mount", "/bin/busybox", "sh", "-c", script + ` && exec "$@"`, "sh"}
			r := l.rt("create", "--bundle", l.bundle, l.id)
			l.prefix = nil
			if kind == "none" {
				if r.code != 0 {
					t.Errorf("with nothing forbidden: %s", r)
				}
			} else if err := short(r); err != nil || r.code != 1 || !strings.Contains(r.stderr, "no space left on device") || !strings.Contains(r.stderr, "max_") {
				t.Errorf("%v: %s", err, r)
			}
			if err := l.sound0(); err != nil {
				t.Error(err)
			}
		})
	}
}

// sound0 is sound for a configuration that is not for root of the host.
func (l *lab) sound0() error {
	if r := l.rt("delete", "--force", l.id); r.code != 0 {
		return fmt.Errorf("%s", r)
	}
	if left := l.left(); len(left) > 0 {
		return fmt.Errorf("left: %v", left)
	}
	return nil
}
