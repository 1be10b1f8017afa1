package doctor

import (
	"testing"

	"rt/cgroups"
	"rt/libcontainer/state"
)

// TestIsCgroup: a unit is known by its whole path, not by the end of one.
func TestIsCgroup(t *testing.T) {
	host := &cgroups.Host{Unified: "/sys/fs/cgroup/unified", V1: map[string]string{"pids": "/sys/fs/cgroup/pids", "name=systemd": "/sys/fs/cgroup/systemd"}}
	for dir, want := range map[string]bool{
		"/sys/fs/cgroup/pids/system.slice/rt-a.scope": true, "/sys/fs/cgroup/unified/system.slice/rt-a.scope": true,
		"/sys/fs/cgroup/pids/user.slice/system.slice/rt-a.scope": false, "/sys/fs/cgroup/memory/system.slice/rt-a.scope": false,
		"/sys/fs/cgroup/pids/rt-a.scope": false, "/system.slice/rt-a.scope": false,
	} {
		if got := isCgroup(host, dir, "/system.slice/rt-a.scope"); got != want {
			t.Errorf("%s: %v", dir, got)
		}
	}
}

// TestUnitOf: a unit that a forged mark names, or that is not rt's, is not stopped.
func TestUnitOf(t *testing.T) {
	for _, m := range []state.Mark{{Unit: "app.slice", Trusted: true}, {Unit: "a.scope"}, {Trusted: true}} {
		if got := unitOf(m, &cgroups.Host{Unified: "/sys/fs/cgroup"}, []string{"/sys/fs/cgroup/" + m.Unit}); got != "" {
			t.Errorf("%+v: %s", m, got)
		}
	}
}
