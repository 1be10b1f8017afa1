package fault

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestSignalled: SIGTERM, SIGINT and SIGHUP to rt at its system calls, in the foreground and while it creates.
func TestSignalled(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}
	for _, v := range verbs() {
		if v.name != "create rich" && v.name != "run" && v.name != "exec" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			var hits atomic.Int64
			workers(t, points(t, v.calls(t, inRt)*len(signals), 12), &v, func(l *lab, at int) error {
				l.bring(v.prepare)
				sig := signals[at%len(signals)]
				r := l.inject(job{Who: inRt, Do: doSignal, Signal: sig, At: 1 + at/len(signals)}, v.args(l)...)
				if r.Hit {
					hits.Add(1)
				}
				if r.Late {
					return fmt.Errorf("%v at %s: rt hangs: %s", sig, r.point(), r)
				}
				if err := l.sound(v.after); err != nil {
					return fmt.Errorf("%v at %s: %w\nIt had said: %s", sig, r.point(), err, r)
				}
				return nil
			})
			t.Logf("%s: %d signals", v.name, hits.Load())
		})
	}
}

// TestHalted: a signal has stopped the container's process.
func TestHalted(t *testing.T) {
	l := newLab(t)
	l.create()
	init := l.init()
	l.must(syscall.Kill(init, syscall.SIGSTOP))
	l.must(l.eventually("the stop", func() bool { return stateOf(init) == "T" }))
	if r := l.rt("start", l.id); r.code != 1 || !strings.Contains(r.stderr, "SIGSTOP") || oneError(r) != nil {
		t.Errorf("%s", r)
	}
	if status, err := l.state(); err != nil || status != "created" {
		t.Errorf("status %q, %v", status, err)
	}
	l.ok("kill", l.id, "CONT")
	l.ok("start", l.id)
	l.must(syscall.Kill(init, syscall.SIGSTOP))
	l.ok("exec", l.id, "/bin/true")
	l.ok("pause", l.id)
	l.ok("resume", l.id)
	if err := l.sound(nil); err != nil {
		t.Error(err)
	}
}

func stateOf(pid int) string {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(data), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}

// TestHaltedCreate: create hangs in a process that somebody has stopped. delete --force ends it.
func TestHaltedCreate(t *testing.T) {
	l := newLab(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/busybox", Args: []string{"sh", "-c",
			`read state; pid=${state#*\"pid\":}; pid=${pid%%,*}; kill -STOP "${pid%%\}*}"`}}}}
	})
	made := make(chan result, 1)
	go func() { made <- l.rt("create", "--bundle", l.bundle, l.id) }()
	l.must(l.eventually("a stopped process", func() bool {
		for _, p := range l.processes() {
			pid, _ := strconv.Atoi(strings.Fields(p)[0])
			if stateOf(pid) == "T" {
				return true
			}
		}
		return false
	}))
	l.ok("delete", "--force", l.id)
	if r := <-made; r.code == 0 || oneError(r) != nil {
		t.Errorf("create: %s", r)
	}
	if left := l.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestZombie: the container's process is dead, and its parent does not look.
func TestZombie(t *testing.T) {
	l := newLab(t)
	l.up()
	init := l.init()
	plain := func(args ...string) string { // the reaper is kept from its work, so nothing here goes through it
		out, _ := exec.Command(machine.rt, append([]string{"--root", l.root}, args...)...).CombinedOutput()
		return string(out)
	}
	release := orphans.Hold()
	l.must(syscall.Kill(init, syscall.SIGKILL))
	for stateOf(init) != "Z" {
		time.Sleep(time.Millisecond)
	}
	state, start, run := plain("state", l.id), plain("start", l.id), plain("exec", l.id, "/bin/true")
	kill, remove := plain("kill", l.id, "TERM"), plain("delete", l.id)
	zombie := stateOf(init)
	release()
	if zombie != "Z" {
		t.Fatal("it is no zombie any more: nothing was tested")
	}
	for want, got := range map[string]string{`"status": "stopped"`: state, "cannot start a container that has stopped": start,
		"cannot exec in a stopped container": run, "container not running": kill} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q, got %q", want, got)
		}
	}
	if remove != "" {
		t.Errorf("delete: %s", remove)
	}
}

// TestPidReuse: another process gets the number of the container's, in a pid namespace of the test's own.
func TestPidReuse(t *testing.T) {
	const last = "/proc/sys/kernel/ns_last_pid"
	if _, err := os.Stat(last); err != nil {
		t.Skipf("this kernel lets nobody choose a pid: %v", err)
	}
	l := newLab(t)
	script := `rt="$1 --root $2" bundle=$3 id=$4
set -e
$rt create --bundle $bundle $id </dev/null >/dev/null 2>&1
$rt start $id
pid=$($rt state $id | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
kill -9 $pid
while [ -e /proc/$pid/ns/pid ] && ! grep -q 'State:.Z' /proc/$pid/status; do :; done
wait 2>/dev/null || :
# Before Linux 6.9 it is told by its start time, which is counted in hundredths of a second (proc(5)): the other's must be another.
grep -q pidInode $2/$id/state.json || usleep 30000
n=0
while [ $n -lt 500 ]; do
	echo $((pid - 1)) > ` + last + `
	sleep 1000 & other=$!
	[ $other != $pid ] || break
	kill -9 $other; n=$((n + 1))
done
[ $other = $pid ] || { echo "no luck: $other is not $pid"; exit 1; }
$rt state $id | grep -q '"status": "stopped"' || { echo "it passes for the container's"; exit 1; }
$rt kill $id KILL 2>/dev/null && { echo "kill"; exit 1; }
$rt delete --force $id
kill -0 $pid || { echo "it was killed"; exit 1; }
kill -9 $pid
`
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "/bin/busybox", "sh", "-c", script, "sh", machine.rt, l.root, l.bundle, l.id)
	out := l.temp()
	cmd.Stdout, cmd.Stderr = out, out
	err := orphans.Start(cmd)
	if err == nil {
		err = orphans.Wait(cmd)
	}
	if said := text(t, out); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

// TestParentDies: who has called rt is killed meanwhile; rt does what it was told to.
func TestParentDies(t *testing.T) {
	l := newLab(t)
	cmd := exec.Command("/bin/busybox", "sh", "-c", `"$@" & kill -9 $$`, "sh", machine.rt, "--root", l.root, "create", "--bundle", l.bundle, l.id)
	l.must(orphans.Start(cmd))
	_ = orphans.Wait(cmd)
	l.must(l.eventually("the container", func() bool { status, err := l.state(); return err == nil && status == "created" }))
	if err := l.sound(nil); err != nil {
		t.Error(err)
	}
}

// TestTerminalGone: the terminal of a foreground rt goes away. rt must not spin, and the container can be deleted, with
// which rt ends.
func TestTerminalGone(t *testing.T) {
	l := newLab(t, func(s *specs.Spec) { s.Process.Terminal = true })
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	l.must(err)
	defer master.Close()
	l.must(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	l.must(err)
	tty, err := os.OpenFile(filepath.Join("/dev/pts", strconv.Itoa(n)), os.O_RDWR|unix.O_NOCTTY, 0)
	l.must(err)
	cmd := exec.Command(machine.rt, "--root", l.root, "run", "--bundle", l.bundle, l.id)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	l.must(orphans.Start(cmd))
	tty.Close()
	l.must(l.eventually("the container", func() bool { status, _ := l.state(); return status == "running" }))
	master.Close()
	l.must(l.eventually("rt asleep without its terminal", func() bool { return asleep(cmd.Process.Pid) }))
	if err := l.sound0(); err != nil {
		t.Error(err)
	}
	_ = orphans.Wait(cmd)
}

// asleep says that a process sleeps and does not run at all while it is looked at twenty times: one that spins runs or wants to.
func asleep(pid int) bool {
	ran := func() string {
		text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/schedstat") // time on a CPU, time waited for one, turns
		return string(text)
	}
	before := ran()
	for range 20 {
		if stateOf(pid) != "S" || ran() != before {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return before != ""
}
