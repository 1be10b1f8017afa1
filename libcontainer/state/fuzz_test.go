package state

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzState: a state.json that a crash, a full disk or another version left is read or refused with an error, its status
// can be asked, and what was read is what is written again.
func FuzzState(f *testing.F) {
	full := fullState()
	f.Add(full.encode())
	f.Add([]byte(`{"pid":-1,"startTime":0,"cgroups":{"":"/sys/fs/cgroup","memory":"../.."}}`))
	f.Add([]byte(`{"pid":1,"id":"../x","created":"0001-01-01T00:00:00Z","annotations":{"\u0000":"\ud800"}}`))
	f.Add([]byte(`{"pid":9223372036854775807,"cgroups":null}`))
	f.Add([]byte{})
	r := newRoot(f)
	dir := filepath.Join(r.Dir, "c")
	if err := os.Mkdir(dir, 0o711); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, StateFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := r.OpenContainer("c", true)
		if err != nil {
			if errors.Is(err, ErrNotExist) || err.Error() == "" {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		defer c.Release()
		if alive, _ := c.IsAlive(); alive && c.Pid <= 0 {
			t.Errorf("%q: pid %d is alive", text, c.Pid)
		}
		if c.Created.Year() < 0 || c.Created.Year() > 9999 {
			return // RFC 3339 has four digits
		}
		var again State
		if err := json.Unmarshal(c.State.encode(), &again); err != nil || !same(&again, &c.State) {
			t.Errorf("%q: read %+v, written as %s, %v", text, c.State, c.State.encode(), err)
		}
	})
}

// same: a time is the same when it is the same moment, an empty map is none.
func same(a, b *State) bool {
	x, y := *a, *b
	if !x.Created.Equal(y.Created) {
		return false
	}
	x.Created = y.Created
	for _, s := range []*State{&x, &y} {
		if len(s.Annotations) == 0 {
			s.Annotations = nil
		}
		if len(s.Cgroups) == 0 {
			s.Cgroups = nil
		}
	}
	return reflect.DeepEqual(x, y)
}
