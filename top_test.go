package main

import (
	"testing"
	"time"

	"rt/libcontainer/usage"
)

func TestTop(t *testing.T) {
	list := []usage.Process{
		{Pid: 10, Parent: 1, UID: 0, CPUTime: 90 * time.Second, Age: 3 * time.Minute, RSS: 12 << 20, Cgroup: "/", Command: []string{"/sbin/init", "--a b"}},
		{Pid: 12345, Parent: 10, UID: 4294000, CPUTime: 49*time.Hour + 61*time.Second, Cgroup: "/sub/deep", Command: []string{"evil\x1b[2J\nname"}},
	}
	r := rt(&fake{processes: list}, "top", "c")
	want := `  PID  PPID  USER      CPU%        TIME    RSS  CGROUP     COMMAND
   10     1  root      50.0    00:01:30  12MiB  /          /sbin/init --a b
12345    10  #4294000   0.0  2-01:01:01     0B  /sub/deep  evil\x1b[2J\nname
`
	if r.stdout != want || r.code != 0 {
		t.Errorf("code %d, got\n%swant\n%s", r.code, r.stdout, want)
	}
	r = rt(&fake{processes: list[:1]}, "top", "--format", "json", "c")
	if r.stdout != `[{"pid":10,"ppid":1,"uid":0,"user":"root","cpuPercent":50,"cpuTime":90000000000,"rss":12582912,"cgroup":"/","command":["/sbin/init","--a b"]}]`+"\n" {
		t.Errorf("json: %s", r.stdout)
	}
	if r := rt(&fake{}, "top", "-f", "json", "c"); r.stdout != "[]\n" {
		t.Errorf("none: %q", r.stdout)
	}
	if r := rt(&fake{}, "top", "-f", "yaml", "c"); r.code != 1 {
		t.Errorf("yaml: %+v", r)
	}
}
