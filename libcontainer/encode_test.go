package libcontainer

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// TestStateRoundTrip fills every field, so that a new one that encode forgets is noticed.
func TestStateRoundTrip(t *testing.T) {
	full := state{
		OCIVersion: "1.3.0", ID: "a", Pid: 7, StartTime: 1 << 63, Bundle: "/b \"quoted\" \\ \n\x01é", Rootfs: "/r",
		Created: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Annotations: map[string]string{"k\"": "v\t", "": ""},
		Cgroups: map[string]string{"": "/sys/fs/cgroup", "cpu": "/c"}, SystemdCgroup: true, PrivatePid: true, NoKeyring: true,
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not filled", v.Type().Field(i).Name)
		}
	}
	for _, want := range []state{full, {Created: time.Unix(0, 0).UTC()}} {
		var got state
		if err := json.Unmarshal(want.encode(), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", want.encode(), got, err)
		}
	}
	for _, want := range []journal{{}, {Cgroups: map[string]string{"": "/x", "pids": "/y"}}} {
		var got journal
		if err := json.Unmarshal(want.encode(), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", want.encode(), got, err)
		}
	}
}
