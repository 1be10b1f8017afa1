package facts

import (
	"errors"
	"os"
	"testing"

	"rt/libcontainer/plan"

	"golang.org/x/sys/unix"
)

func TestHostWalk(t *testing.T) {
	dir := t.TempDir()
	root := dir + "/bundle/rootfs"
	for _, d := range []string{root + "/etc", dir + "/other/deep", dir + "/data"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, text := range map[string]string{
		dir + "/alias": "bundle", dir + "/direct": root + "/", dir + "/through": "alias/rootfs/etc/x", root + "/etc/up": "/", dir + "/loop": "loop",
		dir + "/other/deep/back": "../../alias/", root + "/out": dir + "/data", dir + "/elsewhere": dir + "/other/deep",
	} {
		if err := os.Symlink(text, link); err != nil {
			t.Fatal(err)
		}
	}
	inside := func(below string) *plan.Inside { return &plan.Inside{Root: root, Path: root + "/" + below} }
	for path, want := range map[string]*plan.Inside{
		dir + "/alias/rootfs/out/x":                   inside("out/x"),
		dir + "/alias//rootfs/./etc/../out/":          inside("out"),
		dir + "/direct/out":                           inside("out"),
		dir + "/through":                              inside("etc/x"),
		dir + "/other/deep/back/rootfs/etc/up":        inside("etc/up"),
		dir + "/elsewhere/../../bundle/rootfs/x":      inside("x"),
		"/proc/self/root" + root + "/out":             inside("out"),
		dir + "/direct/etc/up/../../../rootfs/x":      inside("x"), // out by "..", and in again
		dir + "/direct":                               {Path: root},
		dir + "/direct/out/..":                        {Path: root},
		dir + "/direct/etc/up/../../../../data/f":     {Path: dir + "/data/f"},
		dir + "/direct/../../missing/x":               {Path: dir + "/missing/x"},
		dir + "/elsewhere/../../alias/missing/rootfs": nil,
		dir + "/data":                                 nil,
		dir + "/loop/x":                               nil,
		"/":                                           nil,
		"/proc/self/fd/0":                             nil,
	} {
		w := hostWalk{rootfs: root, seen: map[string]sight{}}
		got, ok, err := w.walk(path)
		if err != nil || ok != (want != nil) || ok && got != *want {
			t.Errorf("%s: %+v, %v, %v, want %+v", path, got, ok, err, want)
		}
	}
	// A rootfs that is gone has no other names.
	w := hostWalk{rootfs: dir + "/gone", seen: map[string]sight{}}
	if _, ok, err := w.walk(dir + "/alias/rootfs/out"); ok || err != nil {
		t.Errorf("without a rootfs: %v, %v", ok, err)
	}
	if unfollowed(unix.EIO) || unfollowed(unix.ENOMEM) || !unfollowed(&os.PathError{Err: unix.EACCES}) || unfollowed(errors.New("x")) {
		t.Error("what could not be looked at is taken for what is not there")
	}
}
