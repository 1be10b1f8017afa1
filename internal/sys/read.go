package sys

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// The functions here read a whole file of at most limit bytes; a longer one is EFBIG. Unlike os.ReadFile they leave the runtime's
// poller alone, which costs a short-lived process a dozen system calls.

// ReadFile reads a regular file that is no link: a file of rt's own that somebody may have replaced.
func ReadFile(path string, limit int) ([]byte, error) { return ReadFileAt(unix.AT_FDCWD, path, limit) }

// ReadFileAt is ReadFile from a directory on.
func ReadFileAt(dir int, path string, limit int) ([]byte, error) {
	return readLooked(dir, path, Regular, unix.O_NOFOLLOW, limit)
}

// ReadOwnAt is ReadFileAt of a file in a directory that only the user uid may write to. own says that this is rt's own user.
func ReadOwnAt(dir int, path string, uid uint32, own bool, limit int) ([]byte, error) {
	open := openOwn
	if !own {
		open = openOthers
	}
	fd, st, err := open(dir, path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := CheckOwner(&st, uid); err != nil {
		return nil, err
	}
	return readOpen(fd, &st, path, limit)
}

func openOthers(dir int, path string) (fd int, st unix.Stat_t, err error) {
	return openFile(dir, path, Regular, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
}

// ReadNamed reads a file that rt's caller or the host's administrator has named, behind links too. Where a FIFO is taken, it
// waits for who writes, as any program does that is given one.
func ReadNamed(path string, kinds Kinds, limit int) ([]byte, error) {
	return readLooked(unix.AT_FDCWD, path, kinds, 0, limit)
}

// ReadBeginning reads the beginning of a regular file, at most limit bytes. Its name is looked up below dir as resolve says (openat2(2)).
func ReadBeginning(dir int, path string, resolve uint64, limit int) ([]byte, error) {
	fd, st, err := openFile(dir, path, Regular, unix.O_RDONLY, resolve)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	data := make([]byte, min(st.Size+1, int64(limit)))
	n, err := readFull(fd, data, int(min(st.Size, int64(limit))))
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return data[:n], nil
}

func readLooked(dir int, path string, kinds Kinds, flags, limit int) ([]byte, error) {
	fd, st, err := openFile(dir, path, kinds, unix.O_RDONLY|flags, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readOpen(fd, &st, path, limit)
}

func readOpen(fd int, st *unix.Stat_t, path string, limit int) ([]byte, error) {
	if st.Size > int64(limit) {
		return nil, &os.PathError{Op: "read", Path: path, Err: unix.EFBIG}
	}
	return readAll(fd, path, int(st.Size), limit)
}

// ReadKernelFile reads a file of procfs, sysfs or resctrl (see OpenKernelFile).
func ReadKernelFile(path string, limit int) ([]byte, error) {
	return ReadKernelFileAt(unix.AT_FDCWD, path, limit)
}

// ReadKernelLine reads a file of procfs that is one short line, which the kernel writes in one piece: with one read(2).
func ReadKernelLine(path string) (string, error) {
	fd, err := OpenKernelBare(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var line [4096]byte
	n := 0
	err = Retry(func() (err error) {
		n, err = unix.Read(fd, line[:])
		return err
	})
	if err == nil && n == len(line) {
		err = unix.EFBIG
	}
	if err != nil {
		return "", &os.PathError{Op: "read", Path: path, Err: err}
	}
	return string(line[:n]), nil
}

// ReadKernelHead is the beginning of a kernel's file, at most n bytes of it; more says that there was more.
func ReadKernelHead(path string, n int) (head []byte, more bool, err error) {
	fd, err := OpenKernelFd(unix.AT_FDCWD, path, unix.O_RDONLY)
	if err != nil {
		return nil, false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	head = make([]byte, n+1)
	got, err := readFull(fd, head, 0)
	if err != nil {
		return nil, false, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return head[:min(got, n)], got > n, nil
}

// ReadKernelFileAt is ReadKernelFile below a directory.
func ReadKernelFileAt(dir int, path string, limit int) ([]byte, error) {
	fd, err := OpenKernelFd(dir, path, unix.O_RDONLY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return readAll(fd, path, 0, limit)
}

// readAll reads to the end. expect is the size that the file had, 0 if that says nothing.
func readAll(fd int, path string, expect, limit int) (data []byte, err error) {
	var room [1024]byte // stays on the stack: most files are shorter, and a list reads thousands
	if expect >= len(room) {
		data, err = readOn(fd, make([]byte, 0, expect+1), expect, limit)
	} else if n, readErr := readFull(fd, room[:], expect); readErr != nil {
		err = readErr
	} else if n < len(room) && n <= limit {
		data = bytes.Clone(room[:n])
	} else {
		data, err = readOn(fd, append(make([]byte, 0, 4*len(room)), room[:n]...), expect, limit)
	}
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return data, nil
}

// readOn reads the rest of a file whose beginning is in buf.
func readOn(fd int, buf []byte, expect, limit int) ([]byte, error) {
	for ; ; buf = append(buf, 0)[:len(buf)] {
		n, err := readFull(fd, buf[len(buf):cap(buf)], expect-len(buf))
		buf = buf[:len(buf)+n]
		switch {
		case err != nil:
			return nil, err
		case len(buf) > limit:
			return nil, unix.EFBIG
		case len(buf) < cap(buf):
			return buf, nil
		}
	}
}

// readFull reads until p is full or the file has ended. At its size, if one is expected, a regular file has ended: that saves
// a read that brings nothing.
func readFull(fd int, p []byte, expect int) (n int, err error) {
	for n < len(p) {
		var more int
		err := Retry(func() (err error) {
			more, err = unix.Read(fd, p[n:])
			return err
		})
		n += max(more, 0)
		if err != nil || more == 0 || n == expect {
			return n, err
		}
	}
	return n, nil
}
