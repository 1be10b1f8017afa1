package security

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// CVE-2019-5736: a container that gets the host's binary by /proc/PID/exe of a process that joins it, or by a program
// that is "#!/proc/self/exe", and writes to it.

// TestRuinBinary: container's root, with every capability that is of use, tries to write to, map, truncate the executable
// of whatever joins it, by create and by exec. Succeeds against a build that runs the stub from rt's own file.
func TestRuinBinary(t *testing.T) {
	for name, prepare := range map[string]func(v *victim){
		"a script for itself": func(v *victim) { v.file("bundle/rootfs/bin/entry", "#!/proc/self/exe\n", 0o755) },
		"a link to itself":    func(v *victim) { v.link("/proc/self/exe", "bin/entry") },
		"a link to init":      func(v *victim) { v.link("/proc/1/exe", "bin/entry") },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, capable(strongCaps), args("/bin/entry"), prepare)
			binary, intact := ownBinary(v)
			v.do(call{args: v.with("run"), exe: binary})
			intact()
			w := newVictim(t, capable(strongCaps), prepare, args("sh", "-c", "attack hunt >/hunted; sleep 1000"))
			binary, intact = ownBinary(w)
			w.do(call{args: w.with("create"), exe: binary}).ok(t)
			w.do(call{args: []string{"start", w.id}, exe: binary}).ok(t)
			for range runs(10, 200) {
				w.do(call{args: []string{"exec", w.id, "/bin/entry"}, exe: binary})
				w.do(call{args: []string{"exec", w.id, "/bin/none"}, exe: binary})
			}
			w.file("bundle/rootfs/stop", "", 0o644)
			intact()
		})
	}
}

// ownBinary is a copy of the runtime: an attack that succeeds must not break the other tests.
func ownBinary(v *victim) (path string, intact func()) {
	path = filepath.Join(v.dir, filepath.Base(host.rt))
	copyFile(v.t, host.rt, path)
	sum := func() [32]byte {
		data, err := os.ReadFile(path)
		must(v.t, err)
		return sha256.Sum256(data)
	}
	before := sum()
	return path, func() {
		v.t.Helper()
		if sum() != before {
			v.t.Error("the container has overwritten the runtime's binary")
		}
	}
}

// CVE-2024-21626: descriptors of the host that the runtime, or who called it, has open. The attacker names them as working
// directory, as program, as interpreter, in create and in exec.
func TestLeakedDescriptors(t *testing.T) {
	slash, err := os.Open("/")
	must(t, err)
	defer slash.Close()
	cgroup, err := os.Open("/sys/fs/cgroup")
	must(t, err)
	defer cgroup.Close()
	inherited := []*os.File{slash, cgroup}
	escaped := func(t *testing.T, v *victim, r result) {
		t.Helper()
		if strings.Contains(r.stdout, "the host's") || strings.Contains(r.stdout, "at ") {
			t.Errorf("out of the container: %s", r)
		}
	}
	v := newVictim(t, capable(strongCaps)).up()
	copyFile(t, host.attack, v.outside+"/escaped")
	v.before = v.picture()
	w := newVictim(t, capable(strongCaps), func(w *victim) { copyFile(t, host.attack, w.outside+"/escaped") })
	for fd := 3; fd < runs(16, 64); fd++ {
		out := "/proc/self/fd/" + strconv.Itoa(fd) + "/../../../../../../.." + v.outside
		escaped(t, v, v.do(call{args: []string{"exec", "--cwd", out, v.id, "cat", "secret"}, files: inherited}))
		escaped(t, v, v.do(call{args: []string{"exec", v.id, out + "/escaped", "where"}, files: inherited}))
		v.file("bundle/rootfs/bin/script", "#!"+out+"/escaped where\n", 0o755)
		escaped(t, v, v.do(call{args: []string{"exec", v.id, "/bin/script"}, files: inherited}))

		out = "/proc/self/fd/" + strconv.Itoa(fd) + "/../../../../../../.." + w.outside
		for _, p := range []func(){
			func() { w.spec.Process.Cwd, w.spec.Process.Args = out, []string{"cat", "secret"} },
			func() { w.spec.Process.Cwd, w.spec.Process.Args = "/", []string{out + "/escaped", "where"} },
			func() {
				w.link(out, "gate")
				w.spec.Process.Cwd, w.spec.Process.Args = "/gate", []string{"cat", "secret"}
			},
			func() { w.spec.Process.Cwd, w.spec.Process.Args = "/", []string{"/gate/escaped", "where"} },
		} {
			p()
			w.write()
			escaped(t, w, w.do(call{args: w.with("run"), files: inherited}))
			w.remove()
		}
	}
}

// TestInheritedDescriptors: of what the caller has open nothing but the first three is open in the container.
func TestInheritedDescriptors(t *testing.T) {
	slash, err := os.Open("/")
	must(t, err)
	defer slash.Close()
	many := make([]*os.File, 40)
	for i := range many {
		many[i] = slash
	}
	v := newVictim(t, args("ls", "/proc/self/fd"))
	if r := v.do(call{args: v.with("run"), files: many}).ok(t); strings.Join(strings.Fields(r.stdout), " ") != "0 1 2 3" { // 3 is ls's own
		t.Error(r)
	}
	w := newVictim(t).up()
	if r := w.do(call{args: []string{"exec", w.id, "ls", "/proc/self/fd"}, files: many}).ok(t); strings.Join(strings.Fields(r.stdout), " ") != "0 1 2 3" {
		t.Error(r)
	}
}
