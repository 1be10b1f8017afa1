package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"rt/internal/hint"

	"golang.org/x/sys/unix"
)

func TestErrorInLogAndOnStderr(t *testing.T) {
	umask := unix.Umask(0) // so that the mode is the one that rt asks for
	defer unix.Umask(umask)
	for _, c := range []struct{ format, want string }{
		{"json", `{"level":"error","msg":"exec: \"x\": executable file not found in $PATH","time":"2023-11-14T22:13:20Z"}` + "\n"},
		{"text", `time="2023-11-14T22:13:20Z" level=error msg="exec: \"x\": executable file not found in $PATH"` + "\n"},
	} {
		path := filepath.Join(t.TempDir(), "log")
		f := &fake{err: hint.With(errors.New(`exec: "x": executable file not found in $PATH`), "install x")}
		for range 2 { // appended, not replaced
			r := rt(f, "--log", path, "--log-format", c.format, "create", "c")
			if want := "rt: exec: \"x\": executable file not found in $PATH\nhint: install x\n"; r.code != 1 || r.stderr != want {
				t.Errorf("%s: %+v", c.format, r)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != c.want+c.want {
			t.Errorf("%s: got %s, %v", c.format, got, err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode() != 0o644 {
			t.Errorf("%v, %v", st, err)
		}
	}
}

func TestJSONWithoutFile(t *testing.T) {
	r := rt(&fake{err: hint.With(errors.New("bad"), "hint")}, "--log-format", "json", "create", "c")
	if want := `{"level":"error","msg":"bad","time":"2023-11-14T22:13:20Z"}` + "\n"; r.stderr != want {
		t.Errorf("%q", r.stderr)
	}
}

func TestLogFileWithoutMessages(t *testing.T) {
	for _, verb := range [][]string{{"start", "c"}, {"delete", "c"}} {
		path := filepath.Join(t.TempDir(), "log")
		if r := rt(&fake{}, append([]string{"--log", path}, verb...)...); r.code != 0 || r.stderr != "" {
			t.Fatalf("%v: %+v", verb, r)
		}
		if st, err := os.Stat(path); err != nil || st.Size() != 0 {
			t.Errorf("%v: %v, %v", verb, st, err)
		}
	}
}

// TestForceOpensLogLater: delete --force does its work first, and a log that cannot be made is a warning.
func TestForceOpensLogLater(t *testing.T) {
	path := t.TempDir() + "/missing/log"
	f := &fake{err: errors.New("boom")}
	r := rt(f, "--log", path, "delete", "--force", "c")
	if want := "rt: warning: log: open " + path + ": no such file or directory\nrt: boom\n"; r.code != 1 || r.stderr != want || f.calls == nil {
		t.Errorf("%+v, calls %v", r, f.calls)
	}
}

// TestUnusableLog: a log that cannot be made is the one error, and nothing is done, whatever the command but for delete --force.
func TestUnusableLog(t *testing.T) {
	for _, verb := range [][]string{{"start", "c"}, {"delete", "c"}, {"exec", "c", "true"}, {"frobnicate"}, {}} {
		dir := t.TempDir()
		for path, reason := range map[string]string{dir + "/missing/log": "no such file or directory", dir: "is a directory"} {
			f := &fake{err: errors.New("boom")}
			r := rt(f, append([]string{"--log", path}, verb...)...)
			if want := "rt: option --log: open " + path + ": " + reason + "\n"; r.code != 1 || r.stderr != want || f.calls != nil {
				t.Errorf("%v: %+v, calls %v", verb, r, f.calls)
			}
		}
	}
}

// TestFullLog: what cannot be written later is a warning, and the error is at standard error.
func TestFullLog(t *testing.T) {
	r := rt(&fake{err: errors.New("boom")}, "--log", "/dev/full", "start", "c")
	if want := "rt: warning: log: write /dev/full: no space left on device\nrt: boom\n"; r.code != 1 || r.stderr != want {
		t.Errorf("%+v", r)
	}
}
