package stub

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rt/libcontainer/plan"

	"golang.org/x/sys/unix"
)

// TestOpenCgroupInPlace: where the container's cgroup is gone, the error is why the other one could not be opened, unless there is none.
func TestOpenCgroupInPlace(t *testing.T) {
	gone := plan.Input{Kind: plan.CgroupDir, Path: t.TempDir() + "/gone"}
	for _, reason := range []error{unix.EMFILE, unix.EIO, unix.EACCES, unix.ENOENT} {
		inputs := Inputs{Own: func(plan.Input) (*os.File, error) { return nil, reason }}
		_, err := inputs.Open(gone)
		if !errors.Is(err, reason) || reason == unix.ENOENT && !strings.Contains(err.Error(), gone.Path) {
			t.Errorf("%v: got %v", reason, err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	inputs := Inputs{Own: func(plan.Input) (*os.File, error) { return r, nil }}
	if f, err := inputs.Open(gone); err != nil || f != r {
		t.Errorf("the other one: %v, %v", f, err)
	}
}

func TestOpenNamespace(t *testing.T) {
	dir := t.TempDir()
	regular, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		kind uint64
		want string // in the error, "" for none
	}{
		{"/proc/self/ns/net", unix.CLONE_NEWNET, ""},
		{"/proc/self/ns/mnt", unix.CLONE_NEWNS, ""},
		{"/proc/self/ns/user", unix.CLONE_NEWUSER, ""},
		{"/proc/self/ns/pid_for_children", unix.CLONE_NEWPID, ""},
		{"/proc/self/ns/net", unix.CLONE_NEWIPC, "join namespace /proc/self/ns/net: it is a namespace of another type"},
		{"/proc/self/ns/mnt", 0, "another type"},
		{regular, unix.CLONE_NEWNET, "join namespace " + regular + ": it is not a namespace"},
		{fifo, unix.CLONE_NEWNET, "it is not a namespace"},
		{dir, unix.CLONE_NEWNET, "it is not a namespace"},
		{"/dev/null", unix.CLONE_NEWNET, "it is not a namespace"},
		{"/proc/self/stat", unix.CLONE_NEWNET, "it is not a namespace"},
		{dir + "/missing", unix.CLONE_NEWNET, "open " + dir + "/missing: no such file or directory"},
	} {
		f, err := OpenNamespace(plan.Input{Kind: plan.Namespace, Path: c.path, Type: c.kind})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s as %#x: %v, want %q", c.path, c.kind, err, c.want)
		case err == nil:
			f.Close()
		}
	}
}
