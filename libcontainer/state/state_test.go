package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// newRoot keeps its containers in a directory of the test's.
func newRoot(t testing.TB) *Root {
	return &Root{Dir: t.TempDir(), Warn: func(format string, args ...any) { t.Logf(format, args...) }}
}

// place puts a container's directory below the root, with files by name.
func place(t *testing.T, r *Root, id string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(r.Dir, id)
	if err := os.Mkdir(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func fullState() State {
	return State{
		OCIVersion: "1.2.0", ID: "c", Pid: 4194303, StartTime: 1 << 63, PidInode: 1<<63 + 1, Bundle: "/b", Rootfs: "/b/rootfs",
		Created: time.Date(2026, 11, 23, 9, 0, 0, 123456789, time.UTC), Annotations: map[string]string{"a": "\"\n\u2028", "": "x"},
		Cgroups: map[string]string{"": "/sys/fs/cgroup/x", "name=systemd": "/y"}, SystemdCgroup: true, Unit: "rt-c.scope", PrivatePid: true, NoKeyring: true, Keyring: "_ses.c.0",
	}
}

func TestStateSaveLoad(t *testing.T) {
	r := newRoot(t)
	dir := place(t, r, "c", nil)
	c := r.Container("c")
	c.State = fullState()
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	got, err := r.OpenContainer("c", true)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if !reflect.DeepEqual(got.State, c.State) {
		t.Errorf("saved %+v\nloaded %+v", c.State, got.State)
	}
	fi, err := os.Stat(filepath.Join(dir, StateFile))
	if err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 { // and the holder
		t.Errorf("something is left of writing: %v", entries)
	}
}

// TestStateAtomic: a reader sees the old state or the new one, at any moment.
func TestStateAtomic(t *testing.T) {
	r := newRoot(t)
	place(t, r, "c", nil)
	c := r.Container("c")
	c.State = fullState()
	c.Annotations = map[string]string{"long": strings.Repeat("x", 100_000)}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		w := *c
		for i := range 200 {
			w.Pid = i
			if err := w.Save(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for reads := 0; ; reads++ {
		got, err := r.OpenContainer("c", false)
		if err != nil || len(got.Annotations["long"]) != 100_000 {
			t.Fatalf("read %d: %v", reads, err)
		}
		select {
		case err := <-done:
			if err != nil || reads == 0 {
				t.Errorf("%d reads, %v", reads, err)
			}
			return
		default:
		}
	}
}

func TestSaveFails(t *testing.T) {
	r := newRoot(t)
	c := r.Container("gone")
	c.State = fullState()
	if err := c.Save(); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "write state: ") {
		t.Error(err)
	}
	// Another state in the way stays as it is when the new one cannot be put there.
	c.Dir = place(t, r, "c", nil)
	if err := os.Mkdir(filepath.Join(c.Dir, StateFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.Save(); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if entries, _ := os.ReadDir(c.Dir); len(entries) != 1 {
		t.Errorf("a temporary file is left: %v", entries)
	}
}

// TestZombieIsNotAlive: an init that was not reaped yet has ended.
func TestZombieIsNotAlive(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	c := newRoot(t).Container("c")
	if err := c.SetInit(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := sys.Retry(func() error { return unix.Waitid(unix.P_PID, c.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) }); err != nil {
		t.Fatal(err)
	}
	if alive, err := c.IsAlive(); err != nil || alive {
		t.Errorf("alive: %v, %v", alive, err)
	}
}

// TestLock: one rt at a time; and a lock that was awaited while the container was deleted is no lock on its successor.
func TestLock(t *testing.T) {
	r := newRoot(t)
	dir := place(t, r, "c", map[string]string{StateFile: `{"id":"c"}`})
	first, err := r.OpenContainer("c", true)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		second, err := r.OpenContainer("c", true)
		if err == nil {
			second.Release()
		}
		got <- err
	}()
	awaitLockWaiter(t, dir)
	select {
	case err := <-got:
		t.Fatalf("two at once: %v", err)
	default:
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	place(t, r, "c", map[string]string{StateFile: `{"id":"c"}`})
	first.Release()
	if err := <-got; !errors.Is(err, ErrNotExist) {
		t.Errorf("the lock on a deleted container was good for the next one: %v", err)
	}
	if c, err := r.OpenContainer("c", true); err != nil {
		t.Error(err)
	} else {
		c.Release()
	}
}

// awaitLockWaiter returns when this process has the directory open a second time, as who waits for the lock has.
func awaitLockWaiter(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		open := 0
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && name == dir {
				open++
			}
		}
		if open > 1 {
			return
		}
	}
	t.Fatal("nobody waits for the lock")
}

// TestLockNew: two creates may lock one directory, if a delete has removed that of the first before it was locked. The second one to get
// the lock takes nothing from the first.
func TestLockNew(t *testing.T) {
	r := newRoot(t)
	dir := place(t, r, "c", nil)
	first := r.Container("c")
	if err := first.lockNew(); err != nil {
		t.Fatal("a fresh directory: ", err)
	}
	if err := os.WriteFile(filepath.Join(dir, JournalFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second := r.Container("c")
	result := make(chan error)
	go func() { result <- second.lockNew() }()
	select {
	case err := <-result:
		t.Fatal("the lock was not awaited: ", err)
	default:
	}
	first.Release()
	if err := <-result; err != ErrExists {
		t.Errorf("another's directory: %v, want %v", err, ErrExists)
	}
	if second.IsLocked() {
		t.Error("it is locked")
	}
	if d, err := os.Open(dir); err != nil || unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		t.Error("it is not free: ", err)
	}
	gone := r.Container("x")
	if err := gone.lockNew(); !errors.Is(err, ErrNotExist) {
		t.Errorf("no directory: %v, want %v", err, ErrNotExist)
	}
}

// TestJournalIsReadAgain: what was written before a kill is what delete finds.
func TestJournalIsReadAgain(t *testing.T) {
	r := newRoot(t)
	place(t, r, "c", nil)
	c := r.Container("c")
	c.State = fullState()
	c.BootID, c.RdtGroup, c.RdtOwn, c.Restored, c.Helper = r.BootID(), "/resctrl/c", true, true, sys.Process{Pid: 7, Start: 8, Inode: 9}
	if err := c.WriteJournal(); err != nil {
		t.Fatal(err)
	}
	again := r.Container("c")
	if err := again.ReadJournal(); err != nil || !again.Early {
		t.Fatalf("early: %v, %v", again.Early, err)
	}
	if !reflect.DeepEqual(again.Cgroups, c.Cgroups) || again.InitProcess() != c.InitProcess() || again.Helper != c.Helper || again.RdtGroup != c.RdtGroup ||
		again.Unit != c.Unit || !again.RdtOwn || !again.Restored || !again.PrivatePid {
		t.Errorf("wrote %+v\nread %+v", c, again)
	}
}
