package security

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What of the host's mounts a container gets: no peer of them that was not asked for, with the flags and covers that the host
// has locked, and the device that was asked for. The host is a copy of the mount namespace, all of it shared, with a /dev of its
// own: what a container breaks there is gone with it.

// A hostCopy is the mount namespace of a process that waits.
type hostCopy struct {
	t   *testing.T
	pid int
}

// newHost makes a copy. It must outlive the victims in it, so it comes before them.
func newHost(t *testing.T) *hostCopy {
	t.Helper()
	const setup = `set -e
mount -t tmpfs -o mode=755 tmpfs /dev
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
	IFS=: read -r name major minor <<-END
	$node
	END
	mknod -m 666 /dev/$name c $major $minor
done
mount --make-rshared /
echo ready
exec sleep 100000
`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", setup)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("copy of the host's mounts: %q, %v", line, err)
	}
	return &hostCopy{t: t, pid: cmd.Process.Pid}
}

// do runs a script in the copy.
func (h *hostCopy) do(script string) {
	h.t.Helper()
	out, err := exec.Command("nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", h.pid), "--", "sh", "-e", "-c", script).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// at is a path in the copy.
func (h *hostCopy) at(path string) string { return fmt.Sprintf("/proc/%d/root%s", h.pid, path) }

// runs has the runtime of a victim run in the copy, behind prefix.
func (h *hostCopy) runs(v *victim, prefix ...string) {
	h.t.Helper()
	copyFile(h.t, host.rt, v.dir+"/rt") // where an ordinary user can execute it
	v.exe = v.dir + "/in-copy"
	words := append([]string{"exec", "nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", h.pid), "--"}, prefix...)
	script := "#!/bin/sh\n" + strings.Join(append(words, v.dir+"/rt"), " ") + ` "$@"` + "\n"
	must(h.t, os.WriteFile(v.exe, []byte(script), 0o755))
}

// A mountLine is a line of mountinfo.
type mountLine struct{ root, point, peers, line string }

func mountLines(t *testing.T, pid int) (list []mountLine) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		m := mountLine{root: f[3], point: f[4], line: strings.TrimSpace(line)}
		for _, word := range f[6:] {
			if word == "-" {
				break
			}
			if group, ok := strings.CutPrefix(word, "shared:"); ok {
				m.peers = group
			}
		}
		list = append(list, m)
	}
	return list
}

// peers are the mounts of a container that are in a peer group of the copy's.
func (h *hostCopy) peers(pid int) (found []mountLine) {
	h.t.Helper()
	groups := map[string]bool{}
	for _, m := range mountLines(h.t, h.pid) {
		groups[m.peers] = m.peers != ""
	}
	for _, m := range mountLines(h.t, pid) {
		if groups[m.peers] {
			found = append(found, m)
		}
	}
	return found
}

// user is the ordinary user of rootless victims.
const user = 64321

// give makes id the owner of directories of the victim.
func (v *victim) give(id int, dirs ...string) {
	v.t.Helper()
	for _, dir := range dirs {
		must(v.t, filepath.WalkDir(filepath.Join(v.dir, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, id, id)
		}))
	}
}

// The ways to come by a container's user namespace.
var kinds = map[string]func(t *testing.T, h *hostCopy, v *victim){
	"root": func(t *testing.T, h *hostCopy, v *victim) { h.runs(v) },
	"root with a user namespace": func(t *testing.T, h *hostCopy, v *victim) {
		mapped(v)
		v.give(200000, "bundle/rootfs")
		h.runs(v)
	},
	"joined user namespace": func(t *testing.T, h *hostCopy, v *victim) {
		pod := newVictim(t, mapped)
		pod.give(200000, "bundle/rootfs")
		v.give(200000, "bundle/rootfs")
		h.runs(pod)
		pod.up()
		mapped(v)
		v.spec.Linux.Namespaces[len(v.spec.Linux.Namespaces)-1].Path = fmt.Sprintf("/proc/%d/ns/user", pod.pid())
		h.runs(v)
	},
	"joined user and mount namespaces": func(t *testing.T, h *hostCopy, v *victim) {
		v.give(200000, "bundle/rootfs")
		pod := newVictim(t, mapped, mounted(specs.Mount{Destination: v.dir, Type: "bind", Source: v.dir, Options: []string{"rbind"}}))
		pod.give(200000, "bundle/rootfs")
		h.runs(pod)
		pod.up()
		mapped(v)
		for i, ns := range v.spec.Linux.Namespaces {
			if file, ok := map[specs.LinuxNamespaceType]string{specs.UserNamespace: "user", specs.MountNamespace: "mnt"}[ns.Type]; ok {
				v.spec.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", pod.pid(), file)
			}
		}
		h.runs(v)
	},
	"rootless": func(t *testing.T, h *hostCopy, v *victim) {
		mapped(v)
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: user, Size: 1}}
		v.spec.Linux.UIDMappings, v.spec.Linux.GIDMappings, v.spec.Linux.CgroupsPath = ids, ids, ""
		v.give(user, "root", "bundle")
		id := strconv.Itoa(user)
		h.runs(v, "setpriv", "--reuid="+id, "--regid="+id, "--clear-groups")
	},
}

// TestPeersOfTheHost: every mount that rt makes, for each kind of container and propagation. None is a peer of the host's but
// volumes of a container without a user namespace whose rootfsPropagation is shared.
func TestPeersOfTheHost(t *testing.T) {
	for kind, prepare := range kinds {
		for _, propagation := range []string{"", "private", "rprivate", "slave", "rslave", "shared", "rshared"} {
			t.Run(kind+" "+propagation, func(t *testing.T) {
				h, v := newHost(t), newVictim(t)
				dir := v.dir + "/host"
				must(t, os.MkdirAll(dir+"/below", 0o755))
				h.do("mount -t tmpfs tmpfs " + dir + "/below")
				bind := func(source, point string) specs.Mount {
					return specs.Mount{Destination: point, Type: "bind", Source: source, Options: []string{"rbind"}}
				}
				must(t, os.MkdirAll(v.rootfs+"/masked", 0o755))
				v.spec.Linux.RootfsPropagation = propagation
				v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/masked", "/etc/masked", "/dev/full")
				v.file("bundle/rootfs/etc/masked", "", 0o644)
				v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, "/etc", "/dev/zero")
				v.spec.Mounts = append(v.spec.Mounts, bind(dir, "/vol"), bind(v.outside+"/secret", "/one"),
					specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}})
				prepare(t, h, v)
				v.write()
				v.do(call{args: v.with("create"), env: []string{"NOTIFY_SOCKET=" + v.dir + "/manager"}}).ok(t)
				v.mounts("add", bind(dir, "/added"), specs.Mount{Destination: "/new", Type: "tmpfs", Source: "tmpfs"}).ok(t)
				h.do("mkdir " + dir + "/below/late; mount -t tmpfs tmpfs " + dir + "/below/late")
				asked := kind == "root" && strings.HasSuffix(propagation, "shared")
				volumes, seen := 0, map[string]bool{}
				for _, m := range mountLines(t, v.pid()) {
					seen[m.point] = true
					seen["a cgroup"] = seen["a cgroup"] || strings.HasPrefix(m.point, "/sys/fs/cgroup")
				}
				// What the host mounts later reaches a volume, unless it is private.
				for _, point := range []string{"/vol/below/late", "/added/below/late"} {
					if seen[point] == strings.HasSuffix(propagation, "private") {
						t.Errorf("%s is mounted: %v", point, seen[point])
					}
				}
				for _, m := range h.peers(v.pid()) {
					volume := m.point == "/one"
					for _, point := range []string{"/vol", "/added"} {
						volume = volume || m.point == point || strings.HasPrefix(m.point, point+"/below")
					}
					if volume && asked {
						volumes++
					} else {
						t.Errorf("a peer of the host's: %s", m.line)
					}
				}
				if asked && volumes != 7 {
					t.Errorf("%d of 7 volumes are the peers that were asked for", volumes)
				}
				for _, point := range []string{"/", "/vol", "/vol/below", "/one", "/masked", "/etc", "/etc/masked", "/dev/zero", "/dev/full", "/run/notify", "/added", "/added/below", "/new", "a cgroup"} {
					if !seen[point] {
						t.Errorf("nothing is mounted at %s: it was not tested", point)
					}
				}
			})
		}
	}
}

// TestDevicesOfTheHost: root of a user namespace with CAP_SYS_ADMIN mounts over its devices and masks, which are the host's
// /dev/null.
func TestDevicesOfTheHost(t *testing.T) {
	for _, kind := range []string{"root with a user namespace", "joined user namespace"} {
		t.Run(kind, func(t *testing.T) {
			h := newHost(t)
			v := newVictim(t, capable(strongCaps), args("sh", "-c", `for at in /dev/urandom /dev/tty /proc/keys /dev/null; do mount -o bind /bin/busybox $at; done; echo tried`))
			kinds[kind](t, h, v)
			v.write()
			if r := v.run(); r.code != 0 || r.stdout != "tried\n" {
				t.Fatal(r)
			}
			for _, name := range []string{"null", "urandom", "tty"} {
				if st, err := os.Stat(h.at("/dev/" + name)); err != nil || st.Mode()&fs.ModeCharDevice == 0 {
					t.Errorf("the host's /dev/%s is %v, %v", name, st, err)
				}
			}
		})
	}
}

// TestHostLocks: what the host has set read-only, nosuid, nodev, noexec, or has covered by a mount, root of a user namespace does
// not undo, be it a volume from the start or one that is added.
func TestHostLocks(t *testing.T) {
	for _, kind := range []string{"root with a user namespace", "joined user namespace", "joined user and mount namespaces", "rootless"} {
		for _, added := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s added %v", kind, added), func(t *testing.T) {
				h, v := newHost(t), newVictim(t, capable(strongCaps))
				dir := v.dir + "/host"
				must(t, os.MkdirAll(dir+"/vol", 0o755))
				must(t, os.MkdirAll(dir+"/covered/below", 0o755))
				v.file("host/covered/below/hidden", "what the host has hidden\n", 0o644)
				h.do("cd " + dir + `
mount -t tmpfs -o mode=777 tmpfs vol
mount -o remount,bind,ro,nosuid,nodev,noexec vol
mount -t tmpfs tmpfs covered/below
`)
				volumes := []specs.Mount{
					{Destination: "/vol", Type: "bind", Source: dir + "/vol", Options: []string{"rbind"}},
					{Destination: "/covered", Type: "bind", Source: dir + "/covered", Options: []string{"rbind"}},
				}
				if !added {
					v.spec.Mounts = append(v.spec.Mounts, volumes...)
				}
				kinds[kind](t, h, v)
				v.write()
				v.up()
				if added {
					v.mounts("add", volumes...).ok(t)
				}
				v.exec("sh", "-c", `for at in /vol /covered; do grep " $at " /proc/self/mountinfo; done`).ok(t)
				r := v.exec("sh", "-c", `
mount -o remount,bind,rw,nosuid,nodev,noexec /vol && echo got rw
mount -o remount,bind,ro,suid,nodev,noexec /vol && echo got suid
mount -o remount,bind,ro,nosuid,dev,noexec /vol && echo got dev
mount -o remount,bind,ro,nosuid,nodev,exec /vol && echo got exec
mount -o remount,bind,rw /vol; echo mine >/vol/mine && echo got a file
busybox umount /covered/below && echo got a cover
mount -o bind /covered /bin && echo got a part
cat /covered/below/hidden`)
				if strings.Contains(r.stdout, "got ") || strings.Contains(r.stdout, "hidden") {
					t.Errorf("the host's locks: %s", r)
				}
				if _, err := os.Stat(h.at(dir + "/vol/mine")); err == nil {
					t.Error("a read-only volume of the host was written")
				}
			})
		}
	}
}

// TestOtherDevice: where a user namespace has the host's nodes bound, the one at the path is not always the device that the
// configuration allows.
func TestOtherDevice(t *testing.T) {
	h := newHost(t)
	h.do("mknod -m 666 /dev/other c 1 5\n: >/dev/file\n")
	for name, want := range map[string]string{
		"/dev/other": "the host's node is c 1:5, not c 1:3", "/dev/file": "what the host has there is not device c 1:3",
	} {
		v := newVictim(t, args("true"))
		kinds["root with a user namespace"](t, h, v)
		v.spec.Linux.Devices = []specs.LinuxDevice{{Path: name, Type: "c", Major: 1, Minor: 3}}
		v.write()
		if r := v.run(); r.code == 0 || !strings.Contains(r.stderr, name) || !strings.Contains(r.stderr, want) {
			t.Errorf("wanted %q: %s", want, r)
		}
	}
}

// TestSourceThroughLink: a source below the rootfs, in a volume of an earlier mount, is found without links. One that the
// volume's owner makes would show the container's /proc or root elsewhere, without masks and read-only paths.
func TestSourceThroughLink(t *testing.T) {
	for name, edits := range map[string][]func(*victim){"plain": nil, "user namespace": {mapped}} {
		t.Run(name, func(t *testing.T) {
			for _, target := range []string{"/proc", "/", "../proc", "/vol/other", "/proc/self/root", "HOST/dir", "../../../../../../../../../..HOST/dir", "/proc/1/rootHOST/dir", "/proc/self/cwd/../../../../../../../..HOST/dir"} {
				v := newVictim(t, append(slices.Clone(edits), args("sh", "-c", "ls /data"))...)
				v.file("volume/other/inside", "", 0o644)
				must(t, os.Chmod(v.outside+"/dir", 0o755))
				v.before = v.picture()
				target := strings.ReplaceAll(target, "HOST", v.outside)
				must(t, os.Mkdir(v.rootfs+"/vol", 0o755))
				must(t, os.Mkdir(v.rootfs+"/data", 0o755))
				must(t, os.Symlink(target, v.dir+"/volume/link"))
				mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
				for _, below := range []string{"", "/.", "/../link"} {
					if below == "" {
						mounted(specs.Mount{Destination: "/data", Type: "bind"})(v)
					}
					last := &v.spec.Mounts[len(v.spec.Mounts)-1]
					last.Source, last.Options = v.rootfs+"/vol/link"+below, []string{"rbind"}
					v.write()
					if r := v.run(); r.code == 0 || !strings.Contains(r.stderr, "open "+v.rootfs+"/vol/link") && !strings.Contains(r.stderr, "open /vol/link") {
						t.Errorf("link to %s%s: %s", target, below, r)
					}
					v.remove()
				}
				v.spec.Mounts[len(v.spec.Mounts)-1].Source = v.rootfs + "/vol/other"
				v.write()
				if r := v.run().ok(t); r.stdout != "inside\n" {
					t.Errorf("without a link: %s", r)
				}
			}
		})
	}
}

// TestSourceOfAnotherMount: a source in an earlier mount is looked for in that one, also where a link of the image has led a later mount
// over it, or into it. The container would get another volume than the configuration says: writable although it is read-only, or with
// the ids of its user namespace.
func TestSourceOfAnotherMount(t *testing.T) {
	for name, c := range map[string]struct {
		link, volume, source string
		options              []string
	}{
		"over it":          {"/vol", "/vol", "/vol", []string{"bind", "rw"}},
		"over it, below":   {"/vol", "/vol", "/vol/sub", []string{"bind", "rw"}},
		"into it":          {"/vol/sub", "/vol", "/vol/sub", []string{"bind", "rw"}},
		"into it, whole":   {"/vol/sub", "/vol", "/vol", []string{"rbind", "rrw"}},
		"beside it, whole": {"/around/sub", "/around/vol", "/around", []string{"rbind", "rrw"}},
		"over its parent":  {"/around", "/around/vol", "/around/vol", []string{"bind", "rw"}},
		"ids":              {"/vol", "/vol", "/vol", []string{"bind", "idmap"}},
		"ids of all":       {"/vol/sub", "/vol", "/vol", []string{"rbind", "ridmap"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("sh", "-c", "for f in $(find /data -name secret); do cat $f; echo planted > $f; done; true"))
			other := []string{"bind", "ro"}
			if strings.HasPrefix(name, "ids") {
				mapped(v)
				other = []string{"bind"} // its files are for the host's root alone
			}
			for _, dir := range []string{"vol", "around/vol", "around/sub", "data"} {
				must(t, os.MkdirAll(v.rootfs+"/"+dir, 0o755))
			}
			v.file("own/sub/sub/vol/own", "", 0o644)
			v.file("other/sub/secret", "the host's\n", 0o600)
			v.file("other/vol/secret", "the host's\n", 0o600)
			v.link(c.link, "other")
			v.before = v.picture()
			mounted(specs.Mount{Destination: c.volume, Type: "bind", Source: v.dir + "/own", Options: []string{"bind"}})(v)
			mounted(specs.Mount{Destination: "/other", Type: "bind", Source: v.dir + "/other", Options: other})(v)
			mounted(specs.Mount{Destination: "/data", Type: "bind", Source: v.rootfs + c.source, Options: c.options})(v)
			v.write()
			r := v.run()
			for _, file := range []string{"/other/sub/secret", "/other/vol/secret"} {
				text, err := os.ReadFile(v.dir + file)
				must(t, err)
				if string(text) != "the host's\n" || strings.Contains(r.stdout, "the host's") {
					t.Errorf("the container has got the other volume, where %s says %q: %s", file, text, r)
				}
			}
			if !strings.Contains(r.stderr, "a link has led another mount there") {
				t.Error(r)
			}
		})
	}
}

// TestReadonlyClones: a mount that becomes read-only when everything below it is there has been cloned before, where it is the source of a
// later bind mount: the clone is read-only, too.
func TestReadonlyClones(t *testing.T) {
	for kind, edits := range map[string][]func(*victim){"plain": nil, "user namespace": {mapped}} {
		for name, source := range map[string]specs.Mount{
			"below": {Source: "/around", Options: []string{"rbind"}}, "itself": {Source: "/around/tmpfs", Options: []string{"bind"}},
			"in it": {Source: "/around/tmpfs/dir", Options: []string{"rbind", "rprivate"}},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				v := newVictim(t, append(slices.Clone(edits), args("sh", "-c", "for d in /around/tmpfs /data /data/tmpfs; do echo planted >$d/planted; done; find /around/tmpfs -type f"))...)
				must(t, os.MkdirAll(v.rootfs+"/around/tmpfs", 0o755))
				must(t, os.MkdirAll(v.rootfs+"/data", 0o755))
				v.file("tree/own", "", 0o644)
				mounted(specs.Mount{Destination: "/around/tmpfs", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}})(v)
				mounted(specs.Mount{Destination: "/around/tmpfs/dir/tree", Type: "bind", Source: v.dir + "/tree", Options: []string{"bind"}})(v)
				mounted(specs.Mount{Destination: "/data", Type: "bind", Source: v.rootfs + source.Source, Options: source.Options})(v)
				v.write()
				v.before = v.picture()
				if r := v.run().ok(t); r.stdout != "/around/tmpfs/dir/tree/own\n" {
					t.Errorf("a read-only tmpfs was written to: %s", r)
				}
			})
		}
	}
}

// binds gives a function that binds a source at a destination, when the container is created or by mounts add. If that is done, it
// runs look in the container. Its result is that of the last step. The container is removed each time.
func (v *victim) binds(look ...string) func(destination, source string, add bool) result {
	rest := v.spec.Mounts
	return func(destination, source string, add bool) result {
		v.t.Helper()
		defer v.remove()
		m := specs.Mount{Destination: destination, Type: "bind", Source: source, Options: []string{"rbind"}}
		if v.spec.Mounts = rest; !add {
			mounted(m)(v)
		}
		v.write()
		r := v.create()
		if add {
			r.ok(v.t)
			r = v.mounts("add", m)
		}
		if r.code != 0 {
			return r
		}
		return v.exec(look...)
	}
}

// TestSourceBelowRootfs: a source whose path begins with that of the rootfs leads through what the image holds. A link there is
// followed as the container would follow it, and never to the host, when a container is created and by mounts add. Succeeds against
// rt 4a850c2 and runc 1.1.5.
func TestSourceBelowRootfs(t *testing.T) {
	for _, kind := range []string{"root", "root with a user namespace", "joined user namespace", "rootless"} {
		t.Run(kind, func(t *testing.T) {
			h, v := newHost(t), newVictim(t, args("sleep", "1000"))
			v.link(v.outside, "out")
			v.link(strings.Repeat("../", 12)+v.outside[1:], "up")
			v.link("/out/dir", "etc/hop")
			v.link(v.outside+"/secret", "etc/file")
			v.link("/etc/own", "inner")
			v.file("bundle/rootfs/etc/own/secret", "the image's\n", 0o644)
			kinds[kind](t, h, v)
			bind := v.binds("sh", "-c", "cat /data/*/secret || cat /data/*")
			got := func(source string, add bool) result { return bind("/data/"+path.Base(source), source, add) }
			for _, add := range []bool{false, true} {
				for _, name := range []string{"/out", "/up", "/out/dir", "/etc/hop", "/etc/../out", "/out/../outside", "/etc/file"} {
					for _, top := range []string{v.rootfs, "rootfs"} {
						if r := got(top+name, add); strings.Contains(r.stdout, "the host's") || r.code == 0 {
							t.Errorf("mounts add %v, source %s: %s", add, top+name, r)
						}
					}
				}
				if r := got(v.rootfs+"/inner", add); r.stdout != "the image's\n" {
					t.Errorf("mounts add %v: %s", add, r)
				}
			}
		})
	}
}

// TestSourceBelowAlias: the same with another name of the rootfs: by a link of the host to the bundle, to the rootfs or to what the image
// has there, by a link of procfs, or by a bind mount. Succeeds against rt 4a850c2 and runc 1.1.5.
func TestSourceBelowAlias(t *testing.T) {
	for _, kind := range []string{"root", "root with a user namespace", "joined user namespace", "rootless"} {
		t.Run(kind, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"))
			v.link(v.outside, "out")
			v.link("/etc/own", "inner")
			v.file("bundle/rootfs/etc/own/secret", "the image's\n", 0o644)
			must(t, os.Symlink(filepath.Dir(v.rootfs), v.dir+"/alias"))
			must(t, os.Symlink("alias/rootfs", v.dir+"/direct"))
			must(t, os.Symlink(v.rootfs+"/out", v.dir+"/through"))
			must(t, os.Mkdir(v.dir+"/shown", 0o755))
			must(t, syscall.Mount(v.rootfs, v.dir+"/shown", "", syscall.MS_BIND, ""))
			t.Cleanup(func() { must(t, syscall.Unmount(v.dir+"/shown", syscall.MNT_DETACH)) })
			kinds[kind](t, newHost(t), v)
			bind := v.binds("cat", "/data/secret")
			got := func(source string, add bool) result { return bind("/data", source, add) }
			for _, add := range []bool{false, true} {
				for _, top := range []string{v.dir + "/alias/rootfs", v.dir + "/direct", v.dir + "/shown", "/proc/self/root" + v.rootfs, "../alias//rootfs/."} {
					for _, name := range []string{"/out", "/out/../outside", "/etc/../out"} {
						if r := got(top+name, add); strings.Contains(r.stdout, "the host's") || r.code == 0 {
							t.Errorf("mounts add %v, source %s: %s", add, top+name, r)
						}
					}
					if r := got(top+"/inner", add); r.stdout != "the image's\n" {
						t.Errorf("mounts add %v, source %s: %s", add, top+"/inner", r)
					}
				}
				if r := got(v.dir+"/through", add); strings.Contains(r.stdout, "the host's") || r.code == 0 {
					t.Errorf("mounts add %v, a link of the host to one of the image: %s", add, r)
				}
			}
		})
	}
}

// TestOverlayBelowRootfs: of a file system whose options name directories, an overlay, the kernel looks for these on the host, and
// follows links of the image to there. Such a directory is refused below the rootfs, under each name of it. Succeeds against
// rt 4a850c2 and runc 1.1.5.
func TestOverlayBelowRootfs(t *testing.T) {
	v := newVictim(t, args("cat", "/data/secret"))
	v.link(v.outside, "out")
	must(t, os.Symlink(v.rootfs, v.dir+"/alias"))
	must(t, os.Symlink(v.rootfs+"/out", v.dir+"/through"))
	for _, dir := range []string{"layer", "layer/one", "layer/two"} {
		must(t, os.Mkdir(v.dir+"/"+dir, 0o755))
	}
	must(t, os.WriteFile(v.dir+"/layer/one/secret", []byte("a layer's\n"), 0o644))
	rest := v.spec.Mounts
	run := func(options ...string) result {
		v.spec.Mounts = rest
		mounted(specs.Mount{Destination: "/data", Type: "overlay", Source: "overlay", Options: append(options, "ro")})(v)
		v.write()
		defer v.remove()
		return v.run()
	}
	one := v.dir + "/layer/one"
	if r := run("lowerdir=" + one + ":" + v.dir + "/layer/two").ok(t); r.stdout != "a layer's\n" {
		t.Errorf("layers outside of the rootfs: %s", r)
	}
	pointer := "/mounts/" + strconv.Itoa(len(rest)) + "/options"
	for _, dir := range []string{v.rootfs + "/out", v.rootfs + "/etc/../out", v.dir + "/alias/out", v.dir + "/through", "/proc/self/root" + v.rootfs + "/out"} {
		for _, option := range []string{"lowerdir=" + dir + ":" + v.dir + "/layer/two", "lowerdir=" + v.dir + "/layer/two:" + dir} {
			if r := run(option); r.code == 0 || !strings.Contains(r.stderr, pointer) || strings.Contains(r.stdout, "the host's") {
				t.Errorf("%s: %s", option, r)
			}
		}
		if r := run("lowerdir="+one, "upperdir="+dir, "workdir="+v.dir+"/layer/two"); r.code == 0 || !strings.Contains(r.stderr, pointer) {
			t.Errorf("upperdir %s: %s", dir, r)
		}
		if r := run("lowerdir="+one, "upperdir="+v.dir+"/layer/two", "workdir="+dir); r.code == 0 || !strings.Contains(r.stderr, pointer) {
			t.Errorf("workdir %s: %s", dir, r)
		}
	}
}

// TestOwnMountsOfShared: with rootfsPropagation shared a volume is a peer of the host's mount. What the configuration mounts there
// appears on the host, as it asks for; what rt mounts there itself does not: the terminal, masks, read-only paths. Succeeds against
// rt 4a850c2 and runc 1.1.5.
func TestOwnMountsOfShared(t *testing.T) {
	if _, err := exec.LookPath("script"); err != nil {
		t.Skipf("no terminal for the foreground: %v (bsdutils)", err)
	}
	v := newVictim(t, args("sh", "-c", `cat /vol/masked/secret /vol/file; touch /vol/readonly/written; mount | grep -c " /dev/console "; echo done`))
	v.spec.Process.Terminal = true
	v.spec.Linux.RootfsPropagation = "shared"
	v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/vol/masked", "/vol/file")
	v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, "/vol/readonly")
	v.spec.Mounts = slices.DeleteFunc(v.spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
	mounted(specs.Mount{Destination: "/dev", Type: "bind", Source: v.dir + "/dev", Options: []string{"rbind"}})(v)
	mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
	mounted(specs.Mount{Destination: "/vol/configured", Type: "tmpfs", Source: "tmpfs"})(v)
	v.write()
	must(t, os.MkdirAll(v.dir+"/volume", 0o755))
	must(t, os.MkdirAll(v.dir+"/dev", 0o755))
	v.file("on-host", `#!/bin/sh -e
cd "$1"; shift
mount -t tmpfs dev dev; mount -t tmpfs volume volume; mount --make-shared dev; mount --make-shared volume
mkdir dev/pts volume/masked volume/readonly volume/configured
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mknod -m 666 dev/null c 1 3; ln -s pts/ptmx dev/ptmx; touch dev/console
echo SECRET >volume/masked/secret; echo SECRET >volume/file
script -qec "$*" /dev/null </dev/null
cut -d" " -f5 /proc/self/mountinfo >mounts
`, 0o755)
	v.file("rt-on-host", "#!/bin/sh\nexec unshare -m --propagation private "+v.dir+"/on-host "+v.dir+" "+host.rt+" \"$@\"\n", 0o755)
	r := v.do(call{args: v.with("run"), exe: v.dir + "/rt-on-host"}).ok(t)
	if !strings.Contains(r.stdout, "1\r\ndone") || strings.Contains(r.stdout, "SECRET") || !strings.Contains(r.stdout, "Read-only file system") {
		t.Error(r)
	}
	list, err := os.ReadFile(v.dir + "/mounts")
	must(t, err)
	var got []string
	for _, point := range strings.Fields(string(list)) {
		if name, ok := strings.CutPrefix(point, v.dir+"/"); ok {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if want := []string{"dev", "dev/pts", "volume", "volume/configured"}; !slices.Equal(got, want) {
		t.Errorf("the host has mounts at %q, want %q", got, want)
	}
}

// TestReadonlyElsewhere: a new file system with ro is read-only wherever it is mounted. Succeeds against an rt in which only the mount was,
// for a container that may mount, whatever else it is kept from.
func TestReadonlyElsewhere(t *testing.T) {
	v := newVictim(t, capable([]string{"CAP_SYS_ADMIN"}), args("sh", "-c", `mount --bind /shown /other && mount -o remount,bind,rw /other && touch /other/written`))
	for _, d := range []string{"lower", "work", "bundle/rootfs/other"} {
		must(t, os.MkdirAll(v.dir+"/"+d, 0o755))
	}
	mounted(specs.Mount{Destination: "/shown", Type: "overlay", Source: "overlay",
		Options: []string{"ro", "lowerdir=" + v.dir + "/lower", "upperdir=" + v.outside, "workdir=" + v.dir + "/work"}})(v)
	v.write()
	if r := v.run(); !strings.Contains(r.stderr, "/other/written: Read-only file system") {
		t.Error(r)
	}
	v.untouched()
}
