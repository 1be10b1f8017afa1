package integration

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newMapped makes a container in a user namespace, whose root file system belongs to its root, 100000 on the host.
func newMapped(t *testing.T, edits ...func(*specs.Spec)) *container {
	t.Helper()
	c := newContainer(t, append([]func(*specs.Spec){mapped}, edits...)...)
	c.must(filepath.WalkDir(c.rootfs, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 100000, 100000)
	}))
	return c
}

func TestUserNamespace(t *testing.T) {
	t.Parallel()
	c := newMapped(t, writable).up()
	if c.ns("user") == nsOf(t, "self", "user") {
		t.Fatal("the user namespace is the host's")
	}
	if uid := value(c.proc("status"), "Uid"); uid != "100000\t100000\t100000\t100000" {
		t.Errorf("uid on the host: %s", uid)
	}
	if got := strings.Fields(c.proc("uid_map")); strings.Join(got, " ") != "0 100000 65536" {
		t.Errorf("uid_map: %v", got)
	}
	if got := strings.Fields(c.proc("gid_map")); strings.Join(got, " ") != "0 100000 65536" {
		t.Errorf("gid_map: %v", got)
	}
	if got := strings.TrimSpace(c.proc("setgroups")); got != "allow" {
		t.Errorf("setgroups: %s", got)
	}
	if got := c.sh("id -u; id -g; touch /made; stat -c %u:%g /made /dev /proc/self/"); got != "0\n0\n0:0\n0:0\n0:0" {
		t.Errorf("seen inside: %q", got)
	}
	if got := c.sh("stat -c %u:%g /dev/mqueue"); got != "0:0" && !differs(t, "/dev/mqueue in a user namespace") {
		t.Errorf("/dev/mqueue belongs to %s", got)
	}
	st, err := os.Stat(filepath.Join(c.rootfs, "made"))
	c.must(err)
	if uid, gid := owner(st); uid != 100000 || gid != 100000 {
		t.Errorf("a file made inside belongs to %d:%d on the host", uid, gid)
	}
	if out := c.sh("echo hi > /dev/null && head -c 3 /dev/zero | wc -c && test -c /dev/tty && ls /dev"); !strings.Contains(out, "urandom") {
		t.Errorf("devices: %s", out)
	}
}

func TestUserNamespaceUser(t *testing.T) {
	t.Parallel()
	c := newMapped(t, func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}}
	}).up()
	status := c.proc("status")
	if uid, gid := value(status, "Uid"), value(status, "Gid"); !strings.HasPrefix(uid, "101000\t") || !strings.HasPrefix(gid, "101001\t") {
		t.Errorf("on the host: uid %s gid %s", uid, gid)
	}
	if groups := value(status, "Groups"); groups != "100005 100006" {
		t.Errorf("groups on the host: %s", groups)
	}
	if got := c.exec("id", "-u").ok().out(); got != "1000" {
		t.Errorf("exec is uid %s", got)
	}
}

// TestUserNamespaceStdin: /dev/null as the stdin of a mapped container is the host's node; chowning it breaks the host.
func TestUserNamespaceStdin(t *testing.T) {
	c := newMapped(t, func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }, args("id", "-u"))
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	c.must(err)
	defer null.Close()
	c.do(call{args: c.with("run"), stdin: null}).ok().prints("1000")
	err = checkDevNull()
	c.must(err)
}

// TestJoinUserNamespace joins another container's user and network namespaces, as a pod with a user namespace has it.
func TestJoinUserNamespace(t *testing.T) {
	t.Parallel()
	pod := newMapped(t).up()
	c := newMapped(t, namespace(specs.UserNamespace, pod.nsPath("user")), namespace(specs.NetworkNamespace, pod.nsPath("net"))).up()
	if c.ns("user") != pod.ns("user") || c.ns("net") != pod.ns("net") || c.ns("pid") == pod.ns("pid") {
		t.Fatal("the namespaces were not joined")
	}
	if uid := value(c.proc("status"), "Uid"); !strings.HasPrefix(uid, "100000\t") {
		t.Errorf("uid on the host: %s", uid)
	}
	if got := c.sh("id -u"); got != "0" {
		t.Errorf("uid inside: %s", got)
	}
}

// TestJoinUserNamespaceWithoutMappings: the mappings are those of the namespace.
func TestJoinUserNamespaceWithoutMappings(t *testing.T) {
	t.Parallel()
	pod := newMapped(t).up()
	c := newMapped(t, namespace(specs.UserNamespace, pod.nsPath("user")), func(s *specs.Spec) {
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	}).up()
	if got := c.sh("id -u"); got != "0" || c.ns("user") != pod.ns("user") {
		t.Errorf("uid inside: %s", got)
	}
}

// TestUserNamespaceConfinement: root inside is nobody outside.
func TestUserNamespaceConfinement(t *testing.T) {
	t.Parallel()
	c := newMapped(t, capable("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_MKNOD"), writable)
	secret := c.file("secret", "host only", 0o600)
	mounted("/secret", "bind", secret, "bind")(c.spec)
	c.write()
	c.up()
	if r := c.exec("cat", "/secret"); r.code == 0 {
		t.Fatalf("a file of the host's root was read: %s", r)
	}
	if r := c.exec("mknod", "/node", "b", "254", "0"); r.code == 0 {
		t.Fatalf("a device node was made: %s", r)
	}
}

// TestUserNamespaceSources: what the container's root may not enter on the host can be bound all the same, and id-mapped; what
// lies below an earlier mount as well.
func TestUserNamespaceSources(t *testing.T) {
	t.Parallel()
	pod := newMapped(t).up()
	for name, edit := range map[string]func(*specs.Spec){"new": func(*specs.Spec) {}, "joined": namespace(specs.UserNamespace, pod.nsPath("user"))} {
		t.Run(name, func(t *testing.T) {
			c := newMapped(t, edit)
			c.file("closed/dir/file", "found\n", 0o644)
			c.file("other/file", "below\n", 0o644)
			closed := filepath.Join(c.dir, "closed")
			c.must(os.Chown(closed, 5000, 5000))
			c.must(os.Chmod(closed, 0o700))
			mounted("/mnt/vol", "bind", closed+"/dir", "bind", "ro")(c.spec)
			mounted("/mnt/mapped", "bind", closed+"/dir", "bind", "idmap")(c.spec)
			mounted("/mnt/first", "bind", filepath.Join(c.dir, "other"), "rbind")(c.spec)
			mounted("/mnt/second", "bind", c.rootfs+"/mnt/first", "rbind")(c.spec)
			if name == "joined" { // whose mapping it must say itself
				ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
				c.spec.Mounts[len(c.spec.Mounts)-3].UIDMappings, c.spec.Mounts[len(c.spec.Mounts)-3].GIDMappings = ids, ids
			}
			c.write()
			c.up()
			if got := c.sh("cat /mnt/vol/file /mnt/mapped/file /mnt/second/file; stat -c %u /mnt/mapped/file"); got != "found\nfound\nbelow\n0" {
				t.Errorf("seen inside: %q", got)
			}
		})
	}
}

// TestUserNamespaceLocks: what the kernel has locked in the container's mount namespace cannot be asked for; errors say what to do.
func TestUserNamespaceLocks(t *testing.T) {
	t.Parallel()
	c := newMapped(t)
	dir := filepath.Join(c.dir, "host")
	c.must(os.MkdirAll(dir+"/below", 0o755))
	c.must(unix.Mount("tmpfs", dir+"/below", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir+"/below", unix.MNT_DETACH) })
	for option, want := range map[string][]string{
		dir + " bind":         {"open " + dir + ": open_tree: invalid argument (/mounts/", "hint: ", "rbind"},
		dir + "/below suid":   {"bind " + dir + "/below at /mnt: cannot clear locked flags nosuid: operation not permitted (/mounts/", "hint: "},
		dir + "/none rbind":   {"open " + dir + "/none: open_tree: no such file or directory (/mounts/"},
		dir + "/below rbind":  nil,
		dir + " rbind":        nil,
		dir + "/below noexec": nil,
	} {
		source, word, _ := strings.Cut(option, " ")
		m := newMapped(t, mounted("/mnt", "bind", source, "bind", word), args("true"))
		if r := m.run(); want == nil {
			r.ok()
		} else {
			r.fails().rtError(want...)
		}
	}
}

// TestUserNamespaceProcessLimit: of exec's processes only the program counts for its RLIMIT_NPROC, and one too many is an error.
func TestUserNamespaceProcessLimit(t *testing.T) {
	t.Parallel()
	c := newMapped(t, script("sleep 1000 & sleep 1000 & sleep 1000 & wait"), func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }).up()
	c.sh("until [ $(grep -l '^sleep' /proc/[0-9]*/comm | wc -l) = 3 ]; do :; done")
	exec := func(uid uint32, limit uint64) result {
		p := *c.spec.Process
		p.Args, p.User = []string{"true"}, specs.User{UID: uid, GID: uid}
		p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Soft: limit, Hard: limit}}
		data, err := json.Marshal(p)
		c.must(err)
		return c.execWith([]string{"--process", c.file("process.json", string(data), 0o644)})
	}
	exec(1000, 2).exits(255).says("resource temporarily unavailable")
	rtOnly(t, "process.rlimits: RLIMIT_NPROC")
	exec(1001, 1).ok()
	exec(1000, 5).ok()
}
