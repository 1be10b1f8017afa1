package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// removeFile removes a file that must be there.
func removeFile(path string) error { return os.Remove(path) }

func TestRunExitStatus(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"exit 0": 0, "exit 7": 7, "exit 255": 255,
		// As PID 1 a shell ignores a signal to itself that it does not handle: a child dies of it, and exit passes it on.
		"sh -c 'kill -9 $$'; exit $?": 128 + 9,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, script(text))
			c.run().exits(want)
			if left := c.leftovers(false); len(left) > 0 {
				t.Fatalf("after run: %v", left)
			}
		})
	}
}

// TestRunKilled: PID 1 itself dies of a signal from outside.
func TestRunKilled(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	running := c.begin(call{args: c.with("run")})
	eventually(t, "running", func() bool {
		r := c.rt("state", c.id)
		return r.code == 0 && strings.Contains(r.stdout, `"running"`)
	})
	c.kill("KILL").ok()
	if r := running.wait(); r.code != 128+9 {
		t.Fatalf("want exit 137: %s", r)
	}
}

// TestRunCreated: what run makes is created, not running, until the program is given the word.
func TestRunCreated(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	c.hooks(specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo >/held; until [ -e /go ]; do sleep 0.01; done"}}}})
	running := c.begin(call{args: c.with("run")})
	c.awaitFile("b/rootfs/held")
	if got := c.status(); got != "created" && !differs(t, "status while startContainer hooks run") {
		t.Errorf("before its program there is, the container is %s", got)
	}
	c.file("b/rootfs/go", "", 0o644)
	c.awaitStatus("running")
	c.kill("KILL").ok()
	if r := running.wait(); r.code != 128+9 {
		t.Fatalf("want exit 137: %s", r)
	}
}

func TestRunStdio(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("cat; echo to stderr >&2"))
	r := c.do(call{args: c.with("run"), stdin: strings.NewReader("to stdin\n")}).ok().prints("to stdin")
	if r.stderr != "to stderr\n" {
		t.Fatalf("stderr: %s", r)
	}
}

func TestRunDetach(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("echo started; exec sleep 1000"))
	r := c.run("--detach", "--pid-file", filepath.Join(c.dir, "pid")).ok()
	if c.status() != "running" || c.read("pid") != pidText(c.pid()) {
		t.Fatalf("after run --detach: %s, pid file %q", c.status(), c.read("pid"))
	}
	_ = r
}

// TestDetachedStdio: a detached container has the caller's own files as its stdio, untouched.
func TestDetachedStdio(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("read line; echo got $line; echo err >&2; exec sleep 1000"))
	in := c.file("in", "hello\n", 0o640)
	f, err := os.Open(in)
	c.must(err)
	defer f.Close()
	c.do(call{args: c.with("create"), stdin: f}).ok()
	c.start().ok()
	pid := pidText(c.pid())
	if link, _ := os.Readlink("/proc/" + pid + "/fd/0"); link != in {
		t.Fatalf("stdin is %q, want %q", link, in)
	}
	st, err := os.Stat(in)
	c.must(err)
	if st.Mode().Perm() != 0o640 {
		t.Fatalf("stdin's mode became %v", st.Mode())
	}
	out, _ := os.Readlink("/proc/" + pid + "/fd/1")
	eventually(t, "output", func() bool { data, _ := os.ReadFile(out); return string(data) == "got hello\n" })
}

func TestRunKeep(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("exit 3"))
	c.run("--keep").exits(3)
	if c.status() != "stopped" {
		t.Fatalf("after run --keep: %s", c.status())
	}
	c.delete().ok()
}

func TestSingleDashFlags(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("exit 4"))
	c.rt("run", "-bundle", c.bundle, "-no-subreaper", c.id).exits(4)
}

func TestBundleIsCurrentDirectory(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("echo", "here"))
	c.must(os.Mkdir(filepath.Join(c.bundle, "tmp"), 0o755))
	r := invoke(t, c.bundle, c.root, call{args: []string{"run", c.id}, dir: c.bundle})
	r.ok().prints("here")
}

func TestInitIsPidOne(t *testing.T) {
	t.Parallel()
	newContainer(t, script("echo $$")).run().ok().prints("1")
}

// TestOrphans: processes whose parents died are init's, and die with it.
func TestOrphans(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("(setsid sleep 900 & setsid sleep 901 &) ; exec sleep 1000")).up()
	eventually(t, "three processes", func() bool { return len(c.processes()) == 3 })
	eventually(t, "two sleeps that init has inherited", func() bool {
		return c.exec("sh", "-c", "ps -o ppid,args | grep -c '^ *1 sleep 90' | grep -x 2").code == 0
	})
	c.stopped()
	if left := c.processes(); len(left) > 0 {
		t.Fatalf("processes after the end of PID 1: %v", left)
	}
}

// TestNoPidNamespace: without a pid namespace nothing ends the others when init ends; a kill of the container must.
func TestNoPidNamespace(t *testing.T) {
	t.Parallel()
	daemons := script("(setsid sleep 900 & setsid sleep 901 &) ; exec sleep 1000")
	t.Run("kill", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, daemons, hostPids).up()
		eventually(t, "three processes", func() bool { return len(c.processes()) == 3 })
		c.kill("--all", "KILL").ok()
		c.awaitStatus("stopped")
		eventually(t, "end of all", func() bool { return len(c.processes()) == 0 })
	})
	t.Run("kill without --all", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, daemons, hostPids).up()
		eventually(t, "three processes", func() bool { return len(c.processes()) == 3 })
		c.kill("KILL").ok()
		c.awaitStatus("stopped")
		eventually(t, "end of all", func() bool { return len(c.processes()) == 0 })
	})
	t.Run("init ends by itself", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, script("(setsid sleep 900 </dev/null >/dev/null 2>&1 &) ; exit 0"), hostPids)
		c.run().ok()
		if left := c.leftovers(false); len(left) > 0 {
			t.Fatalf("after run: %v", left)
		}
	})
	t.Run("delete --force", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, daemons, hostPids).up()
		eventually(t, "three processes", func() bool { return len(c.processes()) == 3 })
		c.delete("--force").ok()
		if left := c.leftovers(false); len(left) > 0 {
			t.Fatalf("after delete --force: %v", left)
		}
	})
}

// TestExitStatusOfDetached: the exit status of a detached init is the one that its subreaper sees.
func TestExitStatusOfDetached(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("exit 5"))
	c.create().ok()
	pid := c.pid()
	c.start().ok()
	if code := reap(t, pid); code != 5 {
		t.Fatalf("exit status %d, want 5", code)
	}
	c.awaitStatus("stopped")
	c.delete().ok()
}

// TestZombieInit: an init that is dead but that nobody has reaped is a stopped container.
func TestZombieInit(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	// The init's parent, a foreground run, is stopped and does not reap.
	running := c.begin(call{args: c.with("run", "--pid-file", filepath.Join(c.dir, "pid"))})
	pid, err := strconv.Atoi(c.awaitFile("pid"))
	c.must(err)
	c.awaitStatus("running")
	parent := running.cmd.Process
	c.must(parent.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = parent.Signal(syscall.SIGCONT) })
	eventually(t, "stop of the runtime", func() bool { return strings.Contains(procFile(t, parent.Pid, "stat"), ") T ") })
	c.must(syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "a zombie", func() bool { return strings.Contains(procFile(t, pid, "stat"), ") Z ") })
	if c.status() != "stopped" {
		t.Errorf("with a zombie as init: %s", c.status())
	}
	c.kill("KILL").fails("container not running")
	c.must(parent.Signal(syscall.SIGCONT))
	running.wait().exits(137)
}
