package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rt/internal/text"

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
		f := &fake{err: &usageError{`exec: "x": executable file not found in $PATH`, "install x"}}
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
	r := rt(&fake{err: &usageError{"bad", "hint"}}, "--log-format", "json", "create", "c")
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

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		level string
		debug bool
		want  string
	}{
		{"error", false, ""},
		{"warning", false, "rt: warning: w 1\n"},
		{"info", false, "rt: warning: w 1\n"},
		{"debug", false, "rt: warning: w 1\nrt: debug: d\n"},
		{"error", true, "rt: warning: w 1\nrt: debug: d\n"},
	} {
		var stderr bytes.Buffer
		l := &logger{stderr: &stderr, now: time.Now}
		if err := l.configure("", "text", c.level, c.debug); err != nil {
			t.Fatal(err)
		}
		l.warnf("w %d", 1)
		l.debugf("d")
		if stderr.String() != c.want {
			t.Errorf("%+v: %q", c, stderr.String())
		}
	}
}

// With a log file, standard error may be the container's: warnings stay out of it.
func TestWarningGoesToFileOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var stderr bytes.Buffer
	l := &logger{stderr: &stderr, now: func() time.Time { return time.Unix(0, 0) }}
	if err := l.configure(path, "json", "info", false); err != nil {
		t.Fatal(err)
	}
	l.warnf("careful")
	got, err := os.ReadFile(path)
	if want := `{"level":"warning","msg":"careful","time":"1970-01-01T00:00:00Z"}` + "\n"; err != nil || string(got) != want || stderr.Len() != 0 {
		t.Errorf("log %q, stderr %q, %v", got, stderr.String(), err)
	}
}

// Engines read the last line of the log whose level is error: a message must not be able to end its line,
// break the JSON, or reach a terminal as control characters.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{"", "plain", "a\nb", `{"level":"error"}`, "\"\\", "\xff\x00\x1b[31m", "\u2028\u0085<&>", "\r\n", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		now := func() time.Time { return time.Unix(1700000000, 0) }
		line := (&logger{json: true, now: now}).record(levelError, s)
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("not one line: %q", line)
		}
		var got map[string]string
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if len(got) != 3 || got["level"] != "error" || got["time"] != "2023-11-14T22:13:20Z" || got["msg"] != strings.ToValidUTF8(got["msg"], "") {
			t.Fatalf("%v", got)
		}
		if utf8.ValidString(s) && got["msg"] != s {
			t.Fatalf("%q became %q", s, got["msg"])
		}
		if plain := text.PrintableJSON(line); !bytes.Equal(plain, line) {
			t.Fatalf("%q has a harmful character", line)
		}
		written := (&logger{now: now}).record(levelError, s)
		if bytes.Count(written, []byte("\n")) != 1 || !bytes.HasSuffix(written, []byte("\"\n")) {
			t.Fatalf("not one line: %q", written)
		}
	})
}

// What delete --force has to say is said when it has done its work.
func TestForceSpeaksLater(t *testing.T) {
	for _, force := range []bool{false, true} {
		var out bytes.Buffer
		l := &logger{stderr: &out, max: levelInfo}
		if force {
			l.hold()
		}
		l.warnf("first")
		if force && out.Len() > 0 {
			t.Errorf("written: %q", out.String())
		}
		l.release()
		l.warnf("said")
		if got := out.String(); got != "rt: warning: first\nrt: warning: said\n" {
			t.Errorf("%v: %q", force, got)
		}
	}
}
