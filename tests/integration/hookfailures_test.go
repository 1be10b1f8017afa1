package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
			c.create().fails("error running "+h.kind+" hook #0: exit status 3", "reason on stderr")
			if _, err := os.Stat(filepath.Join(c.dir, "second")); err == nil {
				t.Error("hooks after the failed one ran")
			}
			c.gone("poststop")
		})
	}
	t.Run("startContainer", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, writable, args("touch", "/ran"))
		c.hooks(specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", bad}}}})
		c.create().ok()
		r := c.start()
		if !differs(t, "a startContainer hook that fails in start") {
			r.fails("error running startContainer hook #0: exit status 3", "reason on stderr").oneError()
		}
		c.awaitStatus("stopped")
		if _, err := os.Stat(filepath.Join(c.rootfs, "ran")); err == nil {
			t.Error("the process ran all the same")
		}
	})
	t.Run("startContainer of run", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, writable, args("touch", "/ran"))
		start := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", bad}}}
		c.hooks(specs.Hooks{StartContainer: start, Poststop: c.logging("poststop")})
		c.run().exits(255).says("error running startContainer hook #0: exit status 3", "reason on stderr")
		c.gone("poststop")
		if _, err := os.Stat(filepath.Join(c.rootfs, "ran")); err == nil {
			t.Error("the process ran all the same")
		}
		if !differs(t, "a startContainer hook that fails in start") {
			c.run("--detach").exits(1).says("error running startContainer hook #0: exit status 3", "reason on stderr").oneError()
			c.gone("poststop poststop")
		}
	})
	t.Run("poststart", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		c.hooks(specs.Hooks{Poststart: []specs.Hook{c.hook("true"), c.hook(bad), c.hook("echo not me > $D/second")}, Poststop: c.logging("poststop")})
		early := differs(t, "poststart hooks come after execve")
		if early {
			c.create().fails("error running poststart hook #1: exit status 3", "reason on stderr")
		} else {
			c.create().ok()
			c.start().fails("error running poststart hook #1: exit status 3", "reason on stderr")
			if differs(t, "a poststart hook that fails in start") {
				c.awaitStatus("stopped")
				c.delete().ok()
			}
		}
		c.gone("poststop")
		c.run().exits(1).says("error running poststart hook #1: exit status 3", "reason on stderr")
		c.gone("poststop poststop")
		c.run("--detach").exits(1).says("error running poststart hook #1: exit status 3", "reason on stderr")
		c.gone("poststop poststop poststop")
		if _, err := os.Stat(filepath.Join(c.dir, "second")); err == nil {
			t.Error("hooks after the failed one ran")
		}
	})
	t.Run("poststop", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		c.hooks(specs.Hooks{Poststop: append([]specs.Hook{c.hook(bad)}, c.logging("second")...)})
		c.up().stopped()
		r := c.delete()
		if differs(t, "a poststop hook that fails") {
			r.fails("error running poststop hook #0: exit status 3", "reason on stderr")
			return
		}
		r.ok().says("warning: error running poststop hook #0: exit status 3", "reason on stderr")
		if c.read("log") != "second\n" {
			t.Error("hooks after the failed one did not run")
		}
	})
	t.Run("missing program", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/no/such/hook"}}})
		c.create().fails("error running createRuntime hook #0: ", "/no/such/hook", "no such file or directory")
	})
	t.Run("working directory", func(t *testing.T) {
		t.Parallel()
		if differs(t, "a createContainer hook whose rootfs has been moved away") {
			return
		}
		c := newContainer(t)
		moved := c.hook("mv $D/b $D/moved && mkdir $D/b && ln -s $D/elsewhere $D/b/rootfs && mkdir $D/elsewhere")
		c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{moved}, CreateContainer: []specs.Hook{c.hook("echo here > relative")}, Poststop: c.logging("poststop")})
		c.create().fails("error running createContainer hook #0: chdir to rootfs " + c.rootfs).oneError()
		c.gone("poststop")
		if made, err := filepath.Glob(c.dir + "/elsewhere/*"); err != nil || len(made) > 0 {
			t.Errorf("made on the host: %v, %v", made, err)
		}
	})
}

// gone looks whether a container that has failed was deleted, with what its poststop hooks have logged, and nothing is left.
func (c *container) gone(log string) {
	c.t.Helper()
	c.rt("state", c.id).fails("does not exist")
	if left := c.leftovers(false); len(left) > 0 {
		c.t.Errorf("after a failed hook: %v", left)
	}
	if got := strings.Join(strings.Fields(c.read("log")), " "); got != log {
		c.t.Errorf("poststop hooks have logged %q, want %q", got, log)
	}
}

// TestPoststopOfFailedCreate: poststop hooks undo what others may have done, also when create fails for another reason than a hook. A
// configuration that is refused has no container, and no poststop hook.
func TestPoststopOfFailedCreate(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"create", "run"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, args("/no/such/program"))
			c.hooks(specs.Hooks{Poststop: c.logging("poststop")})
			c.rt(c.with(verb)...).fails("/no/such/program")
			c.gone("poststop")
			c.spec.Process.Cwd = "relative"
			c.write()
			c.rt(c.with(verb)...).fails("Cwd must be an absolute path")
			c.gone("poststop")
		})
	}
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
		c.create().fails("error running createContainer hook #0: hook ran past specified timeout of 1.0s (" + program + ")").oneError()
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
