package stub

import (
	"fmt"
	"os"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// exec-wait-fifo: the process writes one byte into the FIFO and waits until it is read. Only the process has the FIFO open, for both
// directions, so that neither open nor write waits for a reader. When the process ends, its reader sees the end of the file.

// openFIFO opens a FIFO of the host for the stub, with room for a single write: room for another one means that the byte was read.
func openFIFO(path string) (*os.File, error) {
	f, err := sys.OpenFile(unix.AT_FDCWD, path, sys.FIFO, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("exec-wait-fifo: %w", err)
	}
	if err := limitToOneWrite(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("exec-wait-fifo: %s: %w", path, err)
	}
	return f, nil
}

// limitToOneWrite gives an empty FIFO a buffer of one page, which counts as full when there is a byte in it.
func limitToOneWrite(f *os.File) error {
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
	if err == nil && n > 0 {
		err = fmt.Errorf("somebody has written %d bytes into it", n)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	}
	return err
}
