package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"rt/cgroups"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/tests/nofiles"

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
		p := privileges{caps: c.caps, first: true}
		for i, m := range idMapsOf(l) {
			if got := p.mapper(&m); got != c.want[i] {
				t.Errorf("%s: %s by %d, want %d", name, m.file, got, c.want[i])
			}
		}
		if got := p.deniesSetgroups(l); got != (c.want[1] == byOwnID) {
			t.Errorf("%s: setgroups is denied: %v", name, got)
		}
	}
}

// TestAsksForCgroup: what engines send for "nothing" is nothing; device rules are another matter.
func TestAsksForCgroup(t *testing.T) {
	limit, swappiness := int64(1<<20), uint64(60)
	for want, l := range map[string]*specs.Linux{
		"": {Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
			Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, BlockIO: &specs.LinuxBlockIO{}}},
		"/linux/cgroupsPath":            {CgroupsPath: "/x"},
		"/linux/resources/memory/limit": {Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}},
		"/linux/resources/pids/limit":   {Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}},
		"/linux/resources/unified/a.b":  {Resources: &specs.LinuxResources{Unified: map[string]string{"a.b": "1"}}},
		"/linux/resources":              {Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: &swappiness}}},
	} {
		if got := asksForCgroup(l); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := asksForCgroup(&specs.Linux{}); got != "" {
		t.Error(got)
	}
}

func TestCheckPrivileges(t *testing.T) {
	user, net := specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/n"}
	joined := specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/u"}
	admin := privileges{caps: 1 << unix.CAP_SYS_ADMIN}
	for name, c := range map[string]struct {
		p    privileges
		ns   []specs.LinuxNamespace
		want string
	}{
		"root":                 {admin, nil, ""},
		"root joins":           {admin, []specs.LinuxNamespace{user, net}, ""},
		"nobody":               {privileges{}, nil, "(/linux/namespaces)"},
		"new":                  {privileges{}, []specs.LinuxNamespace{user}, ""},
		"joined":               {privileges{}, []specs.LinuxNamespace{joined, net}, ""},
		"new, and one that is": {privileges{}, []specs.LinuxNamespace{user, net}, "(/linux/namespaces/1/path)"},
	} {
		err := checkPrivileges(c.p, &specs.Spec{Linux: &specs.Linux{Namespaces: c.ns}})
		if (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestRightsUnknown: whether a process may join the container's cgroup cannot be asked. It does not run outside, and so free
// of the limits.
func TestRightsUnknown(t *testing.T) {
	r := &Runtime{Root: state.Root{Warn: func(string, ...any) {}}}
	c := with(r, state.State{ID: "c", Pid: os.Getpid()})
	facts := plan.Facts{BornDir: "/sys/fs/cgroup/x"}
	cg := cgroups.Load(&cgroups.Host{Mode: cgroups.V2, Root: "/sys/fs/cgroup", Unified: "/sys/fs/cgroup"}, map[string]string{"": facts.BornDir})
	self, err := os.Open("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	nofiles.Run(t, func() {
		if err := c.rights(&facts, self, cg); !errors.Is(err, unix.EMFILE) || facts.BornDir == "" {
			t.Errorf("%v, born in %q", err, facts.BornDir)
		}
	})
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
