package state

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"rt/cgroups"

	"golang.org/x/sys/unix"
)

func TestParseMark(t *testing.T) {
	for text, want := range map[string]Mark{
		"1:2:3 /run/rt/a b":         {View: "1:2:3", Dir: "/run/rt/a b"},
		"1:2:3:4: /run/rt/a":        {View: "1:2:3", Dir: "/run/rt/a", PidNamespace: 4},
		"1:2:3:4:rt-a.scope /run/a": {View: "1:2:3", Dir: "/run/a", PidNamespace: 4, Unit: "rt-a.scope"},
	} {
		if m, ok := ParseMark(text, false); !ok || m != want {
			t.Errorf("%s: %+v, %v", text, m, ok)
		}
	}
	for _, text := range []string{"", "1:2:3", "1:2 /run", "1:2:3:4 /run", "1:2:3 run", "1:2:3 /run/.."} {
		if m, ok := ParseMark(text, false); ok {
			t.Errorf("%s: %+v", text, m)
		}
	}
}

// TestMayLive: a container of another pid namespace may live, or of an unknown one; so may one whose directory is in another view of the
// files.
func TestMayLive(t *testing.T) {
	r := newRoot(t)
	ours := OwnPidNamespace()
	self := ownView()
	for want, list := range map[bool][]Mark{
		true:  {{View: self}, {View: self, PidNamespace: ours + 1}, {View: "1:2:3", PidNamespace: ours + 1}},
		false: {{View: self, PidNamespace: ours}},
	} {
		for _, m := range list {
			m.Dir = r.Path("none")
			if got := r.MayLive(m, []string{"/cg"}); got != want {
				t.Errorf("%+v: %v", m, got)
			}
		}
	}
	gone := Mark{View: "1:2:3", PidNamespace: ours, Dir: r.Path("none")}
	if got, want := r.MayLive(gone, []string{"/cg"}), isInUse(1); got != want { // where it cannot be seen whether it is in use
		t.Errorf("%+v: %v, want %v", gone, got, want)
	}
}

// TestNamedByRecord: a mark that is trusted names a container, and its record says which directories are its own: a container
// elsewhere may have the same name. An older rt has made no record.
func TestNamedByRecord(t *testing.T) {
	m := Mark{Dir: "/run/rt/a", Trusted: true}
	for name, try := range map[string]struct {
		taken map[string]string
		named bool
	}{
		"its own":   {map[string]string{"pids": "7", "memory": "8"}, true},
		"another":   {map[string]string{"pids": "9"}, false},
		"intended":  {map[string]string{"pids": cgroups.Missing}, false},
		"no record": {nil, true},
	} {
		dir, lives := m.ifRecorded(&Container{State: State{Taken: try.taken}}, 7, true)
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
	if !isInUse(ownMountNamespace()) || isInUse(none) != errors.Is(hidden, os.ErrPermission) {
		t.Errorf("as root: own %v, none %v, of init: %v", isInUse(ownMountNamespace()), isInUse(none), hidden)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const same = ^uintptr(0)
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, same, 65534, same); err != 0 {
		t.Fatal(err)
	}
	blind := isInUse(none)
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, same, 0, same); err != 0 {
		t.Fatal(err)
	}
	if !blind {
		t.Error("what may not be looked at was taken for unused")
	}
}
