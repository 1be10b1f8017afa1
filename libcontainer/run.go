package libcontainer

import (
	"errors"
	"fmt"
	"os"

	"rt/internal/sys"
	"rt/libcontainer/console"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Run creates and starts a container. Detached it returns once the program runs; else it waits for the program,
// deletes the container unless told to keep it, and returns the program's exit status.
func (r *Runtime) Run(id string, o RunOptions) (int, error) {
	fg := &foreground{}
	var f *console.Forwarder
	var meanwhile func()
	if !o.Detach {
		// Catching signals costs the Go runtime some time: it has it while the stub is at work.
		meanwhile = func() { f = console.NewForwarder(fg.resize) }
		if !o.NoSubreaper {
			if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
				return -1, fmt.Errorf("become subreaper: %w", err)
			}
		}
	}
	k, err := r.create(id, &making{o: o.CreateOptions, detached: o.Detach, meanwhile: meanwhile})
	if f != nil {
		defer f.Stop()
	}
	if err != nil {
		return -1, err
	}
	defer k.c.release()
	if err := k.runTerminal(fg); err != nil {
		return -1, k.fail(err)
	}
	if f != nil {
		f.Start(k.c.Pid, func(s unix.Signal) error { return unix.Kill(k.c.Pid, s) })
	}
	if err := k.c.begin(k.spec, k.in); err != nil {
		fg.close()
		return -1, k.fail(err)
	}
	k.in.stub.Close()
	k.c.release()
	if err := writePidFile(o.PidFile, k.c.Pid); err != nil {
		return -1, k.fail(err)
	}
	if o.Detach {
		return 0, nil
	}
	status, err := waitFor(k.c.Pid, !o.NoSubreaper)
	fg.close()
	if err != nil {
		return -1, err
	}
	if !o.Keep {
		if err := r.remove(k.c); err != nil {
			return -1, err
		}
	}
	return status, nil
}

// runTerminal finds an owner for the terminal: the console socket, or this process.
func (k *making) runTerminal(fg *foreground) error {
	if k.o.PidfdSocket != "" {
		if err := sendPidfd(k.o.PidfdSocket, k.c.Pid); err != nil {
			return err
		}
	}
	if k.in.master == nil {
		return nil
	}
	if k.o.ConsoleSocket != "" {
		return k.sendTerminal()
	}
	return fg.attach(k.in.master, k.spec.Process)
}

// checkTerminal: a terminal's master needs exactly one owner, the console socket or an rt that stays.
func checkTerminal(terminal, detach bool, socket string) error {
	switch {
	case terminal && detach && socket == "":
		return errors.New("cannot allocate tty if runc will detach without setting console socket")
	case socket != "" && (!detach || !terminal):
		return errors.New("cannot use console socket if runc will not detach or allocate tty")
	}
	return nil
}

// A foreground is a terminal whose master this process holds.
type foreground struct{ session *console.Session }

func (f *foreground) attach(master *os.File, p *specs.Process) error {
	if err := console.SetSize(master, p.ConsoleSize, os.Stdin, os.Stdout); err != nil {
		return err
	}
	s, err := console.Attach(master, os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	f.session = s
	return nil
}

func (f *foreground) resize() {
	if f.session != nil {
		_ = f.session.Resize()
	}
}

func (f *foreground) close() {
	if f.session != nil {
		_ = f.session.Close()
		f.session = nil
	}
}

// waitFor reaps until the process pid has ended; as a subreaper, orphans on the way too. The status is the
// process's own, or 128 and the signal's number.
func waitFor(pid int, orphans bool) (int, error) {
	which := pid
	if orphans {
		which = -1
	}
	for {
		var ws unix.WaitStatus
		var got int
		err := sys.Retry(func() (err error) {
			got, err = unix.Wait4(which, &ws, 0, nil)
			return err
		})
		if err != nil {
			return -1, fmt.Errorf("wait for the container's process: %w", err)
		}
		if got != pid {
			continue
		}
		if ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return ws.ExitStatus(), nil
	}
}
