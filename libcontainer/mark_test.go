package libcontainer

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"rt/cgroups"

	"golang.org/x/sys/unix"
)

// TestIsCgroup: a unit is known by its whole path, not by the end of one.
func TestIsCgroup(t *testing.T) {
	host := &cgroups.Host{Unified: "/sys/fs/cgroup/unified", V1: map[string]string{"pids": "/sys/fs/cgroup/pids", "name=systemd": "/sys/fs/cgroup/systemd"}}
	for dir, want := range map[string]bool{
		"/sys/fs/cgroup/pids/system.slice/rt-a.scope": true, "/sys/fs/cgroup/unified/system.slice/rt-a.scope": true,
		"/sys/fs/cgroup/pids/user.slice/system.slice/rt-a.scope": false, "/sys/fs/cgroup/memory/system.slice/rt-a.scope": false,
		"/sys/fs/cgroup/pids/rt-a.scope": false, "/system.slice/rt-a.scope": false,
	} {
		if got := isCgroup(host, dir, "/system.slice/rt-a.scope"); got != want {
			t.Errorf("%s: %v", dir, got)
		}
	}
}

func TestParseMark(t *testing.T) {
	for text, want := range map[string]mark{
		"1:2:3 /run/rt/a b":         {view: "1:2:3", dir: "/run/rt/a b"},
		"1:2:3:4: /run/rt/a":        {view: "1:2:3", dir: "/run/rt/a", pids: 4},
		"1:2:3:4:rt-a.scope /run/a": {view: "1:2:3", dir: "/run/a", pids: 4, unit: "rt-a.scope"},
	} {
		if m, ok := parseMark(text, false); !ok || m != want {
			t.Errorf("%s: %+v, %v", text, m, ok)
		}
	}
	for _, text := range []string{"", "1:2:3", "1:2 /run", "1:2:3:4 /run", "1:2:3 run", "1:2:3 /run/.."} {
		if m, ok := parseMark(text, false); ok {
			t.Errorf("%s: %+v", text, m)
		}
	}
}

// What is of another pid namespace, or tells none, lives; so does a container whose directory somebody else sees elsewhere.
func TestLives(t *testing.T) {
	r := &Runtime{Root: t.TempDir()}
	ours := pidNamespace()
	self := viewOf("self")
	for want, list := range map[bool][]mark{
		true:  {{view: self}, {view: self, pids: ours + 1}, {view: "1:2:3", pids: ours + 1}},
		false: {{view: self, pids: ours}},
	} {
		for _, m := range list {
			m.dir = r.dir("none")
			if got := m.lives(r, []string{"/cg"}); got != want {
				t.Errorf("%+v: %v", m, got)
			}
		}
	}
	gone := mark{view: "1:2:3", pids: ours, dir: r.dir("none")}
	if got, want := gone.lives(r, []string{"/cg"}), inUse(1); got != want { // where it cannot be seen whether it is in use
		t.Errorf("%+v: %v, want %v", gone, got, want)
	}
	// A forged or a foreign unit is not stopped.
	for _, m := range []mark{{unit: "app.slice", trusted: true}, {unit: "a.scope"}, {trusted: true}} {
		if got := m.scope(&cgroups.Host{Unified: "/sys/fs/cgroup"}, []string{"/sys/fs/cgroup/" + m.unit}); got != "" {
			t.Errorf("%+v: %s", m, got)
		}
	}
}

// TestNamedByRecord: a mark that is trusted names a container, and its record says which directories are its own: a container
// elsewhere may have the same name. An older rt has made no record.
func TestNamedByRecord(t *testing.T) {
	m := mark{dir: "/run/rt/a", trusted: true}
	for name, try := range map[string]struct {
		taken map[string]string
		named bool
	}{
		"its own":   {map[string]string{"pids": "7", "memory": "8"}, true},
		"another":   {map[string]string{"pids": "9"}, false},
		"intended":  {map[string]string{"pids": cgroups.Missing}, false},
		"no record": {nil, true},
	} {
		dir, lives := m.ifNamed(&container{state: state{Taken: try.taken}}, 7, true)
		if named := dir != ""; named != try.named || lives != try.named {
			t.Errorf("%s: got %q, lives %v, want named %v", name, dir, lives, try.named)
		}
	}
}

// TestInUse: where the namespaces of other users' processes cannot be seen, any may be in use.
func TestInUse(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("becoming another user needs root")
	}
	const none = 1                         // no namespace has this inode
	_, hidden := os.Stat("/proc/1/ns/mnt") // of an init that cannot be traced not even root can
	if !inUse(mountNamespace("self")) || inUse(none) != errors.Is(hidden, os.ErrPermission) {
		t.Errorf("as root: own %v, none %v, of init: %v", inUse(mountNamespace("self")), inUse(none), hidden)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const same = ^uintptr(0)
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, same, 65534, same); err != 0 {
		t.Fatal(err)
	}
	blind := inUse(none)
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, same, 0, same); err != 0 {
		t.Fatal(err)
	}
	if !blind {
		t.Error("what may not be looked at was taken for unused")
	}
}
