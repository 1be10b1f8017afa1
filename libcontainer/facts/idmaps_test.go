package facts

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestMapper(t *testing.T) {
	one := func(host uint32, size uint32) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: 0, HostID: host, Size: size}}
	}
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	both := uint64(1)<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	for name, c := range map[string]struct {
		caps       uint64
		uids, gids []specs.LinuxIDMapping
		want       [2]mapper
	}{
		"privileged":   {both, one(100000, 65536), one(uid, 1), [2]mapper{byPrivilege, byPrivilege}},
		"one only":     {1 << unix.CAP_SETUID, one(uid, 1), one(100000, 1), [2]mapper{byOwnID, byHelper}},
		"own":          {0, one(uid, 1), one(gid, 1), [2]mapper{byOwnID, byOwnID}},
		"another":      {0, one(uid+1, 1), one(gid+1, 1), [2]mapper{byHelper, byHelper}},
		"more":         {0, one(uid, 2), one(gid, 2), [2]mapper{byHelper, byHelper}},
		"own and more": {0, append(one(uid, 1), one(100000, 9)...), one(gid, 1), [2]mapper{byHelper, byOwnID}},
	} {
		l := &specs.Linux{UIDMappings: c.uids, GIDMappings: c.gids, Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}}}
		p := Privileges{Caps: c.caps, First: true}
		for i, m := range idMapsOf(l) {
			if got := p.mapper(&m); got != c.want[i] {
				t.Errorf("%s: %s by %d, want %d", name, m.file, got, c.want[i])
			}
		}
		if got := p.deniesSetgroups(bundle.Normalise(&specs.Spec{Linux: l})); got != (c.want[1] == byOwnID) {
			t.Errorf("%s: setgroups is denied: %v", name, got)
		}
	}
}

// TestHelperThatTalks: a newuidmap of PATH that leaves a process behind which has its output open, or that says more than rt wants to
// keep, holds nothing up.
func TestHelperThatTalks(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, c := range []struct{ name, script, want string }{
		{"leaves a process", "sleep 1000 &\necho $! >" + dir + "/pid", ""},
		{"leaves a process and fails", "sleep 1000 &\necho $! >" + dir + "/pid\necho no >&2; exit 1", "exit status 1: no"},
		{"talks", "head -c 10000000 /dev/zero | tr '\\0' x; exit 1", "exit status 1: xxx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(dir+"/newuidmap", []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() { m := idMapsOf(&specs.Linux{})[0]; done <- m.runHelper(1, nil) }()
			t.Cleanup(func() {
				text, _ := os.ReadFile(dir + "/pid")
				if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
					_ = unix.Kill(pid, unix.SIGKILL)
				}
				_ = os.Remove(dir + "/pid")
			})
			select {
			case err := <-done:
				if text := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(text, c.want) && err != nil || len(text) > maxHelperText+500 {
					t.Errorf("got %.500s, want %q", text, c.want)
				}
			case <-time.After(2 * time.Minute):
				t.Error("rt waits for what the helper has left")
			}
		})
	}
}
