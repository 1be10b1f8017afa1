package plan

import (
	"slices"
	"strings"
	"testing"

	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestPathsInside(t *testing.T) {
	if got := unescape(`/a\:b:/c\\d::/e\`); !slices.Equal(got, []string{`/a:b`, `/c\d`, "", `/e\`}) {
		t.Errorf("%q", got)
	}
	for _, tc := range []struct {
		mount specs.Mount
		want  string // "" if it passes
	}{
		{specs.Mount{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/a:/b/rootfs", "upperdir=/b/rootfs2/c", "workdir=/d"}}, ""},
		{specs.Mount{Type: "tmpfs", Source: "/b/rootfs/x", Options: []string{"x=/b/rootfs/x"}}, ""},
		{specs.Mount{Type: "overlay", Source: "overlay", Options: []string{"remount", "lowerdir=/b/rootfs/x"}}, ""},
		{specs.Mount{Type: "overlay", Source: "overlay", Options: []string{"ro", "lowerdir=/a:/b//rootfs/x"}}, "/mounts/0/options: "},
		{specs.Mount{Type: "overlay", Source: "overlay", Options: []string{`lowerdir=/b/root\fs/x`}}, "/mounts/0/options: "},
		{specs.Mount{Type: "overlay", Source: "overlay", Options: []string{`lowerdir+=/b/rootfs/x:\y`}}, "/mounts/0/options: "},
		{specs.Mount{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/a", "upperdir=/alias/x", "workdir=/d"}}, "/mounts/0/options: "},
		{specs.Mount{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/a", "upperdir=/d", "workdir=/a/../b/rootfs/x"}}, "/mounts/0/options: "},
		{specs.Mount{Type: "ext4", Source: "/b/rootfs/disk"}, "/mounts/0/source: "},
	} {
		tc.mount.Destination = "/m"
		spec := bundle.Normalise(&specs.Spec{
			Root: &specs.Root{Path: "rootfs"}, Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"},
			Mounts: []specs.Mount{tc.mount}, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}},
		})
		facts := Facts{Bounding: everything, Home: "/", Inside: map[string]Inside{"/alias/x": {Root: "/alias", Path: "/alias/x"}}}
		_, err := Create(spec, Options{ID: "ID", Bundle: "/b", Rootfs: "/b/rootfs"}, facts)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
			t.Errorf("%+v: %v", tc.mount, err)
		}
	}
}
