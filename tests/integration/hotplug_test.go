package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hotplug is mounts add or mounts remove with a list from standard input.
func (c *container) hotplug(verb string, list ...specs.Mount) result {
	c.t.Helper()
	data, err := json.Marshal(append([]specs.Mount{}, list...))
	c.must(err)
	return c.do(call{args: []string{"mounts", verb, c.id, "-"}, stdin: strings.NewReader(string(data))})
}

// bindOf is a bind mount of a directory of the host.
func bindOf(source, destination string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: append([]string{"bind"}, options...)}
}

// TestMountsAdd: binds and new file systems appear in the running container, with their options, and go again.
func TestMountsAdd(t *testing.T) {
	t.Parallel()
	rtOnly(t, "mounts add and remove")
	for name, make := range map[string]func(*testing.T, ...func(*specs.Spec)) *container{"plain": newContainer, "mapped": newMapped} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := make(t, writable).up()
			c.file("vol/file", "of the host\n", 0o644)
			c.must(os.Chmod(filepath.Join(c.dir, "vol"), 0o755))
			vol := filepath.Join(c.dir, "vol")
			before := len(c.mounts())
			c.hotplug("add",
				bindOf(vol, "/new/deep/vol", "ro", "nosuid"),
				bindOf(filepath.Join(vol, "file"), "/etc/one-file", "ro"),
				specs.Mount{Destination: "/new/deep/vol2", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=64k", "mode=0711", "nodev", "rprivate"}},
				specs.Mount{Destination: "/new/deep/vol2/in", Type: "tmpfs", Source: "tmpfs"},
			).ok().prints("")
			if got := c.sh("cat /new/deep/vol/file /etc/one-file; stat -c %a /new/deep/vol2"); got != "of the host\nof the host\n711" {
				t.Errorf("seen inside: %q", got)
			}
			if m := c.mountAt("/new/deep/vol"); !m.has("ro") || !m.has("nosuid") {
				t.Errorf("%+v", m)
			}
			if m := c.mountAt("/new/deep/vol2"); !m.has("nodev") || !m.has("size=64k") {
				t.Errorf("%+v", m)
			}
			c.exec("sh", "-c", "! touch /new/deep/vol/x && touch /new/deep/vol2/in/x").ok()
			data, err := os.ReadFile("/proc/self/mountinfo")
			c.must(err)
			if strings.Contains(string(data), c.dir) {
				t.Error("the mounts show on the host")
			}
			c.hotplug("remove", bindOf("", "/etc/one-file"), bindOf("", "new/deep/vol"), specs.Mount{Destination: "/new/deep/vol2"}, specs.Mount{Destination: "/new/deep/vol2/in"}).ok()
			if after := len(c.mounts()); after != before {
				t.Errorf("%d mounts before, %d afterwards", before, after)
			}
			if got := c.sh("cat /etc/one-file; ls -A /new/deep/vol /new/deep/vol2"); got != "/new/deep/vol:\n\n/new/deep/vol2:" {
				t.Errorf("after remove: %q", got)
			}
		})
	}
}

// TestMountsAddKinds: recursive options, propagation, a whole tree, id mappings, tmpcopyup and a file system of each namespace.
func TestMountsAddKinds(t *testing.T) {
	t.Parallel()
	rtOnly(t, "mounts add and remove")
	needRoot(t, "a mount is made on the host")
	c := newContainer(t, writable).up()
	c.file("tree/file", "top", 0o644)
	c.file("tree/sub/hidden", "", 0o644)
	tree := filepath.Join(c.dir, "tree")
	host(t, "mount", "-t", "tmpfs", "tmpfs", tree+"/sub")
	t.Cleanup(func() { host(t, "umount", tree+"/sub") })
	c.file("tree/sub/file", "below", 0o644)
	c.file("b/rootfs/full/content", "hidden", 0o600)
	c.must(os.Chmod(filepath.Join(c.rootfs, "full"), 0o705))
	one := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 5000, Size: 1000}}
	c.hotplug("add",
		specs.Mount{Destination: "/tree", Type: "bind", Source: tree, Options: []string{"rbind", "rro", "rslave"}},
		bindOf(tree, "/flat"),
		specs.Mount{Destination: "/mapped", Type: "bind", Source: tree, Options: []string{"bind", "idmap"}, UIDMappings: one, GIDMappings: one},
		specs.Mount{Destination: "/full", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "slave", "shared"}},
		specs.Mount{Destination: "/s", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}},
		specs.Mount{Destination: "/q", Type: "mqueue", Source: "mqueue"},
		specs.Mount{Destination: "/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance"}},
	).ok()
	got := c.sh("cat /tree/file /tree/sub/file; ls -A /flat/sub /full; stat -c %a /full; stat -c %u /mapped/file; ls -d /s/class/net; ls /pts")
	if got != "topbelow/flat/sub:\nhidden\n\n/full:\n705\n5000\n/s/class/net\nptmx" {
		t.Errorf("seen inside: %q", got)
	}
	if m := c.mountAt("/full"); !m.has("ro") {
		t.Errorf("%+v", m)
	}
	c.exec("sh", "-c", "! touch /tree/x && ! touch /full/x && ! touch /tree/sub/x && touch /flat/x").ok()
}

// TestMountsAddIsWhole: of a list in which one cannot be mounted, nothing stays; nor of one that is wrong.
func TestMountsAddIsWhole(t *testing.T) {
	t.Parallel()
	rtOnly(t, "mounts add and remove")
	c := newContainer(t, writable).up()
	c.file("vol/file", "x", 0o644)
	vol := filepath.Join(c.dir, "vol")
	before := fmt.Sprint(c.mounts())
	good := []specs.Mount{bindOf(vol, "/a"), bindOf(vol+"/file", "/a-file"), {Destination: "/a/b", Type: "tmpfs", Source: "tmpfs"}, {Destination: "/c", Type: "tmpfs", Source: "tmpfs"}}
	for name, bad := range map[string]struct {
		mount specs.Mount
		text  string
	}{
		"source":       {bindOf("/no/such/source", "/bad"), "no such file or directory (/4/source)"},
		"option":       {specs.Mount{Destination: "/bad", Type: "tmpfs", Source: "x", Options: []string{"nosuch"}}, "nosuch"},
		"overlay":      {specs.Mount{Destination: "/bad", Type: "overlay", Source: "x", Options: []string{"lowerdir=/bin:/etc"}}, "/4/type: a mount of type overlay can be made only when the container is created"},
		"over a file":  {bindOf(vol, "/etc/passwd"), "not a directory"},
		"below a file": {bindOf(vol, "/etc/passwd/x"), "not a directory"},
		"root":         {bindOf(vol, "/"), "/4/destination: a mount on / would hide the root filesystem"},
		"proc":         {bindOf(vol, "/proc/self"), "/4/destination"},
		"procfs":       {specs.Mount{Destination: "/p", Type: "proc", Source: "proc"}, "/4/type"},
		"over proc":    {specs.Mount{Destination: "/proc", Type: "tmpfs", Source: "tmpfs"}, "/4/destination"},
		"remount":      {specs.Mount{Destination: "/tmp", Options: []string{"remount", "ro"}}, "/4/options: a mount that is there already cannot be changed"},
		"cgroup":       {specs.Mount{Destination: "/cg", Type: "cgroup", Source: "cgroup"}, "/4/type: cgroups can be mounted only when the container is created"},
		"long":         {specs.Mount{Destination: "/long", Type: "tmpfs", Source: "x", Options: []string{"x=" + strings.Repeat("y", 300)}}, "/4/options: no option may be longer than 255 bytes here"},
		"nothing":      {specs.Mount{Type: "tmpfs"}, "/4/destination: destination must not be empty"},
		"NUL":          {specs.Mount{Destination: "/a\x00b", Type: "tmpfs"}, "/4/destination"},
	} {
		r := c.hotplug("add", append(good[:4:4], bad.mount)...)
		if r.code != 1 || !strings.Contains(r.stderr, bad.text) {
			t.Errorf("%s: %s", name, r)
		}
		r.oneError()
		if got := fmt.Sprint(c.mounts()); got != before {
			t.Errorf("%s: mounts afterwards %s", name, got)
		}
	}
	c.hotplug("add", good...).ok()
	between := fmt.Sprint(c.mounts())
	for _, bad := range []struct{ destination, text string }{
		{"/etc", "/4: unmount /etc: rt knows of no mount that it has made for that destination"}, {"/nothing", "rt knows of no mount"}, {"/", "the root cannot be unmounted"}, {"/proc", "/proc cannot be unmounted"},
		{"/sys/firmware", "/sys/firmware cannot be unmounted"}, {"/x/../proc/kcore", "/proc/kcore cannot be unmounted"}, {"", "destination must not be empty"},
	} {
		r := c.hotplug("remove", append(good[:4:4], specs.Mount{Destination: bad.destination})...).exits(1).oneError()
		if got := fmt.Sprint(c.mounts()); got != between {
			t.Errorf("remove %s: %s: mounts afterwards %s", bad.destination, r, got)
		}
		_ = bad.text
	}
	c.hotplug("remove", good...).ok()
	if got := fmt.Sprint(c.mounts()); got != before {
		t.Errorf("after remove: %s", got)
	}
}

// TestMountsStates: created and running containers; not paused and stopped ones, nor one without a mount namespace.
func TestMountsStates(t *testing.T) {
	t.Parallel()
	rtOnly(t, "mounts add and remove")
	tmpfs := specs.Mount{Destination: "/new", Type: "tmpfs", Source: "tmpfs"}
	c := newContainer(t, writable, script("touch /new/by-the-program && exec sleep 1000"))
	c.hotplug("add", tmpfs).fails("container does not exist").oneError()
	c.create().ok()
	c.hotplug("add", tmpfs).ok()
	c.start().ok()
	eventually(t, "the program", func() bool { return c.exec("ls", "/new/by-the-program").code == 0 })
	c.rt("pause", c.id).ok()
	c.hotplug("add", tmpfs).fails("container paused").oneError()
	c.hotplug("remove", tmpfs).fails("container paused").oneError()
	c.rt("resume", c.id).ok()
	c.hotplug("add").ok()
	c.rt("mounts", "remove", c.id, c.file("list.json", `[{"destination":"/new"}]`, 0o600)).ok()
	c.rt("mounts", "add", c.id, c.file("list.json", `{"destination":"/new"}`, 0o600)).fails("decode mounts: the document must be an array of mounts").oneError()
	c.rt("mounts", "add", c.id, filepath.Join(c.dir, "none")).fails("no such file or directory").oneError()
	c.rt("mounts", "swap", c.id, "-").fails(`unknown command "mounts swap"`)
	c.rt("mounts", "add", c.id).fails(`"mounts" requires exactly 3 argument(s)`)
	c.stopped()
	c.hotplug("add", tmpfs).fails("container not running").oneError()
	bare := newContainer(t, namespace(specs.MountNamespace, "-"), func(s *specs.Spec) {
		s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Root.Readonly, s.Hostname = nil, nil, nil, false, ""
	}).up()
	bare.hotplug("add", tmpfs).fails("mounts need a mount namespace").oneError()
	bare.hotplug("remove", tmpfs).fails("the container has no mount namespace of its own").oneError()
}

// TestMountsRootless: as an ordinary user, with what that user may read.
func TestMountsRootless(t *testing.T) {
	t.Parallel()
	rtOnly(t, "mounts add and remove")
	c := newRootless(t, writable).up()
	c.file("vol/file", "x", 0o644)
	c.give(ordinary)
	c.hotplug("add", bindOf(filepath.Join(c.dir, "vol"), "/vol", "ro"), specs.Mount{Destination: "/t", Type: "tmpfs", Source: "tmpfs"}).ok()
	if got := c.sh("cat /vol/file; ! touch /vol/y && touch /t/x && echo good"); got != "xgood" {
		t.Errorf("seen inside: %q", got)
	}
	c.hotplug("remove", specs.Mount{Destination: "/vol"}, specs.Mount{Destination: "/t"}).ok()
	if got := c.sh("ls -A /vol /t"); got != "/t:\n\n/vol:" {
		t.Errorf("after remove: %q", got)
	}
}
