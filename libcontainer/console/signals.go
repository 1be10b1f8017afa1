package console

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// A Forwarder passes the signals that rt gets in the foreground on to the container's process.
//
// It never touches SIGCHLD (wait for the child with wait4 or a pidfd, not with the signal), SIGURG (Go's own
// scheduler sends it), SIGPIPE, SIGTTIN and SIGTTOU (they are about rt's own use of its terminal: caught, a
// background rt would retry for ever instead of being stopped by the shell), and those that a fault in rt raises.
type Forwarder struct {
	signals chan os.Signal
	resize  func()
	stop    chan struct{}
	all     chan struct{} // closed when catch is done
	done    sync.WaitGroup
	once    sync.Once
}

// NewForwarder catches the signals from now on and keeps them until Start: call it before anything is made that
// a signal's default action would leave behind, and before the child is started. (The rare ones, such as the
// real-time signals, are caught a few milliseconds later; until then Go ignores them.) SIGWINCH is not passed on but
// calls resize, if that is not nil, from the goroutine that Start starts. A SIGHUP that is ignored when rt
// starts stays ignored (nohup).
func NewForwarder(resize func()) *Forwarder {
	f := &Forwarder{
		signals: make(chan os.Signal, 256), // os/signal drops what does not fit
		resize:  resize,
		stop:    make(chan struct{}),
		all:     make(chan struct{}),
	}
	rest := forwarded()
	first := []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT, unix.SIGUSR1, unix.SIGUSR2}
	if rest[0] == unix.SIGHUP {
		first = append(first, unix.SIGHUP)
	}
	signal.Notify(f.signals, first...)
	f.done.Go(func() { f.catch(rest) })
	return f
}

// catch catches the signals that are left. Each one costs os/signal a switch to another thread and back, 15 to
// 50 µs: in the background that is not paid by who starts a container, and not to its end by one that is short.
func (f *Forwarder) catch(rest []os.Signal) {
	defer close(f.all)
	for _, s := range rest {
		select {
		case <-f.stop:
			return
		default:
			signal.Notify(f.signals, s)
		}
	}
}

// lastSignal is SIGRTMAX on all of Go's Linux architectures but MIPS. The real-time signals matter: systemd as a
// container's init is told to halt by SIGRTMIN+3.
const lastSignal = 64

func forwarded() []os.Signal {
	var list []os.Signal
	for s := unix.Signal(1); s <= lastSignal; s++ {
		switch s {
		case unix.SIGKILL, unix.SIGSTOP: // cannot be caught
		case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU:
		case unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS:
		case unix.SIGPROF, 32, 33: // the Go profiler's; the C library's, for threads
		case unix.SIGHUP:
			if !signal.Ignored(s) {
				list = append(list, s)
			}
		default:
			list = append(list, s)
		}
	}
	return list
}

// Start passes on what has come so far and what will come. send delivers one signal, best through a pidfd; nil
// means kill(pid). Its error is ignored: the process may have ended, and then somebody waits for it already.
func (f *Forwarder) Start(pid int, send func(unix.Signal) error) {
	if send == nil {
		send = func(s unix.Signal) error { return unix.Kill(pid, s) }
	}
	f.done.Go(func() {
		for {
			select {
			case <-f.stop:
				return
			case s := <-f.signals:
				f.handle(s.(unix.Signal), send)
			}
		}
	})
}

func (f *Forwarder) handle(s unix.Signal, send func(unix.Signal) error) {
	if s != unix.SIGWINCH {
		send(s)
	} else if f.resize != nil {
		f.resize()
	}
}

// Stop gives the signals their default action back; when it returns, no send or resize is under way. A second
// Stop does nothing. Close the Session first, or a signal may end rt with the caller's terminal still raw.
func (f *Forwarder) Stop() {
	f.once.Do(func() {
		close(f.stop)
		f.done.Wait()
		signal.Stop(f.signals)
	})
}
