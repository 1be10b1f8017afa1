package libcontainer

import (
	"fmt"
	"io"
	"os"

	"rt/internal/sys"
	"rt/libcontainer/console"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// A FIFO that holds up exec. The process writes one byte into it and waits until somebody has read that. It has the FIFO open
// for both directions, so that neither open nor write waits for a reader, and nobody else does: its end is the end of
// the FIFO for whoever reads.

// openFIFO opens a FIFO of the host for the stub, with room for a single write: that there is room again says that the byte
// was read.
func openFIFO(path string) (*os.File, error) {
	f, err := sys.OpenFile(unix.AT_FDCWD, path, sys.FIFO, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("exec-wait-fifo: %w", err)
	}
	if err := oneWrite(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("exec-wait-fifo: %s: %w", path, err)
	}
	return f, nil
}

// oneWrite limits an empty FIFO to one page, which counts as full when there is a byte in it.
func oneWrite(f *os.File) error {
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
	if err == nil && n > 0 {
		err = fmt.Errorf("somebody has written %d bytes into it", n)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	}
	return err
}

// becomes waits until the process is the program or, if it is held, one step before.
func (in *inside) becomes(held bool) error {
	if !held {
		return in.executed()
	}
	return in.until(nsenter.SyncGate, in.serve())
}

// execHeld lets a process go to its FIFO. Detached, rt does not stay to see whether it becomes the program; in the foreground
// an execve that fails then is told like any other.
func (c *container) execHeld(in *inside, o ExecOptions, fg *foreground, signals *console.Signals) (int, error) {
	if err := in.stub.Go(); err != nil {
		err = in.lastWords(err)
		in.abandon()
		return -1, execError(c, err)
	}
	if o.Detach {
		in.stub.Close()
		return 0, nil
	}
	status, err := fg.wait(in.pid, signals, false)
	defer in.stub.Close()
	if err != nil {
		return -1, err
	}
	if r, err := in.stub.Receive(); err != io.EOF && err == nil && r.Type == nsenter.ReplyError {
		return -1, startError(c, in.denied(in.stepError(r)))
	}
	return status, nil
}
