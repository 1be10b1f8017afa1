package security

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is in a container's cgroup, or below it, and is not the container's: none of it may be killed when that is removed.

// inCgroup gives a victim a cgroup at another one's path, or below it.
func inCgroup(path string) func(*victim) {
	return func(v *victim) { v.spec.Linux.CgroupsPath = path }
}

// hostPids takes the pid namespace from a configuration.
func hostPids(v *victim) {
	list := v.spec.Linux.Namespaces[:0]
	for _, ns := range v.spec.Linux.Namespaces {
		if ns.Type != "pid" {
			list = append(list, ns)
		}
	}
	v.spec.Linux.Namespaces = list
}

// alive says whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	state := string(stat[strings.LastIndexByte(string(stat), ')')+2:])
	return state[0] != 'Z' && state[0] != 'X'
}

// end kills a victim's init and waits until its container has stopped.
func (v *victim) end() {
	v.t.Helper()
	pid := v.pid()
	must(v.t, unix.Kill(pid, unix.SIGKILL))
	eventually(v.t, "end of the container's init", func() bool { reap(); return !alive(pid) })
}

// cgroupDirs are a cgroup's directories in all hierarchies.
func cgroupDirs(path string) (dirs []string) {
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup"} {
		mounts, _ := filepath.Glob(pattern)
		for _, mount := range mounts {
			_, err := os.Stat(mount + "/cgroup.procs")
			if _, below := os.Stat(mount + "/cgroup.type"); err == nil && below != nil { // the root of a hierarchy has no type
				if _, err := os.Stat(filepath.Join(mount, path)); err == nil {
					dirs = append(dirs, filepath.Join(mount, path))
				}
			}
		}
	}
	return dirs
}

// hostProcess is a process of the host in a cgroup, until the test ends.
func hostProcess(t *testing.T, dirs []string) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if len(dirs) == 0 {
		t.Fatal("no cgroup")
	}
	for _, dir := range dirs {
		must(t, os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0))
	}
	return cmd.Process.Pid
}

// removedButLeft: the container is gone, what others have in its cgroup is there and is named in runc's words.
func (v *victim) removedButLeft(r result) {
	v.t.Helper()
	if r.code != 1 || !strings.Contains(r.stderr, "Failed to remove paths: map[") {
		v.t.Errorf("got %s\nwant exit code 1 and `Failed to remove paths`", r)
	}
	if _, err := os.Stat(v.dir + "/root/" + v.id); !errors.Is(err, os.ErrNotExist) {
		v.t.Errorf("the container's directory: %v, want it to be gone", err)
	}
}

// TestNeighbourWithThePath: a container that has stopped, and one that runs with the same cgroupsPath. Succeeds against a
// runtime that kills what is in the cgroup which it has written down.
func TestNeighbourWithThePath(t *testing.T) {
	for name, edit := range map[string]func(*victim){"pid namespace": func(*victim) {}, "host's pids": hostPids} {
		for _, verb := range [][]string{{"delete"}, {"delete", "--force"}} {
			t.Run(name+"/"+strings.Join(verb, " "), func(t *testing.T) {
				b := newVictim(t, args("sleep", "1000"), edit)
				a := newVictim(t, args("sleep", "1000"), edit, inCgroup(b.spec.Linux.CgroupsPath))
				a.up().end()
				b.up()
				pid := b.pid()
				a.removedButLeft(a.rt(append(verb, a.id)...))
				if !alive(pid) {
					t.Errorf("the other container was killed")
				}
				b.rt("kill", b.id, "TERM").ok(t)
			})
		}
	}
}

// TestKillOfAStoppedContainer: kill of a container without a pid namespace whose init has ended kills what is left in its cgroup. A
// container that has taken the path since, and one whose cgroup lies below, go on. Succeeds against a runtime that kills what is in
// the cgroup which it has written down.
func TestKillOfAStoppedContainer(t *testing.T) {
	t.Run("same path", func(t *testing.T) {
		b := newVictim(t, args("sleep", "1000"), hostPids)
		a := newVictim(t, args("sleep", "1000"), hostPids, inCgroup(b.spec.Linux.CgroupsPath))
		a.up().end()
		pid := b.up().pid()
		if r := a.rt("kill", a.id, "KILL"); r.code != 1 || !strings.Contains(r.stderr, "container not running") || !alive(pid) {
			t.Errorf("%s: the other container is alive: %v", r, alive(pid))
		}
		a.removedButLeft(a.rt("delete", a.id))
		b.rt("kill", b.id, "KILL").ok(t)
	})
	t.Run("below", func(t *testing.T) {
		a := newVictim(t, args("sh", "-c", "setsid sleep 999 & exec sleep 1000"), hostPids)
		b := newVictim(t, args("sleep", "1000"), hostPids, inCgroup(a.spec.Linux.CgroupsPath+"/below"))
		a.up()
		pid := b.up().pid()
		left := func() (n int) {
			for _, p := range cgroupProcs(cgroupDirs(a.spec.Linux.CgroupsPath)) {
				if alive(p) {
					n++
				}
			}
			return n
		}
		eventually(t, "two processes", func() bool { return left() == 2 })
		a.end()
		a.rt("kill", a.id, "KILL").ok(t)
		eventually(t, "end of what was left", func() bool { reap(); return left() == 0 })
		if r := b.rt("exec", b.id, "true"); r.code != 0 || !alive(pid) {
			t.Errorf("%s: the container below is alive: %v", r, alive(pid))
		}
		b.remove()
		a.remove()
	})
}

// cgroupProcs are the processes in cgroups themselves.
func cgroupProcs(dirs []string) (pids []int) {
	for _, dir := range dirs {
		text, _ := os.ReadFile(dir + "/cgroup.procs")
		for _, f := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(f); err == nil && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// TestNeighbourBelow: a container whose cgroup lies below that of one which is deleted, or ends in the foreground, or is lost
// and found by doctor. Succeeds against a runtime that kills all below the cgroup.
func TestNeighbourBelow(t *testing.T) {
	for name, edit := range map[string]func(*victim){"pid namespace": func(*victim) {}, "host's pids": hostPids} {
		below := func(t *testing.T, program ...string) (a, b *victim) {
			a = newVictim(t, args(program...), edit)
			b = newVictim(t, args("sleep", "1000"), edit, inCgroup(a.spec.Linux.CgroupsPath+"/below"))
			return a, b
		}
		survives := func(b *victim, pid int, r result) {
			b.t.Helper()
			if !alive(pid) {
				b.t.Errorf("%s: the container below was killed", r)
			}
			b.remove()
		}
		clean := func(a *victim) {
			for _, dir := range cgroupDirs(a.spec.Linux.CgroupsPath) {
				_ = os.Remove(dir)
			}
		}
		t.Run(name+"/delete", func(t *testing.T) {
			a, b := below(t, "sleep", "1000")
			a.up()
			pid := b.up().pid()
			a.end()
			r := a.rt("delete", a.id)
			a.removedButLeft(r)
			survives(b, pid, r)
			clean(a)
		})
		t.Run(name+"/delete --force", func(t *testing.T) {
			a, b := below(t, "sleep", "1000")
			inits := []int{a.up().pid(), b.up().pid()}
			r := a.rt("delete", "--force", a.id)
			a.removedButLeft(r)
			if alive(inits[0]) {
				t.Errorf("%s: its own init runs", r)
			}
			survives(b, inits[1], r)
			clean(a)
		})
		t.Run(name+"/run", func(t *testing.T) {
			a, b := below(t, "sh", "-c", "touch /tmp/begun; until test -e /end; do sleep 0.01; done; exit 3")
			done := make(chan result, 1)
			go func() { done <- a.run() }()
			// Before, its device rules may not be written, which the kernel refuses for a cgroup with others below.
			eventually(t, "its program runs", func() bool { _, err := os.Stat(a.rootfs + "/tmp/begun"); return err == nil })
			pid := b.up().pid()
			a.file("bundle/rootfs/end", "", 0o644)
			r := <-done
			if r.code != 3 {
				t.Errorf("%s, want the program's exit code, 3", r)
			}
			survives(b, pid, r)
			clean(a)
		})
		t.Run(name+"/doctor", func(t *testing.T) {
			a, b := below(t, "sleep", "1000")
			inits := []int{a.up().pid(), b.up().pid()}
			must(t, os.RemoveAll(a.dir+"/root/"+a.id))
			r := b.rt("doctor", "--fix", "--kill")
			if alive(inits[0]) {
				t.Errorf("%s: the lost container's init runs", r)
				_ = unix.Kill(inits[0], unix.SIGKILL)
			}
			survives(b, inits[1], r)
			clean(a)
		})
	}
}

// TestHostProcessInCgroup: a process of the host that somebody has moved into a container's cgroup. Succeeds against a runtime
// that kills all in the cgroup, or sends every signal of kill --all to it.
func TestHostProcessInCgroup(t *testing.T) {
	a := newVictim(t, args("sleep", "1000"))
	a.up()
	dirs := cgroupDirs(a.spec.Linux.CgroupsPath)
	pid := hostProcess(t, dirs)
	if r := a.rt("kill", "--all", a.id, "TERM"); r.code != 0 || !alive(pid) {
		t.Errorf("%s: the process of the host is alive: %v", r, alive(pid))
	}
	a.removedButLeft(a.rt("delete", "--force", a.id))
	if !alive(pid) {
		t.Errorf("a process of the host was killed")
	}
	must(t, unix.Kill(pid, unix.SIGKILL))
	for _, dir := range dirs {
		eventually(t, "end of the cgroup", func() bool { return errors.Is(os.Remove(dir), os.ErrNotExist) || os.Remove(dir) == nil })
	}
}

// TestCgroupMadeAgain: the cgroup of a stopped container was removed, as systemd does with a scope that is empty, and the host
// has made one of the same name. Succeeds against a runtime that knows cgroups by their names.
func TestCgroupMadeAgain(t *testing.T) {
	for _, verb := range [][]string{{"kill", "--all"}, {"kill"}, {"delete"}, {"delete", "--force"}} {
		t.Run(strings.Join(verb, " "), func(t *testing.T) {
			a := newVictim(t, args("sleep", "1000"), hostPids)
			a.up()
			dirs := cgroupDirs(a.spec.Linux.CgroupsPath)
			a.end()
			for _, dir := range dirs {
				eventually(t, "end of the cgroup", func() bool { return os.Remove(dir) == nil })
				must(t, os.Mkdir(dir, 0o755))
			}
			for _, dir := range dirs {
				if n, err := os.ReadFile(filepath.Dir(dir) + "/cpuset.cpus"); err == nil && strings.Contains(dir, "/cpuset/") {
					must(t, os.WriteFile(dir+"/cpuset.cpus", n, 0))
					must(t, os.WriteFile(dir+"/cpuset.mems", []byte("0"), 0))
				}
			}
			pid := hostProcess(t, dirs)
			call := append(verb, a.id)
			if verb[0] == "kill" {
				call = append(call, "KILL")
			}
			if r := a.rt(call...); !alive(pid) || r.code != 0 && verb[0] == "delete" {
				t.Errorf("%s: the process of the host is alive: %v", r, alive(pid))
			}
			_ = unix.Kill(pid, unix.SIGKILL)
			for _, dir := range dirs {
				eventually(t, "end of the cgroup", func() bool { err := os.Remove(dir); return err == nil || errors.Is(err, os.ErrNotExist) })
			}
		})
	}
}

// TestRefusedCreateKilled: a create that would have been refused, for a container runs in the cgroup, is killed once it has
// written the cgroup down. Succeeds against a runtime that takes what was intended for what was done.
func TestRefusedCreateKilled(t *testing.T) {
	b := newVictim(t, args("sleep", "1000"), hostPids)
	a := newVictim(t, args("sleep", "1000"), hostPids, inCgroup(b.spec.Linux.CgroupsPath))
	pid := b.up().pid()
	hit := 0
	for range runs(40, 200) {
		cmd := exec.Command(host.rt, append([]string{"--root", a.dir + "/root"}, a.with("create")...)...)
		must(t, cmd.Start())
		journal := a.dir + "/root/" + a.id + "/journal"
		for started := time.Now(); time.Since(started) < time.Second; {
			if err := unix.Access(journal, unix.F_OK); err == nil {
				break
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err := unix.Access(journal, unix.F_OK); err == nil {
			hit++
		}
		a.rt("delete", "--force", a.id)
		if !alive(pid) {
			t.Fatalf("the container that runs in the cgroup was killed")
		}
	}
	t.Logf("%d left a journal", hit)
	b.rt("kill", b.id, "KILL").ok(t)
}

// TestTwoCreatesAtOnce: of two containers that are made at once with one cgroupsPath, one is refused. Succeeds against a runtime
// that looks for processes, and joins later.
func TestTwoCreatesAtOnce(t *testing.T) {
	a := newVictim(t, args("sleep", "1000"))
	b := newVictim(t, args("sleep", "1000"), inCgroup(a.spec.Linux.CgroupsPath))
	for i := range runs(30, 200) {
		var both [2]result
		var wg sync.WaitGroup
		for n, v := range []*victim{a, b} {
			wg.Add(1)
			go func() { defer wg.Done(); both[n] = v.create() }()
		}
		wg.Wait()
		made := 0
		for _, r := range both {
			if r.code == 0 {
				made++
			}
		}
		a.remove()
		b.remove()
		if made != 1 {
			t.Fatalf("round %d: %d containers have one cgroup\n%s\n%s", i, made, both[0], both[1])
		}
	}
}

// TestManyCgroups: while the thousands of cgroups that a container has made are removed, other runtimes get the lock on cgroups, which
// they wait for no longer than some seconds. Succeeds against a runtime that holds it until all are gone.
func TestManyCgroups(t *testing.T) {
	const many = 20_000 // more than are removed at once
	v := newVictim(t, writableCgroup, func(v *victim) {
		must(v.t, os.Symlink("busybox", v.rootfs+"/bin/seq"))
		must(v.t, os.Symlink("busybox", v.rootfs+"/bin/xargs"))
	}, args("sh", "-c", fmt.Sprintf(`cd /sys/fs/cgroup/pids 2>/dev/null || cd /sys/fs/cgroup; seq %d | xargs mkdir && echo ready >/tmp/ready; exec sleep 1000`, many)))
	v.up()
	eventually(t, "the cgroups", func() bool { _, err := os.Stat(v.rootfs + "/tmp/ready"); return err == nil })
	var dir string
	left := func() int { // a cgroup's links are two, and one for each below it
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil {
			return 0
		}
		return int(st.Nlink) - 2
	}
	for _, dir = range cgroupDirs(v.spec.Linux.CgroupsPath) {
		if left() >= many {
			break
		}
	}
	if n := left(); n < many {
		t.Fatalf("the container has %d cgroups below %s, want %d", n, dir, many)
	}
	lock, err := os.OpenFile("/run/rt.lock/cgroups", os.O_RDWR, 0)
	must(t, err)
	defer lock.Close()
	between := make(chan int, 1)
	go func() {
		for left() == many {
			runtime.Gosched()
		}
		_ = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		between <- left()
		_ = unix.Flock(int(lock.Fd()), unix.LOCK_UN)
	}()
	r := v.rt("delete", "--force", v.id)
	r.ok(t)
	if n := <-between; n == 0 {
		t.Errorf("the lock on cgroups was held until all %d were removed", many)
	}
	if left := v.left(); len(left) > 0 {
		t.Errorf("left behind: %.300v", left)
	}
}

// TestOldContainers: what an rt has made that did not record inodes: the mark tells what is its own.
func TestOldContainers(t *testing.T) {
	a := newVictim(t, args("sleep", "1000"))
	b := newVictim(t, args("sleep", "1000"), inCgroup(a.spec.Linux.CgroupsPath))
	first := a.up().pid()
	for _, name := range []string{"state.json", "journal"} {
		forget(t, a.dir+"/root/"+a.id+"/"+name)
	}
	if r := a.rt("kill", a.id, "KILL"); r.code != 0 {
		t.Fatal(r)
	}
	eventually(t, "its init ends, and leaves the cgroup", func() bool { reap(); return !alive(first) })
	pid := b.up().pid()
	a.removedButLeft(a.rt("delete", "--force", a.id))
	if !alive(pid) {
		t.Errorf("the container that has taken the cgroup over was killed")
	}
	b.remove()
	a.up()
	forget(t, a.dir+"/root/"+a.id+"/state.json")
	a.rt("delete", "--force", a.id).ok(t)
}

// forget takes from a record what an older rt did not write.
func forget(t *testing.T, name string) {
	t.Helper()
	out, err := exec.Command("sed", "-i", "-E", `s/"cgroupsTaken": ?\{[^}]*\},?//; s/"cgroupMark": ?"[^"]*",?//; s/,\}/}/`, name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
