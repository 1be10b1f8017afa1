package cgroups

import (
	"os"
	"strconv"
	"strings"

	"rt/internal/names"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// An OOMWatch tells when the kernel runs out of memory in a cgroup or below it.
type OOMWatch struct {
	fd    int
	dir   string
	v2    bool
	kills uint64 // v2: the count that has been told
}

// WatchOOM watches from now on. It is nil if no hierarchy has the memory controller.
func (c *Cgroup) WatchOOM() (*OOMWatch, error) {
	if dir := c.dirOf("memory"); dir != "" {
		return watchOOMV1(dir)
	}
	dir := c.dirOf("")
	if dir == "" {
		return nil, nil
	}
	f, err := openFile(dir+"/memory.events", unix.O_RDONLY)
	if isErrno(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w := &OOMWatch{fd: f.fd, dir: dir, v2: true}
	w.kills, err = w.count()
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// watchOOMV1 registers an eventfd (Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control").
func watchOOMV1(dir string) (*OOMWatch, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	control, err := openFile(dir+"/memory.oom_control", unix.O_RDONLY)
	if err == nil {
		err = writeFile(dir+"/cgroup.event_control", strconv.Itoa(fd)+" "+strconv.Itoa(control.fd))
		control.close()
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &OOMWatch{fd: fd, dir: dir}, nil
}

// Poll is what to wait for; the memory of v1 is a descriptor to read, that of v2 a file that changes.
func (w *OOMWatch) Poll() unix.PollFd {
	if w.v2 {
		return unix.PollFd{Fd: int32(w.fd), Events: unix.POLLPRI}
	}
	return unix.PollFd{Fd: int32(w.fd), Events: unix.POLLIN}
}

// Happened says whether there was an event since the last call. It does not wait. A cgroup that is gone has none.
func (w *OOMWatch) Happened() (bool, error) {
	if w.v2 {
		n, err := w.count()
		if err != nil {
			return false, notGone(err)
		}
		more := n > w.kills
		w.kills = n
		return more, nil
	}
	var buf [8]byte
	n, err := unix.Read(w.fd, buf[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return false, nil
	}
	if err != nil || n != len(buf) {
		return false, os.NewSyscallError("read eventfd", err)
	}
	// The removal of the cgroup is told by the same descriptor, as one event.
	told := buf != [8]byte{}
	if !exists(w.dir + "/memory.oom_control") {
		told = buf != [8]byte{1}
	}
	return told, nil
}

// count reads oom_kill of memory.events; reading it is also what makes the next poll wait for a change.
func (w *OOMWatch) count() (uint64, error) {
	var buf [512]byte
	var n int
	if err := sys.Retry(func() (err error) { n, err = unix.Pread(w.fd, buf[:], 0); return err }); err != nil {
		return 0, &os.PathError{Op: "read", Path: w.dir + "/memory.events", Err: err}
	}
	for line := range strings.SplitSeq(string(buf[:n]), "\n") {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return names.Unsigned(value, 64)
		}
	}
	return 0, nil
}

// Close ends the watch.
func (w *OOMWatch) Close() {
	if w != nil {
		_ = unix.Close(w.fd)
	}
}
