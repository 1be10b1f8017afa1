package cgroups

import (
	"errors"
	"os"
	"slices"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// Cgroup files are opened with plain system calls: os.File would add an fstat, a fcntl and an epoll
// registration to each, and a create writes about twenty of them. Every write is one write(2), because the
// kernel parses each call as a whole value. O_CREAT is never given: a plain folder where a hierarchy is
// missing must give ENOENT, not a file that limits nothing.

// file is an open cgroup file.
type file struct {
	fd   int
	path string
}

func openFile(path string, flags int) (file, error) { return (*Root)(nil).openFile(path, flags) }

// A Root is a directory that is kept open: who reads the cgroups of a thousand containers below it need not walk there
// from / each time. Other paths, and all paths with a nil Root, are walked as they are.
type Root struct {
	dir string
	fd  int
}

// OpenRoot opens the directory that all freezers are below on nearly every host; nil if there is none.
func OpenRoot() *Root {
	for _, dir := range []string{"/sys/fs/cgroup/freezer", "/sys/fs/cgroup"} {
		if fd, err := sys.OpenKernelFd(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY); err == nil {
			return &Root{dir: dir, fd: fd}
		}
	}
	return nil
}

// Close closes the directory.
func (r *Root) Close() {
	if r != nil {
		_ = unix.Close(r.fd)
	}
}

func (r *Root) openFile(path string, flags int) (file, error) {
	at, below := unix.AT_FDCWD, path
	if r != nil {
		if name, found := strings.CutPrefix(path, r.dir+"/"); found {
			at, below = r.fd, name
		}
	}
	fd, err := sys.OpenKernelFd(at, below, flags|unix.O_NOFOLLOW)
	if err != nil {
		return file{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return file{fd, path}, nil
}

func (f file) close() { _ = unix.Close(f.fd) }

func (f file) write(value string) error {
	buf := []byte(value)
	err := sys.Retry(func() error {
		n, err := unix.Write(f.fd, buf)
		if err == nil && n != len(buf) {
			err = unix.EIO
		}
		return err
	})
	if err != nil {
		return &os.PathError{Op: "write", Path: f.path, Err: err}
	}
	return nil
}

func writeFile(path, value string) error {
	f, err := openFile(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.close()
	return f.write(value)
}

// readFile reads a whole cgroup file, without its final newline.
func readFile(path string) (string, error) { return (*Root)(nil).readFile(path) }

func (r *Root) readFile(path string) (string, error) {
	f, err := r.openFile(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.close()
	buf := make([]byte, 0, 512)
	for {
		n, err := unix.Read(f.fd, buf[len(buf):cap(buf)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return strings.TrimSuffix(string(buf), "\n"), nil
		}
		buf = buf[:len(buf)+n]
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// readShort reads a file known to be one short line with one read(2).
func readShort(path string) (string, error) { return (*Root)(nil).readShort(path) }

func (r *Root) readShort(path string) (string, error) {
	text, err := r.readOnce(path)
	return strings.TrimSpace(text), err
}

// readOnce is readFile of a file known to be some short lines, which the kernel writes in one piece: with one read(2).
func (r *Root) readOnce(path string) (string, error) {
	f, err := r.openFile(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.close()
	var buf [1024]byte
	var n int
	if err := sys.Retry(func() (err error) { n, err = unix.Read(f.fd, buf[:]); return err }); err != nil {
		return "", &os.PathError{Op: "read", Path: path, Err: err}
	}
	if n == len(buf) { // longer than thought, for instance a cpu list of a large machine
		return r.readFile(path)
	}
	return strings.TrimSuffix(string(buf[:n]), "\n"), nil
}

// exists is false only when it is certain that there is nothing: a path that may not be searched exists.
func exists(path string) bool {
	err := unix.Access(path, unix.F_OK)
	return err != unix.ENOENT && err != unix.ENOTDIR
}

// gone says that a cgroup vanished under our hands: ENOENT when its directory is away, ENODEV when an open
// file's cgroup was removed.
func gone(err error) bool { return isErrno(err, unix.ENOENT, unix.ENODEV) }

// notGone is err, or nil if it says that the cgroup vanished.
func notGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

func isErrno(err error, list ...unix.Errno) bool {
	return slices.ContainsFunc(list, func(e unix.Errno) bool { return errors.Is(err, e) })
}
