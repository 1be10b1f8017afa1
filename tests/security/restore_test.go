package security

import (
	"encoding/json"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"rt/internal/names"
)

// What a restored container gets of the host that it did not have, and a CRIU that rt should not believe.

// restorable is a container that a fake CRIU brings back: its process has what the fake's has. descriptors is what the image says
// of the three.
func restorable(t *testing.T, descriptors string, edits ...func(*victim)) *victim {
	t.Helper()
	v := newVictim(t, append([]func(*victim){capable(names.Capabilities()), func(v *victim) {
		v.spec.Linux.MaskedPaths, v.spec.Linux.ReadonlyPaths = nil, nil
		v.spec.Root.Readonly, v.spec.Process.NoNewPrivileges, v.spec.Linux.Seccomp = false, false, nil
	}}, edits...)...)
	v.file("image/descriptors.json", descriptors, 0o600)
	return v
}

// back restores it, detached.
func (v *victim) back(f fakeCriu, c call, flags ...string) result {
	v.t.Helper()
	c.args = append(append([]string{"--criu", v.fake(f), "restore", "-d", "--image-path", v.dir + "/image", "--bundle", v.dir + "/bundle"}, flags...), v.id)
	return v.do(c)
}

// given is what the fake got for the descriptors in the image.
func (v *victim) given() (given map[string]int) {
	v.t.Helper()
	data, err := os.ReadFile(v.dir + "/fake/given")
	must(v.t, err)
	must(v.t, json.Unmarshal(data, &given))
	return given
}

// TestCheckpointOfOwnPipe: the container's process has put a pipe of its own on descriptor 0. It is not what rt gave it, and nothing of
// the caller of restore is to stand for it.
func TestCheckpointOfOwnPipe(t *testing.T) {
	v := newVictim(t, args("attack", "own-pipe"), func(v *victim) { v.spec.Root.Readonly = false }).up()
	eventually(t, "the container has its pipe", func() bool { _, err := os.Stat(v.rootfs + "/ready"); return err == nil })
	v.rt("--criu", v.fake(fakeCriu{}), "checkpoint", "--leave-running", "--image-path", v.dir+"/image", v.id).ok(t)
	text, err := os.ReadFile(v.dir + "/image/descriptors.json")
	must(t, err)
	if strings.Contains(string(text), "pipe:") {
		t.Errorf("the image has %s", text)
	}
}

// TestRestoreWritesToStdin: the image says that descriptor 0 was a pipe that is open for reading and writing, which a container makes
// by itself before its checkpoint. CRIU opens what stands for it again, in the same way, and rt's stdin is a file that only root may
// write to.
func TestRestoreWritesToStdin(t *testing.T) {
	v := restorable(t, `["pipe:[1]","",""]`)
	f, err := os.Open(v.outside + "/dir/secret")
	must(t, err)
	defer f.Close()
	done := v.rootfs + "/written"
	r := v.back(fakeCriu{Flags: unix.O_RDWR, Child: "echo the container was here >&0; touch /written; sleep 1000"}, call{stdin: f})
	if r.code == 0 {
		eventually(t, "the container has written", func() bool { _, err := os.Stat(done); return err == nil })
	}
	if !v.untouched() || r.code == 0 || !strings.Contains(r.stderr, "stdin") {
		t.Error(r)
	}
}

// TestRestoreOtherDirection: rt's stdin is a pipe, and the process has it open for writing, too.
func TestRestoreOtherDirection(t *testing.T) {
	for name, c := range map[string]struct {
		access string
		flags  int
		ok     bool
	}{
		"as it was":               {`["r","",""]`, unix.O_RDONLY, true},
		"as another runtime's":    {"", unix.O_RDONLY, true},
		"both, it was for one":    {`["r","",""]`, unix.O_RDWR, false},
		"both, not written down":  {"", unix.O_RDWR, false},
		"both, rt has it for one": {`["rw","",""]`, unix.O_RDWR, false},
		"the other one":           {`["r","",""]`, unix.O_WRONLY, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := restorable(t, `["pipe:[1]","",""]`)
			if c.access != "" {
				v.file("image/descriptors-access.json", c.access, 0o600)
			}
			in, w, err := os.Pipe()
			must(t, err)
			defer in.Close()
			defer w.Close()
			if r := v.back(fakeCriu{Flags: c.flags}, call{stdin: in}); (r.code == 0) != c.ok {
				t.Error(r)
			}
		})
	}
}

// TestRestoreTerminalOfCaller: the container has a terminal of its own, and rt's stdin is that of the caller's shell.
func TestRestoreTerminalOfCaller(t *testing.T) {
	v := restorable(t, `["file[1a:5]","file[1a:5]","file[1a:5]"]`, func(v *victim) { v.spec.Process.Terminal = true })
	l, err := net.Listen("unix", v.dir+"/console.sock")
	must(t, err)
	defer l.Close()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer master.Close()
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlRetInt(int(master.Fd()), unix.TIOCGPTPEER)
	if err != nil {
		t.Fatal(err)
	}
	tty := os.NewFile(uintptr(n), "tty")
	defer tty.Close()
	r := v.back(fakeCriu{}, call{stdin: tty}, "--console-socket", v.dir+"/console.sock")
	if given := v.given(); len(given) > 0 {
		t.Errorf("the container got the caller's terminal as %v: %s", given, r)
	}
}

// TestRestoreNullOfHost: who has the host's null device may change its mode. A restored container gets another.
func TestRestoreNullOfHost(t *testing.T) {
	v := restorable(t, `["pipe:[1]","",""]`)
	looked := v.rootfs + "/looked"
	r := v.back(fakeCriu{Flags: unix.O_RDWR, Child: "touch /looked; sleep 1000"}, call{}).ok(t)
	eventually(t, "the container has looked", func() bool { _, err := os.Stat(looked); return err == nil })
	var host unix.Stat_t
	must(t, unix.Stat("/dev/null", &host))
	var theirs unix.Stat_t
	must(t, unix.Stat("/proc/"+strconv.Itoa(v.pid())+"/fd/0", &theirs))
	if theirs.Rdev != host.Rdev || theirs.Dev == host.Dev && theirs.Ino == host.Ino {
		t.Errorf("it is %x on %d:%d, the host's is on %d:%d: %s", theirs.Rdev, theirs.Dev, theirs.Ino, host.Dev, host.Ino, r)
	}
}

// TestRestoreKeyring: rt's caller has keys in his session keyring.
func TestRestoreKeyring(t *testing.T) {
	v := restorable(t, `["","",""]`)
	out := v.rootfs + "/keyring"
	v.back(fakeCriu{Child: "attack session >/new; busybox mv /new /keyring; sleep 1000"}, call{}).ok(t)
	eventually(t, "the container has looked", func() bool { _, err := os.Stat(out); return err == nil })
	text, err := os.ReadFile(out)
	must(t, err)
	if !strings.HasPrefix(string(text), "keyring;0;0;3f1b0000;_ses."+v.id+".") {
		t.Errorf("the container has the session keyring %q", text)
	}
	if exec := v.exec(strings.Fields("true")...); exec.code != 0 {
		t.Error(exec)
	}
}

// TestRestoreForeignProcess: CRIU tells the pid of a process that it has not restored: hooks run about it, and lo comes up in its
// network namespace.
func TestRestoreForeignProcess(t *testing.T) {
	for name, told := range map[string]map[string]int{
		"the host's init":                {"setup-namespaces": 1},
		"its own":                        {"setup-namespaces": -1},
		"its own, later":                 {"post-restore": -1},
		"another one in the end":         {"restored": -1},
		"one for all":                    {"setup-namespaces": -1, "post-restore": -1, "pre-resume": -1, "restored": -1},
		"none":                           {"setup-namespaces": 0x7fffffff},
		"before the namespaces are made": nil,
	} {
		t.Run(name, func(t *testing.T) {
			v := restorable(t, `["","",""]`)
			hooked := v.dir + "/hooked"
			v.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >" + hooked}}}}
			v.write()
			f := fakeCriu{Told: told}
			if told == nil {
				f.Script = []string{"post-restore", "pre-resume"}
			}
			r := v.back(f, call{})
			text, err := os.ReadFile(hooked)
			if first := told["setup-namespaces"] != 0; first && err == nil {
				t.Errorf("a hook ran about %s", text)
			}
			if r.code == 0 && name != "before the namespaces are made" {
				t.Error(r)
			}
		})
	}
}

// TestRestoreChrootedInit: the images have init in a directory of the container, where there is no file that is to be masked.
func TestRestoreChrootedInit(t *testing.T) {
	v := restorable(t, `["","",""]`, func(v *victim) { v.spec.Linux.MaskedPaths = []string{"/proc/kcore"} })
	must(t, os.MkdirAll(v.rootfs+"/jail/bin", 0o755))
	copyFile(t, v.rootfs+"/bin/busybox", v.rootfs+"/jail/bin/busybox")
	must(t, os.Chmod(v.rootfs+"/jail/bin/busybox", 0o755))
	if r := v.back(fakeCriu{Chroot: "/jail"}, call{}); r.code == 0 || !strings.Contains(r.stderr, "root") {
		t.Error(r)
	}
	v.back(fakeCriu{}, call{}).ok(t)
}

// TestCriuKilledInDump: CRIU has frozen the container and is killed; the container goes on.
func TestCriuKilledInDump(t *testing.T) {
	v := newVictim(t, args("sleep", "1000")).up()
	dump := func() {
		t.Helper()
		if r := v.rt("--criu", v.fake(fakeCriu{Freeze: true}), "checkpoint", "--image-path", v.dir+"/image", v.id); r.code == 0 {
			t.Error(r)
		}
	}
	status := func() string {
		t.Helper()
		var s specs.State
		must(t, json.Unmarshal([]byte(v.rt("state", v.id).ok(t).stdout), &s))
		return string(s.Status)
	}
	dump()
	if s := status(); s != "running" {
		t.Errorf("the container is %s", s)
	}
	if v.rt("pause", v.id); status() != "paused" {
		t.Fatal("it cannot be paused")
	}
	dump()
	if s := status(); s != "paused" {
		t.Errorf("the container was paused before, and is %s", s)
	}
}

// TestRestoreIntoUserNamespace: CRIU restores nothing into a user namespace that is there already. rt says so before it starts CRIU,
// and opens no source with a mapping that the path leads to.
func TestRestoreIntoUserNamespace(t *testing.T) {
	v := restorable(t, `["","",""]`)
	joins(v, specs.UserNamespace, "/proc/"+strconv.Itoa(newFakeHost(v).pid)+"/ns/user")
	v.write()
	want := "CRIU restores nothing into a user namespace that is there already (/linux/namespaces/" + strconv.Itoa(len(v.spec.Linux.Namespaces)-1) + "/path)"
	if r := v.back(fakeCriu{}, call{}); r.code == 0 || !strings.Contains(r.stderr, want) {
		t.Errorf("want %q: %s", want, r)
	}
	if left := v.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
