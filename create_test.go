package main

import (
	"errors"
	"testing"

	"rt/libcontainer"
)

func TestCreateAndRunOptions(t *testing.T) {
	all := libcontainer.CreateOptions{
		Bundle: "/b", HandOverOptions: libcontainer.HandOverOptions{ConsoleSocket: "/c.sock", PidFile: "/p", PidfdSocket: "/f.sock"},
		NoPivot: true, NoNewKeyring: true, PreserveFds: 2,
	}
	const flags = "--bundle /b --console-socket /c.sock --pid-file /p --pidfd-socket /f.sock --no-pivot --no-new-keyring --preserve-fds 2 "
	testLines(t, []line{
		{"create c", []any{"create", "c", libcontainer.CreateOptions{}}},
		{"create " + flags + "c", []any{"create", "c", all}},
		{"create -b /b c", []any{"create", "c", libcontainer.CreateOptions{Bundle: "/b"}}},
		{"create -bundle /b c", []any{"create", "c", libcontainer.CreateOptions{Bundle: "/b"}}},
		{"create --bundle=/b=c c", []any{"create", "c", libcontainer.CreateOptions{Bundle: "/b=c"}}},
		{"create -- c", []any{"create", "c", libcontainer.CreateOptions{}}},
		{"run c", []any{"run", "c", libcontainer.RunOptions{}}},
		{"run " + flags + "--detach --keep --no-subreaper c",
			[]any{"run", "c", libcontainer.RunOptions{CreateOptions: all, Detach: true, Keep: true, NoSubreaper: true}}},
		{"run -d -no-subreaper c", []any{"run", "c", libcontainer.RunOptions{Detach: true, NoSubreaper: true}}},
		{"-systemd-cgroup --log-format json run -d c", []any{"run", "c", libcontainer.RunOptions{Detach: true}}},
	})
}

func TestRunExitCode(t *testing.T) {
	for _, status := range []int{0, 1, 127, 137, 255} {
		if r := rt(&fake{status: status}, "run", "c"); r.code != status || r.stderr != "" || r.stdout != "" {
			t.Errorf("status %d: %+v", status, r)
		}
	}
	if r := rt(&fake{status: 7, err: errors.New("no such thing")}, "run", "c"); r.code != 1 || r.stderr != "rt: no such thing\n" {
		t.Errorf("error: %+v", r)
	}
}

func TestForegroundCollectsGarbage(t *testing.T) {
	for args, want := range map[string]bool{"run": true, "exec": true, "create": false} {
		f := &fake{}
		rt(f, args, "c")
		if f.collects != want {
			t.Errorf("%s: collects %v", args, f.collects)
		}
	}
	for _, args := range []string{"run", "exec"} {
		f := &fake{}
		rt(f, args, "-d", "c")
		if f.collects {
			t.Errorf("%s -d collects", args)
		}
	}
}
