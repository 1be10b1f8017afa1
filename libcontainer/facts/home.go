package facts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// passwdOf reads the file that will be the container's /etc/passwd: a bind mount's source, or the rootfs' own; nothing if there is none
// that could be read.
func passwdOf(spec *specs.Spec, bundleDir, rootfs string, inside map[string]plan.Inside) ([]byte, error) {
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
		return readPasswd(unix.AT_FDCWD, bind.Source, 0)
	}
	return passwdIn(rootfs, passwdFile)
}

const passwdFile = "etc/passwd"

// maxPasswd bounds what is read of it, in bytes.
const maxPasswd = 1 << 20

func passwdIn(rootfs, name string) ([]byte, error) {
	dir, err := sys.Open(rootfs, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, noPasswd(err)
	}
	defer dir.Close()
	return passwdBelow(dir, name)
}

// passwdBelow follows links as the container would.
func passwdBelow(root *os.File, name string) ([]byte, error) {
	return readPasswd(int(root.Fd()), name, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// readPasswd reads the lines of a file of the container's: it may be anything, so only a regular file is read, and not without end.
func readPasswd(dir int, name string, resolve uint64) ([]byte, error) {
	data, err := sys.ReadBeginning(dir, name, resolve, maxPasswd)
	if len(data) == maxPasswd { // cut off: the last line may not be all of it
		data = data[:bytes.LastIndexByte(data, '\n')+1]
	}
	return data, noPasswd(err)
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

// homeIn looks up a user's home directory, "/" if it is not there.
func homeIn(passwd []byte, uid uint32) string {
	lines := bufio.NewScanner(bytes.NewReader(passwd))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 6 {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 32); err == nil && uint32(id) == uid && fields[5] != "" && !strings.Contains(fields[5], "\x00") {
			return fields[5]
		}
	}
	return "/"
}

// homeOf is homeIn of the file that passwdOf reads.
func homeOf(spec *specs.Spec, bundleDir, rootfs string, inside map[string]plan.Inside, uid uint32) (string, error) {
	passwd, err := passwdOf(spec, bundleDir, rootfs, inside)
	if err != nil {
		return "", err
	}
	return homeIn(passwd, uid), nil
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
	return homeIn(passwd, uid), nil
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
