package checkpoint

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestRestoredLabels: which labels of a restored process are the configured profile.
func TestRestoredLabels(t *testing.T) {
	for _, c := range []struct {
		has, want string
		ok        bool
	}{
		{"docker-default (enforce)", "docker-default", true},
		{"docker-default//child (enforce)", "docker-default", true},
		{"docker-default//&:ns:other (enforce)", "docker-default", true},
		{"other//&docker-default (mixed)", "docker-default", true},
		{"strict (kill)", "strict", true},
		{"a//&b (enforce)", "a//&b", true},
		{"docker-default (complain)", "docker-default", true},
		{"docker-default-2 (enforce)", "docker-default", false},
		{"other (enforce)", "docker-default", false},
		{"other//docker-default (enforce)", "docker-default", false},
		{"unconfined", "docker-default", false},
		{"", "docker-default", false},
	} {
		if got := isConfined(c.has, c.want); got != c.ok {
			t.Errorf("%q for %q: %v", c.has, c.want, got)
		}
	}
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/attr/apparmor", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := labelOf(dir, "apparmor/current", "current"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for file, text := range map[string]string{"current": "u:r:t:s0\x00", "apparmor/current": "p (enforce)\n"} {
		if err := os.WriteFile(dir+"/attr/"+file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	profile, err := labelOf(dir, "apparmor/current", "current")
	label, err2 := labelOf(dir, "current")
	if err != nil || err2 != nil || profile != "p (enforce)" || label != "u:r:t:s0" {
		t.Errorf("%q, %v, %q, %v", profile, err, label, err2)
	}
}
