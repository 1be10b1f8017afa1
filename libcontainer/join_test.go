package libcontainer

import (
	"errors"
	"os"
	"testing"

	"rt/cgroups"
	"rt/libcontainer/facts"
	"rt/libcontainer/state"
	"rt/tests/nofiles"

	"golang.org/x/sys/unix"
)

// TestRightsUnknown: whether a process may join the container's cgroup cannot be asked. It does not run outside, and so free
// of the limits.
func TestRightsUnknown(t *testing.T) {
	r := &Runtime{Root: state.Root{Warn: func(string, ...any) {}}}
	c := with(r, state.State{ID: "c", Pid: os.Getpid()})
	j := &facts.Joining{Cgroup: facts.Cgroup{Dir: "/sys/fs/cgroup/x"}}
	cg := cgroups.Load(&cgroups.Host{Mode: cgroups.V2, Root: "/sys/fs/cgroup", Unified: "/sys/fs/cgroup"}, map[string]string{"": j.Cgroup.Dir})
	self, err := os.Open("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	nofiles.Run(t, func() {
		if err := c.rights(j, self, cg); !errors.Is(err, unix.EMFILE) || j.Cgroup.Dir == "" {
			t.Errorf("%v, born in %q", err, j.Cgroup.Dir)
		}
	})
}
