package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	before := openFds()
	code := m.Run()
	// The poller's own descriptors (epoll, eventfd) stay, nothing else may.
	if after := openFds(); code == 0 && after > before+2 {
		fmt.Printf("%d descriptors leaked\n", after-before-2)
		code = 1
	}
	os.Exit(code)
}

func openFds() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries)
}

// script makes an executable shell script and returns a hook that runs it.
func script(t *testing.T, body string) specs.Hook {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return specs.Hook{Path: path, Env: []string{"PATH=/usr/bin:/bin"}}
}

func seconds(n int) *int { return &n }

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// killAtEnd kills the process whose pid the hook wrote to the file.
func killAtEnd(t *testing.T, pidFile string) {
	t.Cleanup(func() {
		if pid, err := strconv.Atoi(strings.TrimSpace(read(t, pidFile))); err == nil && pid > 1 {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
}

// fifo makes a FIFO and returns its reading end, which does not wait for a writer.
func fifo(t *testing.T, dir string) (path string, r *os.File) {
	t.Helper()
	path = filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return path, r
}

func TestHookGetsStateArgumentsAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("OF_RT", "must not be seen")
	h := script(t, "cat >"+dir+"/state\nprintf '%s,' \"$@\" >"+dir+"/args\ncat /proc/self/environ | tr '\\0' '\\n' >"+dir+"/env\n")
	h.Args = []string{"name", "one", "two words"}
	h.Env = append(h.Env, "A=1")
	state := bytes.Repeat([]byte("x"), 300<<10) // more than a pipe holds
	if err := Run(t.Context(), "createRuntime", 0, h, state, nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir+"/state"); got != string(state) {
		t.Errorf("stdin: %d bytes, want %d", len(got), len(state))
	}
	if got := read(t, dir+"/args"); got != "one,two words," {
		t.Errorf("args = %q", got)
	}
	env := read(t, dir+"/env")
	if !strings.Contains(env, "A=1\n") || strings.Contains(env, "OF_RT") {
		t.Errorf("environment = %q", env)
	}
}

// output runs a hook that must succeed and returns what it printed.
func output(t *testing.T, h specs.Hook) string {
	t.Helper()
	var out tail
	err := supervise(t.Context(), h, nil, func(_ context.Context, i, o, e *os.File) (int, func() error, error) { return spawn(h, nil, i, o, e) }, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestArgumentZero(t *testing.T) {
	got := output(t, specs.Hook{Path: "/bin/cat", Args: []string{"other", "/proc/self/cmdline"}})
	if want := "other\x00/proc/self/cmdline\x00"; got != want {
		t.Errorf("cmdline = %q, want %q", got, want)
	}
	if got := output(t, script(t, "echo $0\n")); !strings.HasSuffix(got, "/hook") {
		t.Errorf("without args, $0 = %q, want the path", got)
	}
}

// TestEnvironmentWithoutEnv: a hook without env has rt's environment, one with an empty list an empty one, as with runc.
func TestEnvironmentWithoutEnv(t *testing.T) {
	t.Setenv("OF_RT", "seen")
	if got := output(t, specs.Hook{Path: "/usr/bin/env"}); !slices.Contains(strings.Split(got, "\n"), "OF_RT=seen") {
		t.Errorf("environment without env = %q", got)
	}
	if got := output(t, specs.Hook{Path: "/usr/bin/env", Env: []string{}}); got != "" {
		t.Errorf("environment with an empty env = %q", got)
	}
}

// TestWorkingDirectory: also of a directory that has no path any more.
func TestWorkingDirectory(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	where := func(dir *os.File) string {
		var out tail
		h := specs.Hook{Path: "/usr/bin/readlink", Args: []string{"readlink", "/proc/self/cwd"}}
		err := supervise(t.Context(), h, nil, func(_ context.Context, i, o, e *os.File) (int, func() error, error) { return spawn(h, dir, i, o, e) }, &out)
		if err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	own, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got := where(nil); got != own {
		t.Errorf("without a directory: %s, want %s", got, own)
	}
	if got := where(f); got != dir {
		t.Errorf("working directory %s, want %s", got, dir)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if got := where(f); got != dir+" (deleted)" {
		t.Errorf("working directory %s, want the removed %s", got, dir)
	}
}

func TestUnreadStateIsNoError(t *testing.T) {
	h := script(t, "exec <&-\nexit 0\n")
	if err := Run(t.Context(), "prestart", 0, h, bytes.Repeat([]byte("x"), 1<<20), nil); err != nil {
		t.Fatal(err)
	}
}

func TestFailureNamesHookAndOutput(t *testing.T) {
	h := script(t, "echo why >&2\nexit 3\n")
	err := Run(t.Context(), "createRuntime", 2, h, nil, nil)
	if want := "error running createRuntime hook #2: exit status 3 (" + h.Path + "): why"; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	var exit ExitError
	if !errors.As(err, &exit) || exit.Status.ExitStatus() != 3 {
		t.Errorf("no ExitError with status 3 in %#v", err)
	}
	err = Run(t.Context(), "poststop", 0, script(t, "kill -TERM $$\n"), nil, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "error running poststop hook #0: signal: terminated (") {
		t.Errorf("error = %v", err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	h := script(t, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; printf '\\377the end' >&2; exit 1\n")
	var e *Error
	if !errors.As(Run(t.Context(), "poststart", 0, h, nil, nil), &e) {
		t.Fatal("no *Error")
	}
	if len(e.Output) > tailSize+2 || len(e.Output) < tailSize-100 || !strings.HasSuffix(e.Output, "line 19999\n\uFFFDthe end") {
		t.Errorf("%d bytes of output, ending %q", len(e.Output), e.Output[max(0, len(e.Output)-40):])
	}
}

func TestTimeoutKillsTheProcessGroup(t *testing.T) {
	dir := t.TempDir()
	path, r := fifo(t, dir)
	h := script(t, "exec 9>"+path+"\nsleep 1000 &\necho started >&2\nwait\n")
	// A machine with other work may not get it as far as to say something in a second: then it gets twice the time.
	for limit := 1; ; limit *= 2 {
		h.Timeout = seconds(limit)
		begin := time.Now()
		err := Run(t.Context(), "createRuntime", 0, h, nil, nil)
		late := fmt.Sprintf(": hook ran past specified timeout of %d.0s (%s)", limit, h.Path)
		if err == nil || !strings.HasSuffix(err.Error(), late+": started") && (limit == 64 || !strings.HasSuffix(err.Error(), late)) {
			t.Errorf("error = %v", err)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not context.DeadlineExceeded", err)
		}
		if d := time.Since(begin); d < time.Duration(limit)*time.Second {
			t.Errorf("killed after %v", d)
		}
		if err == nil || strings.HasSuffix(err.Error(), ": started") || limit == 64 {
			break
		}
	}
	// End of file: hook and sleep, the only writers, are dead.
	r.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if n, err := r.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the hook's child lives: read = %d, %v", n, err)
	}
}

func TestHookInTimeIsNotKilled(t *testing.T) {
	h := script(t, "exit 0\n")
	h.Timeout = seconds(math.MaxInt)
	if err := Run(t.Context(), "createRuntime", 0, h, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestTimeoutMustBePositive(t *testing.T) {
	h := script(t, "exit 0\n")
	h.Timeout = seconds(0)
	if err := Run(t.Context(), "createRuntime", 0, h, nil, nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("error = %v", err)
	}
}

func TestCancelKillsTheHook(t *testing.T) {
	path, r := fifo(t, t.TempDir())
	h := script(t, "echo x >"+path+"\nexec sleep 1000\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("no longer wanted")
	go func() {
		buf := make([]byte, 1)
		for { // 0 bytes: no writer yet
			if n, _ := r.Read(buf); n == 1 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel(cause)
	}()
	if err := Run(ctx, "createRuntime", 0, h, nil, nil); !errors.Is(err, cause) {
		t.Errorf("error = %v", err)
	}
	if err := Run(ctx, "createRuntime", 0, h, nil, nil); !errors.Is(err, cause) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// A process left behind holds all three files; the hook's own end is what counts, and its output is complete.
func TestBackgroundProcessDoesNotHang(t *testing.T) {
	dir := t.TempDir()
	h := script(t, "sleep 1000 &\necho $! >"+dir+"/pid\nhead -c 60000 /dev/zero | tr '\\0' x >&2; echo last words >&2\nexit 4\n")
	killAtEnd(t, dir+"/pid")
	err := Run(t.Context(), "createRuntime", 0, h, bytes.Repeat([]byte("x"), 1<<20), nil)
	if err == nil || !strings.HasSuffix(err.Error(), "xxx"+"last words") {
		t.Errorf("error = %v", err)
	}
}

func TestEndlessWriterLeftBehindDoesNotHang(t *testing.T) {
	dir := t.TempDir()
	h := script(t, "yes >&2 &\necho $! >"+dir+"/pid\nexit 0\n")
	killAtEnd(t, dir+"/pid")
	if err := Run(t.Context(), "createRuntime", 0, h, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestNoDescriptorIsInherited(t *testing.T) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// Descriptor 3 is the directory that ls itself reads.
	if got := output(t, specs.Hook{Path: "/bin/ls", Args: []string{"ls", "/proc/self/fd"}}); got != "0\n1\n2\n3" {
		t.Errorf("descriptors of the hook: %q", got)
	}
}

func TestStartErrorsKeepTheErrno(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no interpreter line"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]unix.Errno{dir + "/none": unix.ENOENT, dir: unix.EACCES, text: unix.ENOEXEC} {
		err := Run(t.Context(), "createRuntime", 0, specs.Hook{Path: path}, nil, nil)
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "error running createRuntime hook #0: "+want.Error()+" ("+path+")") {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if hint := err.(*Error).Hint() != ""; hint != (want == unix.ENOEXEC) {
			t.Errorf("hint in %q: %v", err, hint)
		}
	}
}

func TestRunAllStopsAtTheFirstError(t *testing.T) {
	dir := t.TempDir()
	hs := []specs.Hook{
		script(t, "echo 0 >>"+dir+"/ran\n"), script(t, "echo 1 >>"+dir+"/ran; exit 1\n"), script(t, "echo 2 >>"+dir+"/ran\n"),
	}
	err := RunAll(t.Context(), "poststart", hs, nil, nil)
	var e *Error
	if !errors.As(err, &e) || e.Index != 1 || e.Kind != "poststart" {
		t.Errorf("error = %v", err)
	}
	if got := read(t, dir+"/ran"); got != "0\n1\n" {
		t.Errorf("hooks run: %q", got)
	}
}

func TestSuperviseForeignProcess(t *testing.T) {
	start := func(body string) Starter {
		return func(_ context.Context, stdin, stdout, stderr *os.File) (int, func() error, error) {
			cmd := exec.Command("/bin/sh", "-c", body)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
			if err := cmd.Start(); err != nil {
				return 0, nil, err
			}
			return cmd.Process.Pid, cmd.Wait, nil
		}
	}
	h := specs.Hook{Path: "/in/container"}
	err := Supervise(t.Context(), "createContainer", 1, h, []byte("{}"), start("read x; echo got $x; exit 7"))
	if want := "error running createContainer hook #1: exit status 7 (/in/container): got {}"; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	// It is in the test's own process group: killing that group would end the test.
	h.Timeout = seconds(1)
	err = Supervise(t.Context(), "startContainer", 0, h, nil, start("exec sleep 1000"))
	if !errors.Is(err, TimeoutError{time.Second}) {
		t.Errorf("error = %v", err)
	}
	failed := func(context.Context, *os.File, *os.File, *os.File) (int, func() error, error) {
		return 0, nil, syscall.EAGAIN
	}
	if err := Supervise(t.Context(), "startContainer", 0, h, nil, failed); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("error = %v", err)
	}
	late := func(ctx context.Context, _, _, _ *os.File) (int, func() error, error) {
		<-ctx.Done()
		return 0, nil, unix.EPIPE
	}
	if err := Supervise(t.Context(), "startContainer", 0, h, nil, late); !errors.Is(err, TimeoutError{time.Second}) {
		t.Errorf("one that is not there in time: %v", err)
	}
}
