package facts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hostNodes are the host's nodes of a configuration's devices, which are bound in a user namespace. What cannot be looked at has no
// warning, and its error is that of the step that binds it.
func hostNodes(spec *specs.Spec) map[string]plan.Node {
	nodes := map[string]plan.Node{}
	if !bundle.HasNamespace(spec, specs.UserNamespace) {
		return nodes
	}
	for _, d := range spec.Linux.Devices {
		var st unix.Stat_t
		at := filepath.Join("/", d.Path)
		if err := sys.Retry(func() error { return unix.Stat(at, &st) }); err == nil {
			nodes[at] = plan.Node{Mode: st.Mode, UID: st.Uid, GID: st.Gid}
		}
	}
	return nodes
}

// linkedSources are those sources of bind mounts with the option copy-symlink that are symbolic links, and what they say. Below the
// rootfs a link is the image's, and so are those that may lead to it: it is followed.
func linkedSources(spec *specs.Spec, bundleDir, rootfs string, inside map[string]plan.Inside) map[string]string {
	links := map[string]string{}
	for _, m := range spec.Mounts {
		source := m.Source
		if !slices.Contains(m.Options, "copy-symlink") {
			continue
		}
		if !filepath.IsAbs(source) {
			source = filepath.Join(bundleDir, source)
		}
		if _, ok := inside[filepath.Dir(source)]; ok || strings.HasPrefix(filepath.Clean(source), rootfs+"/") {
			continue
		}
		if text, err := os.Readlink(source); err == nil {
			links[source] = text
		}
	}
	return links
}

// Rootfs is root.path below the bundle. A rootfs that is, or lies behind, a symbolic link is refused: it could
// point somewhere else by the time it is mounted.
func Rootfs(b *bundle.Bundle) (string, plan.RootDir, error) {
	path := b.Spec.Root.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.Dir, path)
	}
	path = filepath.Clean(path)
	var dir plan.RootDir
	f, err := sys.OpenAt(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if errors.Is(err, unix.ELOOP) {
		return "", dir, fmt.Errorf("open rootfs %s: it is, or lies behind, a symbolic link (/root/path)", path)
	}
	if err != nil {
		return "", dir, fmt.Errorf("open rootfs: %w (/root/path)", err)
	}
	defer f.Close()
	if len(b.Spec.Hooks.CreateContainer) == 0 {
		return path, dir, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", dir, fmt.Errorf("look at rootfs %s: %w (/root/path)", path, err)
	}
	return path, plan.RootDir{Path: path, Dev: st.Dev, Ino: st.Ino}, nil
}
