package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// An image names what its container had for stdin, stdout and stderr. The restored container gets rt's own only if they are of the same
// kind: CRIU opens a pipe again, with the access that the image names.

// An inherited is one of rt's own that stands for one in the image.
type inherited struct {
	number  int // of rt's
	file    *os.File
	name    string // by which CRIU finds it
	allowed access

	dev, ino uint64 // of the file, which may be closed by the time that it is looked for
	mount    int    // the id of the mount that it was opened by
}

// identify records which file it is.
func (in *inherited) identify() error {
	var st unix.Stat_t
	var at unix.Statx_t
	fd := int(in.file.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &at); err != nil {
		return os.NewSyscallError("statx", err)
	}
	in.dev, in.ino, in.mount = st.Dev, st.Ino, int(at.Mnt_id)
	return nil
}

var stdioNames = [3]string{"stdin", "stdout", "stderr"}

// inheritStdio chooses what stands for the descriptors in the image.
func (r *Restoration) inheritStdio() error {
	images := r.Session.images
	r.State.Stdio = NoStdio()
	keys, err := images.ReadDescriptors()
	if err != nil || r.Spec.Process.Terminal {
		return err // of a terminal CRIU makes a new one
	}
	saved, err := images.ReadAccess()
	if err != nil {
		return err
	}
	for i, key := range keys {
		if key == "" || slices.Contains(keys[:i], key) {
			continue
		}
		in, err := r.standFor(key, usesOf(key, keys, saved))
		if err != nil {
			return fmt.Errorf("descriptor %d of the container: %w", i, err)
		}
		g, err := describe(in.file, false)
		if err == nil {
			err = in.identify()
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", stdioNames[in.number], err)
		}
		r.inherited = append(r.inherited, in)
		for j := range keys {
			if keys[j] == key {
				r.Stdio[strconv.Itoa(j)] = g.String()
			}
		}
	}
	return nil
}

// usesOf are the numbers that a descriptor of the image had, and how it was open there.
func usesOf(key string, keys, saved []string) (uses [3]access) {
	for i := range keys {
		if keys[i] != key {
			continue
		}
		uses[i] = defaultAccess(i)
		if i < len(saved) {
			if a, ok := parseAccess(saved[i]); ok && a != 0 {
				uses[i] = a
			}
		}
	}
	return uses
}

// standFor is rt's own for a descriptor that the image had under these numbers. Of several it is the one that is open for all
// that they were, or else the last.
func (r *Restoration) standFor(key string, uses [3]access) (in inherited, err error) {
	want := uses[0] | uses[1] | uses[2]
	for i, use := range uses {
		if use == 0 {
			continue
		}
		flags, err := unix.FcntlInt(r.Streams[i].Fd(), unix.F_GETFL, 0)
		if err != nil {
			return in, fmt.Errorf("look at descriptor %d: %w", i, err)
		}
		in = inherited{number: i, file: r.Streams[i], allowed: accessOf(flags)}
		if in.allowed&want == want {
			break
		}
	}
	isNull, err := r.ownNull(&in)
	if err != nil {
		return in, err
	}
	if !isNull {
		if err := likeForLike(key, in); err != nil {
			return in, err
		}
	}
	in.name = key
	if file, ok := strings.CutPrefix(key, "file["); ok {
		in.name = "ile[" + file // by this name CRIU takes the descriptor as it is; by the whole one it opens the file again
	} else if !isNull {
		in.allowed &= want
	}
	return in, nil
}

// ownNull exchanges the host's null device for one that no other process has.
func (r *Restoration) ownNull(in *inherited) (isNull bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(in.file.Fd()), &st); err != nil {
		return false, fmt.Errorf("look at descriptor %d: %w", in.number, os.NewSyscallError("fstat", err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return false, nil
	}
	if !sys.InFirstUserNamespace() {
		return true, nil // there the host's belongs to a user that is not mapped
	}
	if in.file, err = sys.MakeNull(); err != nil {
		return true, fmt.Errorf("make a null device: %w", err)
	}
	in.allowed = reads | writes
	r.null = in.file
	return true, nil
}

// likeForLike refuses another kind of file for a pipe or a socket of the image: CRIU opens them again, or takes them for what they were.
func likeForLike(key string, in inherited) error {
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(in.file.Fd())))
	if err != nil {
		return fmt.Errorf("look at descriptor %d: %w", in.number, err)
	}
	for _, kind := range []string{"pipe", "socket"} {
		if strings.HasPrefix(key, kind+":[") && !strings.HasPrefix(link, kind+":[") {
			return hint.With(fmt.Errorf("it was a %s, and %s of rt is none", kind, stdioNames[in.number]),
				"give rt a "+kind+" as its "+stdioNames[in.number]+", or /dev/null")
		}
	}
	return nil
}

// checkStdio refuses a process that has one of rt's own open for more than rt has it, or than it had it when it was saved.
func (r *restored) checkStdio() error {
	if len(r.inherited) == 0 {
		return nil
	}
	for _, pid := range r.pids {
		err := eachDescriptor(pid, func(fd string, st *unix.Stat_t) error {
			for _, in := range r.inherited {
				if st.Dev != in.dev || st.Ino != in.ino {
					continue
				}
				info, err := readFdInfo(pid, fd)
				if err != nil {
					return err
				}
				// By a mount of its own the container may open the same file as it likes.
				if info.access&^in.allowed != 0 && info.mount == in.mount {
					return fmt.Errorf("it is %s of rt, open with access %q, and %q is allowed", stdioNames[in.number], info.access, in.allowed)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachDescriptor looks at the open files of a process. One that has ended has none.
func eachDescriptor(pid int, look func(fd string, st *unix.Stat_t) error) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	list, err := sys.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the descriptors of process %d: %w", pid, err)
	}
	for _, e := range list {
		var st unix.Stat_t
		err := sys.Retry(func() error { return unix.Stat(dir+"/"+e.Name(), &st) })
		if err == unix.ENOENT {
			continue
		}
		if err == nil {
			err = look(e.Name(), &st)
		}
		if err != nil {
			return fmt.Errorf("look at descriptor %s of process %d: %w", e.Name(), pid, err)
		}
	}
	return nil
}
