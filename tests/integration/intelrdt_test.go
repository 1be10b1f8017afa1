package integration

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestIntelRdt: what the rules make of a resctrl file system is tested in libcontainer/intelrdt, on a directory that stands
// for one; few processors have the real thing.
func TestIntelRdt(t *testing.T) {
	t.Parallel()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), " - resctrl ") {
		c := newContainer(t, func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "/"} })
		c.run().ok()
		return
	}
	for _, rdt := range []specs.LinuxIntelRdt{
		{}, {ClosID: "/"}, {L3CacheSchema: "L3:0=f"}, {MemBwSchema: "MB:0=20"}, {Schemata: []string{"L2:0=f"}}, {EnableMonitoring: true},
	} {
		c := newContainer(t, func(s *specs.Spec) { s.Linux.IntelRdt = &rdt })
		c.create().fails().rtError("/linux/intelRdt: no resctrl file system is mounted", "mount -t resctrl")
		if left := c.leftovers(false); len(left) > 0 {
			t.Errorf("%+v: left behind: %s", rdt, left)
		}
	}
}
