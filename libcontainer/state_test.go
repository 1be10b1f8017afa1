package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rt/internal/sys"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newRuntime keeps its containers in a directory of the test's; warnings are collected.
func newRuntime(t *testing.T) (*Runtime, *[]string) {
	t.Helper()
	warnings := new([]string)
	return &Runtime{Root: state.Root{Dir: t.TempDir(), Warn: func(format string, args ...any) {
		*warnings = append(*warnings, fmt.Sprintf(format, args...))
	}}}, warnings
}

// place puts a container's directory below the root, with files by name.
func placeFiles(t *testing.T, r *Runtime, id string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(r.Dir, id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTruncatedState: whatever is left of state.json, nothing panics, no other process is taken for the container's,
// and the container can be deleted by force.
func TestTruncatedState(t *testing.T) {
	r, warnings := newRuntime(t)
	whole, err := json.Marshal(&state.State{OCIVersion: "1.2.0", ID: "c", Pid: 4194303, StartTime: 1 << 63, Bundle: "/b", Rootfs: "/b/rootfs",
		Annotations: map[string]string{"a": "\"\n\u2028", "": "x"}, Unit: "rt-c.scope", PrivatePid: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		dir := placeFiles(t, r, "c", map[string]string{state.StateFile: string(whole[:n])})
		if _, err := r.State("c"); err == nil || errors.Is(err, state.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, state.StateFile)) {
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
		placeFiles(t, r, "c", map[string]string{state.StateFile: text})
		if c, err := r.open("c", false); err == nil {
			if alive, _ := c.IsAlive(); alive {
				t.Errorf("%.40q: process %d is taken for the container's", text, c.Pid)
			}
			if err := c.signal(unix.SIGKILL); err == nil {
				t.Errorf("%.40q: signal: %v", text, err)
			}
		}
		if err := r.Delete("c", true); err != nil {
			t.Errorf("%.40q: delete by force: %v", text, err)
			os.RemoveAll(filepath.Join(r.Dir, "c"))
		}
	}
}

func TestNoContainer(t *testing.T) {
	r, _ := newRuntime(t)
	placeFiles(t, r, "empty", nil)
	if err := os.WriteFile(filepath.Join(r.Dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"missing", "empty", "file"} {
		for verb, err := range verbs(r, id) {
			if verb != "delete --force" && !errors.Is(err, state.ErrNotExist) {
				t.Errorf("%s %s: %v", verb, id, err)
			}
		}
	}
	for _, id := range []string{"missing", "empty"} {
		if err := r.Delete(id, true); err != nil {
			t.Errorf("delete --force %s: %v", id, err)
		}
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "empty")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover directory is still there: %v", err)
	}
	r.Dir = filepath.Join(r.Dir, "no-root")
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
	outside := filepath.Join(filepath.Dir(r.Dir), "outside")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outside) })
	r.Dir = filepath.Join(r.Dir, "root")
	if err := os.Mkdir(r.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", ".", "..", "../outside", "a/b", "/", outside, "a\x00b", "a b", "ä", strings.Repeat("x", 256)} {
		all := verbs(r, id)
		all["create"] = r.Create(id, CreateOptions{Bundle: r.Dir})
		_, all["run"] = r.Run(id, RunOptions{CreateOptions: CreateOptions{Bundle: r.Dir}})
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
	if entries, _ := os.ReadDir(r.Dir); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
}

// with is a container of r whose state is s.
func with(r *Runtime, s state.State) *container {
	c := r.newContainer(s.ID)
	c.State = s
	return c
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
	placeFiles(t, r, "c", nil)
	boot := r.BootID()
	for _, s := range []state.State{{StartTime: p.Start}, {StartTime: p.Start, PidInode: p.Inode, BootID: boot}, {StartTime: p.Start, PidInode: 1}} {
		s.ID, s.Pid = "c", p.Pid
		if err := with(r, s).MustRun(); err != nil {
			t.Errorf("%+v is not recognized: %v", s, err)
		}
	}
	others := []state.State{{StartTime: p.Start - 1}, {StartTime: p.Start + 1}, {}}
	if p.Inode != 0 { // Linux 6.9
		others = append(others, state.State{StartTime: p.Start, PidInode: p.Inode - 1, BootID: boot}, state.State{StartTime: p.Start, PidInode: p.Inode + 1, BootID: boot})
	}
	for _, s := range others {
		s.ID, s.Pid = "c", p.Pid
		c := with(r, s)
		if status, err := c.status(); err != nil || status != specs.StateStopped {
			t.Errorf("%+v for %+v: %s, %v", s, p, status, err)
		}
		if err := c.signal(unix.SIGKILL); !errors.Is(err, state.ErrNotRunning) {
			t.Errorf("signal: %v", err)
		}
		if v, err := c.view(); err != nil || v.Pid != 0 || v.Status != "stopped" {
			t.Errorf("%+v, %v", v, err)
		}
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
		if err := r.Kill("c", unix.SIGKILL, false); !errors.Is(err, state.ErrNotRunning) {
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

// TestContainerStateJSON: what is written without encoding/json is what encoding/json writes.
func TestContainerStateJSON(t *testing.T) {
	for _, s := range []ContainerState{{}, {OCIVersion: "1.2.0", ID: "a \"b\" \\ \n\x01é", Pid: 7, Status: "running", Bundle: "/b", Rootfs: "/b/r",
		Created: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Annotations: map[string]string{"k\"": "v\t"}, Owner: "root", OwnerUID: 5}} {
		want, err := json.MarshalIndent(&s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.JSON(); string(got) != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// TestListByThreads: a list that several threads share is in order, whole, and says what cannot be read.
func TestListByThreads(t *testing.T) {
	for _, n := range []int{1, listBatch, listThreads * listBatch, 500} {
		var warnings []string
		r := &Runtime{Root: state.Root{Dir: t.TempDir(), Warn: func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }}}
		var want []string
		for i := range n {
			id := fmt.Sprintf("c%03d", i)
			dir := filepath.Join(r.Dir, id)
			text := []byte(fmt.Sprintf(`{"id":%q,"bundle":%q}`, id, "/b/"+id))
			switch i % 50 {
			case 7:
				text = []byte("{")
			case 8:
				_ = os.WriteFile(dir, nil, 0o600) // no container, and nothing to warn about
				continue
			default:
				want = append(want, id)
			}
			if os.Mkdir(dir, 0o711) != nil || os.WriteFile(filepath.Join(dir, state.StateFile), text, 0o600) != nil {
				t.Fatal("cannot make", dir)
			}
		}
		all, err := r.List()
		var got []string
		for _, s := range all {
			got = append(got, s.ID)
			if s.Bundle != "/b/"+s.ID || s.Status != "stopped" || s.OwnerUID != os.Getuid() {
				t.Errorf("%d: %+v", n, s)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d: got %v, %v; want %v", n, got, err, want)
		}
		if len(warnings) != (n+42)/50 || !slices.IsSorted(warnings) {
			t.Errorf("%d: warnings %q", n, warnings)
		}
	}
}
