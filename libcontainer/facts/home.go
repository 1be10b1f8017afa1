package facts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// passwdOf finds the file that will be the container's /etc/passwd: a bind mount's source, or the rootfs' own; nil if there
// is none that could be read.
func passwdOf(spec *specs.Spec, bundleDir, rootfs string, inside map[string]plan.Inside) (*os.File, error) {
	for _, m := range spec.Mounts {
		bind, ok := plan.BindOf(m, bundleDir)
		if !ok || bind.Target != "/"+passwdFile {
			continue
		}
		if name, ok := strings.CutPrefix(bind.Source, rootfs+"/"); ok {
			return passwdIn(rootfs, name)
		}
		if place := inside[bind.Named]; place.Root != "" {
			return passwdIn(place.Root, strings.TrimPrefix(place.Path, place.Root+"/"))
		}
		f, err := sys.OpenFile(unix.AT_FDCWD, bind.Source, sys.Regular, unix.O_RDONLY, 0)
		return f, noPasswd(err)
	}
	return passwdIn(rootfs, passwdFile)
}

const passwdFile = "etc/passwd"

func passwdIn(rootfs, name string) (*os.File, error) {
	dir, err := sys.Open(rootfs, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, noPasswd(err)
	}
	defer dir.Close()
	return passwdBelow(dir, name)
}

// passwdBelow follows links as the container would.
func passwdBelow(root *os.File, name string) (*os.File, error) {
	f, err := sys.OpenFile(int(root.Fd()), name, sys.Regular, unix.O_RDONLY,
		unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	return f, noPasswd(err)
}

// noPasswd drops an error that is about the file. It is the container's, which may have made it anything (a device without a
// driver, one with a lease), and rt may be nobody who may read it. With the errors that are left, nothing is known about it.
func noPasswd(err error) error {
	for _, errno := range [...]unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EIO} {
		if errors.Is(err, errno) {
			return fmt.Errorf("look for the home directory in the container's /etc/passwd: %w", err)
		}
	}
	return nil
}

// homeIn looks up a user's home directory, "/" if it is not there. The file is the container's: it may be anything,
// so only a regular file is read, and not without end.
func homeIn(passwd *os.File, uid uint32) (string, error) {
	const home = "/"
	if passwd == nil {
		return home, nil
	}
	defer passwd.Close()
	st, err := passwd.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return home, noPasswd(err)
	}
	buf := make([]byte, min(st.Size()+1, 1<<20))
	n, err := io.ReadFull(passwd, buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return home, noPasswd(err)
	}
	if n == len(buf) { // cut off: the last line may not be all of it
		n = bytes.LastIndexByte(buf, '\n') + 1
	}
	lines := bufio.NewScanner(bytes.NewReader(buf[:n]))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 6 {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 32); err == nil && uint32(id) == uid && fields[5] != "" && !strings.Contains(fields[5], "\x00") {
			return fields[5], nil
		}
	}
	return home, nil
}

// homeOf is homeIn of the file that passwdOf finds.
func homeOf(spec *specs.Spec, bundleDir, rootfs string, inside map[string]plan.Inside, uid uint32) (string, error) {
	passwd, err := passwdOf(spec, bundleDir, rootfs, inside)
	if err != nil {
		return "", err
	}
	return homeIn(passwd, uid)
}

// Home is the home directory that a user has in a container which is to be created.
func (c *Creation) Home(uid uint32) (string, error) {
	inside, err := insideRootfs(c.Spec, c.Bundle, c.Rootfs, "/mounts")
	if err != nil {
		return "", err
	}
	return homeOf(c.Spec, c.Bundle, c.Rootfs, inside, uid)
}

// HomeBelow is the home directory that a user has in a container that exists, by the passwd file that it sees now. open opens its root.
func HomeBelow(open func() (*os.File, error), uid uint32) (string, error) {
	root, err := open()
	if err != nil {
		return "/", noPasswd(err)
	}
	defer root.Close()
	passwd, err := passwdBelow(root, passwdFile)
	if err != nil {
		return "/", err
	}
	return homeIn(passwd, uid)
}

// needsHome says whether the environment leaves HOME to us.
func needsHome(env []string) bool {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], "HOME="); ok {
			return v == ""
		}
	}
	return true
}
