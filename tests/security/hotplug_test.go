package security

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Mounts into a container that runs: it changes its tree while they are made, and where they are taken away again.

// mounts is mounts add or mounts remove.
func (v *victim) mounts(verb string, list ...specs.Mount) result {
	v.t.Helper()
	data, err := json.Marshal(list)
	must(v.t, err)
	v.file("mounts.json", string(data), 0o644)
	return v.rt("mounts", verb, v.id, v.dir+"/mounts.json")
}

// mountinfo is the container's, without the numbers that tell mounts apart.
func (v *victim) mountinfo() (lines []string) {
	v.t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(v.pid()) + "/mountinfo")
	must(v.t, err)
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		lines = append(lines, strings.Join(strings.Fields(line)[2:], " "))
	}
	slices.Sort(lines)
	return lines
}

// TestHotplugLinks: destinations that lead out of the root, into /proc, or to what protects /proc and /sys. Succeeds
// against a stub that resolves without RESOLVE_IN_ROOT, or that unmounts by name.
func TestHotplugLinks(t *testing.T) {
	v := newVictim(t, capable(strongCaps), args("sleep", "1000"))
	for name, target := range map[string]string{
		"out": v.outside, "up": "../../../../../../../.." + v.outside, "new": v.outside + "/new", "root": "/proc/1/root" + v.outside,
		"kcore": "/proc/kcore", "up-kcore": "proc/../gate-proc/kcore", "firmware": "/sys/firmware",
		"proc": "/proc", "self": "/proc/self", "sys": "/sys", "up-proc": "../proc", "slash": "/",
	} {
		v.link(target, "gate-"+name)
	}
	must(t, os.MkdirAll(v.rootfs+"/masked", 0o755))
	v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/masked")
	v.write()
	v.up()
	before := v.mountinfo()
	bind := func(dest string) specs.Mount {
		return specs.Mount{Destination: dest, Type: "bind", Source: v.outside + "/dir", Options: []string{"bind", "ro"}}
	}
	tmpfs := func(dest string) specs.Mount { return specs.Mount{Destination: dest, Type: "tmpfs", Source: "tmpfs"} }
	for _, gate := range []string{"out", "up", "new", "root"} {
		for _, dest := range []string{"/gate-" + gate, "/gate-" + gate + "/dir", "/gate-" + gate + "/made/deep"} {
			for _, m := range []specs.Mount{bind(dest), tmpfs(dest)} {
				r := v.mounts("add", m) // works or not
				v.untouched()
				if got := v.mountinfo(); r.code != 0 && !slices.Equal(got, before) || r.code == 0 && len(got) != len(before)+1 {
					t.Errorf("%s: %s\n%s", dest, r, strings.Join(got, "\n"))
				}
				if r.code == 0 { // it is inside, and known by its destination only
					if r := v.mounts("remove", specs.Mount{Destination: strings.Replace(strings.Replace(dest, "/gate-new", v.outside+"/new", 1), "/gate-"+gate, v.outside, 1)}); r.code == 0 {
						t.Errorf("by another destination: %s", r)
					}
					v.mounts("remove", specs.Mount{Destination: dest}).ok(t)
				}
			}
		}
	}
	for _, dest := range []string{"/gate-proc", "/gate-proc/sys", "/gate-self/attr", "/gate-up-proc/sys/kernel", "/gate-slash/proc/sys"} {
		for _, m := range []specs.Mount{bind(dest), tmpfs(dest)} {
			r := v.mounts("add", m)
			if r.code == 0 {
				t.Errorf("%s: %s", dest, r)
			}
		}
	}
	for _, dest := range []string{"/gate-kcore", "/gate-up-kcore", "/gate-proc/kcore", "/gate-firmware", "/gate-sys/firmware"} {
		for _, m := range []specs.Mount{tmpfs(dest), {Destination: dest, Type: "bind", Source: v.outside + "/secret", Options: []string{"bind"}}} {
			if r := v.mounts("add", m); r.code == 0 {
				t.Errorf("over a mask, %s: %s", m.Type, r)
			}
		}
	}
	for _, dest := range []string{"/gate-proc/kcore", "/gate-up-proc/kcore", "/gate-sys/firmware", "/gate-slash/proc", "/proc/kcore", "/sys/firmware", "/masked", "/gate-slash/masked", "/.", "/masked/..", "/proc/../masked"} {
		if r := v.mounts("remove", specs.Mount{Destination: dest}); r.code == 0 {
			t.Errorf("%s was unmounted", dest)
		}
	}
	if after := v.mountinfo(); !slices.Equal(before, after) {
		t.Errorf("before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// TestHotplugRaces: the container swaps the directory of the destination for links, all the time. Nothing outside is
// touched, what protects the host stays, and of a mount that was made nothing more than that is to be seen. Succeeds
// against a stub that unmounts by name.
func TestHotplugRaces(t *testing.T) {
	for name, target := range map[string]func(v *victim) string{
		"host":  func(v *victim) string { return "../../../../../../../.." + v.outside },
		"proc":  func(*victim) string { return "/proc" },
		"sys":   func(*victim) string { return "/sys" },
		"image": func(*victim) string { return "/bin" },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, capable(strongCaps), args("attack", "exchange", "/a/gate", "/a/link"))
			must(t, os.MkdirAll(v.rootfs+"/a/gate", 0o777))
			must(t, os.Symlink(target(v), v.rootfs+"/a/link"))
			v.spec.Root.Readonly = false
			v.write()
			v.up()
			before := v.mountinfo()
			const kcore, dest = "/a/gate/kcore", "/a/gate/new"
			made, refused := 0, 0
			for range runs(60, 600) {
				if r := v.mounts("add", specs.Mount{Destination: dest, Type: "tmpfs", Source: "raced"}); r.code == 0 {
					made++
				} else {
					refused++
				}
				v.mounts("remove", specs.Mount{Destination: kcore})
				v.mounts("remove", specs.Mount{Destination: "/a/gate/firmware"})
				if !v.untouched() {
					break
				}
			}
			raced := 0
			after := slices.DeleteFunc(v.mountinfo(), func(line string) bool {
				is := strings.Contains(line, " raced ")
				if is {
					raced++
				}
				return is
			})
			if !slices.Equal(before, after) {
				t.Errorf("before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
			if raced != made {
				t.Errorf("%d mounts were made, %d are there", made, raced)
			}
			t.Logf("%d made, %d refused", made, refused)
		})
	}
}

// TestHotplugUnseen: who mounts is not in the container's pid namespace, so that nobody there sees it, stops it or ends it.
func TestHotplugUnseen(t *testing.T) {
	v := newVictim(t, capable(engineCaps), args("sh", "-c", "attack snoop $MARKER >/tmp/snooped; sleep 1000"))
	v.spec.Process.Env = append(v.spec.Process.Env, "MARKER="+v.outside)
	v.write()
	must(t, os.Chmod(v.rootfs+"/tmp", 0o777))
	v.up()
	eventually(t, "the spy", func() bool { _, err := os.Stat(v.rootfs + "/tmp/snooped"); return err == nil })
	for i := range runs(20, 200) {
		m := specs.Mount{Destination: filepath.Join("/tmp/m", strconv.Itoa(i)), Type: "tmpfs", Source: "tmpfs"}
		v.mounts("add", m).ok(t)
		v.mounts("remove", m).ok(t)
	}
	v.file("bundle/rootfs/stop", "", 0o644)
	var report string
	eventually(t, "the spy's report", func() bool {
		text, _ := os.ReadFile(v.rootfs + "/tmp/snooped")
		report = string(text)
		return strings.Contains(report, "met ")
	})
	if report != "met 0\n" {
		t.Errorf("the container has seen the runtime's process:\n%s", report)
	}
}

// forgetMounts takes from the container's state what rt has mounted.
func (v *victim) forgetMounts() {
	v.t.Helper()
	name := filepath.Join(v.dir, "root", v.id, "state.json")
	text, err := os.ReadFile(name)
	must(v.t, err)
	var state map[string]json.RawMessage
	must(v.t, json.Unmarshal(text, &state))
	delete(state, "mounts")
	text, err = json.Marshal(state)
	must(v.t, err)
	must(v.t, os.WriteFile(name, text, 0o600))
}

// TestHotplugPaths: a file system whose options are paths cannot be added: they would be paths in the container, where a link
// leads them to what is below a mask. Succeeds against rt 4a850c2.
func TestHotplugPaths(t *testing.T) {
	v := newVictim(t)
	v.file("bundle/rootfs/masked/secret", "SECRET\n", 0o644)
	v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/masked")
	v.link("/", "lower")
	v.write()
	v.up()
	if r := v.mounts("add", specs.Mount{Destination: "/got", Type: "overlay", Source: "overlay", Options: []string{"ro", "lowerdir=/lower:/dev"}}); r.code == 0 {
		if r := v.exec("cat", "/got/masked/secret"); strings.Contains(r.stdout, "SECRET") {
			t.Errorf("what is below a mask is shown: %s", r)
		}
	} else if !strings.Contains(r.stderr, "can be made only when the container is created") {
		t.Error(r)
	}
}

// TestHotplugSwapped: the container swaps directories, in which there are a mask and a mount that is then removed. What is
// removed is the mount that was made at that path, or nothing. Succeeds against rt 4a850c2, which unmounted the mask.
func TestHotplugSwapped(t *testing.T) {
	for _, how := range []string{"added", "configured", "unknown"} {
		v := newVictim(t)
		v.file("bundle/rootfs/a/x/secret", "SECRET\n", 0o644)
		must(t, os.MkdirAll(v.rootfs+"/b/x", 0o755))
		must(t, os.Symlink("busybox", v.rootfs+"/bin/mv"))
		v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/a/x")
		m := specs.Mount{Destination: "/b/x", Type: "tmpfs", Source: "tmpfs"}
		if how != "added" {
			mounted(m)(v)
		}
		v.write()
		v.up()
		if how == "unknown" { // as that of an older rt, or that was restored
			v.forgetMounts()
			if r := v.mounts("remove", m); r.code == 0 || !strings.Contains(r.stderr, "rt knows of no mount") {
				t.Errorf("%s: %s", how, r)
			}
		}
		if how == "added" {
			v.mounts("add", m).ok(t)
		}
		swap := func() { v.exec("sh", "-c", "mv /a /c && mv /b /a && mv /c /b").ok(t) }
		before := len(v.mountinfo())
		swap()
		if r := v.mounts("remove", m); r.code == 0 || how != "unknown" && !strings.Contains(r.stderr, "another mount") {
			t.Errorf("%s: remove of what was swapped: %s", how, r)
		}
		if r := v.exec("cat", "/b/x/secret"); strings.Contains(r.stdout, "SECRET") {
			t.Errorf("%s: the mask is gone: %s", how, r)
		}
		if after := len(v.mountinfo()); after != before {
			t.Errorf("%s: %d mounts before, %d after", how, before, after)
		}
		swap()
		v.mounts("add", m).ok(t)
		v.mounts("remove", m).ok(t)
		if how != "unknown" { // the one below
			v.mounts("remove", m).ok(t)
		}
		if r := v.mounts("remove", m); r.code != 1 || !strings.Contains(r.stderr, "rt knows of no mount") {
			t.Errorf("%s: a third remove: %s", how, r)
		}
		if r := v.mounts("remove", specs.Mount{Destination: "/dev/null"}); r.code != 1 {
			t.Errorf("%s: %s", how, r)
		}
	}
}

// TestHotplugReadonly: a read-only file system that mounts add makes is so from the beginning, also with other mounts in it: a container
// that runs would write to it meanwhile, and what it has open for that keeps the mount from becoming read-only.
func TestHotplugReadonly(t *testing.T) {
	v := newVictim(t, args("sh", "-c", "for i in 1 2 3; do (while :; do echo >/target/planted$i; done 2>/dev/null) & done; wait"))
	must(t, os.Mkdir(v.rootfs+"/target", 0o755))
	v.file("tree/own", "", 0o644)
	v.before = v.picture()
	v.spec.Root.Readonly = true
	v.write()
	v.up()
	list := []specs.Mount{{Destination: "/target", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}}}
	alone := list[:1:1]
	for _, name := range strings.Fields("a b c d e") {
		list = append(list, specs.Mount{Destination: "/target/" + name, Type: "bind", Source: v.dir + "/tree", Options: []string{"bind"}})
	}
	for range 30 {
		if r := v.mounts("add", list...); r.code == 0 || !strings.Contains(r.stderr, "make target: read-only file system") {
			t.Fatalf("mounts below a read-only one: %s%s", r, v.exec("ls", "/target"))
		}
	}
	v.mounts("add", alone...).ok(t)
	if r := v.exec("ls", "/target").ok(t); r.stdout != "" {
		t.Errorf("written to a read-only tmpfs: %s", r)
	}
}
