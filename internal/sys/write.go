package sys

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile writes a value to a file of procfs, sysfs, a cgroup or resctrl, in one write(2).
func WriteFile(path, value string) error {
	fd, err := OpenKernelFd(unix.AT_FDCWD, path, unix.O_WRONLY)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	err = Retry(func() error {
		n, err := unix.Write(fd, []byte(value))
		if err == nil && n < len(value) {
			err = unix.EIO
		}
		return err
	})
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// CreateFile makes a file that is not there yet and writes data to it. On error there is none of it.
func CreateFile(path string, data []byte, mode uint32) error {
	return createAt(unix.AT_FDCWD, path, data, mode)
}

// createAt opens nothing that exists, and no link.
func createAt(dir int, path string, data []byte, mode uint32) error {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Openat(dir, path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for len(data) > 0 {
		var n int
		err := Retry(func() (err error) {
			n, err = unix.Write(fd, data)
			return err
		})
		if err != nil {
			_ = unix.Unlinkat(dir, path, 0)
			return &os.PathError{Op: "write", Path: path, Err: err}
		}
		data = data[n:]
	}
	return nil
}

// ReplaceFile writes a file so that it is there as a whole or as it was: under another name first, the file's own behind a dot.
// What has either name is replaced and not written to, be it a link, a FIFO or a device.
func ReplaceFile(path string, data []byte, mode uint32) error {
	return ReplaceFileAt(unix.AT_FDCWD, path, data, mode)
}

// ReplaceFileAt is ReplaceFile from a directory on.
func ReplaceFileAt(dir int, path string, data []byte, mode uint32) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	err := createAt(dir, tmp, data, mode)
	for range 16 { // somebody who may write to the directory can have it made again each time
		if !errors.Is(err, unix.EEXIST) {
			break
		}
		if err = unix.Unlinkat(dir, tmp, 0); err != nil && err != unix.ENOENT {
			return &os.PathError{Op: "remove", Path: tmp, Err: err}
		}
		err = createAt(dir, tmp, data, mode)
	}
	if err != nil {
		return err
	}
	if err := unix.Renameat(dir, tmp, dir, path); err != nil {
		_ = unix.Unlinkat(dir, tmp, 0)
		return &os.LinkError{Op: "rename", Old: tmp, New: path, Err: err}
	}
	return nil
}

// AppendFile opens a file to which rt's caller has messages appended, and makes it if it is not there. The path is the
// caller's, and may lead to anything that can be written: a file, a FIFO, /dev/stderr. Every write goes to the disk.
func AppendFile(path string, mode uint32) (*os.File, error) {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_SYNC|unix.O_NOCTTY|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// MakeDir makes a directory that is not there yet. Its mode is less what the umask takes.
func MakeDir(path string, mode uint32) error {
	if err := Retry(func() error { return unix.Mkdir(path, mode) }); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// MakeDirs makes what is missing of a path.
func MakeDirs(path string, mode uint32) error { return os.MkdirAll(path, os.FileMode(mode)) }

// ChmodDir changes the mode of a directory that is no link.
func ChmodDir(path string, mode uint32) error {
	d, err := Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Fchmod(int(d.Fd()), mode); err != nil {
		return &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	return nil
}

// ChmodSocket changes the mode of a socket that was bound to a name in a directory, if that is no other file by now.
func ChmodSocket(dir int, name string, mode uint32) error {
	fd, err := openat2(dir, name, unix.O_PATH|unix.O_NOFOLLOW, unix.RESOLVE_BENEATH)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return &os.PathError{Op: "chmod", Path: name, Err: errors.New("not a socket")}
	}
	if err := unix.Chmod(selfFd(fd), mode); err != nil {
		return &os.PathError{Op: "chmod", Path: name, Err: err}
	}
	return nil
}

// ChownEntry changes the owner of what has this name, be it a link. The group stays.
func ChownEntry(path string, uid int) error {
	if err := unix.Lchown(path, uid, -1); err != nil {
		return &os.PathError{Op: "chown", Path: path, Err: err}
	}
	return nil
}
