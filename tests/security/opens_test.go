package security

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What rt opens: a file that others have made is looked at first. A device node is never opened, for its driver would be
// called with the rights of the host's root and outside of the container's device rules; a FIFO is not waited for.

// A watch tells of files that are opened, whoever does it and whatever they are. O_PATH opens nothing.
type watch struct {
	t  *testing.T
	fd int
}

func newWatch(t *testing.T, files ...string) *watch {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	for _, file := range files {
		_, err := unix.InotifyAddWatch(fd, file, unix.IN_OPEN|unix.IN_DONT_FOLLOW)
		must(t, err)
	}
	return &watch{t, fd}
}

// opened says whether one of the files was opened since the last look.
func (w *watch) opened() bool {
	w.t.Helper()
	var buf [4096]byte
	n, err := unix.Read(w.fd, buf[:])
	if err == unix.EAGAIN {
		return false
	}
	must(w.t, err)
	for at := 0; at+unix.SizeofInotifyEvent <= n; {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&buf[at]))
		if e.Mask&unix.IN_OPEN != 0 { // and not IN_IGNORED, of a file that is removed
			return true
		}
		at += unix.SizeofInotifyEvent + int(e.Len)
	}
	return false
}

// zero makes a node of /dev/zero: one that does nothing when it is opened, so that the tests harm no machine.
func zero(t *testing.T, path string) {
	t.Helper()
	must(t, os.RemoveAll(path))
	must(t, unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
}

// TestWatchSees: the watch that the other tests rely on does see a device being opened, and not being looked at.
func TestWatchSees(t *testing.T) {
	node := filepath.Join(t.TempDir(), "node")
	zero(t, node)
	w := newWatch(t, node)
	fd, err := unix.Open(node, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	unix.Close(fd)
	if w.opened() {
		t.Error("O_PATH is seen")
	}
	fd, err = unix.Open(node, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	unix.Close(fd)
	if !w.opened() {
		t.Error("an open is not seen")
	}
}

// TestDeviceAsPasswd: HOME is looked up in a passwd file that is a device node, which containers may make by default.
func TestDeviceAsPasswd(t *testing.T) {
	v := newVictim(t, capable(strongCaps), args("true"))
	passwd := v.rootfs + "/etc/passwd"
	zero(t, passwd)
	w := newWatch(t, passwd)
	v.run().ok(t)
	if w.opened() {
		t.Error("run opens a device of the image as /etc/passwd")
	}
	v.spec.Process.Args = []string{"sleep", "1000"}
	v.write()
	v.up()
	w.opened()
	v.exec("true").ok(t)
	if w.opened() {
		t.Error("exec opens a device of the image as /etc/passwd")
	}
	v.remove()
	must(t, os.Remove(passwd))
	v.file("bundle/rootfs/etc/passwd", "", 0o644)
	source := v.dir + "/node"
	zero(t, source)
	w = newWatch(t, source)
	v.spec.Process.Args = []string{"true"}
	v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: "/etc/passwd", Type: "bind", Source: source, Options: []string{"bind"}})
	v.write()
	v.run().ok(t)
	if w.opened() {
		t.Error("run opens a device that a volume has as /etc/passwd")
	}
}

// swapForDevice has a neighbour exchange a file of a directory for a device node, all the time. The watch sees the node being opened.
func swapForDevice(t *testing.T, file string) *watch {
	t.Helper()
	node := file + ".node"
	zero(t, node)
	w := newWatch(t, node)
	program(t, host.attack, "exchange", file, node)
	return w
}

// TestRacedCopyUpDevice: what tmpcopyup copies becomes a device after it was looked at. Succeeds against rt 4a850c2, within five
// containers.
func TestRacedCopyUpDevice(t *testing.T) {
	v := newVictim(t, args("true"))
	v.file("volume/file", "", 0o644)
	for i := range perContainer {
		at := "/copies/t" + strconv.Itoa(i)
		mounted(specs.Mount{Destination: at, Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
		mounted(specs.Mount{Destination: at, Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})(v)
	}
	v.spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	v.write()
	w, rounds, made := swapForDevice(t, v.dir+"/volume/file"), 0, 0
	for ; rounds < runs(25, 200) && !t.Failed(); rounds++ {
		if v.run().code == 0 {
			made++
		}
		if w.opened() {
			t.Errorf("round %d: tmpcopyup opens a device", rounds)
		}
		v.remove()
	}
	t.Logf("%d rounds of %d mounts, %d containers made", rounds, perContainer, made)
}

// TestRacedNull: the container's /dev/null, which becomes its stdin, is another device after it was looked at. Succeeds against rt
// 4a850c2.
func TestRacedNull(t *testing.T) {
	v := newVictim(t, args("true"), without("/dev"), func(v *victim) {
		v.spec.Linux.MaskedPaths = nil
		must(v.t, unix.Mknod(v.rootfs+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	})
	v.spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	v.write()
	w, rounds, made := swapForDevice(t, v.rootfs+"/dev/null"), 0, 0
	for ; rounds < runs(150, 1000) && !t.Failed(); rounds++ {
		if v.run().code == 0 {
			made++
		}
		if w.opened() {
			t.Errorf("round %d: another device is opened as /dev/null", rounds)
		}
		v.remove()
	}
	t.Logf("%d rounds, %d containers made", rounds, made)
}

// TestDeviceAsTerminal: the multiplexer that the terminal is opened from is another device of the image or of a volume, or a node of
// the multiplexer itself, which would give a terminal of the host. Succeeds against rt 4a850c2, which looked afterwards.
func TestDeviceAsTerminal(t *testing.T) {
	for name, dir := range map[string]string{"image": "bundle/rootfs/dev/pts", "volume": "volume"} {
		for _, number := range []uint64{unix.Mkdev(1, 5), unix.Mkdev(5, 2)} {
			v := newVictim(t, args("true"), without("/dev"), func(v *victim) { v.spec.Process.Terminal = true })
			must(t, os.MkdirAll(filepath.Join(v.dir, dir), 0o755))
			node := filepath.Join(v.dir, dir, "ptmx")
			must(t, unix.Mknod(node, unix.S_IFCHR|0o666, int(number)))
			if name == "volume" {
				mounted(specs.Mount{Destination: "/dev/pts", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
			}
			v.write()
			sock := v.dir + "/console.sock"
			listener, err := net.Listen("unix", sock)
			must(t, err)
			w := newWatch(t, node)
			if r := v.rt("create", "--bundle", v.dir+"/bundle", "--console-socket", sock, v.id); r.code == 0 || !strings.Contains(r.stderr, "ptmx") {
				t.Errorf("%s, device %#x: %s", name, number, r)
			}
			if w.opened() {
				t.Errorf("%s: create opens device %#x as /dev/pts/ptmx", name, number)
			}
			listener.Close()
			v.remove()
		}
	}
}

// TestOddStateFiles: what lies in the state directory under the names of rt's own files is a FIFO or a device, as of a --root that
// others can write to, or a container that was given its state directory. No command waits for it or opens it.
func TestOddStateFiles(t *testing.T) {
	for _, name := range []string{"state.json", "config.json", "journal", "update", "netdevs"} {
		for kind, make := range map[string]func(path string) error{
			"a FIFO":   func(path string) error { return unix.Mkfifo(path, 0o600) },
			"a device": func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) },
		} {
			t.Run(name+" is "+kind, func(t *testing.T) {
				v := newVictim(t, args("sleep", "1000")).up()
				dir := v.dir + "/root/" + v.id + "/"
				aside := v.dir + "/aside"
				must(t, os.CopyFS(aside, os.DirFS(dir)))
				t.Cleanup(func() { // so that the container can be deleted whatever has failed
					if os.Remove(dir+name) == nil {
						for _, f := range []string{"state.json", "config.json", "journal"} {
							data, err := os.ReadFile(aside + "/" + f)
							must(t, err)
							must(t, os.WriteFile(dir+f, data, 0o600))
						}
					}
				})
				if name == "journal" { // which is read where there is no state
					must(t, os.Remove(dir+"state.json"))
				}
				must(t, os.RemoveAll(dir+name))
				must(t, make(dir+name))
				w := newWatch(t, dir+name)
				for _, args := range [][]string{{"list"}, {"state", v.id}, {"ps", v.id}, {"doctor"}, {"kill", v.id, "CONT"}, {"exec", v.id, "true"},
					{"pause", v.id}, {"resume", v.id}, {"delete", v.id}, {"delete", "--force", v.id}} {
					if r := v.do(call{args: args}); w.opened() && !r.hung {
						t.Errorf("%s opens it", strings.Join(args, " "))
					} else if r.hung {
						break
					}
				}
				// Only what the journal names cannot be known without it.
				if _, err := os.Stat(dir); (err == nil) != (name == "journal") {
					t.Errorf("after delete --force: %v", err)
				}
			})
		}
	}
}

// TestOddNamedFiles: files that a configuration or a command line names are devices.
func TestOddNamedFiles(t *testing.T) {
	v := newVictim(t, args("true"))
	node := v.dir + "/node"
	zero(t, node)
	w := newWatch(t, node)
	v.spec.Linux.Namespaces = append(v.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UTSNamespace, Path: node})
	for i, ns := range v.spec.Linux.Namespaces {
		if ns.Type == specs.UTSNamespace {
			v.spec.Linux.Namespaces[i].Path = node
			v.spec.Linux.Namespaces = v.spec.Linux.Namespaces[:len(v.spec.Linux.Namespaces)-1]
			break
		}
	}
	v.spec.Hostname = ""
	v.write()
	for _, args := range [][]string{v.with("run"), {"check", v.dir + "/bundle"}} {
		if r := v.rt(args...); r.code == 0 || w.opened() {
			t.Errorf("a device as a namespace is opened, or taken for one: %s", r)
		}
	}
	must(t, os.Remove(v.dir+"/bundle/config.json"))
	must(t, os.Link(node, v.dir+"/bundle/config.json"))
	for _, args := range [][]string{v.with("run"), {"check", v.dir + "/bundle"}, {"plan", v.dir + "/bundle"}} {
		if r := v.rt(args...); r.code == 0 || w.opened() {
			t.Errorf("a device as config.json is opened, or taken for one: %s", r)
		}
	}
	v.spec.Linux.Namespaces = v.spec.Linux.Namespaces[:0:0]
	must(t, os.Remove(v.dir+"/bundle/config.json"))
	v.spec = defaultSpec(v.id)
	args("sleep", "1000")(v)
	v.write()
	v.up()
	for _, args := range [][]string{{"exec", "--process", node, v.id}, {"update", "--resources", node, v.id}, {"mounts", "add", v.id, node},
		{"exec", "--exec-wait-fifo", node, v.id, "true"}} {
		if r := v.rt(args...); r.code == 0 || w.opened() {
			t.Errorf("a device on the command line is opened, or taken for a file: %s", r)
		}
	}
}

// TestPidFileIsDevice: /dev/null as the pid file. Succeeds against a runtime that puts a file in its place, as runc does: the host has no
// null device any more.
func TestPidFileIsDevice(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"))
	null := v.outside + "/null"
	must(t, unix.Mknod(null, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	v.before = v.picture()
	for _, verb := range []string{"create", "run"} {
		r := v.rt(verb, "--bundle", v.dir+"/bundle", "--pid-file", null, v.id)
		if r.code == 0 || !strings.Contains(r.stderr, "is a device") {
			t.Errorf("%s\nwant an error that says that it is a device", r)
			v.remove()
		}
		v.untouched()
	}
	v.up()
	if r := v.rt("exec", "--pid-file", null, v.id, "true"); r.code == 0 {
		t.Errorf("%s\nwant an error", r)
	}
	v.untouched()
}

// TestPidFileThroughLink: the pid file goes to a directory that others can write to. They have put something there under the
// name by which rt writes it first. Succeeds against rt before it made new files only.
func TestPidFileThroughLink(t *testing.T) {
	for name, put := range map[string]func(v *victim, path string) error{
		"a link to a file": func(v *victim, path string) error { return os.Symlink(v.outside+"/secret", path) },
		"a link to none":   func(v *victim, path string) error { return os.Symlink(v.outside+"/new", path) },
		"a second name":    func(v *victim, path string) error { return os.Link(v.outside+"/secret", path) },
		"a FIFO":           func(v *victim, path string) error { return unix.Mkfifo(path, 0o666) },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"))
			dir := v.dir + "/others"
			must(t, os.Mkdir(dir, 0o777))
			must(t, put(v, dir+"/.pid"))
			must(t, put(v, dir+"/pid"))
			r := v.do(call{args: []string{"create", "--bundle", v.dir + "/bundle", "--pid-file", dir + "/pid", v.id}})
			v.untouched()
			if r.hung {
				return
			}
			r.ok(t)
			if st, err := os.Lstat(dir + "/pid"); err != nil || !st.Mode().IsRegular() {
				t.Errorf("the pid file: %v, %v", st, err)
			}
		})
	}
}
