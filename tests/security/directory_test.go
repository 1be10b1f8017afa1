package security

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What a container's directory holds is for the user who made it. --root may be a directory that all users may enter, as Docker's is.

// asStranger runs a program as a user of the host who has nothing to do with the container.
func asStranger(program string, args ...string) (output string, err error) {
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestNotifyOfOthers: while rt waits for a container's READY=1, another user of the host sends one to the container's socket. The
// service manager hears of a readiness that is none. Also where the container's directory is that of an older rt, which all may enter.
// Succeeds against runc as well.
func TestNotifyOfOthers(t *testing.T) {
	for _, kind := range []string{"run", "start of an older rt's"} {
		t.Run(kind, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"))
			dir := filepath.Join(v.dir, "root", v.id)
			env, heard := v.serviceManager()
			call := call{args: []string{"run", "--detach", "--bundle", v.dir + "/bundle", v.id}, env: env}
			if kind != "run" {
				call.args = v.with("create")
				v.do(call).ok(t)
				must(t, os.Chmod(dir, 0o711))
				call.args = []string{"start", v.id}
			}
			done := make(chan result, 1)
			go func() { done <- v.do(call) }()
			eventually(t, "the program", func() bool { return strings.Contains(v.rt("state", v.id).stdout, `"running"`) })
			socket := dir + "/notify/notify.sock"
			if _, err := os.Stat(socket); err != nil {
				t.Fatalf("the socket that rt listens at: %v", err)
			}
			if out, err := asStranger(host.attack, "say", "dgram", socket, "READY=1"); err == nil || !strings.HasPrefix(out, "Permission denied") {
				t.Errorf("another user sends READY=1: %v: %s", err, out)
			}
			v.rt("delete", "--force", v.id).ok(t)
			if r := <-done; r.code != 0 {
				t.Error(r)
			}
			if got := heard(); len(got) != 0 {
				t.Errorf("the service manager heard %q", got)
			}
		})
	}
}

// TestDirectoryOfContainer: of all that is in a container's directory, at each stage of its life, another user of the host can reach
// nothing: no socket to connect to, no file to open, not even a name to ask for. Succeeds against rt 4a850c2 and runc, with directories
// of mode 0711.
func TestDirectoryOfContainer(t *testing.T) {
	for kind, prepare := range map[string]func(*victim){
		"root":                       func(*victim) {},
		"root with a user namespace": func(v *victim) { mapped(v); v.give(200000, "bundle/rootfs") },
		"rootless":                   func(v *victim) { mapped(v); ofUser(v) },
	} {
		for _, flags := range [][]string{nil, {"--init"}} {
			t.Run(kind+" "+strings.Join(flags, " "), func(t *testing.T) {
				v := newVictim(t, args("sleep", "1000"), prepare)
				env, _ := v.serviceManager()
				must(t, os.Chmod(v.dir+"/manager.sock", 0o777)) // a rootless rt sends to it
				verb := func(name string, flags ...string) call {
					return call{args: slices.Concat([]string{name}, flags, []string{"--bundle", v.dir + "/bundle", v.id}), env: env}
				}
				v.do(verb("create", flags...)).ok(t)
				v.closed("created", "start.sock", "notify")
				done := make(chan result, 1)
				go func() { done <- v.do(call{args: []string{"start", v.id}, env: env}) }()
				eventually(t, "the program", func() bool { return strings.Contains(v.rt("state", v.id).stdout, `"running"`) })
				v.closed("while READY=1 is awaited", "notify/notify.sock")
				v.rt("delete", "--force", v.id).ok(t)
				<-done
				go func() { done <- v.do(verb("run", flags...)) }()
				eventually(t, "the program", func() bool { return strings.Contains(v.rt("state", v.id).stdout, `"running"`) })
				v.closed("in the foreground", "state.json")
				v.rt("delete", "--force", v.id).ok(t)
				<-done
			})
		}
	}
}

// closed sees that no other user reaches a file of the container's directory, and that the named ones are among them.
func (v *victim) closed(stage string, want ...string) {
	v.t.Helper()
	dir := filepath.Join(v.dir, "root", v.id)
	if out, err := asStranger("stat", filepath.Dir(dir)); err != nil {
		v.t.Fatalf("--root cannot be entered, so that nothing is tested: %s", out)
	}
	var owner unix.Stat_t
	must(v.t, unix.Stat(filepath.Dir(dir), &owner))
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		seen[name] = true
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		// What is in the directory of the container's NOTIFY_SOCKET is for the container's users too, who get there by a mount.
		if shown := name == "notify" || strings.HasPrefix(name, "notify/"); st.Mode&0o077 != 0 && !shown {
			v.t.Errorf("%s: %s has mode %#o, for others than its owner", stage, name, st.Mode&0o7777)
		}
		if st.Uid != owner.Uid {
			v.t.Errorf("%s: %s is owned by uid %d, want %d", stage, name, st.Uid, owner.Uid)
		}
		if name == "." {
			return nil
		}
		// stat(1) needs no right but that to come there, which all that can be done with a path needs: open, connect, bind.
		if out, err := asStranger("stat", path); err == nil || !strings.Contains(out, "Permission denied") {
			v.t.Errorf("%s: another user reaches %s: %v: %s", stage, name, err, out)
		}
		return nil
	})
	must(v.t, err)
	for _, name := range want {
		if !seen[name] {
			v.t.Errorf("%s: there is no %s, but %v", stage, name, seen)
		}
	}
}
