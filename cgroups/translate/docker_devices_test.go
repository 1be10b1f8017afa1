package translate

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Docker denies fuse by a rule of its own; the default that any node may be made must not stand in the way.
func TestDenyingOneDeviceLeavesMknodOfAll(t *testing.T) {
	major, minor := int64(10), int64(229)
	_, list, err := Devices([]specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "rw"},
		{Allow: false, Type: "c", Major: &major, Minor: &minor, Access: "rwm"},
	})
	if err != nil {
		t.Fatal(err)
	}
	anyNode := false
	for _, s := range list {
		if s.Value == "c 10:229 rwm" || s.Value == "c 10:229 rw" {
			t.Errorf("%+v is still allowed", s)
		}
		anyNode = anyNode || s.Value == "c *:* m"
	}
	if !anyNode {
		t.Error("mknod of any node is gone")
	}
}
