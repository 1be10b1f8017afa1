package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestShort: reads and writes that do half of what they were asked for. Nobody may take the half for the whole.
func TestShort(t *testing.T) {
	for _, v := range verbs() {
		if v.name == "kill" || v.name == "pause" || v.name == "resume" {
			continue // as update and delete
		}
		t.Run(v.name, func(t *testing.T) {
			var hits atomic.Int64
			for _, nr := range []int{unix.SYS_READ, unix.SYS_WRITE} {
				l := newLab(t, v.edits...)
				l.bring(v.prepare)
				n := l.inject(job{Who: inRt, Only: nr}, v.args(l)...).Calls
				workers(t, points(t, n, 3), &v, func(l *lab, at int) error {
					l.bring(v.prepare)
					r := l.inject(job{Who: inRt, Do: doShort, Only: nr, At: at}, v.args(l)...)
					if r.Hit {
						hits.Add(1)
					}
					var err error
					if r.Hit && r.code == 0 {
						err = whole(l, &v, inRt, false)
					} else if r.Hit {
						err = oneError(r)
					}
					after := v.after
					if strings.HasSuffix(r.Path, "/memory.max") {
						after = nil // half of the digits is a limit of some bytes, for which the kernel kills the container at once
					}
					if err == nil {
						err = l.sound(after)
					}
					if err != nil {
						err = fmt.Errorf("half of %s: %w\nIt had said: %s", r.point(), err, r)
					}
					return err
				})
			}
			t.Logf("%s: %d reads and writes cut short", v.name, hits.Load())
		})
	}
}

// mountRoot gives the lab a --root that is a file system of its own.
func (l *lab) mountRoot(options string) {
	l.t.Helper()
	l.must(unix.Mount("rt-fault", l.root, "tmpfs", 0, "mode=700,"+options))
	l.t.Cleanup(func() { _ = unix.Unmount(l.root, unix.MNT_DETACH) })
}

func (l *lab) unmountRoot() { l.t.Helper(); l.must(unix.Unmount(l.root, 0)) }

// TestDiskFull: the state directory has room for less and less of what create writes.
func TestDiskFull(t *testing.T) {
	for _, what := range []string{"blocks", "inodes"} {
		t.Run(what, func(t *testing.T) {
			failed, made := 0, 0
			for free := range 12 {
				l := newLab(t, rich)
				if what == "inodes" {
					l.mountRoot(fmt.Sprintf("size=1m,nr_inodes=%d", 1+free))
				} else {
					l.mountRoot("size=64k")
					l.must(os.WriteFile(filepath.Join(l.root, ".filler"), make([]byte, 64<<10-free*4096), 0o600))
				}
				r := l.rt("create", "--bundle", l.bundle, l.id)
				if r.code == 0 {
					made++
					l.ok("delete", l.id)
				} else {
					failed++
					if err := oneError(r); err != nil || !strings.Contains(r.stderr, "no space left on device") {
						t.Errorf("%v: %s", err, r)
					}
				}
				_ = os.Remove(filepath.Join(l.root, ".filler"))
				if left := l.traces(); len(left) != 1 || left[0] != "mount "+l.root {
					t.Errorf("left: %v", left)
				}
				l.unmountRoot()
			}
			t.Logf("%d creates failed for want of %s, %d did not", failed, what, made)
			if failed == 0 || made == 0 {
				t.Error("the sizes were not chosen well")
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	l := newLab(t)
	l.mountRoot("size=1m")
	l.up()
	l.must(unix.Mount("", l.root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if status, err := l.state(); err != nil || status != "running" {
		t.Errorf("status %q, %v", status, err)
	}
	if r := l.rt("list", "-q"); r.code != 0 || strings.TrimSpace(r.stdout) != l.id {
		t.Errorf("%s", r)
	}
	l.ok("exec", l.id, "/bin/true")
	l.ok("kill", l.id, "TERM")
	for _, args := range [][]string{{"create", "--bundle", l.bundle, "other"}, {"delete", "--force", l.id}} {
		if r := l.rt(args...); r.code != 1 || oneError(r) != nil || !strings.Contains(r.stderr, "read-only file system") {
			t.Errorf("%s", r)
		}
	}
	l.must(unix.Mount("", l.root, "", unix.MS_REMOUNT, ""))
	l.ok("delete", "--force", l.id)
	l.unmountRoot()
}

// TestSlowDisk: every call that names the state directory takes its time; what else goes on with the container waits or is
// refused.
func TestSlowDisk(t *testing.T) {
	l := newLab(t)
	j := job{Who: inRt, Do: doDelay, Slow: l.root, Delay: 30 * time.Millisecond}
	made := make(chan result, 1)
	go func() { made <- l.inject(j, "create", "--bundle", l.bundle, l.id) }()
	l.must(l.eventually("the container's directory", func() bool { _, err := os.Stat(filepath.Join(l.root, l.id)); return err == nil }))
	if r := l.rt("create", "--bundle", l.bundle, l.id); r.code != 1 || !strings.Contains(r.stderr, "container with given ID already exists") {
		t.Errorf("create beside a slow one: %s", r)
	}
	if r := <-made; r.code != 0 || !r.Hit {
		t.Fatalf("%s", r)
	}
	for _, verb := range []string{"start", "pause", "resume"} {
		if r := l.inject(j, verb, l.id); r.code != 0 {
			t.Errorf("%s", r)
		}
	}
	if err := l.sound(usable); err != nil {
		t.Error(err)
	}
}

// TestBadFiles: whatever is in a container's files, the others are listed, the user is told, and delete --force cleans.
func TestBadFiles(t *testing.T) {
	cases := []struct {
		name, file string
		change     func(string) string
		readable   bool // the container is still one
		lost       bool // nothing tells where its cgroup is; doctor finds it
	}{
		{"empty state", "state.json", func(string) string { return "" }, false, false},
		{"first half of the state", "state.json", func(s string) string { return s[:len(s)/2] }, false, false},
		{"state without its last byte", "state.json", func(s string) string { return strings.TrimSuffix(strings.TrimSpace(s), "}") }, false, false},
		{"zeros for a state", "state.json", func(s string) string { return strings.Repeat("\x00", len(s)) }, false, false},
		{"state of another type", "state.json", func(string) string { return "[]" }, false, false},
		{"negative pid", "state.json", func(s string) string { return strings.Replace(s, `"pid":`, `"pid":-`, 1) }, false, false},
		{"state with text for a number", "state.json", func(s string) string { return strings.Replace(s, `"startTime":`, `"startTime":"x`, 1) }, false, false},
		{"state of an older rt", "state.json", func(s string) string {
			before, _, _ := strings.Cut(s, `,"bootId"`)
			return before + "}"
		}, true, false},
		{"state of a newer rt", "state.json", func(s string) string { return strings.Replace(s, "{", `{"future":{"a":[1]},`, 1) }, true, false},
		{"no state", "state.json", nil, false, false},
		{"garbage for a journal", "journal", func(string) string { return "{{{" }, true, false},
		{"no journal", "journal", nil, true, false},
		{"no config.json", "config.json", nil, true, false},
		{"garbage for config.json", "config.json", func(string) string { return `{"process":` }, true, false},
		{"all of it empty", "", func(string) string { return "" }, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			l.up()
			other := *l
			other.id = l.id + "-other"
			other.spec = plain(other.id)
			other.bundle = l.bundle
			other.write()
			other.create()
			for _, file := range []string{"state.json", "journal", "config.json"} {
				switch {
				case c.file != "" && c.file != file:
				case c.change == nil:
					l.must(os.Remove(filepath.Join(l.root, l.id, file)))
				default:
					l.edit(file, c.change)
				}
			}
			r := l.ok("list", "-q")
			ids := strings.Fields(r.stdout)
			if !slices.Contains(ids, other.id) || slices.Contains(ids, l.id) != c.readable {
				t.Errorf("list: %s", r)
			}
			if damaged := !c.readable && c.change != nil; damaged != strings.Contains(r.stderr, "warning: container "+l.id) {
				t.Errorf("list does not say what is wrong: %s", r)
			}
			if r := l.rt("state", l.id); (r.code == 0) != c.readable || r.code != 0 && oneError(r) != nil {
				t.Errorf("%s", r)
			}
			if r := l.rt("exec", l.id, "/bin/true"); c.file == "config.json" && (r.code != 255 || oneError(r) != nil) {
				t.Errorf("%s", r)
			}
			l.ok("delete", "--force", l.id)
			other.ok("delete", "--force", other.id)
			if c.lost {
				l.doctor("--fix", "--kill")
			}
			if left := l.left(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
