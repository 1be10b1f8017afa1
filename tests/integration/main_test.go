package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machine is what TestMain found and built; set once, before any test runs.
var machine struct {
	rt    string // absolute path of the runtime under test
	name  string // its base name, or "runc" for a peer
	peer  peerVersion
	work  string // directory of this run, /tmp/rt-it-*; short, because socket paths are limited to 107 bytes
	probe string // static program that runs inside containers
}

func TestMain(m *testing.M) {
	if isFakeCriu() || isRestored() {
		return
	}
	if len(os.Args) > 2 && os.Args[1] == ignoreSIGCHLD {
		os.Exit(complain("%v", withoutSIGCHLD(os.Args[2:])))
	}
	os.Exit(withMachine(m.Run))
}

// withMachine prepares the machine, runs the tests, and checks that the host is as it was.
func withMachine(run func() int) int {
	defaultSignals()
	unix.Umask(0o022) // other users read what the tests make; TestOddCallers gives rt another umask
	if err := leaveCgroup(); err != nil {
		return complain("%v (these tests start containers: run them as root)", err)
	}
	if err := findRuntime(); err != nil {
		return complain("%v", err)
	}
	work, err := os.MkdirTemp("/tmp", "rt-it-")
	if err != nil {
		return complain("%v", err)
	}
	defer os.RemoveAll(work)
	machine.work = work
	if err := os.Chmod(work, 0o755); err != nil {
		return complain("%v", err)
	}
	if !machine.peer.isRt() { // in the help of runc 1.5 it is called by the name of its file
		peer := filepath.Join(work, machine.name)
		if err := copyFile(machine.rt, peer, 0o755); err != nil {
			return complain("%v", err)
		}
		machine.rt = peer
	}
	if machine.rt, err = forOthers(machine.rt); err != nil {
		return complain("%v", err)
	}
	if err := buildProbe(); err != nil {
		return complain("%v", err)
	}
	// Orphans of containers come to this process, so that a test can reap them and see their exit status.
	if err := orphans.Begin(); err != nil {
		return complain("%v", err)
	}
	takeBack := hybridControllers()
	code := run()
	if err := takeBack(); err != nil {
		return complain("%v", err)
	}
	if err := checkDevNull(); err != nil {
		return complain("%v", err)
	}
	return code
}

// defaultSignals: what the tests start ignores no signal, also if they were started by nohup, which ignores SIGHUP, or in the background
// by a shell, which ignores SIGINT and SIGQUIT. A signal that is caught here has its default action there.
func defaultSignals() {
	for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// hybridControllers notes which controllers the v2 root of a hybrid host hands down; takeBack disables those that have
// come since, and enables those that have gone. rt enables what a container asks for and leaves it enabled, as on every host;
// crun refuses such a one.
func hybridControllers() (takeBack func() error) {
	const file = "/sys/fs/cgroup/unified/cgroup.subtree_control"
	before, err := os.ReadFile(file)
	if err != nil {
		return func() error { return nil } // not hybrid
	}
	return func() error {
		after, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		was, is := strings.Fields(string(before)), strings.Fields(string(after))
		for _, name := range slices.Concat(was, is) {
			sign := ""
			switch {
			case !slices.Contains(was, name):
				sign = "-"
			case !slices.Contains(is, name):
				sign = "+"
			default:
				continue
			}
			if err := os.WriteFile(file, []byte(sign+name), 0); err != nil {
				return fmt.Errorf("put back controller %s%s of the v2 root: %w", sign, name, err)
			}
		}
		return nil
	}
}

// TestBinary makes go test's cache depend on which binary was tested.
func TestBinary(t *testing.T) {
	if _, err := os.Stat(machine.rt); err != nil {
		t.Fatalf("RT=%q: %v", os.Getenv("RT"), err)
	}
}

func complain(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "integration: "+format+"\n", args...)
	return 1
}

func findRuntime() error {
	rt := os.Getenv("RT")
	if rt == "" {
		rt = "../../rt"
	}
	path, err := exec.LookPath(rt)
	if err != nil {
		return fmt.Errorf("find the runtime: %w (run `make` first, or set RT)", err)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	machine.rt, machine.name = path, filepath.Base(path)
	if machine.peer, err = findPeer(path); err == nil && !machine.peer.isRt() {
		machine.name, patience = machine.peer.name, patienceWithPeer
	}
	return err
}

// forOthers gives a program where an ordinary user can execute it: a clone may be in somebody's own directory, or may have been
// made with another umask.
func forOthers(program string) (string, error) {
	for p := program; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return "", err
		}
		if info.Mode().Perm()&0o001 == 0 {
			copied := filepath.Join(machine.work, filepath.Base(program))
			return copied, copyFile(program, copied, 0o755)
		}
		if p == "/" {
			return program, nil
		}
	}
}

// buildProbe: where there is no compiler, RT_PROBE names a probe that is ready.
func buildProbe() error {
	if machine.probe = os.Getenv("RT_PROBE"); machine.probe != "" {
		return nil
	}
	machine.probe = filepath.Join(machine.work, "probe")
	out, err := exec.Command("musl-gcc", "-static", "-Os", "-Wall", "-Wextra", "-o", machine.probe, "testdata/probe.c").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build testdata/probe.c: %w\n%s(package musl-tools)", err, out)
	}
	return nil
}

// checkDevNull: a runtime that chowns a container's stdin may hit the host's /dev/null.
func checkDevNull() error {
	var st unix.Stat_t
	if err := unix.Lstat("/dev/null", &st); err != nil {
		return err
	}
	if st.Mode != unix.S_IFCHR|0o666 || st.Uid != 0 || st.Gid != 0 || st.Rdev != unix.Mkdev(1, 3) {
		return fmt.Errorf("the host's /dev/null was changed: mode %o owner %d:%d device %#x", st.Mode, st.Uid, st.Gid, st.Rdev)
	}
	return nil
}

// busyboxRootfs fills dir with a root filesystem: busybox, its links, the probe and a passwd file.
func busyboxRootfs(dir string) error {
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "root", "run", "var"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	for _, f := range []struct{ from, to string }{{"/bin/busybox", "bin/busybox"}, {machine.probe, "bin/probe"}} {
		if err := copyFile(f.from, filepath.Join(dir, f.to), 0o755); err != nil {
			return err
		}
	}
	for _, applet := range strings.Fields(applets) {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
		"etc/group":  "root:x:0:\nalice:x:1000:\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, mode)
}

// applets are the busybox commands that the tests use.
const applets = `sh cat ls sleep echo grep id env pwd touch mkdir rmdir rm mount umount mknod hostname dnsdomainname ip
 ps kill true false stat stty readlink realpath dd head tail wc cut tr sort awk sed seq test printf chmod chown ln
 mkfifo nc unshare nsenter setsid usleep timeout date uname tty cp mv find expr od hexdump cmp md5sum yes nohup nice
 df free top uptime xargs tee dmesg which basename dirname chroot pidof sync sysctl ttysize resize`
