package criu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// ConfigDir is where configuration files must be that a container names.
const ConfigDir = "/etc/criu"

// OpenConfig opens a configuration file whose path comes with a container. Such a file can name programs and libraries for
// CRIU, which runs as root, to load (action-script, libdir). Files of an image belong to root, too, so the file must be below
// ConfigDir, where only the host's administrator puts files, and no name on the way may be a link. It must be a regular file of
// root's that others cannot write or put in place of another, and so must each directory above it. The file has no offset
// and cannot be read by itself (O_PATH); CRIU gets its descriptor, not the path, which may lead elsewhere by then.
func OpenConfig(path string) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%s: not an absolute path", path)
	}
	clean := filepath.Clean(path)
	if !strings.HasPrefix(clean, ConfigDir+"/") {
		return nil, hint.With(fmt.Errorf("%s is not below %s", path, ConfigDir), configHint)
	}
	at, err := sys.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	for rest := strings.Trim(clean, "/"); ; {
		if err := onlyRoots(at, clean, rest); err != nil {
			at.Close()
			return nil, err
		}
		if rest == "" {
			return at, nil
		}
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next, err := sys.OpenAt(int(at.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW, 0)
		at.Close()
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: clean, Err: sys.Cause(err)}
		}
		at = next
	}
}

// onlyRoots checks what of a path is open, with rest still to come.
func onlyRoots(at *os.File, path, rest string) error {
	path = filepath.Clean(strings.TrimSuffix(path, rest))
	var st unix.Stat_t
	if err := unix.Fstat(int(at.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	switch {
	case kind == unix.S_IFLNK:
		return hint.With(fmt.Errorf("%s is a symbolic link", path), configHint)
	case st.Uid != 0:
		return hint.With(fmt.Errorf("%s belongs to uid %d", path, st.Uid), configHint)
	case st.Mode&0o022 != 0: // a sticky bit keeps nobody from making what is not there yet
		return hint.With(fmt.Errorf("%s can be written by others than root (mode %04o)", path, st.Mode&0o7777), configHint)
	case rest != "" && kind != unix.S_IFDIR, rest == "" && kind != unix.S_IFREG:
		return fmt.Errorf("%s: not a regular file", path)
	}
	return nil
}

const configHint = "CRIU runs as root and executes what its configuration names: put the file below " + ConfigDir + ", where it and every directory above it belong to root, are no links and writable by root alone"
