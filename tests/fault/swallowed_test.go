package fault

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestNotLeftFrozen: whatever rt cannot open, read or write on its way, a signal to all and a pause that fails leave the container running.
func TestNotLeftFrozen(t *testing.T) {
	for _, args := range [][]string{{"kill", "--all", "ID", "WINCH"}, {"pause", "ID"}} {
		t.Run(args[0], func(t *testing.T) {
			l := newLab(t)
			l.up()
			for i := range args {
				if args[i] == "ID" {
					args[i] = l.id
				}
			}
			hits := 0
			for _, nr := range []int{unix.SYS_PREAD64, unix.SYS_WRITE, unix.SYS_OPENAT} {
				for at := 1; ; at++ {
					r := l.inject(job{Who: inRt, Do: doFail, Only: nr, At: at, Errno: unix.EIO}, args...)
					if !r.Hit {
						break
					}
					hits++
					status, err := l.state()
					paused := args[0] == "pause" && r.code == 0
					if want := map[bool]string{false: "running", true: "paused"}[paused]; err != nil || status != want {
						t.Errorf("EIO at %s: %s, want %s: %v\nIt had said: %s", r.point(), status, want, err, r)
					}
					if status == "paused" {
						l.ok("resume", l.id)
					}
				}
				if status, _ := l.state(); status == "paused" { // by the one that met no error
					l.ok("resume", l.id)
				}
			}
			if hits < 5 {
				t.Errorf("only %d calls failed", hits)
			}
		})
	}
}

// TestBoundingSet: where the kernel does not say what is in the bounding set, as under a filter of an outer container, nothing
// starts with more than it may have.
func TestBoundingSet(t *testing.T) {
	l := newLab(t)
	bounding := func() string {
		data, err := os.ReadFile("/proc/" + strconv.Itoa(l.init()) + "/status")
		l.must(err)
		_, rest, _ := strings.Cut(string(data), "CapBnd:")
		value, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(value)
	}
	l.up()
	want, hits := bounding(), 0
	l.ok("delete", "--force", l.id)
	for at := 1; ; at += 7 {
		r := l.inject(job{Who: inStub, Do: doFail, Only: unix.SYS_PRCTL, At: at, Errno: unix.EPERM}, "run", "--detach", "--bundle", l.bundle, l.id)
		if !r.Hit {
			break
		}
		hits++
		if r.code != 0 {
			continue
		}
		if got := bounding(); got != want {
			t.Errorf("EPERM at %s: bounding set %s, want %s", r.point(), got, want)
		}
		l.ok("delete", "--force", l.id)
	}
	if hits < 5 {
		t.Errorf("only %d calls failed", hits)
	}
}

// TestAwaitsStart: a created container outlives a moment without memory or descriptors in which it is started.
func TestAwaitsStart(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENFILE, unix.ENOMEM} {
		l := newLab(t)
		l.create()
		r := l.inject(job{Who: inStub, Attach: l.init(), Do: doFail, Only: unix.SYS_ACCEPT4, At: 1, Errno: errno}, "start", l.id)
		if status, err := l.state(); !r.Hit || r.code != 0 || err != nil || status != "running" {
			t.Errorf("%v at %s: %s, %v\nIt had said: %s", errno, r.point(), status, err, r)
		}
	}
}

// TestNotSmuggled: a link of the image leads a mount into /proc, and the kernel does not say where the target lies.
func TestNotSmuggled(t *testing.T) {
	l := newLab(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/gate/sys", Type: "tmpfs", Source: "tmpfs"})
	})
	l.must(os.Symlink("proc", filepath.Join(l.bundle, "rootfs/gate")))
	for _, nr := range []int{unix.SYS_FSTATFS, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT} {
		for at := 1; ; at++ {
			r := l.inject(job{Who: inStub, Do: doFail, Only: nr, At: at, Errno: unix.EIO}, "create", "--bundle", l.bundle, l.id)
			if r.code == 0 || !r.Hit && !strings.Contains(r.stderr, "inside /proc") {
				t.Fatalf("EIO at %s: %s", r.point(), r)
			}
			if !r.Hit {
				break
			}
		}
	}
}

// TestCopyUpWhole: attributes that cannot be read are not left out.
func TestCopyUpWhole(t *testing.T) {
	l := newLab(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/etc", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
	})
	l.must(os.WriteFile(filepath.Join(l.bundle, "rootfs/etc/file"), nil, 0o644))
	for at := 1; at <= 3; at++ {
		r := l.inject(job{Who: inStub, Do: doFail, Only: unix.SYS_FGETXATTR, At: at, Errno: unix.ERANGE}, "create", "--bundle", l.bundle, l.id)
		if !r.Hit || r.code == 0 || !strings.Contains(r.stderr, "fgetxattr") {
			t.Errorf("ERANGE at %s: %s", r.point(), r)
		}
	}
}
