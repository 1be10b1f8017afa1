package security

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What the caller's environment and rt's threads may not do to rt.

// TestStubOfTheCaller: _RT_STUB=N in the environment of a command. Succeeds against an rt that believes whoever says so: the command
// ends without a word, or carries out a plan from descriptor N.
func TestStubOfTheCaller(t *testing.T) {
	builds := map[string]string{"rt": host.rt}
	if _, err := exec.LookPath("go"); err == nil && host.full {
		plain := host.work + "/rt-plain"
		build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs netgo osusergo", "-overlay", noImage(t), "-o", plain, ".")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		builds["a build without the image"] = plain
	}
	for name, exe := range builds {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("true"))
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			ours, its := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "its")
			defer ours.Close()
			defer its.Close()
			if _, err := ours.Write([]byte("a plan")); err != nil {
				t.Fatal(err)
			}
			for _, value := range []string{"3", "0", "99", ""} {
				r := v.do(call{args: []string{"--version"}, env: []string{"_RT_STUB=" + value}, files: []*os.File{its}, exe: exe})
				if r.code != 0 || !strings.Contains(r.stdout, "version") {
					t.Errorf("_RT_STUB=%s: %s", value, r)
				}
				if r = v.do(call{args: v.with("run"), env: []string{"_RT_STUB=" + value}, files: []*os.File{its}, exe: exe}); r.code != 0 {
					t.Errorf("_RT_STUB=%s: %s", value, r)
				}
			}
			if _, err := unix.IoctlGetInt(pair[1], unix.TIOCINQ); err != nil {
				t.Errorf("the plan: %v", err)
			}
			buf := make([]byte, 16)
			if n, _, err := unix.Recvfrom(pair[1], buf, unix.MSG_DONTWAIT); err != nil || n != len("a plan") {
				t.Errorf("somebody has read the plan: %d, %v", n, err)
			}
		})
	}
}

// noImage is an overlay for a build without the stub's image, as by `go build` in a tree where make was never called.
func noImage(t *testing.T) string {
	t.Helper()
	top, err := os.Getwd()
	must(t, err)
	name := host.work + "/no-image.json"
	must(t, os.WriteFile(name, []byte(`{"Replace": {"`+strings.TrimSuffix(top, "/tests/security")+`/nsenter/image/stub": ""}}`), 0o600))
	return name
}

// TestFirstThread: a hook that comes after devices have been moved into the container's network namespace finds rt in the host's.
// Succeeds against an rt that enters it with whatever thread has room: Go cannot end the first.
func TestFirstThread(t *testing.T) {
	for range runs(10, 50) {
		v := newVictim(t, args("true"))
		h := newFakeHost(v)
		h.tells("ip", "link", "add", "left", "type", "veth", "peer", "name", "right")
		v.file("hook", "#!/bin/sh\nfor ns in /proc/self/ns/net /proc/$PPID/ns/net /proc/$PPID/task/*/ns/net; do readlink $ns; done | uniq | wc -l >"+v.dir+"/namespaces\n", 0o755)
		v.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: v.dir + "/hook", Env: os.Environ()}}}
		v.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"left": {}}
		v.write()
		v.do(call{args: v.with("create"), exe: h.rt}).ok(t)
		if got, err := os.ReadFile(v.dir + "/namespaces"); err != nil || string(got) != "1\n" {
			t.Fatalf("rt's threads and its hook are in %s network namespaces, want 1 (%v)", got, err)
		}
		v.do(call{args: []string{"delete", "--force", v.id}, exe: h.rt}).ok(t)
	}
}
