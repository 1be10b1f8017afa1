package log

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rt/internal/text"
)

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
		l := &Logger{stderr: &stderr, now: time.Now}
		if err := l.Configure("", "text", c.level, c.debug); err != nil {
			t.Fatal(err)
		}
		l.Warnf("w %d", 1)
		l.Debugf("d")
		if stderr.String() != c.want {
			t.Errorf("%+v: %q", c, stderr.String())
		}
	}
}

// With a log file, standard error may be the container's: warnings stay out of it.
func TestWarningGoesToFileOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var stderr bytes.Buffer
	l := &Logger{stderr: &stderr, now: func() time.Time { return time.Unix(0, 0) }}
	if err := l.Configure(path, "json", "info", false); err != nil {
		t.Fatal(err)
	}
	l.Warnf("careful")
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
		line := (&Logger{json: true, now: now}).record(levelError, s)
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
		written := (&Logger{now: now}).record(levelError, s)
		if bytes.Count(written, []byte("\n")) != 1 || !bytes.HasSuffix(written, []byte("\"\n")) {
			t.Fatalf("not one line: %q", written)
		}
	})
}

// What delete --force has to say is said when it has done its work.
func TestForceSpeaksLater(t *testing.T) {
	for _, force := range []bool{false, true} {
		var out bytes.Buffer
		l := &Logger{stderr: &out, max: levelInfo}
		if force {
			l.Hold()
		}
		l.Warnf("first")
		if force && out.Len() > 0 {
			t.Errorf("written: %q", out.String())
		}
		l.Release()
		l.Warnf("said")
		if got := out.String(); got != "rt: warning: first\nrt: warning: said\n" {
			t.Errorf("%v: %q", force, got)
		}
	}
}
