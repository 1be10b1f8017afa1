package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// debianRoot is the path of the cached Debian root file system, which is made the first time. It is never written to.
// RT_DEBIAN names it where it cannot be made.
var debianRoot = sync.OnceValues(func() (string, error) {
	if ready := os.Getenv("RT_DEBIAN"); ready != "" {
		return ready, nil
	}
	var stderr strings.Builder
	cmd := exec.Command("../../scripts/rootfs", "debian")
	cmd.Stderr = &stderr
	out := new(strings.Builder)
	cmd.Stdout = out
	err := orphans.Start(cmd)
	if err == nil {
		err = orphans.Wait(cmd)
	}
	if err != nil {
		return "", fmt.Errorf("scripts/rootfs debian: %w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(out.String()), nil
})

// newDebian makes a container on the Debian root file system, read-only, with tmpfs where Debian writes.
func newDebian(t *testing.T, edits ...func(*specs.Spec)) *container {
	t.Helper()
	root, err := debianRoot()
	if err != nil {
		t.Fatal(err)
	}
	if root == "none" {
		t.Skip("RT_DEBIAN=none: there is no Debian root file system on this machine, and nothing to make it with")
	}
	all := append([]func(*specs.Spec){func(s *specs.Spec) { s.Root.Path = root },
		mounted("/tmp", "tmpfs", "tmpfs", "mode=1777"), mounted("/run", "tmpfs", "tmpfs", "mode=755"), mounted("/root", "tmpfs", "tmpfs")}, edits...)
	return newContainer(t, all...)
}

func TestDebianPrograms(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		args []string
		want string
	}{
		{[]string{"apt-get", "--version"}, "apt "},
		{[]string{"python3", "-c", "import os; print(os.getpid(), os.getuid(), os.spawnlp(os.P_WAIT, 'id', 'id'), sum(range(10)))"}, "uid=0(root)"},
		{[]string{"perl", "-e", `use POSIX; print join(",", map { $_ * 2 } 1..4), " ", getpid(), "\n"`}, "2,4,6,8 1"},
		{[]string{"bash", "-c", "set -o pipefail; seq 1000 | sort -n | tail -n 1; echo ${BASH_VERSINFO[0]}"}, "1000\n5"},
		{[]string{"dpkg", "--print-architecture"}, "amd64"},
	} {
		t.Run(p.args[0], func(t *testing.T) {
			t.Parallel()
			r := newDebian(t, args(p.args...)).run().ok()
			if !strings.HasPrefix(r.stdout, p.want) {
				t.Errorf("want %q: %s", p.want, r)
			}
		})
	}
}

// TestDebianShell: an interactive bash on a pty, with job control.
func TestDebianShell(t *testing.T) {
	t.Parallel()
	c := newDebian(t, withTerminal, args("bash", "--norc", "-i"))
	term := openPty(t)
	term.resize(30, 100)
	running := c.begin(call{args: c.with("run"), tty: term.slave})
	term.types("PS1='rea''dy> '\n")
	term.shows("ready> ")
	if strings.Contains(term.text(), "no job control") {
		t.Errorf("bash: %q", term.text())
	}
	term.types("sleep 500\n")
	c.awaitProcess("sleep 500")
	term.types("\x1a")
	term.shows("Stopped")
	term.types("jobs -l; kill %1; stty -a | head -n 1\n")
	term.shows("rows 30; columns 100")
	term.types("exit 6\n")
	running.wait().exits(6)
}

// TestDebianDaemon: a daemon that forks twice, in a session of its own, lives on as long as init does.
func TestDebianDaemon(t *testing.T) {
	t.Parallel()
	c := newDebian(t).up()
	c.exec("python3", "-c", `
import os, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
null = os.open("/dev/null", os.O_RDWR)
for fd in range(3): os.dup2(null, fd)
open("/run/daemon.pid", "w").write(str(os.getpid()))
while True: time.sleep(100)`).ok()
	eventually(t, "the daemon's pid file", func() bool { return c.exec("test", "-s", "/run/daemon.pid").code == 0 })
	if got := c.exec("bash", "-c", `grep PPid /proc/$(cat /run/daemon.pid)/status`).ok().out(); got != "PPid:\t1" {
		t.Errorf("the daemon's parent: %q", got)
	}
	c.stopped()
	if left := c.processes(); len(left) > 0 {
		t.Errorf("after the end of init: %v", left)
	}
}

func TestDebianConcurrentExecs(t *testing.T) {
	t.Parallel()
	c := newDebian(t).up()
	tenExecs(t, c, func(i int) []string {
		return []string{"python3", "-c", fmt.Sprintf("import sys; print('number', %d); sys.exit(%d)", i, i)}
	})
}
