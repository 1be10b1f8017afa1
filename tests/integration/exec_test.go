package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestExec(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, func(s *specs.Spec) {
		s.Process.Env = append(s.Process.Env, "FROM_CONFIG=1")
	}).up()
	t.Run("output", func(t *testing.T) {
		c := c.in(t)
		r := c.exec("sh", "-c", "echo out; echo err >&2").ok().prints("out")
		if r.stderr != "err\n" {
			t.Errorf("stderr: %s", r)
		}
	})
	t.Run("stdin", func(t *testing.T) {
		c := c.in(t)
		c.do(call{args: []string{"exec", c.id, "cat"}, stdin: strings.NewReader("through")}).ok().prints("through")
	})
	t.Run("exit status", func(t *testing.T) {
		c := c.in(t)
		for _, want := range []int{0, 1, 7, 254, 255} {
			c.exec("sh", "-c", fmt.Sprintf("exit %d", want)).exits(want)
		}
		c.exec("sh", "-c", "kill -9 $$").exits(128 + 9)
		c.exec("sh", "-c", "kill -TERM $$").exits(128 + 15)
	})
	t.Run("namespaces", func(t *testing.T) {
		c := c.in(t)
		for _, name := range procName {
			if got := c.exec("readlink", "/proc/self/ns/"+name).ok().out(); got != c.ns(name) {
				t.Errorf("%s: %s, init has %s", name, got, c.ns(name))
			}
		}
	})
	t.Run("cgroup", func(t *testing.T) {
		c := c.in(t)
		if got, want := c.sh("cat /proc/self/cgroup"), strings.TrimSpace(c.proc("cgroup")); got != want {
			t.Errorf("cgroup\n%s\ninit has\n%s", got, want)
		}
	})
	t.Run("env", func(t *testing.T) {
		c := c.in(t)
		r := c.execWith([]string{"--env", "A=1", "--env", "B=2"}, "env").ok()
		for _, want := range []string{"A=1", "B=2", "FROM_CONFIG=1", "PATH=", "HOME=/root"} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("lacks %s: %s", want, r)
			}
		}
	})
	t.Run("cwd", func(t *testing.T) {
		c := c.in(t)
		c.execWith([]string{"--cwd", "/etc"}, "pwd").ok().prints("/etc")
		c.exec("pwd").ok().prints("/")
	})
	t.Run("flags of the command", func(t *testing.T) {
		c := c.in(t)
		c.exec("echo", "-t", "--user", "x").ok().prints("-t --user x")
	})
	t.Run("user", func(t *testing.T) {
		c := c.in(t)
		c.execWith([]string{"--user", "1000"}, "sh", "-c", "id -u; id -g; echo $HOME").ok().prints("1000\n0\n/home/alice")
		c.execWith([]string{"-u", "1000:2000"}, "sh", "-c", "id -u; id -g").ok().prints("1000\n2000")
		c.execWith([]string{"-u", "1000:2000", "-g", "77", "-g", "78"}, "sh", "-c", "grep Groups /proc/self/status").ok().prints("Groups:\t77 78")
		c.execWith([]string{"-u", "+1000:+2000", "-g", "+77", "-g", "+78"}, "sh", "-c", "id -u; id -g; grep Groups /proc/self/status").ok().prints("1000\n2000\nGroups:\t77 78")
	})
	// crun ran "1000x" as another user (CVE-2026-30892): a number that is none is an error.
	t.Run("bad user", func(t *testing.T) {
		c := c.in(t)
		for _, user := range []string{"1000x", "x", "alice", "1000:", ":", "1000:x", "-1", "4294967295", "99999999999"} {
			if strings.Trim(user, "-0123456789") == "" && differs(t, "exec --user -u") {
				continue
			}
			c.execWith([]string{"--user=" + user}, "id").exits(255).oneError()
		}
	})
	t.Run("bad groups", func(t *testing.T) {
		c := c.in(t)
		for group, text := range map[string]string{"x": `invalid value "x" for flag -g: `, "": `invalid value "" for flag -g: `, "1,2": `invalid value "1,2" for flag -g: `} {
			c.execWith([]string{"-g", group}, "id").fails(text)
		}
		c.execWith([]string{"-g", "-1"}, "id").exits(255).says("exec failed: additional-gids must be a positive number -1")
		c.execWith([]string{"-g", "4294967295"}, "id").exits(255).says("exec failed: ")
		if !differs(t, "exec --additional-gids -g: a number beyond 32 bits") {
			c.execWith([]string{"-g", "4294967296"}, "id").exits(255).says("exec failed: invalid group id 4294967296 in --additional-gids").oneError()
		}
	})
	t.Run("no new privileges", func(t *testing.T) {
		c := c.in(t)
		c.execWith([]string{"--no-new-privs"}, "grep", "NoNewPrivs", "/proc/self/status").ok().prints("NoNewPrivs:\t1")
	})
	t.Run("nice arguments", func(t *testing.T) {
		c := c.in(t)
		c.exec("printf", "%s|", "", "a b", "*", "'", "\\").ok().prints("|a b|*|'|\\|")
	})
}

func TestExecFailures(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	for _, e := range []struct {
		flags, cmd []string
		text       string
	}{
		{nil, []string{"no-such-program"}, `exec: "no-such-program": executable file not found in $PATH`},
		{nil, []string{"/no/such"}, "no such file or directory"},
		{nil, []string{"/etc/passwd"}, "permission denied"},
		{[]string{"--cwd", "/no/such/dir"}, []string{"true"}, "/no/such/dir"},
		{[]string{"--cwd", "relative"}, []string{"true"}, "Cwd must be an absolute path"},
		{[]string{"--process", "/no/such/file"}, nil, "no such file or directory"},
		{[]string{"--tty", "--detach"}, []string{"sh"}, "without setting console socket"},
	} {
		c.execWith(e.flags, e.cmd...).exits(255).says("exec failed: ", e.text).oneError()
	}
	c.rt("exec", c.id).exits(255).says("exec failed: ").rtSays("args must not be empty")
	if c.status() != "running" {
		t.Error("a failed exec has ended the container")
	}
	c.exec("true").ok()
}

func TestExecStopped(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up().stopped()
	c.exec("true").exits(255).says("cannot exec in a stopped container").oneError()
}

// TestExecCreated: a process can be put into a container that has been created and not started.
func TestExecCreated(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create().ok()
	c.exec("echo", "before start").ok().prints("before start")
	c.start().ok()
}

// TestExecCapabilities: --cap adds to every set but the inheritable one (CVE-2022-29162).
func TestExecCapabilities(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	three := uint64(1<<29 | 1<<5 | 1<<10)
	checkCaps(t, c.exec("cat", "/proc/self/status").ok().stdout, map[string]uint64{"CapBnd": three, "CapEff": three, "CapInh": 0, "CapAmb": 0})
	four := three | 1<<13
	checkCaps(t, c.execWith([]string{"--cap", "CAP_NET_RAW"}, "cat", "/proc/self/status").ok().stdout,
		map[string]uint64{"CapBnd": four, "CapEff": four, "CapPrm": four, "CapInh": 0, "CapAmb": 0})
	// An ordinary user has what is ambient, and that is what the configuration says.
	checkCaps(t, c.execWith([]string{"-u", "1000"}, "cat", "/proc/self/status").ok().stdout, map[string]uint64{"CapEff": 0, "CapInh": 0, "CapAmb": 0})
}

// TestExecProcess: process.json says everything.
func TestExecProcess(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	mask := uint32(0o013)
	p := specs.Process{
		Args: []string{"sh", "-c", "id -u; id -g; grep Groups /proc/self/status; pwd; echo $A; grep -E 'Cap(Bnd|Inh)|NoNew' /proc/self/status; ulimit -Hn; umask; cat /proc/self/oom_score_adj"},
		Cwd:  "/etc", Env: []string{"PATH=/bin", "A=from process.json"},
		User:            specs.User{UID: 11, GID: 12, AdditionalGids: []uint32{13, 14}, Umask: &mask},
		Capabilities:    &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}},
		Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 99, Soft: 99}},
		NoNewPrivileges: true,
	}
	adj := 222
	p.OOMScoreAdj = &adj
	data, err := json.Marshal(p)
	c.must(err)
	want := "11\n12\nGroups:\t13 14\n/etc\nfrom process.json\nCapInh:\t0000000000000000\nCapBnd:\t0000000000000001\nNoNewPrivs:\t1\n99\n"
	if differs(t, "exec: umask and oomScoreAdj") {
		want += "0022\n0"
	} else {
		want += "0013\n222"
	}
	c.execWith([]string{"--process", c.file("process.json", string(data), 0o644)}).ok().prints(want)
}

// TestExecProcessWithoutEnv: HOME is that of the user, also when process.json has no environment.
func TestExecProcessWithoutEnv(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	file := c.file("process.json", `{"args":["/bin/sh","-c","echo $HOME"],"cwd":"/","user":{"uid":1000,"gid":0}}`, 0o644)
	c.execWith([]string{"--process", file}).ok().prints("/home/alice")
}

func TestExecProcessErrors(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	for name, text := range map[string]string{
		"empty": "", "truncated": `{"args":["true"`, "wrong type": `{"args":"true","cwd":"/"}`, "no args": `{"cwd":"/","args":[]}`, "no cwd": `{"args":["true"]}`, "an array": `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			c.execWith([]string{"--process", c.file("p.json", text, 0o644)}).exits(255).oneError()
		})
	}
}

func TestExecDetach(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	c.execWith([]string{"--detach", "--pid-file", filepath.Join(c.dir, "exec.pid")}, "sleep", "900").ok()
	pid, err := strconv.Atoi(c.read("exec.pid"))
	c.must(err)
	eventually(t, "execve", func() bool { return procFile(t, pid, "cmdline") == "sleep\x00900\x00" })
	if !strings.Contains(procFile(t, pid, "cgroup"), c.id) {
		t.Error("the process is not in the container's cgroup")
	}
	c.stopped()
	reap(t, pid)
}

// TestExecDetachExitStatus: the status of a detached process goes to the subreaper, as containerd's shim wants it.
func TestExecDetachExitStatus(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	c.execWith([]string{"--detach", "--pid-file", filepath.Join(c.dir, "exec.pid")}, "sh", "-c", "exit 17").ok()
	pid, err := strconv.Atoi(c.read("exec.pid"))
	c.must(err)
	if code := reap(t, pid); code != 17 {
		t.Errorf("exit status %d, want 17", code)
	}
}

func TestExecPreserveFds(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	f, err := os.Open(c.file("given", "three", 0o644))
	c.must(err)
	defer f.Close()
	c.do(call{args: []string{"exec", "--preserve-fds", "1", c.id, "sh", "-c", "probe fds; cat <&3"}, files: []*os.File{f, f}}).ok().prints("0\n1\n2\n3\nthree")
}

func TestConcurrentExecs(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	tenExecs(t, c, func(i int) []string { return []string{"sh", "-c", fmt.Sprintf("echo number %d; exit %d", i, i)} })
}

// tenExecs runs ten at once; number i prints its number and exits with it.
func tenExecs(t *testing.T, c *container, cmd func(i int) []string) {
	t.Helper()
	var all []*running
	for i := range 10 {
		all = append(all, c.begin(call{args: append([]string{"exec", c.id}, cmd(i)...)}))
	}
	for i, r := range all {
		r.wait().exits(i).prints(fmt.Sprintf("number %d", i))
	}
}

// TestExecCgroup: --cgroup puts the process into a cgroup below the container's.
func TestExecCgroup(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	c.must(os.Mkdir(filepath.Join(c.cgroup("pids"), "sub"), 0o755))
	prefix, want := "pids:", []string{":pids:" + c.cgroupPath() + "/sub\n", ":memory:" + c.cgroupPath() + "\n"}
	if onV2(t) {
		prefix, want = "", []string{"0::" + c.cgroupPath() + "/sub\n"}
	}
	r := c.execWith([]string{"--cgroup", prefix + "sub"}, "cat", "/proc/self/cgroup").ok()
	for _, line := range want {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("want %q: %s", line, r)
		}
	}
	r = c.execWith([]string{"--cgroup", prefix + "missing"}, "true").exits(255).says("/missing/cgroup.procs: no such file or directory").oneError()
	if !regexp.MustCompile(`error adding pid [1-9][0-9]* to cgroups: `).MatchString(r.stderr) {
		t.Errorf("exec into a cgroup that is not there: %s", r)
	}
	c.execWith([]string{"--cgroup", prefix + "../.."}, "true").exits(255).says("bad sub cgroup path: ../..").oneError()
}

// TestExecUserNamespace: an exec is the same user as init, inside and outside.
func TestExecUserNamespace(t *testing.T) {
	t.Parallel()
	c := newMapped(t).up()
	c.execWith([]string{"--detach", "--pid-file", filepath.Join(c.dir, "exec.pid")}, "sleep", "900").ok()
	pid, err := strconv.Atoi(c.read("exec.pid"))
	c.must(err)
	if uid := value(procFile(t, pid, "status"), "Uid"); !strings.HasPrefix(uid, "100000\t") {
		t.Errorf("uid on the host %s", uid)
	}
	for _, name := range []string{"user", "mnt", "pid", "net"} {
		if nsOf(t, pidText(pid), name) != c.ns(name) {
			t.Errorf("%s namespace differs from init's", name)
		}
	}
}

// TestExecAfterTimeNamespaceChild: a nested pid namespace made inside does not confuse exec.
func TestExecSeesInitsRoot(t *testing.T) {
	t.Parallel()
	c := newContainer(t, capable("CAP_SYS_ADMIN", "CAP_SYS_CHROOT"), script("unshare -p -f sleep 900 & exec sleep 1000")).up()
	if got := c.sh("echo $PPID; ls /bin/busybox"); got != "0\n/bin/busybox" {
		t.Errorf("got %q", got)
	}
}
