package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What rt cannot look at, it must not take for something that it is not: gone, harmless, or nothing.

// TestUnknown: a container that cannot be looked at is not said to be what it is not, nor deleted because it seems to have stopped.
func TestUnknown(t *testing.T) {
	for _, v := range []verb{
		{name: "state", prepare: []string{"create"}, args: id("state")},
		{name: "state", prepare: []string{"create", "start"}, args: id("state")},
		{name: "state", prepare: []string{"create", "start", "pause"}, args: id("state")},
		{name: "delete", prepare: []string{"create", "start"}, args: id("delete")},
		{name: "list", prepare: []string{"create", "start"}, args: func(*lab) []string { return []string{"list"} }},
	} {
		l := newLab(t)
		l.bring(v.prepare)
		want, err := l.state()
		l.must(err)
		calls := l.inject(job{Who: inRt}, v.args(l)...).Calls
		t.Run(v.name+" "+want, func(t *testing.T) {
			workers(t, points(t, calls*len(errnos), 8), &v, func(l *lab, at int) error {
				if status, err := l.state(); status == "" && err == nil {
					l.bring(v.prepare)
				}
				errno := errnos[at%len(errnos)]
				r := l.inject(job{Who: inRt, Do: doFail, At: 1 + at/len(errnos), Errno: errno}, v.args(l)...)
				status, err := l.state()
				said := map[string]string{"state": `"status": "` + want + `"`, "list": "   " + want + "   "}[v.name]
				if err != nil || status != want || r.code == 0 && !strings.Contains(r.stdout, said) {
					return fmt.Errorf("%s at %s: now %q, %v\nIt had said: %s\n%s", unix.ErrnoName(errno), r.point(), status, err, r, r.stdout)
				}
				return nil
			})
		})
	}
}

// TestUnknownStays: what delete cannot look at keeps its directory, so that a second delete finds all of it.
func TestUnknownStays(t *testing.T) {
	without := []string{"--cgroup-manager", "disabled", "create"}
	half := verb{name: "create", args: bundle("create")}
	calls := half.calls(t, inRt)
	for name, bring := range map[string]func(l *lab){
		"no cgroup": func(l *lab) { l.ok(append(without, "--bundle", l.bundle, l.id)...); l.ok("start", l.id) },
		"half made": func(l *lab) { l.inject(job{Who: inRt, Do: doKill, At: calls * 3 / 5}, half.args(l)...) },
	} {
		t.Run(name, func(t *testing.T) {
			v := verb{name: "delete --force", args: id("delete", "--force")}
			if name == "no cgroup" {
				v.edits = []func(*specs.Spec){func(s *specs.Spec) { s.Linux.Resources = nil }}
			}
			l := newLab(t, v.edits...)
			bring(l)
			n := l.inject(job{Who: inRt}, v.args(l)...).Calls
			workers(t, points(t, n*len(errnos), 8), &v, func(l *lab, at int) error {
				bring(l)
				pid := 0 // without a cgroup nothing else tells that the process is the container's
				if name == "no cgroup" {
					pid = l.init()
				}
				errno := errnos[at%len(errnos)]
				r := l.inject(job{Who: inRt, Do: doFail, At: 1 + at/len(errnos), Errno: errno}, v.args(l)...)
				if _, err := os.Stat(filepath.Join(l.root, l.id)); err == nil {
					l.ok(v.args(l)...)
				}
				left := l.left()
				if pid != 0 && !dead(pid) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					left = append(left, "init")
				}
				if len(left) > 0 {
					return fmt.Errorf("%s at %s: left %v\nIt had said: %s", unix.ErrnoName(errno), r.point(), left, r)
				}
				return nil
			})
		})
	}
}

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
				for at := 1; ; at += stride() {
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
		for at := 1; ; at += stride() {
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

// TestHooksUnwatched: epoll has no room for a descriptor of rt (fs.epoll.max_user_watches, of all programs of a user). Timeouts
// of hooks are kept, a long state is written, and a hook that prints much does not wait for a reader that is gone.
func TestHooksUnwatched(t *testing.T) {
	limit := 1
	l := newLab(t, func(s *specs.Spec) {
		s.Annotations = map[string]string{"long": strings.Repeat("x", 200_000)}
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{
			{Path: "/bin/busybox", Args: []string{"sh", "-c", "cat >/dev/null; head -c 300000 /dev/zero"}},
			{Path: "/bin/busybox", Args: []string{"sleep", "100"}, Timeout: &limit},
		}}
	})
	for at := 2; ; at++ { // the first call is the Go runtime's for itself, which ends without it
		r := l.inject(job{Who: inRt, Do: doFail, Only: unix.SYS_EPOLL_CTL, At: at, Errno: syscall.ENOSPC}, bundle("create")(l)...)
		if r.Late || !strings.Contains(r.stderr, "error running createRuntime hook #1: hook ran past specified timeout of 1.0s (/bin/busybox)") {
			t.Errorf("call %d: %s", at, r)
		}
		if !r.Hit {
			if at < 4 {
				t.Errorf("only %d calls of epoll", at-1)
			}
			break
		}
	}
}
