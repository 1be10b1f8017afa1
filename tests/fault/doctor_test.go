package fault

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A finding is one of `rt doctor --format json` that is about this lab.
type finding struct {
	Kind     string
	Paths    []string
	Pids     []int
	Why, Fix string
	Fixed    bool
}

// doctor gives what it finds about this container; the machine may have other things.
func (l *lab) doctor(flags ...string) (mine []finding) {
	l.t.Helper()
	r := l.rt(append([]string{"doctor", "--format", "json"}, flags...)...)
	var all []finding
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || r.code > 1 {
		l.t.Fatalf("%v: %s", err, r)
	}
	unfixed := false
	for _, f := range all {
		unfixed = unfixed || !f.Fixed
		if strings.Contains(strings.Join(f.Paths, " ")+" ", l.id+" ") || strings.HasPrefix(f.Paths[0], l.dir+"/") {
			mine = append(mine, f)
		}
	}
	if unfixed != (r.code == 1) {
		l.t.Errorf("the exit status does not tell whether something is left: %s", r)
	}
	return mine
}

// expect wants these kinds of findings, which --fix then removes.
func (l *lab) expect(kinds ...string) {
	l.t.Helper()
	l.finds(kinds...)
	for _, f := range l.doctor("--fix") {
		if !f.Fixed {
			l.t.Errorf("not fixed: %+v", f)
		}
	}
	if again := l.doctor(); len(again) > 0 {
		l.t.Errorf("found again: %+v", again)
	}
	if left := l.left(); len(left) > 0 {
		l.t.Errorf("left after doctor --fix: %v", left)
	}
}

func (l *lab) finds(kinds ...string) {
	l.t.Helper()
	var got []string
	for _, f := range l.doctor() {
		got = append(got, f.Kind)
	}
	if strings.Join(got, " ") != strings.Join(kinds, " ") {
		l.t.Errorf("found %v, want %v", got, kinds)
	}
}

// edit changes the state of a container behind rt's back.
func (l *lab) edit(name string, change func(string) string) {
	l.t.Helper()
	path := filepath.Join(l.root, l.id, name)
	data, err := os.ReadFile(path)
	l.must(err)
	l.must(os.WriteFile(path, []byte(change(string(data))), 0o600))
}

// remark changes the marks of the container's cgroups behind rt's back.
func (l *lab) remark(change func(string) string) {
	l.t.Helper()
	var buf [4096]byte
	for _, mount := range cgroupMounts() {
		dir := filepath.Join(mount, l.id)
		if n, err := unix.Lgetxattr(dir, "trusted.rt.container", buf[:]); err == nil {
			l.must(unix.Lsetxattr(dir, "trusted.rt.container", []byte(change(string(buf[:n]))), 0))
		}
	}
}

// spares: --fix --kill leaves the running program alone, whatever is found.
func (l *lab) spares(kinds string) {
	l.t.Helper()
	var got string
	for _, f := range l.doctor("--fix", "--kill") {
		got += f.Kind
		if f.Fixed {
			l.t.Errorf("fixed: %+v", f)
		}
	}
	if got != kinds || len(l.processes()) != 1 {
		l.t.Errorf("found %q, want %q; processes %v", got, kinds, l.processes())
	}
}

// cleanCgroups ends what a test has kept rt from knowing.
func (l *lab) cleanCgroups() {
	l.t.Helper()
	for _, line := range l.processes() {
		pid, _, _ := strings.Cut(line, " ")
		n, err := strconv.Atoi(pid)
		l.must(err)
		_ = unix.Kill(n, unix.SIGKILL)
	}
	l.must(l.eventually("the end of its cgroups", func() bool {
		for _, mount := range cgroupMounts() {
			_ = unix.Rmdir(filepath.Join(mount, l.id))
		}
		return len(l.traces()) == 0
	}))
}

func (l *lab) loseDirectory() { l.t.Helper(); l.must(os.RemoveAll(filepath.Join(l.root, l.id))) }

// hidden says whether there are processes whose namespaces root may not see, as an init of the machine that is not traceable.
func hidden() bool {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/mnt")
	for _, link := range links {
		if _, err := os.Stat(link); errors.Is(err, os.ErrPermission) {
			return true
		}
	}
	return false
}

// leaveCgroup makes empty cgroups with the container's mark, below a directory of that name.
func (l *lab) leaveCgroup(name string) {
	l.t.Helper()
	var buf [4096]byte
	for _, mount := range cgroupMounts() {
		n, err := unix.Lgetxattr(filepath.Join(mount, l.id), "trusted.rt.container", buf[:])
		if err != nil {
			continue
		}
		dir := filepath.Join(mount, l.id+"-"+name, l.id)
		l.must(os.MkdirAll(dir, 0o755))
		l.t.Cleanup(func() { _ = unix.Rmdir(dir); _ = unix.Rmdir(filepath.Dir(dir)) })
		l.must(unix.Lsetxattr(dir, "trusted.rt.container", buf[:n], 0))
	}
}

// leftCgroups are those that leaveCgroup has made and that are still there.
func (l *lab) leftCgroups(name string) (dirs string) {
	for _, mount := range cgroupMounts() {
		if _, err := os.Stat(filepath.Join(mount, l.id+"-"+name, l.id)); err == nil {
			dirs += " " + filepath.Join(mount, l.id+"-"+name, l.id)
		}
	}
	return strings.TrimSpace(dirs)
}

func TestDoctor(t *testing.T) {
	t.Run("nothing", func(t *testing.T) {
		l := newLab(t)
		l.finds()
		l.create()
		l.finds()
		l.ok("start", l.id)
		l.finds()
		l.ok("kill", l.id, "KILL")
		l.finds() // it may be deleted whenever its owner likes
		if f := l.doctor("--stopped"); len(f) != 1 || f[0].Kind != "container" {
			t.Errorf("--stopped: %+v", f)
		}
	})
	t.Run("create killed", func(t *testing.T) {
		l := newLab(t)
		for at := 100; ; at += 5 {
			l.inject(job{Who: inRt, Do: doKill, At: at}, "create", "--bundle", l.bundle, l.id)
			_, err := os.Stat(filepath.Join(l.root, l.id, "config.json"))
			if err == nil {
				break
			}
			l.ok("delete", "--force", l.id)
		}
		l.expect("container")
	})
	t.Run("run directory gone", func(t *testing.T) { // a stub waits for a start that cannot come
		l := newLab(t)
		l.create()
		l.loseDirectory()
		l.expect("cgroup")
	})
	t.Run("run directory gone, program runs", func(t *testing.T) {
		l := newLab(t)
		l.up()
		l.loseDirectory()
		l.finds("cgroup")
		if f := l.doctor("--fix"); len(f) != 1 || f[0].Fixed || len(f[0].Pids) != 1 || len(l.processes()) != 1 {
			t.Errorf("a program was to be spared: %+v", f)
		}
		if f := l.doctor("--fix", "--kill"); len(f) != 1 || !f[0].Fixed {
			t.Errorf("--kill: %+v", f)
		}
		if left := l.left(); len(left) > 0 {
			t.Errorf("left after --fix --kill: %v", left)
		}
	})
	t.Run("another boot", func(t *testing.T) {
		l := newLab(t)
		l.up()
		lives := l.init()
		l.edit("state.json", func(s string) string {
			before, after, _ := strings.Cut(s, `"bootId":"`)
			return before + `"bootId":"x` + after
		})
		if status, err := l.state(); err != nil || status != "stopped" {
			t.Errorf("status %q, %v", status, err)
		}
		for _, verb := range [][]string{{"kill", l.id}, {"kill", "--all", l.id}, {"ps", l.id}, {"events", "--stats", l.id}} {
			if r := l.rt(verb...); !strings.Contains(r.stderr, "not running") || strings.Contains(r.stderr, "systemd-run") {
				t.Errorf("%v: %s", verb, r)
			}
		}
		l.rt("delete", "--force", l.id)
		if dead(lives) {
			t.Error("delete has killed a process with the pid of one of an earlier boot")
		}
		l.finds("cgroup") // which in truth is of this boot
		l.doctor("--fix", "--kill")
	})
	t.Run("unreadable state", func(t *testing.T) {
		l := newLab(t)
		l.create()
		l.edit("state.json", func(s string) string { return s[:len(s)/2] })
		l.expect("container")
	})
	t.Run("process and cgroup gone", func(t *testing.T) {
		l := newLab(t)
		l.up()
		l.ok("kill", l.id, "KILL")
		for _, dir := range cgroupMounts() {
			_ = unix.Rmdir(filepath.Join(dir, l.id))
		}
		l.expect("container")
	})
	t.Run("not rt's", func(t *testing.T) {
		l := newLab(t)
		for _, dir := range []string{"foreign", "empty-but-for-a-file"} {
			l.must(os.MkdirAll(filepath.Join(l.root, dir, "data"), 0o700))
		}
		dir := filepath.Join(cgroupMounts()[0], l.id)
		l.must(os.Mkdir(dir, 0o755)) // unmarked, as anybody's
		l.finds()
		l.doctor("--fix", "--kill")
		if len(l.traces()) != 3 {
			t.Errorf("there should be two directories and a cgroup: %v", l.traces())
		}
		l.must(unix.Rmdir(dir))
		l.must(os.RemoveAll(l.root))
	})
	t.Run("another pid namespace", func(t *testing.T) {
		l := newLab(t)
		l.up()
		l.edit("state.json", func(s string) string { return strings.Replace(s, `"pidNamespace":`, `"pidNamespace":1`, 1) })
		l.finds()
		l.loseDirectory()
		l.remark(func(s string) string { // view and pid namespace of somebody else
			f := strings.SplitN(s, ":", 5)
			f[0], f[3] = "1", "1"
			return strings.Join(f, ":")
		})
		l.spares("")
		l.remark(func(s string) string { // an old mark tells no pid namespace
			f := strings.SplitN(s, ":", 5)
			_, dir, _ := strings.Cut(f[4], " ")
			return strings.Join(f[:3], ":") + " " + dir
		})
		l.spares("")
		l.cleanCgroups()
	})
	t.Run("another view", func(t *testing.T) { // of a mount namespace that is gone
		l := newLab(t)
		l.up()
		l.remark(func(s string) string { _, rest, _ := strings.Cut(s, ":"); return "1:" + rest })
		l.spares("")
		l.loseDirectory()
		want := "cgroup"
		if hidden() { // any of them may still be in that namespace
			want = ""
		}
		l.spares(want)
		l.cleanCgroups()
	})
	t.Run("two cgroups with one mark", func(t *testing.T) { // of one container that lives, and of one before it with the same ID
		l := newLab(t)
		l.up()
		l.leaveCgroup("before")
		l.leaveCgroup("that")
		for _, f := range l.doctor() {
			if f.Kind != "cgroup" || !strings.Contains(f.Paths[0], l.id+"-") {
				t.Errorf("of a container that runs: %+v", f)
			}
		}
		l.doctor("--fix", "--kill")
		if left := l.leftCgroups("before") + l.leftCgroups("that"); left != "" || len(l.processes()) != 1 {
			t.Errorf("left: %s; processes: %v", left, l.processes())
		}
		l.leaveCgroup("before")
		l.leaveCgroup("again")
		l.ok("kill", l.id, "KILL")
		l.loseDirectory()
		l.doctor("--fix", "--kill")
		if left := l.leftCgroups("before") + l.leftCgroups("again"); left != "" || len(l.left()) > 0 {
			t.Errorf("left of three: %s %v", left, l.left())
		}
	})
	for made, mode := range map[string]uint32{"": unix.S_ISVTX | 0o700, " of an older rt": 0o711} {
		t.Run("empty directories"+made, func(t *testing.T) { // directories that are empty, but are not rt's, or not yet filled
			l := newLab(t)
			old := time.Now().Add(-time.Minute)
			for name, others := range map[string]os.FileMode{"public": 0o755, "private": 0o700} {
				l.must(os.MkdirAll(filepath.Join(l.root, name), others))
				l.must(os.Chtimes(filepath.Join(l.root, name), old, old))
			}
			l.must(unix.Mkdir(filepath.Join(l.root, l.id), mode))
			l.finds()
			l.must(os.Chtimes(filepath.Join(l.root, l.id), old, old))
			l.finds("container")
			l.must(os.Remove(filepath.Join(l.root, "public")))
			l.must(os.Remove(filepath.Join(l.root, "private")))
			l.expect("container")
		})
	}
	t.Run("mount below a symbolic link", func(t *testing.T) { // as in /var/run/rt
		l := newLab(t)
		point := filepath.Join(l.root, l.id, "notify")
		l.must(os.MkdirAll(point, 0o700))
		l.must(unix.Mount("rt-fault", point, "tmpfs", 0, "size=4k"))
		link := filepath.Join(l.dir, "link")
		l.must(os.Symlink(l.root, link))
		l.root = link
		l.expect("mount", "container")
	})
	t.Run("mount", func(t *testing.T) {
		l := newLab(t)
		point := filepath.Join(l.root, l.id, "notify")
		l.must(os.MkdirAll(point, 0o700))
		l.must(unix.Mount("rt-fault", point, "tmpfs", 0, "size=4k"))
		l.expect("mount", "container")
	})
}
