package libcontainer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestCheckKernel(t *testing.T) {
	for release, ok := range map[string]bool{"5.14.0": true, "5.13.19-generic": false, "4.18.0-553.el8": false, "3.10": false, "5.15": true, "6.1.0-25-amd64": true, "10.0": true, "": true, "x": true} {
		if err := CheckKernel(release); (err == nil) != ok {
			t.Errorf("%q: %v", release, err)
		}
	}
}

// TestRootfsOf: a rootfs that a link could move is refused.
func TestRootfsOf(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"real/rootfs", "real/empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"link": "real/rootfs", "up": "real", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"real/rootfs": "", "./real//empty/../rootfs/": "", dir + "/real/rootfs": "",
		"link": "symbolic link", "up/rootfs": "symbolic link", "loop": "symbolic link",
		"file": "not a directory", "missing": "no such file or directory",
	} {
		got, _, err := rootfsOf(&bundle.Bundle{Dir: dir, Spec: &specs.Spec{Root: &specs.Root{Path: path}}})
		switch {
		case want == "" && (err != nil || got != dir+"/real/rootfs"):
			t.Errorf("%s: %s, %v", path, got, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/root/path")):
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}
