package sys

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lock takes an exclusive flock(2). It waits for at most limit; the error then is ETIMEDOUT and says which process holds the
// lock.
func Lock(f *os.File, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, 5*time.Millisecond) {
		err := Retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
		if err != unix.EWOULDBLOCK {
			return err
		}
		if !time.Now().Before(deadline) {
			return fmt.Errorf("%s holds the lock: %w", LockHolder(f), unix.ETIMEDOUT)
		}
		time.Sleep(wait)
	}
}

// OpenLock opens a file to be locked, and makes it if it is not there. It must be in a directory of MakeOwnDir.
// Without O_NONBLOCK: Go would poll the file, and end with a trace where there are too few descriptors for that.
func OpenLock(path string) (*os.File, error) {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// MakeOwnDir makes a directory that only this user may enter. false: there is none, and it cannot be made.
func MakeOwnDir(dir string) bool {
	var st unix.Stat_t
	err := unix.Lstat(dir, &st)
	if err == unix.ENOENT {
		if err = unix.Mkdir(dir, 0o700); err == nil || err == unix.EEXIST {
			err = unix.Lstat(dir, &st)
		}
	}
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Geteuid() && st.Mode&0o077 == 0
}

// LockHolder names the process that holds a flock(2) on a file, for an error text. See proc_locks(5).
func LockHolder(f *os.File) string {
	const unknown = "an unknown process"
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return unknown
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	locks, err := ReadKernelFile("/proc/locks", 16<<20)
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(locks)) {
		field := strings.Fields(line) // number, FLOCK, ADVISORY, WRITE, pid, file, ...; a process that waits has "->" second
		if len(field) < 6 || field[1] != "FLOCK" || field[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(field[4]); err == nil && pid > 0 {
			name, _ := ReadKernelFile("/proc/"+field[4]+"/comm", 64)
			text := fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
			if Halted(pid) {
				text += fmt.Sprintf(", which a signal has stopped (kill -CONT %d lets it go on),", pid)
			}
			return text
		}
		return "a process outside of this pid namespace"
	}
	return unknown
}
