package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultRoot(t *testing.T) {
	for _, c := range []struct {
		xdg    string
		euid   int
		user   string
		userNS bool
		want   string
	}{
		{"", 0, "root", false, "/run/rt"},
		{"", 1000, "u", false, "/run/rt"},
		{"/x", 1000, "u", false, "/x/rt"},
		{"/x", 1000, "root", false, "/x/rt"},
		{"/x", 0, "u", false, "/run/rt"},
		{"/x", 0, "root", true, "/run/rt"},
		{"/x", 0, "u", true, "/x/rt"},
		{"/x", 0, "", true, "/x/rt"},
		{"x", 1000, "u", false, "/run/rt"}, // the XDG specification says to ignore relative paths
	} {
		if got := defaultRoot(c.xdg, c.euid, c.user, func() bool { return !c.userNS }); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestGlobalOptionsReachTheRuntime(t *testing.T) {
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	rt(f, "--systemd-cgroup", "--root", "some/../dir", "state", "c")
	if !f.runtime.SystemdCgroup || f.runtime.Dir != filepath.Join(cwd, "dir") || f.runtime.Warn == nil {
		t.Errorf("%+v", f.runtime)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	rt(f, "state", "c")
	if f.runtime.SystemdCgroup || f.runtime.Dir != "/run/rt" {
		t.Errorf("%+v", f.runtime)
	}
}

// A wrong command line must reach nothing.
func TestBadUsage(t *testing.T) {
	for _, c := range []struct{ args, stderr string }{
		{"--root / list", "rt: option --root must not be /\n"},
		{"--root /../ list", "rt: option --root must not be /\n"},
		{"--root= list", "rt: option --root must not be empty\n"},
		{"--log-format x list", "rt: invalid log-format: x\n"},
		{"--log-level x list", "rt: invalid log-level: x\n"},
		{"--rootless x list", "rt: invalid rootless: x\n"},
		{"create", "rt: \"create\" requires exactly 1 argument(s)\n"},
		{"create a b", "rt: \"create\" requires exactly 1 argument(s)\n"},
		{"create a --c x", "rt: \"create\" requires exactly 1 argument(s)\nhint: create has no flag --c\n"},
		{"create a --bundle", "rt: flag needs an argument: -bundle\n"},
		{"list --root", "rt: flag needs an argument: -root\n"},
		{"update a --memory 1G -r", "rt: flag needs an argument: -r\n"},
		{"kill a -- -9 x", "rt: \"kill\" requires a maximum of 2 argument(s)\nhint: kill has no flag -9\n"},
		{"kill a - --", "rt: unknown signal \"-\"\n"},
		{"delete -- a -f", "rt: \"delete\" requires exactly 1 argument(s)\n"},
		{"delete a -- --x", "rt: \"delete\" requires exactly 1 argument(s)\nhint: delete has no flag --x\n"},
		{"run", "rt: \"run\" requires exactly 1 argument(s)\n"},
		{"list x", "rt: \"list\" requires exactly 0 argument(s)\n"},
		{"kill", "rt: \"kill\" requires a minimum of 1 argument(s)\n"},
		{"kill a b c", "rt: \"kill\" requires a maximum of 2 argument(s)\n"},
		{"ps", "rt: \"ps\" requires a minimum of 1 argument(s)\n"},
		{"create --bogus c", "rt: flag provided but not defined: -bogus\n"},
		{"--bogus create c", "rt: flag provided but not defined: -bogus\n"},
		{"run --preserve-fds -1 c", "rt: option --preserve-fds must not be negative\n"},
		{"exec --preserve-fds -1 c sh", "rt: option --preserve-fds must not be negative\n"},
	} {
		f := &fake{}
		r := rt(f, strings.Split(c.args, " ")...)
		if r.code != 1 || r.stderr != c.stderr || f.calls != nil {
			t.Errorf("%q: code %d, stderr %q, calls %v", c.args, r.code, r.stderr, f.calls)
		}
		counted := strings.Contains(c.stderr, "argument(s)")
		if counted && !strings.HasPrefix(r.stdout, "Incorrect Usage.\n\nNAME:\n   rt ") {
			t.Errorf("%q: stdout %.60q", c.args, r.stdout)
		}
	}
}

// An error that has an exit code of its own must be logged like any other and end in 1, not in that code.
func TestErrorWithExitCode(t *testing.T) {
	r := rt(&fake{err: coded{errors.New("hook failed")}}, "create", "c")
	if r.code != 1 || r.stderr != "rt: hook failed\n" {
		t.Errorf("%+v", r)
	}
}

type coded struct{ error }

func (coded) ExitCode() int { return 42 }

func TestHelp(t *testing.T) {
	for _, args := range []string{"", "help", "--help", "-h", "help exec", "exec --help", "exec -h"} {
		f := &fake{}
		r := rt(f, strings.Fields(args)...)
		if r.code != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, "NAME:\n   rt ") || f.calls != nil {
			t.Errorf("%q: %+v", args, r)
		}
		if strings.Contains(args, "exec") != strings.Contains(r.stdout, "--process") {
			t.Errorf("%q shows the wrong page", args)
		}
	}
}
