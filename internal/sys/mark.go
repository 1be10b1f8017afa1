package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// A mark says whose a directory of a kernel's file system is, on the directory itself: an extended attribute, which ends
// with the directory and outlives everything that is kept elsewhere. Names that begin with trusted. are for those alone
// who have CAP_SYS_ADMIN on the host (xattr(7)), so no container can have written one; who lacks that takes user., which
// cgroup v2 has since Linux 5.7.
const (
	trustedMark = "trusted.rt.container"
	userMark    = "user.rt.container"
)

// SetMark marks a directory. A mark that cannot be had is done without.
func SetMark(dir, text string) {
	if unix.Lsetxattr(dir, trustedMark, []byte(text), 0) == unix.EPERM {
		_ = unix.Lsetxattr(dir, userMark, []byte(text), 0)
	}
}

// MarksAreTrusted says whether the marks of this process are such as a container cannot write.
func MarksAreTrusted() bool { return os.Geteuid() == 0 && InFirstUserNamespace() }

// Mark reads the mark of a directory, "" if there is none. trusted: only who has CAP_SYS_ADMIN on the host can have
// written it.
func Mark(dir string) (text string, trusted bool, err error) {
	for _, name := range []string{trustedMark, userMark} {
		var buf [4096 + 64]byte
		n, err := unix.Lgetxattr(dir, name, buf[:])
		switch err {
		case nil:
			return string(buf[:n]), name == trustedMark, nil
		case unix.ENODATA, unix.EOPNOTSUPP, unix.ENOENT, unix.ENOTDIR, unix.ERANGE: // none of rt's is that long
		default:
			return "", false, &os.PathError{Op: "read mark of", Path: dir, Err: err}
		}
	}
	return "", false, nil
}
