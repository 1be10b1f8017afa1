package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mounts.json")
	if err := os.WriteFile(file, []byte("[1]"), 0o600); err != nil {
		t.Fatal(err)
	}
	testLines(t, []line{
		{"mounts add c " + file, []any{"add mounts", "c", "[1]"}},
		{"mounts remove c " + file, []any{"remove mounts", "c", "[1]"}},
	})
	f := &fake{stdin: "[2]"}
	if r := rt(f, "mounts", "add", "c", "-"); r.code != 0 || len(f.calls) != 3 || f.calls[2] != "[2]" {
		t.Errorf("%+v %v", r, f.calls)
	}
	for args, want := range map[string]string{
		"mounts":          `"mounts" requires exactly 3 argument(s)`,
		"mounts list c -": `unknown command "mounts list"`,
		"mounts add c x":  "read mounts: open x: no such file or directory",
	} {
		f := &fake{}
		if r := rt(f, strings.Split(args, " ")...); r.code != 1 || !strings.Contains(r.stderr, "rt: "+want+"\n") || f.calls != nil {
			t.Errorf("%s: %+v %v", args, r, f.calls)
		}
	}
}
