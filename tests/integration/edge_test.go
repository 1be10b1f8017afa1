package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// caller runs the runtime from a shell that has done something odd before.
func (c *container) caller(script string) {
	c.prefix = []string{"sh", "-c", script + `; exec "$@"`, "sh"}
}

// ignoreSIGCHLD is the first argument with which this program becomes another that ignores SIGCHLD. A shell's trap will not do: dash does
// not ignore this signal for others; nor does every env have --ignore-signal.
const ignoreSIGCHLD = "ignore-SIGCHLD"

func withoutSIGCHLD(argv []string) error {
	signal.Ignore(syscall.SIGCHLD)
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, argv, os.Environ())
}

// ignoringSIGCHLD is the script of a caller that ignores the signal.
func ignoringSIGCHLD(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`set -- %s %s "$@"`, self, ignoreSIGCHLD)
}

// TestSIGCHLDIgnored: children of a process that ignores SIGCHLD leave no exit status, and a program inherits that. Each command that has
// children still learns what became of them.
func TestSIGCHLDIgnored(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("sleep 1000"), func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 0"}}}}
	})
	c.caller(ignoringSIGCHLD(t))
	c.up()
	c.exec("sh", "-c", "exit 7").exits(7)
	if r := c.rt("ps", c.id).ok(); !strings.Contains(r.stdout, "sleep") {
		t.Errorf("ps: %s", r)
	}
	c.delete("--force").ok()
	c.spec.Hooks.CreateRuntime[0].Args[2] = "exit 3"
	c.write()
	c.run().fails("exit status 3")
}

// TestOddCallers: what the caller leaves to its children must not change the container.
func TestOddCallers(t *testing.T) {
	t.Parallel()
	probe := script("umask; stat -c '%n %a' /dev /dev/null /dev/shm /dev/pts/ptmx /made /made/deep; pwd; exit 7")
	for name, before := range map[string]string{
		"plain": ":", "umask 077": "umask 077", "umask 0777": "umask 0777", "SIGCHLD ignored": ignoringSIGCHLD(t), "SIGTERM and SIGPIPE ignored": "trap '' TERM PIPE HUP INT",
		"stdin closed": "exec <&-", "nice": "renice -n 5 $$ > /dev/null", "a low limit of files": "ulimit -S -n 64",
		"removed cwd": "mkdir gone && cd gone && rmdir ../gone", "core limit": "ulimit -c 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "umask 0777" {
				needRoot(t, "nobody else can use the files that he makes with it")
			}
			c := newContainer(t, writable, probe, mounted("/made/deep", "tmpfs", "tmpfs", "mode=711"))
			c.caller(before)
			r := c.run().exits(7)
			if strings.HasPrefix(name, "umask") && differs(t, "mount points that are made") {
				return
			}
			want := "0022\n/dev 755\n/dev/null 666\n/dev/shm 1777\n/dev/pts/ptmx 666\n/made 755\n/made/deep 711\n/"
			if r.out() != want {
				t.Errorf("got %q, want %q", r.out(), want)
			}
		})
	}
}

// TestFileSizeLimit: a limit of the caller on the size of files is an error like another, not a signal that ends rt in the middle.
func TestFileSizeLimit(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.prefix = []string{"sh", "-c", `{ (ulimit -f 0; exec "$@") 2>&1; echo "exit $?"; } | cat`, "sh"} // what cat writes has no limit
	if out := c.create().stdout; !strings.Contains(out, "file too large") || !strings.HasSuffix(out, "exit 1\n") {
		t.Errorf("create: %s", out)
	}
	c.prefix = nil
	if left := c.leftovers(false); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestClosedStdio: with any of the three closed, nothing of the runtime's own takes their numbers in the container.
func TestClosedStdio(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script("probe fds > /fds; readlink /proc/self/fd/0 /proc/self/fd/2 >> /fds; exit 0"))
	c.caller("exec <&- 2>&-")
	c.run().ok()
	got := c.read("b/rootfs/fds")
	for _, line := range strings.Fields(got) {
		if strings.HasPrefix(line, "/") && line != "/dev/null" || len(line) == 1 && line > "2" {
			t.Errorf("descriptors in the container: %q", got)
		}
	}
}

// TestStdioOwner: an ordinary user can open /dev/stdout again, as nginx's image does.
func TestStdioOwner(t *testing.T) {
	t.Parallel()
	user := func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }
	c := newContainer(t, user, script("echo out > /dev/stdout; echo err > /dev/stderr"))
	if r := c.run().ok().prints("out"); r.stderr != "err\n" {
		t.Errorf("stderr: %s", r)
	}
	d := newContainer(t, user).up()
	d.exec("sh", "-c", "echo out > /dev/stdout").ok().prints("out")
}

// TestLongArguments: a megabyte of arguments and environment comes through.
func TestLongArguments(t *testing.T) {
	t.Parallel()
	word := strings.Repeat("x", 100<<10)
	c := newContainer(t, args("sh", "-c", "for a in \"$@\"; do echo ${#a}; done | sort | uniq -c | tr -s ' '; echo ${#BIG7}", "sh", word, word, word, word, word, ""), func(s *specs.Spec) {
		for i := range 8 {
			s.Process.Env = append(s.Process.Env, fmt.Sprintf("BIG%d=%s", i, word))
		}
	})
	c.run().ok().prints(" 1 0\n 5 102400\n102400")
	d := newContainer(t).up()
	d.exec(append([]string{"sh", "-c", "echo $# ${#5}", "sh"}, word, word, word, word, word)...).ok().prints("5 102400")
}

// TestTooLongArgument: the kernel takes 128 KiB in one; that is known when the program is started.
func TestTooLongArgument(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("true", strings.Repeat("x", 200<<10)))
	r := c.run()
	if r.code == 0 || !strings.Contains(r.stderr, "argument list too long") {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
}

func TestManyMounts(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	for i := range 200 {
		mounted(fmt.Sprintf("/many/%d/file", i), "bind", "/etc/hostname", "bind", "ro")(c.spec)
	}
	c.write()
	c.up()
	n := 0
	for _, m := range c.mounts() {
		if strings.HasPrefix(m.point, "/many/") && m.has("ro") {
			n++
		}
	}
	if n != 200 {
		t.Errorf("%d of 200 mounts", n)
	}
}

// TestBindByTypeOrOption: either says that it is a bind mount.
func TestBindByTypeOrOption(t *testing.T) {
	t.Parallel()
	for _, m := range []specs.Mount{
		{Type: "bind"}, {Type: "bind", Options: []string{"bind"}}, {Type: "none", Options: []string{"rbind"}}, {Options: []string{"bind"}}, {Type: "ext4", Options: []string{"bind", "ro"}},
	} {
		if len(m.Options) == 0 && differs(t, "a mount of type bind") {
			continue
		}
		c := newContainer(t, args("cat", "/tmp/file"))
		c.file("src/file", "text", 0o644)
		m.Destination, m.Source = "/tmp", filepath.Join(c.dir, "src")
		c.spec.Mounts = append(c.spec.Mounts, m)
		c.write()
		c.run().ok().prints("text")
	}
}

// TestReadonlyRootMountPoints: missing mount points are made before the root becomes read-only.
func TestReadonlyRootMountPoints(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mounted("/missing/dir", "tmpfs", "tmpfs"), script("touch /missing/dir/x && ! touch /missing/x 2> /dev/null && echo ok"))
	c.run().ok().prints("ok")
}

// TestCgroup2Mount mounts the v2 hierarchy of a hybrid host.
func TestCgroup2Mount(t *testing.T) {
	t.Parallel()
	if !strings.Contains(procFile(t, os.Getpid(), "mounts"), " cgroup2 ") {
		t.Skip("cgroup v2 is not mounted on this host")
	}
	c := newContainer(t, writable, namespace(specs.CgroupNamespace, ""), mounted("/cgroup2", "cgroup2", "cgroup2", "ro", "nosuid")).up()
	m := c.mountAt("/cgroup2")
	if m.fstype != "cgroup2" || !m.has("ro") || !m.has("nosuid") {
		t.Errorf("/cgroup2: %+v", m)
	}
	if got := c.sh("head -n 1 /cgroup2/cgroup.procs"); got != "1" {
		t.Errorf("first process of the cgroup: %s", got)
	}
}

// TestTerminalFlood: a lot of output through a foreground terminal arrives whole, and the last line with it.
func TestTerminalFlood(t *testing.T) {
	t.Parallel()
	c := newContainer(t, withTerminal, script("seq 100000; echo the last line"))
	term := openPty(t)
	running := c.begin(call{args: c.with("run"), tty: term.slave})
	term.shows("the last line")
	running.wait().ok()
	if n := strings.Count(term.text(), "\n"); n != 100001 {
		t.Errorf("%d lines of 100001", n)
	}
}

// TestEmptyHome: an empty HOME counts as none.
func TestEmptyHome(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("echo $HOME"), func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "HOME=") })
	c.run().ok().prints("/root")
}

// TestHostUnmountIsFree: a host mount that the container's namespace has a copy of can be unmounted on the host.
func TestHostUnmountIsFree(t *testing.T) {
	t.Parallel()
	h := hold(t, "--mount", "--propagation", "private")
	c := newContainer(t)
	c.prefix = h.enter()
	dir := filepath.Join(c.dir, "volume")
	c.must(os.Mkdir(dir, 0o755))
	h.run(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", dir)
	c.up()
	for _, m := range c.mounts() {
		if strings.Contains(m.point, "volume") {
			t.Errorf("the container holds %s", m.point)
		}
	}
	h.run(t, "umount", dir)
}
