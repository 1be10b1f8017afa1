package main

import (
	"fmt"
	"io/fs"
	"testing"
	"time"

	"rt/libcontainer"
)

func TestList(t *testing.T) {
	f := &fake{list: []libcontainer.ContainerState{
		{OCIVersion: "1.3.0", ID: "a", Pid: 12, Status: "running", Bundle: "/b/a", Rootfs: "/b/a/rootfs",
			Created: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)},
		{OCIVersion: "1.3.0", ID: "stopped-one", Status: "stopped", Bundle: "/b\n\tx", Rootfs: "/r",
			Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), OwnerUID: 4000000000},
	}}
	for args, want := range map[string]string{
		"-q": "a\nstopped-one\n",
		"--format=table": "ID            PID         STATUS      BUNDLE      CREATED                       OWNER\n" +
			"a             12          running     /b/a        2026-01-02T03:04:05.000006Z   root\n" +
			"stopped-one   0           stopped     /b\\n\\tx     2026-01-02T03:04:05Z          #4000000000\n",
		"--format=json": `[{"ociVersion":"1.3.0","id":"a","pid":12,"status":"running","bundle":"/b/a","rootfs":"/b/a/rootfs",` +
			`"created":"2026-01-02T03:04:05.000006Z","owner":"root"},` +
			`{"ociVersion":"1.3.0","id":"stopped-one","pid":0,"status":"stopped","bundle":"/b\n\tx","rootfs":"/r",` +
			`"created":"2026-01-02T03:04:05Z","owner":"#4000000000"}]` + "\n",
	} {
		if r := rt(f, "list", args); r.stdout != want || r.code != 0 || r.stderr != "" {
			t.Errorf("%s: code %d, stderr %q\n got %s\nwant %s", args, r.code, r.stderr, r.stdout, want)
		}
	}
	if r := rt(f, "list", "-f", "xml"); r.code != 1 || r.stderr != "rt: invalid format option\n" {
		t.Errorf("xml: %+v", r)
	}
}

func TestListEmpty(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "/run/rt", Err: fs.ErrNotExist}
	for _, c := range []struct {
		err  error
		args []string
		want result
	}{
		{nil, []string{"list", "-f", "json"}, result{0, "null\n", ""}},
		{nil, []string{"list"}, result{0, "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n", ""}},
		{missing, []string{"list", "-f", "json"}, result{0, "null\n", ""}},
		{missing, []string{"--root", "/x", "list"}, result{1, "", "rt: open /run/rt: file does not exist\n"}},
		{fmt.Errorf("read /run/rt: %w", fs.ErrPermission), []string{"list"}, result{1, "", "rt: read /run/rt: permission denied\n"}},
	} {
		if r := rt(&fake{err: c.err}, c.args...); r != c.want {
			t.Errorf("%q, %v: got %+v, want %+v", c.args, c.err, r, c.want)
		}
	}
}

func TestPs(t *testing.T) {
	const table = "UID   PID  PPID CMD\nroot    1     0 init\nroot   12     1 sh 345\n\nx\nroot  345    12 sleep 12\nroot NaN 12 x\n"
	f := &fake{pids: []int{12, 345}, psOutput: table}
	want := "UID   PID  PPID CMD\nroot   12     1 sh 345\nroot  345    12 sleep 12\n"
	if r := rt(f, "ps", "c"); r.stdout != want || r.code != 0 || fmt.Sprint(f.psArgs) != "[-ef]" {
		t.Errorf("%+v, ps %q", r, f.psArgs)
	}
	if rt(f, "ps", "--format", "table", "c", "-o", "pid,cmd"); fmt.Sprintf("%q", f.psArgs) != `["-o" "pid,cmd"]` {
		t.Errorf("ps %q", f.psArgs)
	}
	if r := rt(f, "ps", "-f", "json", "c"); r.stdout != "[12,345]\n" {
		t.Errorf("%+v", r)
	}
	if r := rt(&fake{}, "ps", "-f", "json", "c"); r.stdout != "[]\n" {
		t.Errorf("%+v", r)
	}
	f.psOutput = "COMMAND\nsh\n"
	if r := rt(f, "ps", "c", "-o", "comm"); r.code != 1 || r.stderr != "rt: couldn't find PID field in ps output\n" {
		t.Errorf("%+v", r)
	}
	f.calls = nil
	if r := rt(f, "ps", "-f", "xml", "c"); r.code != 1 || r.stderr != "rt: invalid format option\n" || f.calls != nil {
		t.Errorf("%+v", r)
	}
}
