package main

import (
	"errors"
	"reflect"
	"testing"

	"rt/internal/hint"
	"rt/libcontainer"
)

func TestExecOptions(t *testing.T) {
	yes, no := true, false
	testLines(t, []line{
		{"exec c ls -l", []any{"exec", "c", libcontainer.ExecOptions{Args: []string{"ls", "-l"}}}},
		{"exec c ls --help", []any{"exec", "c", libcontainer.ExecOptions{Args: []string{"ls", "--help"}}}},
		{"exec c -t", []any{"exec", "c", libcontainer.ExecOptions{Args: []string{"-t"}}}},
		{"exec -- c ls -- -l", []any{"exec", "c", libcontainer.ExecOptions{Args: []string{"ls", "--", "-l"}}}},
		{"exec c -- ls -- -l", []any{"exec", "c", libcontainer.ExecOptions{Args: []string{"ls", "--", "-l"}}}},
		{"exec -d --user 1 c -- -- ls", []any{"exec", "c", libcontainer.ExecOptions{Detach: true, User: "1", Args: []string{"--", "ls"}}}},
		{"exec -- c -- ls", []any{"exec", "c", libcontainer.ExecOptions{Args: []string{"--", "ls"}}}},
		{"exec --user -- c -- ls", []any{"exec", "c", libcontainer.ExecOptions{User: "--", Args: []string{"ls"}}}},
		{"exec --no-new-privs=false c ls", []any{"exec", "c", libcontainer.ExecOptions{NoNewPrivs: &no, Args: []string{"ls"}}}},
		{"exec h help", []any{"exec", "h", libcontainer.ExecOptions{Args: []string{"help"}}}},
		{"exec --process p.json --detach --pid-file f --console-socket s -tty c",
			[]any{"exec", "c", libcontainer.ExecOptions{
				Process: "p.json", Detach: true, HandOverOptions: libcontainer.HandOverOptions{PidFile: "f", ConsoleSocket: "s"}, Tty: true, Args: []string{}}}},
		{"exec -p p.json -d -t c", []any{"exec", "c", libcontainer.ExecOptions{Process: "p.json", Detach: true, Tty: true, Args: []string{}}}},
		{"exec --cwd /w -u 1:2 --process-label l --apparmor a --no-new-privs --preserve-fds 3 --ignore-paused --pidfd-socket q c sh",
			[]any{"exec", "c", libcontainer.ExecOptions{
				Cwd: "/w", User: "1:2", ProcessLabel: "l", AppArmor: "a", NoNewPrivs: &yes, PreserveFds: 3,
				IgnorePaused: true, HandOverOptions: libcontainer.HandOverOptions{PidfdSocket: "q"}, Args: []string{"sh"}}}},
		{"exec --user 7 -g +1 --additional-gids 4294967294 -g 0 -c CAP_KILL --cap net_raw --cgroup cpu,memory:/a --cgroup b c sh",
			[]any{"exec", "c", libcontainer.ExecOptions{
				User: "7", Groups: []uint32{1, 4294967294, 0}, Caps: []string{"CAP_KILL", "net_raw"},
				Cgroups: []string{"cpu,memory:/a", "b"}, Args: []string{"sh"}}}},
	})
}

// Environment variables are bytes: nothing may split, trim or re-encode them, whichever name the flag has.
func TestExecEnvironmentUnchanged(t *testing.T) {
	values := []string{"A=1,2", "B= spaced ", "C=\xff\xfe", "D=", "E=x=y", "F=<&>\n\t\"", "=", "G"}
	for _, first := range []string{"-e", "--env", "-env"} {
		args := []string{"exec"}
		for i, v := range values {
			args = append(args, []string{first, "-e", "--env"}[i%3], v)
		}
		f := &fake{}
		if r := rt(f, append(args, "c", "sh")...); r.code != 0 {
			t.Fatalf("%+v", r)
		}
		if got := f.calls[2].(libcontainer.ExecOptions).Env; !reflect.DeepEqual(got, values) {
			t.Errorf("%s: got %q, want %q", first, got, values)
		}
	}
}

func TestExecExitCodes(t *testing.T) {
	hinted := hint.With(errors.New("cannot exec in a stopped container"), "start it")
	for _, c := range []struct {
		f      fake
		args   []string
		code   int
		stderr string
	}{
		{fake{status: 3}, []string{"exec", "c", "sh"}, 3, ""},
		{fake{status: 143}, []string{"exec", "c", "sh"}, 143, ""},
		{fake{err: errors.New("boom")}, []string{"exec", "c", "sh"}, 255, "rt: boom\n"},
		{fake{err: hinted}, []string{"exec", "c", "sh"}, 255, "rt: cannot exec in a stopped container\nhint: start it\n"},
		{fake{}, []string{"exec", "-g", "4294967295", "c", "sh"}, 255, "rt: exec failed: invalid group id 4294967295 in --additional-gids\n"},
		{fake{}, []string{"exec", "-g", "-1", "c", "sh"}, 255, "rt: exec failed: additional-gids must be a positive number -1\n"},
		{fake{}, []string{"exec", "-g", "1,2", "c", "sh"}, 1, "rt: invalid value \"1,2\" for flag -g: not a group id\n"},
		{fake{}, []string{"exec"}, 1, "rt: \"exec\" requires a minimum of 1 argument(s)\n"},
	} {
		r := rt(&c.f, c.args...)
		if r.code != c.code || r.stderr != c.stderr {
			t.Errorf("%q: got %d %q, want %d %q", c.args, r.code, r.stderr, c.code, c.stderr)
		}
	}
}
