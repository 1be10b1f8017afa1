package namespaces

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/state"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// askTimeout bounds, in seconds, the answer of a process that may be stopped or frozen.
const askTimeout = 10

// handed is what an init has handed out.
type handed struct {
	root *os.File            // its root directory, O_PATH
	ns   map[uint64]*os.File // CLONE_NEW* -> namespace
}

func (h *handed) close() {
	h.root.Close()
	for _, f := range h.ns {
		f.Close()
	}
}

// askInit has the container's init hand out its root and its namespaces, where this rt may not open them: init is not dumpable
// while it waits for its start, nor as rt's own init with --init (ptrace(2)).
func askInit(c *state.Container) (*handed, error) {
	dir, err := sys.Open(c.Dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("ask init for its namespaces: %w", err)
	}
	defer unix.Close(fd)
	// Connecting waits as well, where others ask at the same time.
	for _, option := range [...]int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &unix.Timeval{Sec: askTimeout}); err != nil {
			return nil, fmt.Errorf("ask init for its namespaces: %w", err)
		}
	}
	name := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + state.AskSocket
	if err := sys.Retry(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: name}) }); err != nil {
		return nil, fmt.Errorf("ask init for its namespaces: connect: %w", err)
	}
	files, err := nsenter.ReceiveFiles(fd)
	switch {
	case errors.Is(err, io.EOF):
		err = errors.New("it gives them to the user only who made the container, or has just ended")
	case errors.Is(err, unix.EAGAIN):
		err = errors.New("it does not answer: it is stopped or frozen")
	}
	if err != nil {
		return nil, fmt.Errorf("ask init for its namespaces: %w", err)
	}
	return sortFiles(files)
}

// sortFiles finds out what each file is. The first is the root.
func sortFiles(files []*os.File) (_ *handed, err error) {
	ns := map[uint64]*os.File{}
	for _, f := range files[1:] {
		kind, kindErr := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
		if kindErr != nil || ns[uint64(kind)] != nil {
			err = errors.New("ask init for its namespaces: what came is no namespace")
			break
		}
		ns[uint64(kind)] = f
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return nil, err
	}
	return &handed{files[0], ns}, nil
}
