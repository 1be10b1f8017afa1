// Package hooks runs one OCI hook as a child of rt: state on stdin, timeout, what it printed kept for the error.
// It runs outside the container.
package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Error says which hook failed and what it printed last. Err is an ExitError, a TimeoutError, the errno of the
// system call that could not start the hook, the context's cause, or what a Starter's wait returned.
type Error struct {
	Kind   string // prestart, createRuntime, ... as in config.json
	Index  int    // position in the list of that kind, from 0
	Path   string
	Output string // the end of stdout and stderr, as they came
	Err    error
}

func (e *Error) Error() string {
	// runc's words, by which scripts know the failure, and the program.
	s := fmt.Sprintf("error running %s hook #%d: %v (%s)", e.Kind, e.Index, e.Err, e.Path)
	if e.Output != "" {
		s += ": " + e.Output
	}
	return s
}

// Hint says what usually helps.
func (e *Error) Hint() string {
	if errors.Is(e.Err, unix.ENOEXEC) {
		return "a script needs a #! line, a binary must be built for this machine"
	}
	return ""
}

func (e *Error) Unwrap() error { return e.Err }

// ExitError is the end of a hook that did not exit with 0.
type ExitError struct{ Status unix.WaitStatus }

func (e ExitError) Error() string {
	if e.Status.Signaled() {
		return "signal: " + e.Status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", e.Status.ExitStatus())
}

// TimeoutError is the end of a hook that was killed because its timeout passed; it is context.DeadlineExceeded too.
type TimeoutError struct{ After time.Duration }

// The wording is runc's: scripts and engines' tests look for it.
func (e TimeoutError) Error() string {
	return fmt.Sprintf("hook ran past specified timeout of %.1fs", e.After.Seconds())
}

func (e TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// A Starter starts the hook's process with these three files as its stdio (they are closed by the caller
// afterwards) and returns its pid and a function that reaps it and returns nil only for exit status 0. The
// process must stay unreaped until wait is called: as long as it is, its pid cannot become somebody else's.
// A process that leads a process group is killed with its group when the time is over. When ctx ends, a Starter
// that takes long gives up, leaves no process and returns any error.
type Starter = func(ctx context.Context, stdin, stdout, stderr *os.File) (pid int, wait func() (exitErr error), err error)

// Run runs one hook to its end, in rt's own namespaces (config.md, POSIX-platform Hooks), in the working directory dir, or in
// rt's own if dir is nil.
// The hook gets h.Args (args[0] is argv[0]; none means the path), exactly h.Env, or rt's environment if config.json has no env (nil),
// and state on its stdin, which it need not read. No other descriptor of rt is passed on: all are set close-on-exec, for good.
// The error is an *Error.
func Run(ctx context.Context, kind string, index int, h specs.Hook, state []byte, dir *os.File) error {
	return Supervise(ctx, kind, index, h, state, func(_ context.Context, stdin, stdout, stderr *os.File) (int, func() error, error) {
		return spawn(h, dir, stdin, stdout, stderr)
	})
}

// RunAll runs hooks in their order and stops at the first error.
func RunAll(ctx context.Context, kind string, hs []specs.Hook, state []byte, dir *os.File) error {
	for i, h := range hs {
		if err := Run(ctx, kind, i, h, state, dir); err != nil {
			return err
		}
	}
	return nil
}

// Supervise is Run for a process that start starts: a createContainer or startContainer hook, which the stub
// puts into the container's namespaces. When h.Timeout (seconds, more than 0) passes, the way there included, or ctx
// ends, the process gets SIGKILL. A hook may leave processes behind that hold its stdio: only the hook itself is waited for.
func Supervise(ctx context.Context, kind string, index int, h specs.Hook, state []byte, start Starter) error {
	var output tail
	err := supervise(ctx, h, state, start, &output)
	if err != nil {
		return &Error{Kind: kind, Index: index, Path: h.Path, Output: output.String(), Err: err}
	}
	return nil
}

// started is the key of what Observed adds to a context.
type started struct{}

// Observed has the pid of each hook told to f when it runs.
func Observed(ctx context.Context, f func(pid int)) context.Context {
	return context.WithValue(ctx, started{}, f)
}

func supervise(ctx context.Context, h specs.Hook, state []byte, start Starter, output *tail) error {
	limit, err := limitOf(h)
	if err != nil {
		return err
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, TimeoutError{limit})
		defer cancel()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p, err := openPipes()
	if err != nil {
		return err
	}
	defer p.close()
	pid, wait, err := start(ctx, p.childIn, p.childOut, p.childOut)
	p.closeChild() // or end of file would never come
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	if told, ok := ctx.Value(started{}).(func(pid int)); ok {
		told(pid)
	}
	finish := p.serve(state, output)
	stopped := awaitExit(ctx, pid)
	if stopped != nil {
		kill(pid)
	}
	exit := wait()
	if err := finish(); err != nil {
		return err
	}
	if stopped != nil {
		return stopped
	}
	return exit
}

// limitOf returns the hook's time limit, 0 if it has none.
func limitOf(h specs.Hook) (time.Duration, error) {
	const longest = 1 << 30 // seconds, 34 years: keeps the product far from overflow
	switch {
	case h.Timeout == nil:
		return 0, nil
	case *h.Timeout <= 0:
		return 0, fmt.Errorf("timeout %d: must be greater than 0: %w", *h.Timeout, unix.EINVAL)
	}
	return time.Duration(min(*h.Timeout, longest)) * time.Second, nil
}

// spawn starts a hook in rt's namespaces, in a process group of its own, so that a timeout reaches its children too.
func spawn(h specs.Hook, dir, stdin, stdout, stderr *os.File) (pid int, wait func() error, err error) {
	// rt may have been started with descriptors that are not close-on-exec (--preserve-fds, careless callers).
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 0, nil, fmt.Errorf("close_range: %w", err)
	}
	argv := h.Args
	if len(argv) == 0 {
		argv = []string{h.Path}
	}
	env := h.Env
	if env == nil {
		env = os.Environ()
	}
	where := ""
	if dir != nil { // by its descriptor, which the child has until execve: the directory may have no path any more
		where = "/proc/self/fd/" + strconv.Itoa(int(dir.Fd()))
	}
	// Not os.StartProcess: its first use forks once just to see what pidfds can do.
	pid, err = syscall.ForkExec(h.Path, argv, &syscall.ProcAttr{
		Dir:   where,
		Env:   env,
		Files: []uintptr{stdin.Fd(), stdout.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, nil, err
	}
	return pid, func() error { return reap(pid) }, nil
}

func reap(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait4 %d: %w", pid, err)
		case status.Stopped(): // traced by this process, as a program can ask for (PTRACE_TRACEME)
			continue
		case status.Exited() && status.ExitStatus() == 0:
			return nil
		}
		return ExitError{status}
	}
}
