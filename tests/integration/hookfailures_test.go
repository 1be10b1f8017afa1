package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestHookFailures: which failure stops what.
func TestHookFailures(t *testing.T) {
	t.Parallel()
	bad := "echo reason on stderr >&2; exit 3"
	for _, h := range []struct {
		kind string
		set  func(*specs.Hooks, []specs.Hook)
	}{
		{"prestart", setPrestart},
		{"createRuntime", func(s *specs.Hooks, h []specs.Hook) { s.CreateRuntime = h }},
		{"createContainer", func(s *specs.Hooks, h []specs.Hook) { s.CreateContainer = h }},
	} {
		t.Run(h.kind, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t)
			hooks := specs.Hooks{Poststop: c.logging("poststop")}
			h.set(&hooks, []specs.Hook{c.hook(bad), c.hook("echo not me > $D/second")})
			c.hooks(hooks)
			c.create().fails("reason on stderr", "exit status 3")
			if _, err := os.Stat(filepath.Join(c.dir, "second")); err == nil {
				t.Error("hooks after the failed one ran")
			}
			c.rt("state", c.id).fails("does not exist")
			if left := c.leftovers(false); len(left) > 0 {
				t.Errorf("after a failed hook: %v", left)
			}
		})
	}
	t.Run("startContainer", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, writable, args("touch", "/ran"))
		c.hooks(specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", bad}}}})
		c.create().ok()
		r := c.start()
		if r.code == 0 {
			t.Errorf("start succeeds: %s", r)
		} else if r.code != 0 {
			r.fails("reason on stderr")
		}
		c.awaitStatus("stopped")
		if _, err := os.Stat(filepath.Join(c.rootfs, "ran")); err == nil {
			t.Error("the process ran all the same")
		}
	})
	t.Run("poststart", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		c.hooks(specs.Hooks{Poststart: []specs.Hook{c.hook(bad)}})
		c.create().ok()
		c.start().fails("reason on stderr")
		c.awaitStatus("stopped")
	})
	t.Run("poststop", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		c.hooks(specs.Hooks{Poststop: append([]specs.Hook{c.hook(bad)}, c.logging("second")...)})
		c.up().stopped()
		r := c.delete()
		r.ok().says("reason on stderr")
		if c.read("log") != "second\n" {
			t.Error("hooks after the failed one did not run")
		}
	})
	t.Run("missing program", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/no/such/hook"}}})
		c.create().fails("/no/such/hook", "no such file or directory")
	})
}

func TestHookTimeout(t *testing.T) {
	t.Parallel()
	one := 1
	for _, kind := range []string{"createRuntime", "createContainer"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t)
			h := c.hook("exec sleep 5817")
			h.Timeout = &one
			if kind == "createRuntime" {
				c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{h}})
			} else {
				c.hooks(specs.Hooks{CreateContainer: []specs.Hook{h}})
			}
			began := time.Now()
			c.create().fails("hook ran past specified timeout of 1")
			if took := time.Since(began); took < time.Second { // the hook itself would take an hour, and create be killed
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestHookTimeoutOnTheWay: the timeout of a hook that runs in the container covers the way there. Here it is execve that
// waits: for the test to give up a lease on the program (fcntl(2)), for which the kernel allows 45 seconds.
func TestHookTimeoutOnTheWay(t *testing.T) {
	t.Parallel()
	if differs(t, "the timeout of a hook that runs in the container") {
		return
	}
	one := 1
	c := newContainer(t, args("sleep", "1000"))
	program := filepath.Join(c.dir, "program")
	c.must(os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	c.hooks(specs.Hooks{CreateContainer: []specs.Hook{{Path: program, Timeout: &one}}})
	held, err := os.OpenFile(program, os.O_RDWR, 0)
	c.must(err)
	defer held.Close()
	if _, err := unix.FcntlInt(held.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("this file system has no leases: %v", err)
	}
	var st unix.Stat_t
	c.must(unix.Fstat(int(held.Fd()), &st))
	breaking := regexp.MustCompile(fmt.Sprintf(`(?m)LEASE +BREAKING .*:%d `, st.Ino)) // proc_locks(5)
	// Once the kernel has given up waiting, nothing was tested: a machine that stands still may do that to it, not five times.
	for tries := 5; ; tries-- {
		c.create().fails("run createContainer hook 0 (" + program + "): hook ran past specified timeout of 1.0s").oneError()
		locks, err := os.ReadFile("/proc/locks")
		c.must(err)
		if breaking.Match(locks) {
			break
		}
		if tries == 1 {
			t.Fatalf("create returned only after the kernel had given up on the lease:\n%s", locks)
		}
		_, err = unix.FcntlInt(held.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
		c.must(err)
	}
	c.rt("state", c.id).fails("does not exist")
}
