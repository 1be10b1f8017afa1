package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"rt/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newRuntime keeps its containers in a directory of the test's; warnings are collected.
func newRuntime(t *testing.T) (*Runtime, *[]string) {
	t.Helper()
	warnings := new([]string)
	return &Runtime{Root: t.TempDir(), Warn: func(format string, args ...any) {
		*warnings = append(*warnings, fmt.Sprintf(format, args...))
	}}, warnings
}

// place puts a container's directory below the root, with files by name.
func place(t *testing.T, r *Runtime, id string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(r.Root, id)
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

func fullState() state {
	return state{
		OCIVersion: "1.2.0", ID: "c", Pid: 4194303, StartTime: 1 << 63, PidInode: 1<<63 + 1, Bundle: "/b", Rootfs: "/b/rootfs",
		Created: time.Date(2026, 11, 23, 9, 0, 0, 123456789, time.UTC), Annotations: map[string]string{"a": "\"\n\u2028", "": "x"},
		Cgroups: map[string]string{"": "/sys/fs/cgroup/x", "name=systemd": "/y"}, SystemdCgroup: true, Unit: "rt-c.scope", PrivatePid: true, NoKeyring: true, Keyring: "_ses.c.0",
	}
}

func TestStateSaveLoad(t *testing.T) {
	r, _ := newRuntime(t)
	dir := place(t, r, "c", nil)
	c := &container{state: fullState(), dir: dir, rt: r}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	got, err := r.open("c", true)
	if err != nil {
		t.Fatal(err)
	}
	defer got.release()
	if !reflect.DeepEqual(got.state, c.state) {
		t.Errorf("saved %+v\nloaded %+v", c.state, got.state)
	}
	fi, err := os.Stat(filepath.Join(dir, stateFile))
	if err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 { // and the holder
		t.Errorf("something is left of writing: %v", entries)
	}
}

// TestStateAtomic: a reader sees the old state or the new one, at any moment.
func TestStateAtomic(t *testing.T) {
	r, _ := newRuntime(t)
	c := &container{state: fullState(), dir: place(t, r, "c", nil), rt: r}
	c.Annotations = map[string]string{"long": strings.Repeat("x", 100_000)}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		w := *c
		for i := range 200 {
			w.Pid = i
			if err := w.save(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for reads := 0; ; reads++ {
		got, err := r.open("c", false)
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
	r, _ := newRuntime(t)
	c := &container{state: fullState(), dir: filepath.Join(r.Root, "gone"), rt: r}
	if err := c.save(); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "write state: ") {
		t.Error(err)
	}
	// Another state in the way stays as it is when the new one cannot be put there.
	c.dir = place(t, r, "c", nil)
	if err := os.Mkdir(filepath.Join(c.dir, stateFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.save(); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if entries, _ := os.ReadDir(c.dir); len(entries) != 1 {
		t.Errorf("a temporary file is left: %v", entries)
	}
}

// TestTruncatedState: whatever is left of state.json, nothing panics, no other process is taken for the container's,
// and the container can be deleted by force.
func TestTruncatedState(t *testing.T) {
	r, warnings := newRuntime(t)
	s := fullState()
	s.Cgroups = nil
	whole, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		dir := place(t, r, "c", map[string]string{stateFile: string(whole[:n])})
		if _, err := r.State("c"); err == nil || errors.Is(err, ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, stateFile)) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if n%50 == 0 {
			*warnings = nil
			if list, err := r.List(); err != nil || len(list) != 0 || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "container c: read state") {
				t.Fatalf("%d bytes: list %v %v, warnings %q", n, list, err, *warnings)
			}
			if err := r.Delete("c", false); err == nil {
				t.Fatalf("%d bytes: deleted without force", n)
			}
			if err := r.Kill("c", unix.SIGTERM, false); err == nil {
				t.Fatalf("%d bytes: killed something", n)
			}
		}
		if err := r.Delete("c", true); err != nil {
			t.Fatalf("%d bytes: delete by force: %v", n, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%d bytes: the directory is still there: %v", n, err)
		}
	}
}

func TestCorruptState(t *testing.T) {
	r, _ := newRuntime(t)
	for _, text := range []string{"null", "[]", "{}", `{"pid":"1"}`, `{"pid":-1}`, `{"pid":1}`, `{"pid":1,"startTime":-1}`, `{"id":""}`,
		`{"pid":99999999999999999999}`, "\x00", `{"created":"yesterday"}`, strings.Repeat("[", 20_000)} {
		place(t, r, "c", map[string]string{stateFile: text})
		if c, err := r.open("c", false); err == nil {
			if alive, _ := c.alive(); alive {
				t.Errorf("%.40q: process %d is taken for the container's", text, c.Pid)
			}
			if err := c.signal(unix.SIGKILL); err == nil {
				t.Errorf("%.40q: signal: %v", text, err)
			}
		}
		if err := r.Delete("c", true); err != nil {
			t.Errorf("%.40q: delete by force: %v", text, err)
			os.RemoveAll(filepath.Join(r.Root, "c"))
		}
	}
}

func TestNoContainer(t *testing.T) {
	r, _ := newRuntime(t)
	place(t, r, "empty", nil)
	if err := os.WriteFile(filepath.Join(r.Root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"missing", "empty", "file"} {
		for verb, err := range verbs(r, id) {
			if verb != "delete --force" && !errors.Is(err, ErrNotExist) {
				t.Errorf("%s %s: %v", verb, id, err)
			}
		}
	}
	for _, id := range []string{"missing", "empty"} {
		if err := r.Delete(id, true); err != nil {
			t.Errorf("delete --force %s: %v", id, err)
		}
	}
	if _, err := os.Stat(filepath.Join(r.Root, "empty")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover directory is still there: %v", err)
	}
	r.Root = filepath.Join(r.Root, "no-root")
	if _, err := r.List(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("list without a root directory: %v", err)
	}
}

// verbs tries what takes the id of a container that exists.
func verbs(r *Runtime, id string) map[string]error {
	all := map[string]error{"start": r.Start(id), "kill": r.Kill(id, unix.SIGTERM, false), "kill --all": r.Kill(id, unix.SIGKILL, true),
		"pause": r.Pause(id), "resume": r.Resume(id)}
	_, all["state"] = r.State(id)
	_, all["ps"] = r.Processes(id)
	_, all["exec"] = r.Exec(id, ExecOptions{Args: []string{"true"}})
	all["delete"] = r.Delete(id, false)
	return all
}

// TestIDs: an id never leads out of the root directory.
func TestIDs(t *testing.T) {
	r, _ := newRuntime(t)
	outside := filepath.Join(filepath.Dir(r.Root), "outside")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outside) })
	r.Root = filepath.Join(r.Root, "root")
	if err := os.Mkdir(r.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", ".", "..", "../outside", "a/b", "/", outside, "a\x00b", "a b", "ä", strings.Repeat("x", 256)} {
		all := verbs(r, id)
		all["create"] = r.Create(id, CreateOptions{Bundle: r.Root})
		_, all["run"] = r.Run(id, RunOptions{CreateOptions: CreateOptions{Bundle: r.Root}})
		all["delete --force"] = r.Delete(id, true)
		for verb, err := range all {
			if err == nil || !strings.HasPrefix(strings.TrimPrefix(err.Error(), "exec failed: "), "invalid container ID format") {
				t.Errorf("%s %.20q: %v", verb, id, err)
			}
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(r.Root); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
}

// process starts a program that does nothing and ends with the test.
func process(t *testing.T, args ...string) sys.Process {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p, err := sys.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPidReuse: a process that has the pid and not the start time, or not the inode, is somebody else's. An inode of
// nobody knows which boot does not count.
func TestPidReuse(t *testing.T) {
	p := process(t, "sleep", "60")
	r, _ := newRuntime(t)
	dir, boot := place(t, r, "c", nil), r.bootID()
	for _, s := range []state{{StartTime: p.Start}, {StartTime: p.Start, PidInode: p.Inode, BootID: boot}, {StartTime: p.Start, PidInode: 1}} {
		s.ID, s.Pid = "c", p.Pid
		if err := (&container{rt: r, dir: dir, state: s}).mustRun(); err != nil {
			t.Errorf("%+v is not recognized: %v", s, err)
		}
	}
	others := []state{{StartTime: p.Start - 1}, {StartTime: p.Start + 1}, {}}
	if p.Inode != 0 { // Linux 6.9
		others = append(others, state{StartTime: p.Start, PidInode: p.Inode - 1, BootID: boot}, state{StartTime: p.Start, PidInode: p.Inode + 1, BootID: boot})
	}
	for _, s := range others {
		s.ID, s.Pid = "c", p.Pid
		c := &container{rt: r, dir: dir, state: s}
		if status, err := c.status(); err != nil || status != specs.StateStopped {
			t.Errorf("%+v for %+v: %s, %v", s, p, status, err)
		}
		if err := c.signal(unix.SIGKILL); !errors.Is(err, ErrNotRunning) {
			t.Errorf("signal: %v", err)
		}
		if v, err := c.view(); err != nil || v.Pid != 0 || v.Status != "stopped" {
			t.Errorf("%+v, %v", v, err)
		}
		if err := c.save(); err != nil {
			t.Fatal(err)
		}
		if err := r.Kill("c", unix.SIGKILL, false); !errors.Is(err, ErrNotRunning) {
			t.Errorf("kill: %v", err)
		}
	}
	if err := r.Delete("c", true); err != nil {
		t.Error(err)
	}
	if alive, err := p.Alive(); err != nil || !alive {
		t.Errorf("the stranger was killed: %v", err)
	}
}

// TestZombie: an init that nobody has reaped yet has stopped.
func TestZombie(t *testing.T) {
	init := process(t, "true")
	p, err := init.Open()
	if err == nil {
		defer p.Close()
		if ended, err := sys.AwaitExit(p, 10_000); !ended || err != nil {
			t.Fatalf("true does not end: %v", err)
		}
	} else if !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
	c := &container{state: state{Pid: init.Pid, StartTime: init.Start}}
	if status, err := c.status(); err != nil || status != specs.StateStopped {
		t.Errorf("%s, %v", status, err)
	}
}

// TestLock: one rt at a time; and a lock that was awaited while the container was deleted is no lock on its successor.
func TestLock(t *testing.T) {
	r, _ := newRuntime(t)
	dir := place(t, r, "c", map[string]string{stateFile: `{"id":"c"}`})
	first, err := r.open("c", true)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		second, err := r.open("c", true)
		if err == nil {
			second.release()
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
	place(t, r, "c", map[string]string{stateFile: `{"id":"c"}`})
	first.release()
	if err := <-got; !errors.Is(err, ErrNotExist) {
		t.Errorf("the lock on a deleted container was good for the next one: %v", err)
	}
	if c, err := r.open("c", true); err != nil {
		t.Error(err)
	} else {
		c.release()
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
