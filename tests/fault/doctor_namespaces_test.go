package fault

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A place is a set of namespaces that a sleeping process keeps.
type place struct {
	enter []string // a command that runs another there
	end   func()
}

// unshare makes namespaces by unshare(1).
func (l *lab) unshare(flags ...string) *place {
	l.t.Helper()
	cmd := exec.Command("unshare", append(flags, "--", "/bin/busybox", "sleep", "100000")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	l.must(orphans.Start(cmd))
	ended := false
	p := &place{end: func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = orphans.Wait(cmd)
		}
	}}
	l.t.Cleanup(p.end)
	pid := strconv.Itoa(cmd.Process.Pid)
	l.must(l.eventually("what unshare has started", func() bool {
		children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children") // with --fork
		for _, one := range append(strings.Fields(string(children)), pid) {
			if argv, _ := os.ReadFile("/proc/" + one + "/cmdline"); strings.HasPrefix(string(argv), "/bin/busybox\x00") {
				p.enter = []string{"nsenter", "--target", one, "--mount", "--pid", "--"}
				return true
			}
		}
		return false
	}))
	return p
}

// fixes: what is left is found and removed, its program too.
func (l *lab) fixes() {
	l.t.Helper()
	if f := l.doctor("--fix", "--kill"); len(f) != 1 || !f[0].Fixed {
		l.t.Errorf("its own: %+v", f)
	}
	if left := l.left(); len(left) > 0 {
		l.t.Errorf("left: %v", left)
	}
}

// TestDoctorInNamespaces: what has been made in another pid or mount namespace is spared by a doctor on the host, and the host's by
// a doctor in there; each finds its own.
func TestDoctorInNamespaces(t *testing.T) {
	pids := []string{"--pid", "--fork", "--kill-child", "--mount-proc"}
	t.Run("made in a pid namespace", func(t *testing.T) {
		l := newLab(t)
		there := l.unshare(pids...)
		l.prefix = there.enter
		l.up()
		l.finds()
		l.prefix = nil
		l.spares("")
		l.loseDirectory()
		l.spares("")
		l.prefix = there.enter
		l.finds("cgroup")
		l.fixes()
		l.prefix = nil
	})
	t.Run("seen from a pid namespace", func(t *testing.T) {
		l := newLab(t)
		l.up()
		l.prefix = l.unshare(pids...).enter
		l.spares("")
		l.loseDirectory()
		l.spares("")
		l.prefix = nil
		l.fixes()
	})
	t.Run("made in a mount namespace", func(t *testing.T) {
		l := newLab(t)
		there := l.unshare("--mount")
		l.hideRoot(there)
		l.prefix = there.enter
		l.up()
		l.finds()
		l.prefix = nil
		if _, err := l.state(); err != nil {
			t.Error(err)
		}
		l.spares("")
		l.prefix = there.enter
		l.finds() // nothing was done to it
		l.ok("delete", "--force", l.id)
		l.up()
		l.prefix = nil
		there.end()
		want := "cgroup" // of which it is not certain whose it was
		if hidden() {
			want = ""
		}
		l.spares(want)
		l.cleanCgroups()
	})
	t.Run("seen from a mount namespace", func(t *testing.T) {
		l := newLab(t)
		l.up()
		there := l.unshare("--mount")
		l.hideRoot(there)
		l.prefix = there.enter
		l.spares("")
		l.prefix = nil
		l.finds()
		l.loseDirectory()
		l.prefix = there.enter
		l.spares("") // the host's doctor may know more
		l.prefix = nil
		l.fixes()
	})
}

// hideRoot mounts something over the containers' directory, which only this place sees.
func (l *lab) hideRoot(p *place) {
	l.t.Helper()
	argv := append(p.enter[:len(p.enter):len(p.enter)], "mount", "-t", "tmpfs", "-o", "mode=700", "rt-fault", l.root)
	cmd := exec.Command(argv[0], argv[1:]...)
	l.must(orphans.Start(cmd))
	l.must(orphans.Wait(cmd))
}
