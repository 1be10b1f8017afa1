package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long one call of the runtime, or one wait, may take; only a hang reaches it. A peer that hangs where rt does not
// is to fail the test soon: it runs on a machine, never in a guest.
var patience = max(2*time.Minute, slow(20*time.Second))

const patienceWithPeer = 30 * time.Second

// callerPath is PATH of what calls the runtime.
const callerPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A call is one call of the runtime binary. Only args must be set.
type call struct {
	prefix []string // a command that runs the runtime, such as nsenter
	global []string // options before the verb, after --root
	args   []string
	stdin  io.Reader
	env    []string // added to a minimal environment
	files  []*os.File
	dir    string
	bare   bool     // no --root: only what is in global and args
	tty    *os.File // stdin, stdout and stderr, and the controlling terminal
}

// A result is what one call did.
type result struct {
	t              *testing.T
	args           []string
	stdout, stderr string
	code           int // exit status; 128+signal when the runtime itself was killed
}

// A running is a call of the runtime that has not ended yet.
type running struct {
	t              *testing.T
	cmd            *exec.Cmd
	args           []string
	stdout, stderr *os.File
	timer          *time.Timer
	ended          chan error

	mu   sync.Mutex
	over bool // its pid may be that of another process by now
	late bool // it was killed after patience
}

// invoke runs the runtime and waits for its end.
func invoke(t *testing.T, dir, root string, c call) result {
	t.Helper()
	return begin(t, dir, root, c).wait()
}

// begin starts the runtime. Output goes to files, not pipes: a detached container keeps them open.
func begin(t *testing.T, dir, root string, c call) *running {
	t.Helper()
	args := []string{"--root", root}
	if c.bare {
		args = nil
	}
	if underSystemd() {
		args = append(args, "--systemd-cgroup")
	}
	args = slices.Concat(args, c.global, c.args)
	argv := slices.Concat(c.prefix, []string{machine.rt}, args)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.ExtraFiles, cmd.Dir = c.stdin, c.files, c.dir
	cmd.Env = append([]string{"PATH=" + callerPath}, c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r := &running{t: t, cmd: cmd, args: args, stdout: tempFile(t, dir, "out-"), stderr: tempFile(t, dir, "err-"), ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = r.stdout, r.stderr
	if c.tty != nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = c.tty, c.tty, c.tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}
	if err := orphans.Start(cmd); err != nil {
		t.Fatalf("start %s: %v", machine.rt, err)
	}
	r.timer = time.AfterFunc(patience, r.timeout)
	go func() { r.ended <- r.await() }()
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test has failed before it waited
			r.kill()
			<-r.ended
		}
	})
	return r
}

// kill ends the runtime and what it has in its process group, unless the runtime has ended.
func (r *running) kill() { r.killAs(false) }

// timeout is a kill for want of patience.
func (r *running) timeout() { r.killAs(true) }

func (r *running) killAs(late bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.late = late
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
}

// await reaps the runtime when it has ended. Before, while its pid is still its own, it sees to it that nothing is killed by that pid
// any more: no kill by a test that does not call wait, none by the timer.
func (r *running) await() error {
	var info unix.Siginfo
	for unix.Waitid(unix.P_PID, r.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	r.timer.Stop()
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	return orphans.Wait(r.cmd)
}

// wait waits for the end of the runtime; one that takes too long is killed and fails the test.
func (r *running) wait() result {
	r.t.Helper()
	err := <-r.ended
	defer r.stdout.Close()
	defer r.stderr.Close()
	got := result{t: r.t, args: r.args, stdout: readAll(r.t, r.stdout), stderr: readAll(r.t, r.stderr), code: exitCode(r.cmd.ProcessState)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("%s: %v", got, err)
	}
	if r.late {
		r.t.Fatalf("killed after %v: %s", patience, got)
	}
	return got
}

func tempFile(t *testing.T, dir, prefix string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(dir, prefix)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readAll(t *testing.T, f *os.File) string {
	t.Helper()
	// Not by its name: the runtime may have given the file to the container's user. Nor from where the offset is, which
	// is the container's, too.
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func exitCode(p *os.ProcessState) int {
	if ws := p.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return p.ExitCode()
}

func (r result) String() string {
	return fmt.Sprintf("%s %s: exit %d\nstdout: %sstderr: %s", machine.name, strings.Join(r.args, " "), r.code, indent(r.stdout), indent(r.stderr))
}

func indent(text string) string {
	if text == "" {
		return "(empty)\n"
	}
	return "\n    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}

// ok wants exit status 0.
func (r result) ok() result {
	r.t.Helper()
	return r.exits(0)
}

// exits wants this exit status.
func (r result) exits(code int) result {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("want exit %d: %s", code, r)
	}
	return r
}

// fails wants exit status 1 and each of these texts on stderr.
func (r result) fails(texts ...string) result {
	r.t.Helper()
	return r.exits(1).says(texts...)
}

// says wants each of these texts on stderr; a log line's escaped quotes count as quotes.
func (r result) says(texts ...string) result {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(strings.ReplaceAll(r.stderr, `\"`, `"`), text) {
			r.t.Fatalf("want %q on stderr: %s", text, r)
		}
	}
	return r
}

// prints wants exactly this on stdout, apart from white space at its ends and at the ends of lines.
func (r result) prints(want string) result {
	r.t.Helper()
	got := strings.TrimSpace(strings.ReplaceAll(r.stdout, " \n", "\n")) // the kernel ends some lists with a space
	if got != strings.TrimSpace(want) {
		r.t.Fatalf("want stdout %q: %s", want, r)
	}
	return r
}

// out is stdout without the white space around it.
func (r result) out() string { return strings.TrimSpace(r.stdout) }

// lines are the lines of stdout.
func (r result) lines() []string { return strings.Split(r.out(), "\n") }

// oneError wants one clear error: a single line on stderr, apart from hints. runc may warn as well.
func (r result) oneError() result {
	r.t.Helper()
	errs := 0
	for _, line := range strings.Split(strings.TrimSpace(r.stderr), "\n") {
		if line == "" || strings.HasPrefix(line, "hint:") || strings.Contains(line, "level=warning") ||
			!machine.peer.isRt() && strings.HasPrefix(line, "Incorrect Usage: ") {
			continue
		}
		errs++
	}
	if errs != 1 {
		r.t.Fatalf("want one line of error, got %d: %s", errs, r)
	}
	if len(r.stderr) > 12000 && machine.peer.isRt() || strings.Contains(r.stderr, "goroutine ") {
		r.t.Fatalf("want a short error: %s", r)
	}
	return r
}

// eventually waits until a condition that another process brings about is true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for: %s", patience, what)
		}
	}
}
