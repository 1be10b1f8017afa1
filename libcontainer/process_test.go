package libcontainer

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSetUser(t *testing.T) {
	for _, c := range []struct {
		text     string
		uid, gid uint32
	}{{"0", 0, 7}, {"1000", 1000, 7}, {"1000:1001", 1000, 1001}, {"0:0", 0, 0}, {"4294967295:4294967294", 4294967295, 4294967294}, {"007:010", 7, 10}, {"+1:+2", 1, 2}} {
		u := specs.User{UID: 5, GID: 7}
		if err := setUser(&u, c.text); err != nil || u.UID != c.uid || u.GID != c.gid {
			t.Errorf("%q: %d:%d, %v", c.text, u.UID, u.GID, err)
		}
	}
	for _, text := range []string{"", ":", "1:", ":1", "root", "root:root", "-1", "+", "++1", "+-1", " 1", "1 ", "1:2:3", "0x10", "1e3", "1_000", "1.0",
		"4294967296", "1:4294967296", "99999999999999999999", "1\n", "1:-0", "\u0661"} {
		u := specs.User{UID: 5, GID: 7}
		if err := setUser(&u, text); err == nil || !strings.HasPrefix(err.Error(), "bad uid: ") && !strings.HasPrefix(err.Error(), "bad gid: ") || strings.Contains(err.Error(), "strconv") {
			t.Errorf("%q was taken for %d:%d, %v", text, u.UID, u.GID, err)
		}
	}
}

// TestWithCapabilities: CVE-2022-29162, an added capability is never inheritable.
func TestWithCapabilities(t *testing.T) {
	if got := withCapabilities(nil, nil); got != nil {
		t.Errorf("out of nothing: %+v", got)
	}
	own := &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Inheritable: []string{"CAP_CHOWN"}, Ambient: []string{"CAP_FOWNER"}}
	if got := withCapabilities(own, nil); got != own {
		t.Errorf("changed by nothing: %+v", got)
	}
	for _, names := range [][]string{{"CAP_KILL", "CAP_CHOWN"}, {"kill", "Chown"}, {"cap_kill", "CAP_CHOWN", "CAP_KILL"}} {
		got := withCapabilities(own, names)
		want := &specs.LinuxCapabilities{
			Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Effective: []string{"CAP_KILL", "CAP_CHOWN"}, Permitted: []string{"CAP_KILL", "CAP_CHOWN"},
			Inheritable: []string{"CAP_CHOWN"}, Ambient: []string{"CAP_FOWNER", "CAP_CHOWN"},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", names, got)
		}
	}
	if len(own.Bounding) != 1 || len(own.Ambient) != 1 || own.Effective != nil {
		t.Errorf("the container's own sets changed: %+v", own)
	}
	got := withCapabilities(nil, []string{"CAP_NET_RAW"})
	if got.Inheritable != nil || got.Ambient != nil || len(got.Bounding) != 1 || len(got.Effective) != 1 || len(got.Permitted) != 1 {
		t.Errorf("added to none: %+v", got)
	}
}

func ownProcess() *specs.Process {
	return &specs.Process{
		Terminal: true, ConsoleSize: &specs.Box{Height: 1, Width: 2}, User: specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}},
		Args: []string{"init"}, Env: []string{"A=1"}, Cwd: "/own", NoNewPrivileges: true,
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CPU"}},
	}
}

func TestExecProcess(t *testing.T) {
	own := ownProcess()
	p, err := execProcess(own, ExecOptions{Args: []string{"ls"}})
	if err != nil {
		t.Fatal(err)
	}
	want := ownProcess()
	want.Args, want.Terminal, want.ConsoleSize = []string{"ls"}, false, nil
	if !reflect.DeepEqual(p, want) {
		t.Errorf("without flags: %+v", p)
	}
	p, err = execProcess(own, ExecOptions{
		Args: []string{"ls", "-l"}, Cwd: "/x", Env: []string{"B=2", "A=3"}, Tty: true, User: "8:9", Groups: []uint32{4, 5},
		Caps: []string{"CAP_CHOWN"}, ProcessLabel: "l", AppArmor: "p",
	})
	if err != nil {
		t.Fatal(err)
	}
	want = ownProcess()
	want.Args, want.Cwd, want.Env, want.ConsoleSize = []string{"ls", "-l"}, "/x", []string{"A=1", "B=2", "A=3"}, nil
	want.User = specs.User{UID: 8, GID: 9, AdditionalGids: []uint32{3, 4, 5}}
	want.SelinuxLabel, want.ApparmorProfile = "l", "p"
	want.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Effective: []string{"CAP_CHOWN"}, Permitted: []string{"CAP_CHOWN"}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("with flags: %+v", p)
	}
	if !reflect.DeepEqual(own, ownProcess()) {
		t.Errorf("the container's own process changed: %+v", own)
	}
	for _, flag := range []bool{true, false} {
		own.NoNewPrivileges = !flag
		if p, err = execProcess(own, ExecOptions{NoNewPrivs: &flag}); err != nil || p.NoNewPrivileges != flag {
			t.Errorf("no new privileges %t: %+v, %v", flag, p, err)
		}
	}
	if _, err = execProcess(own, ExecOptions{User: "root"}); err == nil {
		t.Error("a user by name")
	}
	if bundle.Join(bundle.CheckProcess(p, "/process")) == nil {
		t.Error("a process without arguments passes the check")
	}
}

func TestExecProcessFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "process.json")
	if err := os.WriteFile(file, []byte(`{"args":["x"],"cwd":"/","user":{"uid":3},"env":["Z=1"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := execProcess(ownProcess(), ExecOptions{Process: file, Args: []string{"y"}, Env: []string{"N=1"}, User: "9", Caps: []string{"CAP_KILL"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (&specs.Process{Args: []string{"x"}, Cwd: "/", User: specs.User{UID: 3}, Env: []string{"Z=1"},
		Rlimits: ownProcess().Rlimits, NoNewPrivileges: ownProcess().NoNewPrivileges}); !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v", p)
	}
	if p, err = execProcess(ownProcess(), ExecOptions{Process: file, Tty: true}); err != nil || !p.Terminal {
		t.Errorf("with a terminal: %+v, %v", p, err)
	}
	if _, err := execProcess(ownProcess(), ExecOptions{Process: file + "x"}); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
}
