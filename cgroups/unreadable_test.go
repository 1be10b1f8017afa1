package cgroups

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What cannot be read is not what is not there. A directory in a file's place stands for the first (EISDIR).

func unreadable(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestEverybodyUnreadable(t *testing.T) {
	c := fakeV2(t, map[string]string{"cgroup.procs": ""})
	if pids, others, err := c.Everybody(); len(pids) != 0 || others || err != nil {
		t.Errorf("no cgroup.events: %v %v %v", pids, others, err)
	}
	unreadable(t, c.BornDir()+"/cgroup.events")
	if _, _, err := c.Everybody(); !isErrno(err, unix.EISDIR) {
		t.Errorf("got %v, want %v", err, unix.EISDIR)
	}
}

func TestEnableUnreadable(t *testing.T) {
	c := fakeV2(t, nil)
	pod := c.host.Unified + "/pod"
	writeTestFile(t, pod+"/cgroup.type", "domain\n")
	writeTestFile(t, pod+"/cgroup.subtree_control", "")
	unreadable(t, pod+"/cgroup.procs")
	if refused := enableIn(pod, []string{"memory"}); !isErrno(refused["memory"], unix.EISDIR) {
		t.Errorf("got %v, want %v", refused, unix.EISDIR)
	}
	if got := read(t, pod+"/cgroup.subtree_control"); got != "" {
		t.Errorf("written all the same: %q", got)
	}
}

func TestSplitUnreadable(t *testing.T) {
	h := &Host{Mode: Hybrid, Root: t.TempDir()}
	h.Unified = h.Root + "/unified"
	h.V1 = map[string]string{"memory": h.Root + "/memory"}
	c, err := New(h, "/ct", "id")
	if err != nil {
		t.Fatal(err)
	}
	const config = `{"pids":{"limit":5}}`
	if _, err := c.translate(parse(t, config), false); err != nil {
		t.Errorf("no cgroup.controllers: %v", err)
	}
	unreadable(t, h.Unified+"/cgroup.controllers")
	if _, err := c.translate(parse(t, config), false); !isErrno(err, unix.EISDIR) {
		t.Errorf("got %v, want %v", err, unix.EISDIR)
	}
	if _, err := c.Settings(parse(t, config)); !isErrno(err, unix.EISDIR) {
		t.Errorf("got %v, want %v", err, unix.EISDIR)
	}
}

func TestBandwidthUnreadable(t *testing.T) {
	c := fakeV2(t, nil)
	unreadable(t, c.BornDir()+"/cpu.max")
	if _, _, err := c.Bandwidth(); !isErrno(err, unix.EISDIR) {
		t.Errorf("got %v, want %v", err, unix.EISDIR)
	}
}
