package security

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The process that joins a container is the runtime's until it is the user's, and the container sees it.

// spies are containers that look at what joins them.
var spies = map[string][]func(*victim){
	"engine":         {capable(engineCaps)},
	"user namespace": {mapped, capable(append([]string{"CAP_SYS_PTRACE"}, strongCaps...))},
	// Nothing that any program could not read.
	"nobody":                   {capable(nil), asUser(65534)},
	"nobody in user namespace": {capable(nil), asUser(65534), mapped},
}

// TestSnoop: a process of the container looks into each process that comes: its root, working directory, descriptors,
// memory, executable, and by ptrace; and at what of it needs no right: network, mounts, ids. With an engine's capabilities, with all
// of them in a user namespace, and with none; whatever fs.suid_dumpable is on the host. It succeeds against a stub that is in the
// container's pid namespace before it is in its other ones, that keeps the groups of the host's root, or that becomes the user there
// (CVE-2016-9962).
func TestSnoop(t *testing.T) {
	for _, dumpable := range []string{"0", "1", "2"} {
		for name, edits := range spies {
			t.Run(name+" "+dumpable, func(t *testing.T) {
				suidDumpable(t, dumpable)
				v := spied(t, "snoop", edits)
				for i := range runs(12, 300) {
					uid := v.spec.Process.User.UID
					if i%2 == 1 {
						uid = 1000
					}
					v.rt("exec", "--user", strconv.Itoa(int(uid)), v.id, "true").ok(t)
				}
				v.spiedOn()
			})
		}
	}
	// It could take the process over (SECURITY.md, What is not promised); the host's files do not lie open for a mere look.
	t.Run("peek", func(t *testing.T) {
		v := spied(t, "peek", []func(*victim){capable(append([]string{"CAP_SYS_PTRACE"}, engineCaps...))})
		for range runs(40, 1000) {
			v.exec("true").ok(t)
		}
		v.spiedOn()
	})
}

// TestSnoopNeighbour: as TestSnoop, by a container whose pid namespace another one is given: it sees how that is created, its hooks, and
// what joins it. Until its root is switched, the other one has a copy of the host's mounts (SECURITY.md).
func TestSnoopNeighbour(t *testing.T) {
	for name, edits := range spies {
		t.Run(name, func(t *testing.T) {
			spy := spied(t, "snoop", edits)
			for range runs(4, 40) {
				spy.file("bundle/rootfs/no-mounts", "", 0o644)
				v := newVictim(t, edits...)
				for i, ns := range v.spec.Linux.Namespaces { // as in a pod
					if ns.Type == specs.PIDNamespace || ns.Type == specs.UserNamespace {
						v.spec.Linux.Namespaces[i].Path = "/proc/" + strconv.Itoa(spy.pid()) + "/ns/" + string(ns.Type)
					}
				}
				v.spec.Linux.UIDMappings, v.spec.Linux.GIDMappings = nil, nil
				v.spec.Process.User = specs.User{}
				v.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/true"}, {Path: "/bin/true"}}}
				if !strings.Contains(name, "user namespace") { // else who may trace there may trace the hook's program, which has the host's root
					v.spec.Hooks.CreateContainer = []specs.Hook{{Path: "/bin/true"}}
				}
				v.write()
				v.create().ok(t)
				must(t, os.Remove(spy.rootfs+"/no-mounts"))
				v.exec("true").ok(t)
				v.rt("start", v.id).ok(t)
				v.exec("true").ok(t)
				v.remove()
			}
			spy.spiedOn()
		})
	}
}

// ofSomebody is a user namespace that belongs to an ordinary user, with ids of the host's.
func ofSomebody(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("unshare", "--user", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	dir := "/proc/" + strconv.Itoa(cmd.Process.Pid)
	own, err := os.Readlink("/proc/self/ns/user")
	must(t, err)
	eventually(t, "a user namespace", func() bool { now, err := os.Readlink(dir + "/ns/user"); return err == nil && now != own })
	for _, file := range []string{"/uid_map", "/gid_map"} {
		must(t, os.WriteFile(dir+file, []byte("0 100000 65536"), 0))
	}
	return dir + "/ns/user"
}

// given has namespaces of some types given by path.
func given(paths map[specs.LinuxNamespaceType]string) func(*victim) {
	return func(v *victim) {
		for i, ns := range v.spec.Linux.Namespaces {
			if path := paths[ns.Type]; path != "" {
				v.spec.Linux.Namespaces[i].Path = path
			}
		}
		v.spec.Linux.UIDMappings, v.spec.Linux.GIDMappings = nil, nil
	}
}

// TestSnoopSomebodys: a pod whose user namespace belongs to an ordinary user: to join it is a change of rights after which the kernel
// makes a process what fs.suid_dumpable says. Root of a container in the pod may not trace how the next one is created, nor exec. It
// succeeds against a stub that does not undo that at once.
func TestSnoopSomebodys(t *testing.T) {
	suidDumpable(t, "1")
	user := ofSomebody(t)
	edits := []func(*victim){mapped, capable(append([]string{"CAP_SYS_PTRACE"}, strongCaps...)), given(map[specs.LinuxNamespaceType]string{specs.UserNamespace: user})}
	spy := spied(t, "snoop", edits)
	for range runs(20, 40) {
		v := newVictim(t, append(edits, given(map[specs.LinuxNamespaceType]string{specs.PIDNamespace: "/proc/" + strconv.Itoa(spy.pid()) + "/ns/pid"}))...)
		v.spec.Process.User = specs.User{}
		v.write()
		spy.file("bundle/rootfs/no-mounts", "", 0o644)
		v.create().ok(t)
		must(t, os.Remove(spy.rootfs+"/no-mounts"))
		spy.exec("true").ok(t)
		v.remove()
	}
	spy.spiedOn()
}

// TestFilesOfWaiting: a process that was executed in a created container leaves the one that waits for its start no descriptors
// (prlimit(2)). start says so, or works where the hard limit allows it, and does not hang.
func TestFilesOfWaiting(t *testing.T) {
	for _, hard := range []uint64{3, 64} {
		v := newVictim(t)
		v.create().ok(t)
		must(t, unix.Prlimit(v.pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: hard}, nil))
		if r := v.rt("start", v.id); (r.code == 0) != (hard > 3) {
			t.Errorf("hard limit %d: %s", hard, r)
		}
		v.rt("delete", "--force", v.id).ok(t)
	}
}

// TestJoinWhatWasCreated: a container's init goes into namespaces of its own, in which it has chosen what is executed. Nothing of the
// host's administrator follows it there: exec, mounts add and remove, and checkpoint are refused, with a reason. It succeeds against a
// runtime that joins what init is in now: exec ran the program of uid 1000 as root of the host.
func TestJoinWhatWasCreated(t *testing.T) {
	for name, c := range map[string]struct {
		edits []func(*victim)
		kind  string
	}{
		"leave": {[]func(*victim){capable(nil), asUser(1000), func(v *victim) { v.spec.Process.NoNewPrivileges = true }}, ""},
		"cycle": {[]func(*victim){mapped, capable(strongCaps)}, "mount"},
	} {
		t.Run(name, func(t *testing.T) {
			v := leaver(t, name, c.edits)
			for _, r := range []result{
				v.rt("exec", "--user", "0", v.id, "id", "where"),
				v.mounts("add", specs.Mount{Destination: "/tmp/m", Type: "tmpfs", Source: "tmpfs"}),
				v.mounts("remove", specs.Mount{Destination: "/dev/pts"}),
				v.rt("checkpoint", "--image-path", v.dir+"/images", v.id),
			} {
				if r.code == 0 || !strings.Contains(r.stderr, c.kind+" namespace: init is not in the one that it was created in") {
					t.Errorf("init was followed: %s", r)
				}
			}
			v.rt("kill", v.id, "KILL").ok(t)
		})
	}
}

// leaver is a container whose init has gone into namespaces of its own. Where it wants the number that its mount namespace had, another
// process of the host may have been given that for good: then it is tried with the next container.
func leaver(t *testing.T, how string, edits []func(*victim)) *victim {
	for range 20 {
		v := newVictim(t, append(edits, args("sh", "-c", "exec attack "+how+" >/tmp/left 2>&1"))...)
		must(t, os.Chmod(v.rootfs+"/tmp", 0o777))
		copyFile(t, v.rootfs+"/bin/busybox", v.rootfs+"/bin/bb")
		must(t, os.Remove(v.rootfs+"/bin/id"))
		must(t, os.Symlink("bb", v.rootfs+"/bin/id"))
		v.create().ok(t)
		v.exec("true").ok(t)
		v.rt("start", v.id).ok(t)
		var said string
		eventually(t, "init leaves", func() bool {
			text, _ := os.ReadFile(v.rootfs + "/tmp/left")
			said = string(text)
			return strings.HasSuffix(said, "\n")
		})
		switch said {
		case "left\n":
			return v
		case "left, but for another number\n":
			v.rt("delete", "--force", v.id).ok(t)
		default:
			t.Fatalf("init: %s", said)
		}
	}
	t.Fatal("no init has got the number of its first mount namespace again")
	return nil
}

// TestGroupsOfTheHost: an ordinary user's user namespace denies setgroups(2). Root's create joins it, and root's exec the container: the
// supplementary groups of the host's root stay outside. It succeeds against a runtime that leaves them to a setgroups in there.
func TestGroupsOfTheHost(t *testing.T) {
	sleep := exec.Command("sleep", "1000")
	own := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 1000, Size: 1}}
	sleep.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: own, GidMappings: own,
		Credential: &syscall.Credential{NoSetGroups: true}}
	must(t, sleep.Start())
	t.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(sleep.Process.Pid) + "/setgroups"); err != nil || string(text) != "deny\n" {
		t.Fatalf("setgroups: %q, %v", text, err)
	}
	v := newVictim(t, args("sh", "-c", "grep Groups: /proc/self/status >/tmp/groups; sleep 1000"))
	must(t, os.Chmod(v.rootfs+"/tmp", 0o777))
	v.spec.Linux.Namespaces = append(v.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/proc/" + strconv.Itoa(sleep.Process.Pid) + "/ns/user"})
	v.write()
	v.up()
	var groups string
	eventually(t, "the groups", func() bool {
		text, _ := os.ReadFile(v.rootfs + "/tmp/groups")
		groups = strings.TrimSpace(string(text))
		return groups != ""
	})
	if groups != "Groups:" {
		t.Errorf("the container's process: %q", groups)
	}
	if r := v.exec("grep", "Groups:", "/proc/self/status").ok(t); strings.TrimSpace(r.stdout) != "Groups:" {
		t.Errorf("exec: %s", r)
	}
}

// suidDumpable sets fs.suid_dumpable until the test ends; if the test is killed, another process puts it back.
func suidDumpable(t *testing.T, value string) {
	t.Helper()
	const file = "/proc/sys/fs/suid_dumpable"
	old, err := os.ReadFile(file)
	must(t, err)
	keeper := exec.Command("sh", "-c", "cat; echo "+strings.TrimSpace(string(old))+" >"+file)
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	alive, err := keeper.StdinPipe()
	must(t, err)
	must(t, keeper.Start())
	t.Cleanup(func() {
		alive.Close()
		if err := keeper.Wait(); err != nil {
			t.Errorf("put %s back: %v", file, err)
		}
	})
	must(t, os.WriteFile(file, []byte(value), 0))
}

// spied is a container that looks at every process that comes into its pid namespace. The host is in a group that the container is
// not in, and has an abstract socket.
func spied(t *testing.T, verb string, edits []func(*victim)) *victim {
	t.Helper()
	v := newVictim(t, append(edits, args("sh", "-c", "attack "+verb+" $MARKER >/tmp/snooped; sleep 1000"))...)
	v.spec.Process.Env = append(v.spec.Process.Env, "MARKER="+v.outside)
	v.write()
	must(t, os.Chmod(v.rootfs+"/tmp", 0o777))
	l, err := net.Listen("unix", "@"+v.outside)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	v.up()
	eventually(t, "the spy", func() bool { _, err := os.Stat(v.rootfs + "/tmp/snooped"); return err == nil })
	return v
}

// spiedOn ends the spying: something was met, and nothing got hold of.
func (v *victim) spiedOn() {
	v.t.Helper()
	v.file("bundle/rootfs/stop", "", 0o644)
	var report string
	eventually(v.t, "the spy's report", func() bool {
		text, _ := os.ReadFile(v.rootfs + "/tmp/snooped")
		report = string(text)
		return strings.Contains(report, "met ")
	})
	if strings.Contains(report, "got ") {
		v.t.Errorf("the container got hold of the runtime's process:\n%s", report)
	}
	if strings.Contains(report, "met 0\n") {
		v.t.Error("the spy has met no process of the runtime: nothing was tested")
	}
	v.t.Logf("%s", report)
}

// TestStrikeJoining: a container that kills or stops what joins it. The caller learns of the one, but if the process was killed before it
// could run: that is made again (killedAtBirth). Neither keeps anybody from killing and deleting the container, whatever hangs meanwhile.
func TestStrikeJoining(t *testing.T) {
	for name, sig := range map[string]string{"SIGKILL": "9", "SIGSTOP": "19"} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("attack", "strike", sig, "1"))
			v.spec.Process.Args = []string{"sh", "-c", "attack strike " + sig + " 1 >/tmp/struck; sleep 1000"}
			v.write()
			v.up()
			struck := func() bool {
				text, _ := os.ReadFile(v.rootfs + "/tmp/struck")
				return strings.Contains(string(text), "struck")
			}
			done := make(chan result)
			var last result
			for i := 0; !struck(); i++ {
				if i == runs(300, 3000) {
					t.Skip("the container never was fast enough on this machine")
				}
				go func() { done <- v.exec("echo", "ran") }()
				ended := func() bool {
					select {
					case last = <-done:
						return true
					default:
						return false
					}
				}
				eventually(t, "the end of exec, or the signal that stops it", func() bool {
					if ended() {
						return true
					}
					last.code = -1
					return sig == "19" && struck()
				})
			}
			if sig == "9" && last.code == 0 && last.stdout != "ran\n" {
				t.Errorf("a joining process was killed, and exec knows nothing: %s", last)
			}
			// All of it while the exec hangs.
			v.rt("state", v.id).ok(t)
			v.rt("ps", v.id).ok(t)
			v.rt("kill", v.id, "KILL").ok(t)
			eventually(t, "the end", func() bool { return strings.Contains(v.rt("state", v.id).stdout, `"stopped"`) })
			v.rt("delete", "--force", v.id).ok(t)
			if last.code == -1 {
				select {
				case <-done: // its process has died with the pid namespace
				case <-time.After(patience):
					t.Error("exec hangs after the end of the container")
				}
			}
		})
	}
}

// TestExhausted: a container that has used up its processes or memory, and a caller with few descriptors. What joins gets
// an error in good time, and leaves nothing.
func TestExhausted(t *testing.T) {
	pids, memory := int64(6), int64(3<<20)
	t.Run("processes", func(t *testing.T) {
		v := newVictim(t, args("sh", "-c", "for i in 1 2 3 4 5; do sleep 1000 & done; exec sleep 1000"))
		v.spec.Linux.Resources = resources(&pids, nil)
		v.write()
		v.up()
		eventually(t, "six processes", func() bool { return strings.Count(v.rt("ps", v.id).stdout, "sleep") == 6 })
		for range 20 {
			r := v.exec("true")
			if r.code == 0 {
				continue // it was not full yet
			}
			if r.stderr == "" {
				t.Errorf("no word: %s", r)
			}
		}
		v.rt("kill", v.id, "KILL").ok(t)
	})
	t.Run("memory", func(t *testing.T) {
		v := newVictim(t, args("sh", "-c", "x=x; while :; do x=$x$x; done; sleep 1000"))
		v.spec.Linux.Resources = resources(nil, &memory)
		v.write()
		v.create()
		v.rt("start", v.id)
		for range 10 {
			v.exec("true")
		}
	})
	t.Run("descriptors of the caller", func(t *testing.T) {
		for n := uint64(24); n >= 8; n-- { // with 6 the Go runtime itself does not start to work
			v := newVictim(t, args("true"))
			r := v.do(call{args: v.with("run"), exe: limited(v, n)})
			if r.code != 0 && r.stderr == "" {
				t.Errorf("with %d: %s", n, r)
			}
			if strings.Contains(r.stderr, "panic") || strings.Contains(r.stderr, "goroutine ") {
				t.Errorf("with %d: %s", n, r)
			}
		}
	})
}

// stat is /proc/PID/stat of the container's process.
func (v *victim) stat() string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(v.pid()) + "/stat")
	must(v.t, err)
	return string(text)
}

// TestStopWaiting: a container in the same pid namespace stops, with SIGSTOP, what waits for its start. start says so and does
// not hang; state, kill and delete --force work.
func TestStopWaiting(t *testing.T) {
	for _, end := range []string{"kill", "delete"} {
		v := newVictim(t)
		v.create().ok(t)
		must(t, unix.Kill(v.pid(), unix.SIGSTOP))
		for deadline := time.Now().Add(patience); !strings.Contains(v.stat(), ") T "); {
			if time.Now().After(deadline) {
				t.Fatal("the process does not stop")
			}
		}
		if r := v.rt("start", v.id); r.code != 1 || !strings.Contains(r.stderr, "a signal has stopped its process") {
			t.Error(r)
		}
		v.rt("state", v.id).ok(t)
		if end == "kill" {
			v.rt("kill", v.id, "KILL").ok(t)
		} else {
			v.rt("delete", "--force", v.id).ok(t)
		}
	}
}

// TestSnoopHeld: as TestSnoop, at a process that --exec-wait-fifo holds for as long as the attacker likes.
func TestSnoopHeld(t *testing.T) {
	for name, edits := range map[string][]func(*victim){
		"engine":         {capable(engineCaps)},
		"user namespace": {mapped, capable(append([]string{"CAP_SYS_PTRACE"}, strongCaps...))},
	} {
		t.Run(name, func(t *testing.T) {
			v := spied(t, "snoop", edits)
			fifo := v.dir + "/fifo"
			must(t, unix.Mkfifo(fifo, 0o600))
			v.rt("exec", "--detach", "--pid-file", v.dir+"/pid", "--exec-wait-fifo", fifo, v.id, "true").ok(t)
			text, err := os.ReadFile(v.dir + "/pid")
			must(t, err)
			pid, err := strconv.Atoi(string(text))
			must(t, err)
			eventually(t, "the spy sees it", func() bool {
				text, _ := os.ReadFile(v.rootfs + "/tmp/snooped")
				return strings.Contains(string(text), "saw ")
			})
			v.spiedOn() // it looks forty times, all of them at the one process
			must(t, unix.Kill(pid, unix.SIGKILL))
			if _, err := unix.Wait4(pid, nil, 0, nil); err != nil { // init ends after all that is in its namespace
				t.Error(err)
			}
		})
	}
}
