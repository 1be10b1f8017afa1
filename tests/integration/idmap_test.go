package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maps are mappings of a mount: an id of the file system, the id on the host that it is to be, how many.
func maps(triples ...uint32) (list []specs.LinuxIDMapping) {
	for i := 0; i < len(triples); i += 3 {
		list = append(list, specs.LinuxIDMapping{ContainerID: triples[i], HostID: triples[i+1], Size: triples[i+2]})
	}
	return list
}

// idMounted adds a mount with mappings of its own, the same for users and groups.
func idMounted(m specs.Mount, list []specs.LinuxIDMapping) func(*specs.Spec) {
	return func(s *specs.Spec) {
		m.UIDMappings, m.GIDMappings = list, list
		s.Mounts = append(s.Mounts, m)
	}
}

// TestIDMappedMounts: whose files the container sees, and whose its own files are on the disk.
func TestIDMappedMounts(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name            string
		user            bool // a user namespace, 0 is 100000
		options         string
		maps            []specs.LinuxIDMapping
		seen, made, sub string // a file of 7:7 on the disk, as seen inside; the owner on disk of a file made by root; like seen, one mount below
	}{
		{"mappings", false, "bind", maps(7, 1007, 1), "1007:1007", "", ""},
		{"mappings and root", false, "bind idmap", maps(0, 0, 1, 7, 1007, 1), "1007:1007", "0:0", ""},
		{"other owner on the disk", false, "bind idmap", maps(500, 0, 1, 7, 7, 1), "7:7", "500:500", ""},
		{"not recursive", false, "rbind idmap", maps(0, 0, 1, 7, 1007, 1), "1007:1007", "0:0", "7:7"},
		{"recursive", false, "rbind ridmap", maps(0, 0, 1, 7, 1007, 1), "1007:1007", "0:0", "1007:1007"},
		{"user namespace's", true, "bind idmap", nil, "7:7", "0:0", ""},
		{"own in a user namespace", true, "bind idmap", maps(0, 100000, 1, 7, 100020, 1), "20:20", "0:0", ""},
		{"in the option", false, "bind idmap=uids=0-0-1#7-1007-1;gids=0-0-1#7-1007-1", nil, "1007:1007", "0:0", ""},
		{"in the option, recursive", false, "rbind ridmap=uids=0-0-1#7-1007-1;gids=0-0-1#7-1007-1", nil, "1007:1007", "0:0", "1007:1007"},
		{"in the option, in a user namespace", true, "bind idmap=uids=0-100000-1#7-100020-1;gids=0-100000-1#7-100020-1", nil, "20:20", "0:0", ""},
		{"in the option, relative", true, "bind idmap=uids=@0-0-1#@7-20-1;gids=@0-0-1#@7-20-1", nil, "20:20", "0:0", ""},
		{"none in a user namespace", true, "bind", nil, "65534:65534", "", ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(v.options, "idmap=") {
				rtOnly(t, "mount option idmap=")
			}
			if strings.Contains(v.options, "ridmap") && noMappedTmpfs() {
				t.Skip("a tmpfs cannot be id-mapped on this kernel, Linux 6.3 is the first")
			}
			make := newContainer
			if v.user {
				make = newMapped
			}
			c := make(t)
			src := filepath.Join(c.dir, "src")
			c.must(os.MkdirAll(filepath.Join(src, "sub"), 0o755))
			if v.sub != "" {
				c.must(unix.Mount("tmpfs", filepath.Join(src, "sub"), "tmpfs", 0, "size=64k"))
				defer func() { c.must(unix.Unmount(filepath.Join(src, "sub"), unix.MNT_DETACH)) }()
			}
			c.must(os.Chown(c.file("src/file", "x", 0o644), 7, 7))
			c.must(os.Chown(c.file("src/sub/file", "x", 0o644), 7, 7))
			if len(v.maps) > 0 && v.maps[0].ContainerID == 500 {
				c.must(os.Chown(src, 500, 500))
			}
			idMounted(specs.Mount{Destination: "/tmp", Type: "bind", Source: src, Options: strings.Fields(v.options)}, v.maps)(c.spec)
			c.write()
			c.up()
			if got := c.sh("stat -c %u:%g /tmp/file"); got != v.seen {
				t.Errorf("7:7 is seen as %s, want %s", got, v.seen)
			}
			if got := c.sh("stat -c %u:%g /tmp/sub/file"); v.sub != "" && got != v.sub {
				t.Errorf("below, 7:7 is seen as %s, want %s", got, v.sub)
			}
			made := c.exec("touch", "/tmp/made").code == 0
			if made != (v.made != "") {
				t.Fatalf("root could make a file: %v", made)
			}
			if made {
				st, err := os.Stat(filepath.Join(src, "made"))
				c.must(err)
				uid, gid := owner(st)
				if got := id(uid) + ":" + id(gid); got != v.made {
					t.Errorf("a file of root is %s on the disk, want %s", got, v.made)
				}
			}
			c.delete("--force").ok()
		})
	}
}

func id(n int) string { return pidText(n) }

// TestIDMappedJoin takes the mapping of the user namespace that is joined.
func TestIDMappedJoin(t *testing.T) {
	t.Parallel()
	first := newMapped(t).up()
	c := newMapped(t, namespace(specs.UserNamespace, "/proc/"+pidText(first.pid())+"/ns/user"))
	c.must(os.Chown(c.file("src/file", "x", 0o644), 7, 7))
	mounted("/tmp", "bind", filepath.Join(c.dir, "src"), "bind", "idmap")(c.spec)
	c.write()
	c.up()
	if got := c.sh("stat -c %u:%g /tmp/file"); got != "7:7" {
		t.Errorf("seen as %s", got)
	}
}

// TestIDMappedNewFS: a file system other than a bind mount is made outside, and mapped before it is attached.
func TestIDMappedNewFS(t *testing.T) {
	t.Parallel()
	rtOnly(t, "mounts.uidMappings and gidMappings")
	if noMappedTmpfs() {
		t.Skip("a tmpfs cannot be id-mapped on this kernel, Linux 6.3 is the first")
	}
	c := newMapped(t, idMounted(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs",
		Options: []string{"idmap", "nosuid", "mode=755", "size=64k", "uid=7", "rprivate"}}, nil)).up()
	if got := c.sh("stat -c '%a %u' /tmp"); got != "755 7" {
		t.Errorf("the root is %s", got)
	}
	if m := c.mountAt("/tmp"); !m.has("nosuid") || m.fstype != "tmpfs" || !strings.Contains(m.options, "idmapped") {
		t.Errorf("%+v", m)
	}
}

// TestIDMapErrors: one error that says what and where, and nothing is left.
func TestIDMapErrors(t *testing.T) {
	t.Parallel()
	ids := maps(0, 1000, 1)
	for _, v := range []struct {
		name, want string
		edit       func(*specs.Spec)
	}{
		{"no mapping", "needs uidMappings and gidMappings, or a user namespace", mounted("/tmp", "bind", "/tmp", "bind", "idmap")},
		{"an option without groups", "a mapping has the form uids=DISK-HOST-SIZE;gids=DISK-HOST-SIZE", mounted("/tmp", "bind", "/tmp", "bind", "idmap=uids=0-0-1")},
		{"an option that is none", `"0-0" is not DISK-HOST-SIZE`, mounted("/tmp", "bind", "/tmp", "bind", "idmap=uids=0-0;gids=0-0-1")},
		{"relative to nothing", "no range of the container's new user namespace holds the ids 0 to 0", mounted("/tmp", "bind", "/tmp", "bind", "idmap=uids=@0-0-1;gids=@0-0-1")},
		{"two mappings", "there are two mappings", idMounted(specs.Mount{Destination: "/tmp", Type: "bind", Source: "/tmp", Options: []string{"bind", "idmap=uids=0-0-1;gids=0-0-1"}}, ids)},
		{"sysfs", "id-map /sys (sysfs): invalid argument", idMounted(specs.Mount{Destination: "/tmp", Type: "bind", Source: "/sys", Options: []string{"bind"}}, ids)},
		{"recursive over what cannot", "id-map / (", idMounted(specs.Mount{Destination: "/tmp", Type: "bind", Source: "/", Options: []string{"rbind", "ridmap"}}, ids)},
		{"mqueue", "id-map mqueue (mqueue): invalid argument", idMounted(specs.Mount{Destination: "/tmp", Type: "mqueue", Source: "mqueue"}, ids)},
		{"cgroup", "cannot be id-mapped", idMounted(specs.Mount{Destination: "/tmp", Type: "cgroup", Source: "cgroup"}, ids)},
		{"remount", "cannot be id-mapped", idMounted(specs.Mount{Destination: "/sys", Options: []string{"remount"}}, ids)},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			// What is wrong whoever says it is said to everybody; an ordinary user may do none of the rest.
			wrong := slices.Contains([]string{"an option without groups", "an option that is none", "two mappings"}, v.name)
			if ordinaryUser() && !wrong {
				v.want = "cannot be id-mapped"
			}
			newContainer(t, v.edit).create().fails().rtError(v.want)
		})
	}
}
