package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A record is one line of the JSON log.
type record struct{ Level, Msg, Time string }

func (c *container) records(name string) (records []record) {
	c.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(c.read(name)), "\n") {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			c.t.Fatalf("%q is not JSON: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339, r.Time); err != nil || r.Level == "" {
			c.t.Errorf("record %q: %v", line, err)
		}
		records = append(records, r)
	}
	return records
}

// TestLog: the last record of level error says what went wrong, as engines read it; stderr says it too.
func TestLog(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("no-such-program"))
	log := filepath.Join(c.dir, "log.json")
	r := c.do(call{global: []string{"--log", log, "--log-format", "json"}, args: c.with("create")}).exits(1)
	records := c.records("log.json")
	last := records[len(records)-1]
	want := `exec: "no-such-program": executable file not found in $PATH`
	if last.Level != "error" || !strings.Contains(last.Msg, want) {
		t.Errorf("last record: %+v", last)
	}
	r.says(want)
	// It is appended to.
	c.do(call{global: []string{"--log", log, "--log-format", "json"}, args: []string{"state", "nothing"}}).exits(1)
	if again := c.records("log.json"); len(again) != len(records)+1 || again[len(again)-1].Msg != "container does not exist" {
		t.Errorf("after a second failure: %+v", again)
	}
	c.do(call{global: []string{"--log", log, "--log-format", "json"}, args: []string{"kill", c.id, "KILL"}}).exits(1)
	c.must(os.Remove(log))
}

func TestTextLog(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	log := filepath.Join(c.dir, "log.txt")
	c.do(call{global: []string{"--log", log}, args: []string{"state", c.id}}).fails("container does not exist")
	if text := c.read("log.txt"); !strings.Contains(text, "level=error") || !strings.Contains(text, `msg="container does not exist"`) {
		t.Errorf("log: %q", text)
	}
	c.do(call{global: []string{"--log-format", "xml"}, args: []string{"state", c.id}}).exits(1).says("xml")
}

// TestLogIsQuiet: success logs nothing.
func TestLogIsQuiet(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("true"))
	log := filepath.Join(c.dir, "log.json")
	r := c.do(call{global: []string{"--log", log, "--log-format", "json"}, args: c.with("run")}).ok()
	data, err := os.ReadFile(log)
	if err == nil && len(data) > 0 || r.stderr != "" {
		t.Errorf("log %q, %s", data, r)
	}
}

// TestDebugLog: --debug is about the log alone, and stays valid JSON.
func TestDebugLog(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("echo", "out"))
	log := filepath.Join(c.dir, "log.json")
	c.do(call{global: []string{"--debug", "--log", log, "--log-format", "json"}, args: c.with("run")}).ok().prints("out")
	c.do(call{global: []string{"--debug", "--log", log, "--log-format", "json"}, args: []string{"state", "nothing"}}).exits(1)
	c.records("log.json")
}
