package libcontainer

import (
	"errors"
	"os"
	"testing"

	"rt/cgroups"
	"rt/libcontainer/bundle"
	"rt/libcontainer/facts"
	"rt/libcontainer/state"
	"rt/tests/nofiles"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestAsksForCgroup: what engines send for "nothing" is nothing; device rules are another matter.
func TestAsksForCgroup(t *testing.T) {
	limit, swappiness := int64(1<<20), uint64(60)
	for want, l := range map[string]*specs.Linux{
		"": {Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
			Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, BlockIO: &specs.LinuxBlockIO{}}},
		"/linux/cgroupsPath":            {CgroupsPath: "/x"},
		"/linux/resources/memory/limit": {Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}},
		"/linux/resources/pids/limit":   {Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}},
		"/linux/resources/unified/a.b":  {Resources: &specs.LinuxResources{Unified: map[string]string{"a.b": "1"}}},
		"/linux/resources":              {Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: &swappiness}}},
	} {
		if got := asksForCgroup(bundle.Normalise(&specs.Spec{Linux: l}).Linux); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := asksForCgroup(bundle.Normalise(&specs.Spec{}).Linux); got != "" {
		t.Error(got)
	}
}

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
