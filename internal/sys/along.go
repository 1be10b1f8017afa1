package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds the links on the way to a path, as the kernel does (path_resolution(7)).
const maxLinks = 40

// Along goes to the directory at an absolute path, name by name from / on, behind links too, and shows each directory and each
// link before it is followed. last is the directory itself. So a path is judged that others may have laid out: if none but
// trusted users can change the names in a directory, what was seen of them holds. A name that is missing is made with mode, if
// that is not 0.
func Along(path string, mode uint32, see func(path string, st *unix.Stat_t, last bool) error) error {
	at, links, shown := "/", 0, false
	rest := namesOf(path)
	var st unix.Stat_t
	if err := lstat(at, &st); err != nil {
		return err
	}
	if err := see(at, &st, false); err != nil {
		return err
	}
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == ".." { // of a link; no link is in at
			at, shown = filepath.Dir(at), false
			continue
		}
		next := filepath.Join(at, name)
		if err := lstatOrMake(next, mode, &st); err != nil {
			return err
		}
		link := st.Mode&unix.S_IFMT == unix.S_IFLNK
		if !link && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return &os.PathError{Op: "open", Path: next, Err: unix.ENOTDIR}
		}
		shown = !link && len(rest) == 0
		if err := see(next, &st, shown); err != nil {
			return err
		}
		if !link {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(namesOf(target), rest...)
	}
	if shown {
		return nil
	}
	if err := lstat(at, &st); err != nil {
		return err
	}
	return see(at, &st, true)
}

// namesOf splits a path; . and empty names say nothing.
func namesOf(path string) (names []string) {
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

func lstatOrMake(path string, mode uint32, st *unix.Stat_t) error {
	err := lstat(path, st)
	if mode == 0 || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := MakeDir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return lstat(path, st)
}

func lstat(path string, st *unix.Stat_t) error {
	if err := Retry(func() error { return unix.Lstat(path, st) }); err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	return nil
}

// An OwnerError says that others than its owner could have written a file or directory, or that it is another user's.
type OwnerError struct {
	UID, Want uint32 // the same if it is the mode that is wrong
	Link      bool
	Writable  string // by whom
}

func (e *OwnerError) Error() string {
	switch {
	case e.UID == e.Want:
		return "writable by " + e.Writable
	case e.Link:
		return fmt.Sprintf("a link owned by uid %d, want %d", e.UID, e.Want)
	}
	return fmt.Sprintf("owned by uid %d, want %d", e.UID, e.Want)
}

// Hint says how what is right is made.
func (e *OwnerError) Hint() string {
	if e.UID == e.Want {
		return "chmod go-w, if what is in it can be trusted"
	}
	return ""
}

// CheckOwner says whether a file or directory is a user's, and nobody else may write to it.
func CheckOwner(st *unix.Stat_t, uid uint32) error {
	if st.Uid != uid || st.Mode&0o022 != 0 {
		return &OwnerError{UID: st.Uid, Want: uid, Writable: "group or others"}
	}
	return nil
}

// CheckWay says whether others than the owner can change a directory or link on the way to another one. trusted says that the group
// may. With an access control list the group's bits are not about the group: they are the most that all have whom the list names.
func CheckWay(path string, st *unix.Stat_t, trusted bool) error {
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK, st.Mode&unix.S_ISVTX != 0: // in a sticky directory only the owner of a name may change it
		return nil
	case st.Mode&0o002 != 0:
		return &OwnerError{UID: st.Uid, Want: st.Uid, Writable: "others"}
	case st.Mode&0o020 == 0:
		return nil
	case !trusted:
		return &OwnerError{UID: st.Uid, Want: st.Uid, Writable: fmt.Sprintf("group %d", st.Gid)}
	}
	listed, err := hasACL(path)
	if err == nil && listed {
		err = &OwnerError{UID: st.Uid, Want: st.Uid, Writable: "those whom its access control list names"}
	}
	return err
}

// hasACL says whether a directory has an access control list (acl(5)).
func hasACL(path string) (bool, error) {
	err := Retry(func() error { _, err := unix.Lgetxattr(path, "system.posix_acl_access", nil); return err })
	switch err {
	case nil:
		return true, nil
	case unix.ENODATA, unix.EOPNOTSUPP:
		return false, nil
	}
	return false, &os.PathError{Op: "getxattr", Path: path, Err: err}
}

// HostRoot is the uid by which the first process's root, who owns /proc, is known here: 0, or in a user namespace without him the
// overflow uid (user_namespaces(7)). Unmapped users have that, too.
func HostRoot() (uid, gid uint32) {
	var st unix.Stat_t
	if InFirstUserNamespace() || lstat("/proc", &st) != nil {
		return 0, 0
	}
	return st.Uid, st.Gid
}
