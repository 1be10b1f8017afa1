package cgroups

import (
	"maps"
	"path"
	"strings"
	"testing"
)

// FuzzCgroupsPath: whatever cgroupsPath, id, --cgroup and the caller's own cgroup say, what is made, written and removed
// lies strictly below a hierarchy of the host, and never is a directory that the host or the caller is in.
func FuzzCgroupsPath(f *testing.F) {
	f.Add("/pod/ct", "id", "/caller", "x")
	f.Add("../../x", "id", "/", "memory:x")
	f.Add("", "a", "/../..", "cpu,memory:../other")
	f.Add("//./a/../", "..", "/a/b", "")
	f.Add("system.slice:rt:x", "id", "/a\n", "name=systemd:x")
	f.Fuzz(func(t *testing.T, cgroupsPath, id, own, sub string) {
		if strings.ContainsAny(own, "\x00\n") {
			return // the kernel lets no cgroup be called so
		}
		for _, h := range []*Host{
			{Mode: V2, Root: "/sys/fs/cgroup", Unified: "/sys/fs/cgroup", own: map[string]string{"": own}},
			{Mode: Hybrid, Root: "/c", Unified: "/c/unified", V1: map[string]string{"cpu": "/c/cpu", "memory": "/c/memory", "name=systemd": "/c/systemd"},
				own: map[string]string{"": own, "cpu": own, "memory": own, "name=systemd": own}},
		} {
			c, err := New(h, cgroupsPath, id)
			if err != nil {
				if strings.ContainsAny(err.Error(), "\x00\n") {
					t.Errorf("message %q", err)
				}
				continue
			}
			confined(t, h, c)
			if again := Load(h, c.Paths()); !maps.Equal(again.Paths(), c.Paths()) {
				t.Errorf("%v is loaded as %v", c.Paths(), again.Paths())
			}
			wanted, err := parseSubs([]string{sub})
			for name, inner := range wanted {
				if err != nil || name != "" && c.Paths()[name] == "" {
					continue
				}
				for _, base := range c.Paths() {
					if dir := path.Join(base, inner); dir != base && below(dir, base) != "" && !strings.HasPrefix(dir, base+"/") {
						t.Errorf("--cgroup %q is %q, not below %q", sub, dir, base)
					}
				}
			}
		}
	})
}

func confined(t *testing.T, h *Host, c *Cgroup) {
	t.Helper()
	for i := range c.members {
		m := &c.members[i]
		if m.mount == "" || m.dir == m.mount || !strings.HasPrefix(m.dir, m.mount+"/") || path.Clean(m.dir) != m.dir || strings.ContainsAny(m.dir, "\x00\n") {
			t.Errorf("directory %q below %q", m.dir, m.mount)
		}
		for dir := range m.ancestors() {
			if dir != m.mount && !strings.HasPrefix(dir, m.mount+"/") || !strings.HasPrefix(m.dir, dir+"/") {
				t.Errorf("%q is made on the way to %q", dir, m.dir)
			}
		}
	}
}
