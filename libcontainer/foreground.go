package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"rt/internal/bug"
	"rt/internal/sys"
	"rt/libcontainer/console"
	"rt/libcontainer/facts"
	"rt/libcontainer/stdio"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A foreground connects the caller with a container's process for as long as it runs: by a terminal whose master this process
// holds, or by pipes.
type foreground struct {
	session *console.Session
	streams *stdio.Streams // or nil
	bug     error          // a panic of who copies, once it is closed
}

func (f *foreground) resize() {
	if f.session != nil {
		_ = f.session.Resize()
	}
}

func (f *foreground) close() {
	if f.session != nil {
		f.noteBug(f.session.Close()) // the rest is not worth an error: the program has ended as it has
		f.session = nil
	}
	f.streams.Close()
}

func (f *foreground) noteBug(err error) {
	if b := (*bug.Error)(nil); errors.As(err, &b) && f.bug == nil {
		f.bug = b
	}
}

// ended is what a wait gives its caller: the status, unless a panic has ended the copying.
func (f *foreground) ended(status int, err error) (int, error) {
	f.noteBug(errors.Join(f.streams.InErr(), f.streams.Err()))
	if err == nil && f.bug != nil {
		return -1, f.bug
	}
	return status, err
}

func (f *foreground) attach(master *os.File, p *specs.Process) error {
	if err := console.SetSize(master, p.ConsoleSize, os.Stdin, os.Stdout); err != nil {
		return err
	}
	s, err := console.Attach(master, os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	f.session = s
	f.streams.Close()
	return nil
}

// wait passes signals on until the process pid has ended; as a subreaper, it reaps orphans on the way. The status is
// the process's own, or 128 and the signal's number.
func (f *foreground) wait(pid int, signals *console.Signals, orphans bool) (status int, err error) {
	defer func() { status, err = f.ended(status, err) }()
	defer f.close()
	which := pid
	if orphans {
		which = -1
	}
	reap := func() (bool, error) {
		for {
			var ws unix.WaitStatus
			got, err := unix.Wait4(which, &ws, unix.WNOHANG, nil)
			switch {
			case err == unix.EINTR:
			case err != nil:
				return false, fmt.Errorf("wait for the container's process: %w", err)
			case got == 0:
				return false, nil
			case got == pid && ws.Signaled():
				status = 128 + int(ws.Signal())
				return true, nil
			case got == pid && ws.Exited(): // else a stop: the program has made this process its tracer (PTRACE_TRACEME)
				status = ws.ExitStatus()
				return true, nil
			}
		}
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		pidfd = -1
	} else {
		defer unix.Close(pidfd)
	}
	if err := f.streams.Start(pidfd); err != nil {
		return -1, err
	}
	defer f.streams.Ended()
	err = signals.Serve(pidfd, reap, func(s unix.Signal) error {
		switch {
		case s == unix.SIGWINCH:
			f.resize()
			return nil
		case s == unix.SIGXFSZ && f.streams.Copies(): // about a write of rt's own
			return nil
		}
		return unix.Kill(pid, s) // a child that only reap ends: the pid is its own
	})
	return status, err
}

// finish waits until all output is written. A process that the program has left behind can have the pipe open for as long as it
// likes, so a signal that ends programs ends the wait. What could not be written is a warning: the exit status is the program's.
func (f *foreground) finish(r *Runtime, signals *console.Signals) {
	output := f.streams.Output()
	if output == nil {
		return
	}
	over := func() (bool, error) { return f.streams.Over(), nil }
	_ = signals.Serve(int(output.Fd()), over, func(s unix.Signal) error {
		switch s {
		case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
			f.streams.GiveUp()
		}
		return nil
	})
	if err := f.streams.Err(); err != nil {
		r.Warn("%v: output of the container was lost", err)
	}
}

func callerStdio() nsenter.Stdio { return nsenter.Stdio{os.Stdin, os.Stdout, os.Stderr} }

// warnStreams warns of what a detached process keeps of the caller's for as long as it likes.
func (r *Runtime) warnStreams(s *stdio.Streams, p *specs.Process) {
	if p.Terminal {
		return
	}
	if len(s.Sockets) > 0 {
		r.Warn("%s: a detached container keeps the caller's socket, and with it has access to the caller's network namespace; give it /dev/null, a pipe or a FIFO", strings.Join(s.Sockets, ", "))
	}
	if len(s.Terminals) > 0 {
		r.Warn("%s: a detached container keeps the caller's terminal and can read what is typed there; give it /dev/null, a pipe or a FIFO", strings.Join(s.Terminals, ", "))
	}
}

// giveStreams makes the user of a process that has pid's user namespace the owner of rt's pipes.
func giveStreams(s *stdio.Streams, pid int, p *specs.Process) {
	if !s.Copies() {
		return
	}
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(pid)+"/uid_map", maxFile)
	if err != nil {
		return
	}
	if uid, ok := facts.OuterID(facts.ReadIDMap(string(text)), p.User.UID); ok {
		s.GiveTo(int(uid))
	}
}
