package security

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// patience is how long one call of the runtime may take on a busy machine; one that hangs is an attack that succeeded.
// RT_SECURITY_PATIENCE=20s is for a runtime that is expected to hang, and more than two minutes for a guest.
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("RT_SECURITY_PATIENCE")); err == nil {
		return d
	}
	return 2 * time.Minute
}()

// host is what TestMain found and built; set once, before any test runs.
var host struct {
	rt     string // absolute path of the runtime under test
	work   string // directory of this run, /tmp/rt-sec-*
	attack string // the attacker, testdata/attack.c
	full   bool   // RT_SECURITY=full
}

func TestMain(m *testing.M) {
	asFakeCriu()
	code, err := 1, prepare()
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "security:", err)
	}
	if host.work != "" {
		os.RemoveAll(host.work)
	}
	os.Exit(code)
}

func prepare() (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("these tests start containers: run them as root")
	}
	unix.Umask(0o022) // other users read what the tests make
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	host.full = os.Getenv("RT_SECURITY") == "full"
	rt := os.Getenv("RT")
	if rt == "" {
		rt = "../../rt"
	}
	if host.rt, err = exec.LookPath(rt); err != nil {
		return fmt.Errorf("find the runtime: %w (run `make` first, or set RT)", err)
	}
	if host.rt, err = filepath.Abs(host.rt); err != nil {
		return err
	}
	if host.work, err = os.MkdirTemp("/tmp", "rt-sec-"); err != nil {
		return err
	}
	if err := os.Chmod(host.work, 0o755); err != nil {
		return err
	}
	if host.attack = os.Getenv("RT_ATTACK"); host.attack != "" { // a guest has no compiler
		return nil
	}
	host.attack = filepath.Join(host.work, "attack")
	out, err := exec.Command("musl-gcc", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", host.attack, "testdata/attack.c").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build testdata/attack.c: %w\n%s(package musl-tools)", err, out)
	}
	return nil
}

// hostGroup is a supplementary group of the host's root, which the runtime is started with. attack.c knows it.
const hostGroup = 4242

// runs is how often something that may or may not hit is tried.
func runs(quick, full int) int {
	if host.full {
		return full
	}
	return quick
}

// A victim is a bundle and the container made of it, with a directory beside it that nothing may touch.
type victim struct {
	t       *testing.T
	id      string
	dir     string // all of it: root/, bundle/, outside/
	rootfs  string
	outside string // a directory of the host
	spec    *specs.Spec
	exe     string // what starts the runtime, if not its path
	before  string
}

func newVictim(t *testing.T, edits ...func(*victim)) *victim {
	t.Helper()
	dir, err := os.MkdirTemp(host.work, "v")
	must(t, err)
	v := &victim{t: t, id: "rt-sec-" + strconv.Itoa(os.Getpid()) + "-" + filepath.Base(dir), dir: dir,
		rootfs: filepath.Join(dir, "bundle/rootfs"), outside: filepath.Join(dir, "outside")}
	for _, d := range []string{"root", "bundle/rootfs/bin", "bundle/rootfs/etc", "bundle/rootfs/dev", "bundle/rootfs/proc", "bundle/rootfs/sys",
		"bundle/rootfs/tmp", "outside/dir"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	must(t, os.Chmod(dir, 0o755))
	v.file("outside/secret", "the host's\n", 0o644)
	v.file("outside/dir/secret", "the host's\n", 0o600)
	copyFile(t, "/bin/busybox", v.rootfs+"/bin/busybox")
	copyFile(t, host.attack, v.rootfs+"/bin/attack")
	for _, name := range strings.Fields("printf sh cat ls sleep echo grep id true mkdir touch head kill ps mount stat test find rm chmod") {
		must(t, os.Symlink("busybox", v.rootfs+"/bin/"+name))
	}
	v.spec = defaultSpec(v.id)
	for _, edit := range edits {
		edit(v)
	}
	v.write()
	v.before = v.picture()
	t.Cleanup(v.finish)
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o755))
}

// file writes a file below the victim's directory.
func (v *victim) file(name, text string, mode fs.FileMode) {
	v.t.Helper()
	path := filepath.Join(v.dir, name)
	must(v.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(v.t, os.WriteFile(path, []byte(text), mode))
	must(v.t, os.Chmod(path, mode))
}

// link makes a symbolic link in the image, in place of what is there.
func (v *victim) link(target, name string) {
	v.t.Helper()
	must(v.t, os.RemoveAll(filepath.Join(v.rootfs, name)))
	must(v.t, os.Symlink(target, filepath.Join(v.rootfs, name)))
}

func (v *victim) write() {
	v.t.Helper()
	data, err := json.Marshal(v.spec)
	must(v.t, err)
	must(v.t, os.WriteFile(v.dir+"/bundle/config.json", data, 0o644))
}

// picture is everything in the directory outside: names, modes, owners, contents.
func (v *victim) picture() string {
	var b strings.Builder
	err := filepath.WalkDir(v.outside, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %o %d:%d dev %d", path, st.Mode, st.Uid, st.Gid, st.Dev)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		fmt.Fprintln(&b, err)
	}
	return b.String()
}

// untouched: nothing was made, changed or mounted outside.
func (v *victim) untouched() bool {
	v.t.Helper()
	after := v.picture()
	if after != v.before {
		v.t.Errorf("the host was changed\nbefore:\n%s\nafter:\n%s", v.before, after)
		v.before = after
		return false
	}
	return true
}

// finish deletes the container and sees that the host is as it was and nothing is left.
func (v *victim) finish() {
	if _, err := os.Stat(v.dir + "/root/" + v.id); err == nil {
		if r := v.rt("delete", "--force", v.id); r.code != 0 {
			v.t.Errorf("clean up: %s", r)
		}
	}
	v.untouched()
	reap()
	deadline := time.Now().Add(patience)
	for left := v.left(); len(left) > 0; left = v.left() {
		if time.Now().After(deadline) {
			v.t.Errorf("left behind: %v", left)
			break
		}
		time.Sleep(10 * time.Millisecond)
		reap()
	}
	if err := os.RemoveAll(v.dir); err != nil {
		v.t.Errorf("remove the test's directory: %v", err)
	}
}

// left lists what the machine still has of the container.
func (v *victim) left() (left []string) {
	for _, pattern := range []string{"/sys/fs/cgroup/" + v.id, "/sys/fs/cgroup/*/" + v.id, v.dir + "/root/*"} {
		found, _ := filepath.Glob(pattern)
		left = append(left, found...)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, v.dir) {
			left = append(left, "mount "+line)
		}
	}
	return left
}

// reap takes orphans of containers that have ended.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

type result struct {
	args           []string
	code           int
	stdout, stderr string
	hung           bool
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("%s: exit code %d, hung %v\nstdout: %.2000s\nstderr: %.2000s", strings.Join(r.args, " "), r.code, r.hung, r.stdout, r.stderr)
}

func (r result) ok(t *testing.T) result {
	t.Helper()
	if r.code != 0 {
		t.Fatal(r)
	}
	return r
}

// A call is the runtime with all that it may be given.
type call struct {
	args  []string
	files []*os.File // 3, 4 ... of the runtime
	env   []string
	limit time.Duration
	exe   string // another copy of the runtime

	stdin, stdout *os.File // nil: /dev/null, and a file of the test's own
}

// rt runs the runtime.
func (v *victim) rt(args ...string) result { v.t.Helper(); return v.do(call{args: args}) }

func (v *victim) do(c call) result {
	v.t.Helper()
	if c.limit == 0 {
		c.limit = patience
	}
	if c.exe == "" {
		c.exe = v.exe
	}
	if c.exe == "" {
		c.exe = host.rt
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.limit)
	defer cancel()
	args := append([]string{"--root", v.dir + "/root"}, c.args...)
	cmd := exec.CommandContext(ctx, c.exe, args...)
	cmd.ExtraFiles = c.files
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Groups: []uint32{hostGroup}}}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// Files, not pipes: a container keeps them open.
	out, err := os.CreateTemp(v.dir, "out-")
	must(v.t, err)
	defer out.Close()
	errs, err := os.CreateTemp(v.dir, "err-")
	must(v.t, err)
	defer errs.Close()
	cmd.Stdout, cmd.Stderr = out, errs
	if c.stdin != nil {
		cmd.Stdin = c.stdin
	}
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	began := time.Now()
	err = cmd.Run()
	took := time.Since(began)
	stdout, _ := os.ReadFile(out.Name())
	stderr, _ := os.ReadFile(errs.Name())
	r := result{args: c.args, code: cmd.ProcessState.ExitCode(), stdout: string(stdout), stderr: string(stderr), hung: ctx.Err() != nil, took: took}
	if r.hung {
		v.t.Errorf("%v", r)
	} else if err != nil && cmd.ProcessState == nil {
		v.t.Fatal(err)
	}
	return r
}

func (v *victim) with(verb string) []string {
	return []string{verb, "--bundle", v.dir + "/bundle", v.id}
}

func (v *victim) run() result    { v.t.Helper(); return v.rt(v.with("run")...) }
func (v *victim) create() result { v.t.Helper(); return v.rt(v.with("create")...) }
func (v *victim) up() *victim {
	v.t.Helper()
	v.create().ok(v.t)
	v.rt("start", v.id).ok(v.t)
	return v
}

func (v *victim) exec(args ...string) result {
	v.t.Helper()
	return v.rt(append([]string{"exec", v.id}, args...)...)
}

func (v *victim) remove() { v.t.Helper(); v.rt("delete", "--force", v.id) }

func (v *victim) pid() int {
	v.t.Helper()
	var s specs.State
	must(v.t, json.Unmarshal([]byte(v.rt("state", v.id).ok(v.t).stdout), &s))
	return s.Pid
}

// program is a process on the host that runs until the test ends.
func program(t *testing.T, name string, args ...string) *bytes.Buffer {
	t.Helper()
	out := new(bytes.Buffer)
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return out
}

// eventually polls for what is to happen.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}
