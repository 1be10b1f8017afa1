package libcontainer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
	r := &Runtime{Root: f.TempDir(), Warn: func(string, ...any) {}}
	dir := filepath.Join(r.Root, "c")
	if err := os.Mkdir(dir, 0o711); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, stateFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := r.open("c", true)
		if err != nil {
			if errors.Is(err, ErrNotExist) || err.Error() == "" {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		defer c.release()
		if alive, _ := c.alive(); alive && c.Pid <= 0 {
			t.Errorf("%q: pid %d is alive", text, c.Pid)
		}
		if _, err := c.view(); err != nil && strings.Contains(err.Error(), "\x00") {
			t.Errorf("%q: %q", text, err)
		}
		if c.Created.Year() < 0 || c.Created.Year() > 9999 {
			return // RFC 3339 has four digits
		}
		var again state
		if err := json.Unmarshal(c.state.encode(), &again); err != nil || !same(&again, &c.state) {
			t.Errorf("%q: read %+v, written as %s, %v", text, c.state, c.state.encode(), err)
		}
	})
}

// same: a time is the same when it is the same moment, an empty map is none.
func same(a, b *state) bool {
	x, y := *a, *b
	if !x.Created.Equal(y.Created) {
		return false
	}
	x.Created = y.Created
	for _, s := range []*state{&x, &y} {
		if len(s.Annotations) == 0 {
			s.Annotations = nil
		}
		if len(s.Cgroups) == 0 {
			s.Cgroups = nil
		}
	}
	return reflect.DeepEqual(x, y)
}

// FuzzHome: the container's passwd file is the container's. A home that is found in it can be put into an environment.
func FuzzHome(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/sh\n"), uint32(0))
	f.Add([]byte("a::00:0:::\nb:x:4294967296:0::/b:\n:x:0:0::/\x00x:\nc:x:-0:0::/c:"), uint32(0))
	f.Add([]byte(strings.Repeat("x", 70000)+"\nd:x:7:0::/d:"), uint32(7))
	f.Fuzz(func(t *testing.T, text []byte, uid uint32) {
		fd, err := unix.MemfdCreate("passwd", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		file := os.NewFile(uintptr(fd), "passwd")
		if _, err := file.WriteAt(text, 0); err != nil {
			t.Fatal(err)
		}
		if home, err := homeIn(file, uid); err != nil || home == "" || strings.ContainsAny(home, "\x00\n:") {
			t.Errorf("home %q", home)
		}
	})
}
