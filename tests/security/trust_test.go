package security

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Whom rt believes: who can write to --root or to a container's directory says which hooks root executes, which processes get
// its signals, and which cgroups it removes.

// someone is an ordinary user of the host.
const someone = 1000

// plant makes what a stopped container leaves, with a hook that writes to the host.
func (v *victim) plant(dir, id string) {
	v.t.Helper()
	must(v.t, os.MkdirAll(dir, 0o711))
	must(v.t, os.Chmod(dir, 0o711))
	var pids unix.Stat_t
	must(v.t, unix.Stat("/proc/self/ns/pid", &pids))
	state := fmt.Sprintf(`{"ociVersion":"1.2.0","id":%q,"pid":0,"startTime":0,"bundle":"/","rootfs":"/","created":"2026-01-01T00:00:00Z","pidNamespace":%d}`, id, pids.Ino)
	config, err := json.Marshal(specs.Spec{Version: "1.0.2", Process: &specs.Process{Args: []string{"x"}, Cwd: "/"}, Root: &specs.Root{Path: "/"},
		Linux: &specs.Linux{}, Hooks: &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/touch", Args: []string{"touch", v.outside + "/made"}}}}})
	must(v.t, err)
	for name, text := range map[string][]byte{"state.json": []byte(state), "config.json": config, "journal": []byte("{}")} {
		must(v.t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
}

// verbs are those that act on a container, writers first to ask, deleting ones last.
func (v *victim) verbs() [][]string {
	v.file("list", `[]`, 0o600)
	return [][]string{{"state", v.id}, {"ps", v.id}, {"top", v.id}, {"events", "--stats", v.id}, {"start", v.id}, {"kill", v.id, "CONT"}, {"kill", "--all", v.id, "KILL"},
		{"pause", v.id}, {"resume", v.id}, {"update", "--pids-limit", "10", v.id}, {"mounts", "add", v.id, v.dir + "/list"}, {"exec", v.id, "true"},
		{"checkpoint", "--image-path", v.dir + "/image", v.id}, {"delete", v.id}, {"delete", "--force", v.id}}
}

// chownTree gives all below a directory to a user.
func chownTree(t *testing.T, dir string, uid int) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	}))
}

// writersACL is an access control list (linux/posix_acl_xattr.h) of a directory that a user may write to, besides its owner. The mode is
// then 0775.
func writersACL(uid uint32) []byte {
	list := binary.LittleEndian.AppendUint32(nil, 2)
	for _, entry := range []struct {
		tag, rights uint16
		id          uint32
	}{{0x01, 7, ^uint32(0)}, {0x02, 7, uid}, {0x04, 5, ^uint32(0)}, {0x10, 7, ^uint32(0)}, {0x20, 5, ^uint32(0)}} {
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, entry.rights)
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	return list
}

// TestForgedContainer: a container's directory that another user has made, or could have written to, has a hook. Whatever root
// is asked to do with it, the hook is not executed.
func TestForgedContainer(t *testing.T) {
	for _, c := range []struct {
		name string
		root bool // it is --root, or the way there, that is wrong
		do   func(v *victim, root, dir string) error
		want string // in the message
	}{
		{"directory of another user", false, func(_ *victim, _, dir string) error { return os.Chown(dir, someone, someone) }, "open container directory %s: owned by uid 1000, want 0"},
		{"all of another user", false, func(v *victim, _, dir string) error { chownTree(v.t, dir, someone); return nil }, "open container directory %s: owned by uid 1000, want 0"},
		{"directory for all", false, func(_ *victim, _, dir string) error { return os.Chmod(dir, 0o777) }, "open container directory %s: writable by group or others"},
		{"directory for a group", false, func(_ *victim, _, dir string) error { return os.Chmod(dir, 0o771) }, "open container directory %s: writable by group or others"},
		{"sticky directory for all", false, func(_ *victim, _, dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, "open container directory %s: writable by group or others"},
		{"state of another user", false, func(_ *victim, _, dir string) error { return os.Chown(dir+"/state.json", someone, 0) }, "open container directory %s: state.json: owned by uid 1000, want 0"},
		{"state for all", false, func(_ *victim, _, dir string) error { return os.Chmod(dir+"/state.json", 0o666) }, "open container directory %s: state.json: writable by group or others"},
		{"state of another id", false, func(v *victim, _, dir string) error { v.plant(dir, "another"); return nil }, "open container directory %s: state.json names another"},
		{"root of another user", true, func(_ *victim, root, _ string) error { return os.Chown(root, someone, someone) }, "open root directory %s: owned by uid 1000, want 0"},
		{"root for all", true, func(_ *victim, root, _ string) error { return os.Chmod(root, 0o777) }, "open root directory %s: writable by group or others"},
		{"sticky root for all", true, func(_ *victim, root, _ string) error { return os.Chmod(root, 0o777|os.ModeSticky) }, "open root directory %s: writable by group or others"},
		{"root for a group", true, func(_ *victim, root, _ string) error { return os.Chmod(root, 0o770) }, "open root directory %s: writable by group or others"},
		{"way of another user", true, func(v *victim, _, _ string) error { return os.Chown(v.dir+"/way", someone, 0) }, "way: owned by uid 1000, want 0"},
		{"way for all", true, func(v *victim, _, _ string) error { return os.Chmod(v.dir+"/way", 0o757) }, "way: writable by others"},
		{"way for another group", true, func(v *victim, _, _ string) error {
			must(v.t, os.Chown(v.dir+"/way", 0, someone))
			return os.Chmod(v.dir+"/way", 0o775)
		}, "way: writable by group 1000"},
		{"way by an access control list", true, func(v *victim, _, _ string) error {
			return unix.Setxattr(v.dir+"/way", "system.posix_acl_access", writersACL(someone), 0)
		}, "way: writable by those whom its access control list names"},
		{"link of another user", true, func(v *victim, root, _ string) error {
			must(v.t, os.Rename(v.dir+"/way", v.dir+"/else"))
			must(v.t, os.Symlink("else", v.dir+"/way"))
			return os.Lchown(v.dir+"/way", someone, someone)
		}, "way: a link owned by uid 1000, want 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVictim(t)
			root := v.dir + "/way/root"
			dir := root + "/" + v.id
			must(t, os.MkdirAll(root, 0o755))
			t.Cleanup(func() { os.RemoveAll(dir) })
			for _, verb := range v.verbs() {
				must(t, os.RemoveAll(v.dir+"/way"))
				must(t, os.RemoveAll(v.dir+"/else"))
				must(t, os.MkdirAll(root, 0o755))
				v.plant(dir, v.id)
				must(t, c.do(v, root, dir))
				r := v.rt(append([]string{"--root", root}, verb...)...)
				if !v.untouched() {
					t.Errorf("%s executes the hook: %s", verb, r)
					must(t, os.Remove(v.outside+"/made"))
					v.untouched()
				}
				if slices.Contains([]string{"state", "ps"}, verb[0]) && strings.HasSuffix(c.name, "of another user") && (c.root || strings.HasPrefix(c.name, "all")) {
					continue // root may look: TestRootOfUser
				}
				want := c.want
				if strings.Contains(want, "%s") {
					want = fmt.Sprintf(want, map[bool]string{true: root, false: dir}[c.root])
				}
				if r.code == 0 || !strings.Contains(r.stderr, want) {
					t.Errorf("want %q: %s", want, r)
				}
			}
			for _, verb := range []string{"list", "doctor"} {
				r := v.rt("--root", root, verb)
				if strings.HasSuffix(c.name, "of another user") && c.root {
					continue // TestRootOfUser
				}
				// doctor also finds what others have left on the host
				if r.code != 0 && verb == "list" || strings.Contains(r.stdout, v.id) || !strings.Contains(r.stderr, "warning: open ") {
					t.Errorf("%s: %s", verb, r)
				}
			}
		})
	}
}

// TestRootOfUser: root looks at the containers of an ordinary user, and does nothing with them.
func TestRootOfUser(t *testing.T) {
	v := newVictim(t)
	home := v.dir + "/home"
	root := home + "/rt"
	dir := root + "/" + v.id
	must(t, os.MkdirAll(root, 0o700))
	v.plant(dir, v.id)
	chownTree(t, home, someone)
	for _, verb := range v.verbs() {
		r := v.rt(append([]string{"--root", root}, verb...)...)
		switch verb[0] {
		case "state":
			if r.code != 0 || !strings.Contains(r.stdout, `"status": "stopped"`) {
				t.Error(r)
			}
		case "ps":
			if !strings.Contains(r.stderr, "container has no cgroup") {
				t.Error(r)
			}
		default:
			if r.code == 0 || !strings.Contains(r.stderr, "home: owned by uid 1000, want 0") {
				t.Error(r)
			}
		}
	}
	if r := v.rt("--root", root, "list").ok(t); !strings.Contains(r.stdout, v.id) || r.stderr != "" {
		t.Error(r)
	}
	if r := v.rt("--root", root, "doctor", "--stopped"); r.code != 1 || !strings.Contains(r.stdout, "do nothing, as it is another user's") {
		t.Error(r)
	}
	if r := v.rt("--root", root, "doctor", "--stopped", "--fix"); strings.Contains(r.stdout, v.id) || !strings.Contains(r.stderr, "home: owned by uid 1000, want 0") {
		t.Error(r)
	}
	if r := v.do(call{args: append([]string{"--root", root}, v.with("run")...)}); r.code == 0 || !strings.Contains(r.stderr, "home: owned by uid 1000, want 0") {
		t.Error(r)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	// What the user writes leads to no other file, and is printed so that it does nothing to a terminal.
	fifo := home + "/cgroup"
	must(t, os.Mkdir(fifo, 0o755))
	for _, name := range []string{"freezer.state", "cgroup.freeze", "cgroup.events", "cgroup.procs"} {
		must(t, unix.Mkfifo(fifo+"/"+name, 0o666))
	}
	text := fmt.Sprintf(`{"id":%q,"pid":%d,"startTime":%d,"bundle":"/\u001b[2J\u202e","cgroups":{"freezer":%q,"":%q,"pids":%q}}`, v.id, 1, 0, fifo, fifo, fifo)
	must(t, os.WriteFile(dir+"/state.json", []byte(text), 0o600))
	for _, verb := range [][]string{{"list"}, {"state", v.id}, {"ps", v.id}, {"doctor", "--stopped"}} {
		r := v.do(call{args: append([]string{"--root", root}, verb...)})
		if strings.ContainsAny(r.stdout+r.stderr, "\x1b\u202e") {
			t.Errorf("printed raw: %s", r)
		}
	}
	text = `{"id":"\u001b[2J\u202e","pid":0,"startTime":0,"bundle":"/"}`
	must(t, os.WriteFile(dir+"/state.json", []byte(text), 0o600))
	for _, verb := range [][]string{{"list"}, {"list", "--quiet"}, {"state", v.id}, {"ps", v.id}, {"doctor", "--stopped"}} {
		r := v.rt(append([]string{"--root", root}, verb...)...)
		if strings.ContainsAny(r.stdout+r.stderr, "\x1b\u202e") || strings.Contains(r.stdout, "x1b[2J") {
			t.Errorf("printed raw, or at all: %s", r)
		}
	}
}

// TestRootThroughLink: links that root has made on the way to --root are followed, as that of /var/run.
func TestRootThroughLink(t *testing.T) {
	v := newVictim(t)
	must(t, os.Mkdir(v.dir+"/run", 0o755))
	must(t, os.Symlink("run/../run", v.dir+"/link"))
	must(t, os.Symlink(v.dir+"/link/real", v.dir+"/run/rt"))
	root := v.dir + "/link/rt/sub"
	v.rt(append([]string{"--root", root}, v.with("create")...)...).ok(t)
	t.Cleanup(func() { v.rt("--root", root, "delete", "--force", v.id) })
	v.rt("--root", root, "start", v.id).ok(t)
	v.rt("--root", root, "exec", v.id, "true").ok(t)
	v.rt("--root", v.dir+"/run/real/sub", "delete", "--force", v.id).ok(t)
	for path, mode := range map[string]os.FileMode{"run/real": 0o700, "run/real/sub": 0o700} {
		if st, err := os.Stat(v.dir + "/" + path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
}

// TestModeThroughLink: XDG_RUNTIME_DIR, or the way to --root, is a link that somebody else has made. No directory is made, and
// no mode changed, where it leads to.
func TestModeThroughLink(t *testing.T) {
	v := newVictim(t)
	must(t, os.Mkdir(v.outside+"/rt", 0o755))
	v.before = v.picture()
	xdg := v.dir + "/xdg"
	must(t, os.Symlink(v.outside, xdg))
	must(t, os.Lchown(xdg, someone, someone))
	for _, root := range []string{xdg + "/rt", xdg + "/rt/new"} {
		r := v.do(call{args: append([]string{"--root", root}, v.with("create")...), env: []string{"XDG_RUNTIME_DIR=" + xdg}})
		if !v.untouched() || r.code == 0 {
			v.do(call{args: []string{"--root", root, "delete", "--force", v.id}})
			t.Error(r)
		}
	}
}

// TestRootInUserNamespace: in a user namespace without the host's root his directories belong to the overflow uid. They are a good
// way to --root; a --root or container with that owner, who may be anybody, is not.
func TestRootInUserNamespace(t *testing.T) {
	v := newVictim(t)
	copyFile(t, host.rt, v.dir+"/rt")
	v.exe = v.dir + "/as-user"
	v.file("as-user", "#!/bin/sh\nexec setpriv --reuid=1000 --regid=1000 --clear-groups unshare -Ur "+v.dir+"/rt \"$@\"\n", 0o755)
	root := v.dir + "/user/rt"
	must(t, os.MkdirAll(root, 0o700))
	v.plant(root+"/"+v.id, v.id)
	v.plant(root+"/foreign", "foreign")
	chownTree(t, v.dir+"/user", someone)
	must(t, os.Chown(root+"/foreign", someone+1, someone+1))
	v.rt("--root", root, "state", v.id).ok(t)
	if r := v.rt("--root", root, "list", "--quiet").ok(t); r.stdout != v.id+"\n" || !strings.Contains(r.stderr, "foreign: owned by uid 65534, want 0") {
		t.Error(r)
	}
	must(t, os.Chown(root, someone+1, someone+1))
	must(t, os.Chmod(root, 0o755))
	for _, verb := range []string{"state", "delete"} {
		if r := v.rt("--root", root, verb, v.id); r.code == 0 || !strings.Contains(r.stderr, root+": owned by uid 65534, want 0") {
			t.Error(r)
		}
	}
}
