package facts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestLinkedSources: copy-symlink copies a link of the host, and none of the image, however its path is written.
func TestLinkedSources(t *testing.T) {
	dir := t.TempDir()
	rootfs := dir + "/rootfs"
	if err := errors.Join(os.Mkdir(rootfs, 0o755), os.Symlink("image", rootfs+"/link"), os.Symlink("host", dir+"/link")); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		dir + "/link": "host", "link": "host", dir + "/./link": "host", dir + "/rootfs/../link": "host",
		rootfs + "/link": "", "rootfs/link": "", dir + "/./rootfs/link": "", dir + "//rootfs/link": "", "/" + rootfs + "/link": "",
	} {
		spec := bundle.Normalise(&specs.Spec{Mounts: []specs.Mount{{Destination: "/x", Type: "bind", Source: source, Options: []string{"bind", "copy-symlink"}}}})
		got := ""
		for _, text := range linkedSources(spec, dir, rootfs, nil) {
			got = text
		}
		if got != want {
			t.Errorf("%s: %q is copied, want %q", source, got, want)
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
		got, _, err := Rootfs(&bundle.Bundle{Dir: dir, Spec: bundle.Normalise(&specs.Spec{Root: &specs.Root{Path: path}})})
		switch {
		case want == "" && (err != nil || got != dir+"/real/rootfs"):
			t.Errorf("%s: %s, %v", path, got, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/root/path")):
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}
