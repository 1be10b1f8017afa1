package nsenter

// #include "start.h"
import "C"

import (
	"fmt"
	"os"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// Stdio are the first three descriptors of the container's process.
type Stdio [3]*os.File

// Start starts the stub; it waits for its plan. Descriptors 3 to 3+extra of rt go with it, at their numbers.
func Start(stdio Stdio, extra int) (*Stub, error) { return StartSoon(stdio, extra).Stub() }

// Soon is a stub that is being started: to start a program takes about as long as to read a configuration.
type Soon struct {
	stub  *Stub
	child *C.struct_rt_child // until it has been waited for, or nil
	err   error
}

// StartSoon is Start without waiting for the new program.
func StartSoon(stdio Stdio, extra int) *Soon {
	s, err := begin(stdio, extra)
	if err != nil {
		return &Soon{err: err}
	}
	return s
}

func begin(stdio Stdio, extra int) (*Soon, error) {
	img, err := Image()
	if err != nil {
		return nil, err
	}
	defer img.Close()
	return beginImage(img, stdio, extra)
}

func beginImage(img *os.File, stdio Stdio, extra int) (*Soon, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket for the stub: %w", err)
	}
	defer unix.Close(pair[1])
	if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("make a socket for the stub: %w", err)
	}
	s := &Soon{stub: &Stub{conv: os.NewFile(uintptr(pair[0]), "stub")}}
	var fds [3]C.int
	for i, f := range stdio {
		fds[i] = C.int(f.Fd())
	}
	pid := C.rt_child_start(&fds[0], C.int(extra), C.int(pair[1]), C.int(img.Fd()), &s.child)
	if pid < 0 {
		s.stub.Close()
		return nil, fmt.Errorf("start the stub: %w", unix.Errno(-pid))
	}
	s.stub.Pid = int(pid)
	return s, nil
}

// Soon is a stub that has been started.
func (s *Stub) Soon() *Soon { return &Soon{stub: s} }

// Stub waits for the stub.
func (s *Soon) Stub() (*Stub, error) {
	if s.child == nil || s.err != nil {
		return s.stub, s.err
	}
	err := C.rt_child_wait(s.child)
	s.child = nil
	if err != 0 {
		s.stub.Abandon()
		s.stub, s.err = nil, fmt.Errorf("start the stub: %w", unix.Errno(-err))
	}
	return s.stub, s.err
}

// Abandon waits for the stub and ends it.
func (s *Soon) Abandon() {
	if stub, err := s.Stub(); err == nil {
		stub.Abandon()
	}
}

// Abandon ends a stub that has not cloned yet.
func (s *Stub) Abandon() {
	s.Close()
	if sys.OwnChild(s.Pid) { // else it has been reaped, and the pid may be another's
		_ = unix.Kill(s.Pid, unix.SIGKILL)
		_, _ = sys.Wait(s.Pid)
	}
}

// CallerFiles is the limit on open files, soft and hard, that rt's caller has. Go's runtime raises the soft one to the hard
// one, and the stub uses that: a plan may hold a descriptor for each mount.
func CallerFiles() (soft, hard uint64) {
	var lim [2]C.uint64_t
	C.rt_files(&lim[0])
	return uint64(lim[0]), uint64(lim[1])
}
