package main

import (
	"errors"
	"testing"

	"rt/libcontainer/bundle"
)

func TestCheck(t *testing.T) {
	bad := bundle.Problem{Pointer: "/process/cwd", Text: "must be absolute", Hint: "use /"}
	odd := bundle.Problem{Text: "has a \x1b[31m key", Warning: true}
	host := bundle.Problem{Pointer: "/linux/namespaces/0", Text: "no such namespace"}
	for _, c := range []struct {
		name   string
		f      fake
		format string
		want   result
	}{
		{"clean", fake{}, "text", result{0, "/b: no problems\n", ""}},
		{"clean json", fake{}, "json", result{0, "{\n  \"problems\": [],\n  \"host\": []\n}\n", ""}},
		{"warning", fake{problems: []bundle.Problem{odd}}, "text",
			result{0, "warning: config.json: has a \\x1b[31m key\n", ""}},
		{"error", fake{problems: []bundle.Problem{bad, odd}}, "text",
			result{1, "error: /process/cwd: must be absolute\n  hint: use /\nwarning: config.json: has a \\x1b[31m key\n", ""}},
		{"host", fake{host: []bundle.Problem{host}}, "text",
			result{1, "error (on this host): /linux/namespaces/0: no such namespace\n", ""}},
		{"error json", fake{problems: []bundle.Problem{bad}, host: []bundle.Problem{odd}}, "json", result{1, `{
  "problems": [
    {
      "pointer": "/process/cwd",
      "text": "must be absolute",
      "hint": "use /"
    }
  ],
  "host": [
    {
      "pointer": "",
      "text": "has a \u001b[31m key",
      "warning": true
    }
  ]
}
`, ""}},
		{"unreadable", fake{err: errors.New("open /b/config.json: no such file or directory")}, "text",
			result{1, "", "rt: open /b/config.json: no such file or directory\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := rt(&c.f, "check", "--format", c.format, "/b"); r != c.want {
				t.Errorf("\n got %+v\nwant %+v", r, c.want)
			}
		})
	}
	f := &fake{}
	if r := rt(f, "check", "-f", "xml", "/b"); r.code != 1 || r.stderr != "rt: invalid format option\n" || f.calls != nil {
		t.Errorf("%+v", r)
	}
}
