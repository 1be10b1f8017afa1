package bundle

import (
	"fmt"
	"io/fs"
	"slices"
	"syscall"
)

// maxFile is the most that is read of a configuration: real ones have 5 to 100 KiB, and what is read is
// held in memory several times over.
const maxFile = 16 << 20

// What kind of file a configuration may be.
const (
	regularOnly = false
	pipeToo     = true
)

// readBounded reads a whole file of at most maxFile bytes. It uses plain system calls because os.Open
// sets up the runtime's poller, which nothing else on the way to a container needs.
func readBounded(path string, pipe bool) ([]byte, error) {
	flags := syscall.O_RDONLY | syscall.O_CLOEXEC | syscall.O_NOCTTY
	if !pipe {
		flags |= syscall.O_NONBLOCK // a FIFO named config.json must not hang the open
	}
	fd, err := retry(func() (int, error) { return syscall.Open(path, flags, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)

	size, err := sizeOf(fd, pipe)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	raw, err := readAll(fd, size)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return raw, nil
}

// sizeOf checks the kind of an open file, and returns how much to expect of it.
func sizeOf(fd int, pipe bool) (int, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return 0, err
	}
	switch kind := st.Mode & syscall.S_IFMT; {
	case kind == syscall.S_IFREG && st.Size > maxFile:
		return 0, fmt.Errorf("%d bytes is more than the limit of 16 MiB", st.Size)
	case kind == syscall.S_IFREG:
		return int(st.Size), nil
	case kind == syscall.S_IFIFO && pipe:
		return 8 << 10, nil
	case pipe:
		return 0, fmt.Errorf("not a regular file or a pipe")
	}
	return 0, fmt.Errorf("not a regular file")
}

// readAll reads to the end. A pipe, or a file that grows while it is read, is cut off at maxFile.
func readAll(fd, expect int) ([]byte, error) {
	raw := make([]byte, 0, expect+1)
	for {
		if len(raw) == cap(raw) {
			raw = slices.Grow(raw, len(raw))
		}
		n, err := retry(func() (int, error) { return syscall.Read(fd, raw[len(raw):cap(raw)]) })
		if err != nil {
			return nil, err
		}
		raw = raw[:len(raw)+n]
		if n == 0 {
			return raw, nil
		}
		if len(raw) > maxFile {
			return nil, fmt.Errorf("more than the limit of 16 MiB")
		}
	}
}

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}
