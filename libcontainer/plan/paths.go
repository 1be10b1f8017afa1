package plan

import (
	"fmt"
	"path"
	"strings"

	"rt/internal/hint"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Inside is where a path of the host leads that goes into the rootfs: below Root, a name of the rootfs without links. With Root ""
// it leads out again, to Path.
type Inside struct{ Root, Path string }

// A HostPath is one that a configuration names, and where.
type HostPath struct{ Path, Pointer string }

// HostPaths are the paths of the host of which the kernel would follow links: sources, and what options of file systems may name. With
// copy-symlink the last link of a source is not followed, so that its directory is one too.
func HostPaths(spec *specs.Spec, bundle, pointer string) (list []HostPath) {
	for i := range spec.Mounts {
		m, pointer := &spec.Mounts[i], fmt.Sprintf("%s/%d", pointer, i)
		f := parseOptions(m.Options)
		switch {
		case f.remount:
		case IsBind(*m):
			source := bindSource(m, bundle)
			list = append(list, HostPath{source, pointer + "/source"})
			if f.copyLink {
				list = append(list, HostPath{path.Dir(source), pointer + "/source"})
			}
		default:
			list = append(list, fsPaths(m, &f, pointer)...)
		}
	}
	return list
}

func bindSource(m *specs.Mount, bundle string) string {
	if path.IsAbs(m.Source) {
		return m.Source
	}
	return path.Join(bundle, m.Source)
}

// fsPaths are what may be paths in the source and the options of a mount that is a file system of its own: a device, the directories
// of an overlay. What has no slash is taken for none.
func fsPaths(m *specs.Mount, f *flags, pointer string) (list []HostPath) {
	if pathless[m.Type] || m.Type == "proc" || m.Type == "cgroup" || m.Type == "cgroup2" {
		return nil
	}
	add := func(p, where string) {
		if strings.Contains(p, "/") {
			list = append(list, HostPath{p, pointer + where})
		}
	}
	add(m.Source, "/source")
	for _, o := range f.data {
		if o.Value == nil {
			continue
		}
		pieces := unescape(*o.Value)
		for _, p := range pieces {
			add(p, "/options")
		}
		if len(pieces) != 1 || pieces[0] != *o.Value { // newer options take it as it is
			add(*o.Value, "/options")
		}
	}
	return list
}

// unescape parts a list of directories at its colons, as an overlay does.
func unescape(value string) []string {
	pieces := []string{""}
	for i := 0; i < len(value); i++ {
		last := len(pieces) - 1
		switch c := value[i]; {
		case c == ':':
			pieces = append(pieces, "")
		case c == '\\' && i+1 < len(value):
			i++
			pieces[last] += value[i : i+1]
		default:
			pieces[last] += value[i : i+1]
		}
	}
	return pieces
}

// noPathInside refuses a file system for which the kernel would go through the image: it follows links there to the host.
func (b *builder) noPathInside(m *specs.Mount, f *flags, pointer string) error {
	for _, p := range fsPaths(m, f, pointer) {
		if _, ok := b.inside(p.Path); ok {
			return hint.With(fmt.Errorf("%s: mount %s at %s: %s lies below the rootfs", p.Pointer, m.Type, m.Destination, p.Path),
				"the kernel would follow links of the image to the host: take a directory outside of the rootfs")
		}
	}
	return nil
}
