package nsenter_test

import (
	"os"
	"strings"
	"testing"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// What a path below the root means when links are in it. Whatever a link says, nothing is made outside of the root.
func TestPaths(t *testing.T) {
	name255 := strings.Repeat("n", 255)
	deep := strings.TrimSuffix(strings.Repeat(strings.Repeat("d", 250)+"/", 16), "/") // 4015 bytes
	for _, c := range []struct {
		name, path string
		tree       []string
		made       string // below the root; "": it fails
		errno      unix.Errno
		text       string
	}{
		{"plain", "/a/b/c", nil, "a/b/c", 0, ""},
		{"there already", "/a/b", []string{"a/b/"}, "a/b", 0, ""},
		{"slashes", "//a///b//", nil, "a/b", 0, ""},
		{"no slash", "a/b", nil, "a/b", 0, ""},
		{"dots", "/./a/./b/.", nil, "a/b", 0, ""},
		{"the root", "/", nil, ".", 0, ""},
		{"above the root", "/../../../a", nil, "a", 0, ""},
		{"above the root by a link", "/l/a", []string{"l -> ../../../.."}, "a", 0, ""},
		{"dots over what is missing", "/a/../b", nil, "b", 0, ""},
		{"a link to a directory", "/l/a", []string{"d/", "l -> d"}, "d/a", 0, ""},
		{"an absolute link", "/l/a", []string{"d/", "l -> /d"}, "d/a", 0, ""},
		{"a link to a directory of its name", "/var/run/a", []string{"run/", "var/run -> /run"}, "run/a", 0, ""},
		{"a link to a directory of its name, relative", "/var/run/a", []string{"run/", "var/run -> ../run"}, "run/a", 0, ""},
		{"dangling, relative", "/x/l/a", []string{"x/l -> d"}, "x/d/a", 0, ""},
		{"dangling, last", "/x/l", []string{"x/l -> d/e"}, "x/d/e", 0, ""},
		{"dangling, absolute", "/x/l/a", []string{"x/l -> /d/e"}, "d/e/a", 0, ""},
		{"dangling, out of the root", "/x/l/a", []string{"x/l -> ../../../../../../../../rt-test-out"}, "rt-test-out/a", 0, ""},
		{"dangling, absolute, out of the root", "/l", []string{"l -> /../../rt-test-out/x"}, "rt-test-out/x", 0, ""},
		{"dangling, the host's path", "/l/a", []string{"l -> /etc/rt-test-out"}, "etc/rt-test-out/a", 0, ""},
		{"dangling twice", "/l/a", []string{"l -> /m", "m -> n/o"}, "n/o/a", 0, ""},
		{"dangling behind a link", "/l/a", []string{"d/", "l -> d/m", "d/m -> ../e"}, "e/a", 0, ""},
		{"dangling with a slash", "/l", []string{"l -> d/"}, "d", 0, ""},
		{"dangling and dots", "/x/l/../a", []string{"x/l -> d"}, "x/a", 0, ""},
		{"a link to itself", "/l/a", []string{"l -> l"}, "", unix.ELOOP, "open target"},
		{"a link into itself", "/l", []string{"l -> l/x"}, "", unix.ELOOP, "open target"},
		{"two links to each other", "/l/a", []string{"l -> m", "m -> l"}, "", unix.ELOOP, "open target"},
		{"a file on the way", "/f/a", []string{"f"}, "", unix.ENOTDIR, "open target"},
		{"a name of 255 bytes", "/" + name255 + "/" + name255, nil, name255 + "/" + name255, 0, ""},
		{"a name of 256 bytes", "/a/" + name255 + "n", nil, "", unix.ENAMETOOLONG, "open target"},
		{"a dangling link to 255 bytes", "/l/a", []string{"l -> " + name255}, name255 + "/a", 0, ""},
		{"a dangling link to 256 bytes", "/l/a", []string{"l -> n" + name255}, "", unix.ENAMETOOLONG, "open target"},
		{"a path of 4016 bytes", "/" + deep, nil, deep, 0, ""},
		{"a path of 4096 bytes", strings.Repeat("/", 4095) + "a", nil, "", unix.ENAMETOOLONG, "open target"},
		{"a path of 4095 bytes", strings.Repeat("/", 4094) + "a", nil, "a", 0, ""},
		{"a path that a link makes too long", "/l/" + deep[:3000], []string{"l -> " + deep[:1200]}, "", unix.ENAMETOOLONG, "open target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := rootfs(t, c.tree...)
			for _, asDir := range []bool{true, false} {
				made := func(mode uint32) {
					if st := stat(t, root+"/"+c.made); st.Mode&unix.S_IFMT != mode {
						t.Errorf("made %s with mode %o", c.made, st.Mode)
					}
				}
				if asDir {
					b := start(t, within(root, nsenter.Mkdir{Path: c.path, Mode: 0o755}, stop))
					if c.made == "" {
						b.fails(before, c.errno, c.text)
					} else {
						b.sync(nsenter.SyncReady)
						made(unix.S_IFDIR)
					}
					continue
				}
				if strings.HasSuffix(c.path, "/") || strings.HasSuffix(c.path, ".") || c.name == "there already" || strings.HasSuffix(c.name, "a slash") {
					continue // no place for a file
				}
				if c.made != "" {
					must(t, os.RemoveAll(root+"/"+c.made))
				}
				b := start(t, within(root, nsenter.MountTree{Tree: 0, Target: c.path, Source: "/etc/passwd", Place: unix.MS_PRIVATE}, stop), openTree(t, "/etc/passwd"))
				if c.made == "" {
					b.fails(before, c.errno, c.text)
					continue
				}
				b.sync(nsenter.SyncReady)
				made(unix.S_IFREG)
				if have := stat(t, b.at(root+"/"+c.made)); have.Ino != stat(t, "/etc/passwd").Ino {
					t.Error("it is not mounted there")
				}
			}
			for _, path := range []string{"/rt-test-out", "/etc/rt-test-out", root + "/../rt-test-out"} {
				if _, err := os.Lstat(path); err == nil {
					os.RemoveAll(path)
					t.Errorf("%s was made, outside of the root", path)
				}
			}
		})
	}
}

func TestMkdirMode(t *testing.T) {
	root := rootfs(t)
	start(t, within(root, nsenter.Mkdir{Path: "/a/b", Mode: 0o1777}, stop)).sync(nsenter.SyncReady)
	if above, mode := stat(t, root+"/a").Mode&0o7777, stat(t, root+"/a/b").Mode&0o7777; above != 0o755 || mode != 0o1777 {
		t.Errorf("modes %o and %o", above, mode)
	}
}

// A magic link leads where no path does: it is not followed.
func TestMagicLinks(t *testing.T) {
	root := rootfs(t, "out -> /proc/self/root", "deep -> /proc/1/cwd")
	for _, path := range []string{"/out/rt-test-out", "/deep/rt-test-out", "/proc/self/root/rt-test-out"} {
		start(t, inside(root, nsenter.Mkdir{Path: path, Mode: 0o755})).fails(pivoted, unix.ELOOP, "open target")
		start(t, inside(root, nsenter.MaskPath{Path: path})).fails(pivoted, unix.ELOOP, "open")
	}
}

func TestSymlink(t *testing.T) {
	root := rootfs(t, "there", "l -> /d")
	start(t, within(root,
		nsenter.Symlink{Path: "/a/link", Target: "/etc/passwd"},
		nsenter.Symlink{Path: "/there", Target: "other"},
		nsenter.Symlink{Path: "/l/link", Target: "x"},
		nsenter.Symlink{Path: "flat", Target: "y"}, stop)).sync(nsenter.SyncReady)
	for path, want := range map[string]string{"a/link": "/etc/passwd", "d/link": "x", "flat": "y"} {
		if have := link(t, root+"/"+path); have != want {
			t.Errorf("%s -> %s", path, have)
		}
	}
	if stat(t, root+"/there").Mode&unix.S_IFMT != unix.S_IFREG {
		t.Error("what was there has gone")
	}
	start(t, within(root, nsenter.Symlink{Path: "/there/x", Target: "y"})).fails(before, unix.ENOTDIR, "symlinkat")
	start(t, within(root, nsenter.Symlink{Path: "/x", Target: ""})).fails(before, unix.ENOENT, "symlinkat")
	start(t, within(root, nsenter.Symlink{Path: "/a/", Target: "y"})).fails(before, unix.ENAMETOOLONG, "open target")
}
