package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestPathLookup(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("tool", "an argument"), writable)
	c.spec.Process.Env = []string{"PATH=/nowhere:/opt/a:/opt/b:/bin"}
	c.file("b/rootfs/opt/a/tool", "not executable", 0o644)
	c.file("b/rootfs/opt/b/tool", "#!/bin/sh\necho \"$0: $1\"\n", 0o755)
	c.file("b/rootfs/bin/tool", "#!/bin/sh\necho wrong one\n", 0o755)
	c.write()
	c.run().ok().prints("/opt/b/tool: an argument")
}

func TestEnv(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("env"), func(s *specs.Spec) {
		s.Process.Env = []string{"PATH=/bin", "A=1", "B=two words", "A=last", "EMPTY=", "C=x=y"}
	})
	r := c.do(call{args: c.with("run"), env: []string{"HOST_SECRET=1"}}).ok()
	lines := map[string]bool{}
	for _, line := range r.lines() {
		lines[line] = true
	}
	for _, want := range []string{"PATH=/bin", "B=two words", "EMPTY=", "C=x=y", "HOME=/root"} {
		if !lines[want] {
			t.Errorf("env lacks %q: %q", want, r.lines())
		}
	}
	if strings.Contains(r.stdout, "HOST_SECRET") || strings.Contains(r.stdout, "_LIBCONTAINER") || len(lines) != 6 {
		t.Errorf("env: %q", r.lines())
	}
	if !lines["A=last"] {
		t.Errorf("the last of equal names wins: %q", r.lines())
	}
}

func TestHome(t *testing.T) {
	t.Parallel()
	for _, h := range []struct {
		name, env, passwd, want string
		uid                     uint32
	}{
		{"of root", "", "root:x:0:0:root:/root:/bin/sh\n", "/root", 0},
		{"of a user", "", "root:x:0:0::/root:\nalice:x:1000:1000::/home/alice:/bin/sh\n", "/home/alice", 1000},
		{"set", "HOME=/given", "root:x:0:0::/root:\n", "/given", 0},
		{"unknown user", "", "root:x:0:0::/root:\n", "/", 4242},
		{"no passwd", "", "", "/", 4242},
		{"rubbish in passwd", "", "::::\n#x\nroot\n\x00\nbob:x:notanumber:1::/bob:\nalice:x:1000:1000::/home/alice:\n", "/home/alice", 1000},
	} {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, script("echo $HOME"), func(s *specs.Spec) {
				s.Process.User.UID = h.uid
				if h.env != "" {
					s.Process.Env = append(s.Process.Env, h.env)
				}
			})
			c.file("b/rootfs/etc/passwd", h.passwd, 0o644)
			if h.passwd == "" {
				c.must(os.Remove(filepath.Join(c.rootfs, "etc/passwd")))
			}
			c.run().ok().prints(h.want)
		})
	}
}

func TestCwd(t *testing.T) {
	t.Parallel()
	cwd := func(dir string) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.Cwd = dir } }
	t.Run("there", func(t *testing.T) {
		t.Parallel()
		newContainer(t, cwd("/etc"), args("pwd")).run().ok().prints("/etc")
	})
	t.Run("made", func(t *testing.T) {
		t.Parallel()
		newContainer(t, cwd("/made/for/cwd"), args("pwd"), writable).run().ok().prints("/made/for/cwd")
	})
	t.Run("missing and read-only", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, cwd("/made/for/cwd"), args("pwd"))
		r := c.run()
		// The rootfs itself can still be written when it is put together.
		if r.code == 0 {
			r.prints("/made/for/cwd")
		} else {
			r.fails("/made/for/cwd").oneError()
		}
	})
	t.Run("a file", func(t *testing.T) {
		t.Parallel()
		newContainer(t, cwd("/etc/passwd")).create().fails("/etc/passwd", "not a directory")
	})
	t.Run("unreadable", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, cwd("/locked"), args("pwd"), func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} })
		c.must(os.Mkdir(filepath.Join(c.rootfs, "locked"), 0o700))
		r := c.run()
		// runc has permission when it changes to the directory before it becomes the user.
		if r.code != 0 {
			r.fails("/locked", "permission denied").oneError()
		}
	})
	t.Run("of the user alone", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, cwd("/locked"), args("pwd"), func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} })
		dir := filepath.Join(c.rootfs, "locked")
		c.must(os.Mkdir(dir, 0o700))
		c.must(os.Chown(dir, 1000, 1000))
		c.run().ok().prints("/locked")
	})
	t.Run("relative", func(t *testing.T) {
		t.Parallel()
		newContainer(t, cwd("etc")).create().fails("Cwd must be an absolute path")
	})
}

// TestUmaskWithoutMountNamespace: the umask does not depend on a mount namespace.
func TestUmaskWithoutMountNamespace(t *testing.T) {
	t.Parallel()
	needRoot(t, "/proc is mounted in a mount namespace of the host's user namespace")
	if differs(t, "process.user.umask without a mount namespace") {
		return
	}
	for _, mask := range []*uint32{nil, new(uint32(0o027))} {
		c := newContainer(t, script("umask"))
		c.spec.Linux.Namespaces, c.spec.Mounts, c.spec.Hostname, c.spec.Root.Readonly = nil, nil, "", false
		c.spec.Linux.MaskedPaths, c.spec.Linux.ReadonlyPaths, c.spec.Process.User.Umask = nil, nil, mask
		c.write()
		c.prefix = []string{"unshare", "-m", "sh", "-c", "mount -t proc proc " + c.rootfs + `/proc && exec "$@"`, "sh"} // runc's init needs it
		want := "0022"
		if mask != nil {
			want = "0027"
		}
		c.run().ok().prints(want)
	}
}

func TestUmask(t *testing.T) {
	t.Parallel()
	mask := func(m uint32) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.User.Umask = &m } }
	newContainer(t, mask(0o077), script("umask")).run().ok().prints("0077")
	newContainer(t, mask(0), script("umask")).run().ok().prints("0000")
	newContainer(t, script("umask")).run().ok().prints("0022")
	c := newContainer(t, mask(0o027)).up()
	if got := c.sh("umask"); got != "0027" {
		t.Errorf("umask of exec: %s", got)
	}
	r := newContainer(t, mask(0o1027), script("umask")).run().ok().prints("0027") // umask(2) takes the lowest nine bits
	if !differs(t, "process.user.umask beyond 0777") {
		r.says("/process/user/umask: 535 is larger than 511")
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 2000, AdditionalGids: []uint32{5, 3000, 7}}
	}).up()
	status := c.proc("status")
	for key, want := range map[string][]string{
		"Uid": slices.Repeat([]string{outside(1000)}, 4), "Gid": slices.Repeat([]string{outside(2000)}, 4),
		"Groups": {outside(5), outside(7), outside(3000)},
	} {
		if got := strings.Fields(value(status, key)); !slices.Equal(got, want) {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	plain := newContainer(t).up()
	if groups := value(plain.proc("status"), "Groups"); groups != "" && groups != "0" {
		t.Errorf("groups of the caller have come in: %s", groups)
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1000}
		s.Process.Capabilities = &specs.LinuxCapabilities{
			Bounding:    []string{"CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW", "CAP_SYS_ADMIN"},
			Permitted:   []string{"CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"},
			Effective:   []string{"CAP_KILL", "CAP_CHOWN"},
			Inheritable: []string{"CAP_KILL", "CAP_CHOWN"},
			Ambient:     []string{"CAP_KILL"},
		}
	}).up()
	// After execve by an ordinary user only ambient capabilities are permitted and effective (capabilities(7)).
	want := map[string]uint64{"CapBnd": 1<<5 | 1<<0 | 1<<13 | 1<<21, "CapInh": 1<<5 | 1<<0, "CapAmb": 1 << 5, "CapPrm": 1 << 5, "CapEff": 1 << 5}
	checkCaps(t, c.proc("status"), want)
}

func checkCaps(t *testing.T, status string, want map[string]uint64) {
	t.Helper()
	for set, bits := range want {
		if got := value(status, set); got != fmt.Sprintf("%016x", bits) {
			t.Errorf("%s: %s, want %016x", set, got, bits)
		}
	}
}

func TestRootCapabilities(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	three := uint64(1<<29 | 1<<5 | 1<<10)
	checkCaps(t, c.proc("status"), map[string]uint64{"CapBnd": three, "CapEff": three, "CapPrm": three, "CapInh": 0, "CapAmb": 0})
	none := newContainer(t, func(s *specs.Spec) { s.Process.Capabilities = &specs.LinuxCapabilities{} }).up()
	checkCaps(t, none.proc("status"), map[string]uint64{"CapBnd": 0, "CapEff": 0, "CapPrm": 0, "CapInh": 0, "CapAmb": 0})
}

// TestUnknownCapability: a name that nobody knows, and one that the host does not have, are warnings.
func TestUngrantableCapability(t *testing.T) {
	t.Parallel()
	c := newContainer(t, capable("CAP_KILL", "CAP_NO_SUCH_THING"), args("true"))
	c.run().ok().says("CAP_NO_SUCH_THING")
}

func TestRlimits(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{
			{Type: "RLIMIT_NOFILE", Soft: 64, Hard: 128}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 4096},
			{Type: "RLIMIT_NPROC", Soft: 500, Hard: 600}, {Type: "RLIMIT_STACK", Soft: 1 << 20, Hard: 1 << 22},
		}
	}).up()
	limits := c.proc("limits")
	for name, want := range map[string]string{"Max open files": "64 128 files", "Max core file size": "0 4096 bytes", "Max processes": "500 600 processes", "Max stack size": "1048576 4194304 bytes"} {
		if got := strings.Join(strings.Fields(value(limits, name)), " "); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := c.sh("ulimit -Sn; ulimit -Hn"); got != "64\n128" {
		t.Errorf("exec has limits %q", got)
	}
	bad := newContainer(t, func(s *specs.Spec) { s.Process.Rlimits[0].Type = "RLIMIT_NOTHING" })
	bad.create().fails("wrong rlimit value: RLIMIT_NOTHING").oneError()
}

func TestOOMScoreAdj(t *testing.T) {
	t.Parallel()
	n := 321
	c := newContainer(t, func(s *specs.Spec) { s.Process.OOMScoreAdj = &n }).up()
	if got := strings.TrimSpace(c.proc("oom_score_adj")); got != "321" {
		t.Errorf("oom_score_adj %s", got)
	}
	if got := c.sh("cat /proc/self/oom_score_adj"); got != "321" {
		t.Errorf("oom_score_adj of exec: %s", got)
	}
}

func TestNoNewPrivileges(t *testing.T) {
	t.Parallel()
	for _, set := range []bool{true, false} {
		c := newContainer(t, func(s *specs.Spec) { s.Process.NoNewPrivileges = set }).up()
		if got, want := value(c.proc("status"), "NoNewPrivs"), map[bool]string{true: "1", false: "0"}[set]; got != want {
			t.Errorf("NoNewPrivs %s, want %s", got, want)
		}
	}
}

// TestKeyring: a new session keyring named after the container, or the caller's with --no-new-keyring.
func TestKeyring(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("probe", "session"))
	if out := c.run().ok().out(); !strings.Contains(out, ";_ses."+c.id) {
		t.Errorf("session keyring %q", out)
	}
	caller := strings.Fields(host(t, machine.probe, "session"))[0]
	// The probe's own session is the caller's unless it has none; then each asker gets the user's.
	out := newContainer(t, args("probe", "session")).run("--no-new-keyring").ok().out()
	if got := strings.Fields(out)[0]; got != caller {
		t.Errorf("with --no-new-keyring the session keyring is %s, the caller's %s", out, caller)
	}
}

func TestExecKeyring(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	if out := c.exec("probe", "session").ok().out(); !strings.Contains(out, ";_ses."+c.id) {
		t.Errorf("session keyring of exec %q", out)
	}
}

// TestSignalsAreDefault: no signal is blocked or ignored in the container because it was in the runtime or its caller.
func TestSignalsAreDefault(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	status := c.proc("status")
	for _, key := range []string{"SigBlk", "SigIgn"} {
		if got := value(status, key); got != "0000000000000000" && !differs(t, "a signal that the caller ignores") {
			t.Errorf("%s: %s", key, got)
		}
	}
}
