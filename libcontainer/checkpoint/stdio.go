package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"rt/internal/sys"
	"rt/libcontainer/criu"
	"rt/libcontainer/state"

	"golang.org/x/sys/unix"
)

// create records what the container gets of rt's stdin, stdout and stderr, for a checkpoint. The container can replace its descriptors 0,
// 1 and 2 later, and restore gives it nothing of rt's for those.

// A given is what a container got for one of the three: the name that CRIU knows it by, and how it is open.
type given struct {
	key    string // pipe:[INODE], socket:[INODE], file[MOUNT:INODE]; "" for nothing of the host's
	access access
}

// An access says what an open file can be used for.
type access uint8

const (
	reads access = 1 << iota
	writes
)

// accessOf takes flags as open(2) does.
func accessOf(flags int) access {
	switch {
	case flags&unix.O_PATH != 0:
		return 0
	case flags&unix.O_ACCMODE == unix.O_RDONLY:
		return reads
	case flags&unix.O_ACCMODE == unix.O_WRONLY:
		return writes
	}
	return reads | writes
}

// defaultAccess is the access of descriptor i, if none was recorded.
func defaultAccess(i int) access {
	if i == 0 {
		return reads
	}
	return writes
}

func (a access) String() string {
	return [...]string{"", "r", "w", "rw"}[a&(reads|writes)]
}

func parseAccess(text string) (access, bool) {
	for a := range reads | writes + 1 {
		if a.String() == text {
			return a, true
		}
	}
	return 0, false
}

// String is the text in the state.
func (g given) String() string {
	if g.key == "" {
		return ""
	}
	return g.key + " " + g.access.String()
}

// describe says what a descriptor of rt's is to a container that gets it. In create the null device is exchanged for the container's own.
func describe(f *os.File, exchanged bool) (g given, err error) {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return g, os.NewSyscallError("fcntl", err)
	}
	g.access = accessOf(flags)
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return g, err
	}
	if strings.HasPrefix(link, "pipe:[") || strings.HasPrefix(link, "socket:[") {
		g.key = link
		return g, nil
	}
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_MNT_ID, &st); err != nil {
		return g, os.NewSyscallError("statx", err)
	}
	if exchanged && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev_major == 1 && st.Rdev_minor == 3 {
		return given{}, nil
	}
	g.key = fmt.Sprintf("file[%x:%x]", st.Mnt_id, st.Ino)
	return g, nil
}

// StdioFor is State.Stdio of a container that gets these files of rt's for its stdin, stdout and stderr.
func StdioFor(files [3]*os.File) (map[string]string, error) {
	stdio := map[string]string{}
	for i, f := range files {
		g, err := describe(f, true)
		if err != nil {
			return nil, fmt.Errorf("look at descriptor %d: %w", i, err)
		}
		stdio[strconv.Itoa(i)] = g.String()
	}
	return stdio, nil
}

// NoStdio is State.Stdio of a container that gets none of rt's, as one with a terminal of its own.
func NoStdio() map[string]string { return map[string]string{"0": "", "1": "", "2": ""} }

// recordedStdio is what the container got by its state; nil if an older rt made it, which did not record that.
func recordedStdio(c *state.Container) (list []given, err error) {
	if c.Stdio == nil {
		return nil, nil
	}
	list = make([]given, 3)
	for i := range list {
		text := c.Stdio[strconv.Itoa(i)]
		if text == "" {
			continue
		}
		key, how, _ := strings.Cut(text, " ")
		a, ok := parseAccess(how)
		if !ok || !criu.IsDescriptor(key) {
			return nil, fmt.Errorf("read state: stdio %d is %.*q", i, state.MaxNamed, text)
		}
		list[i] = given{key, a}
	}
	return list, nil
}

// stdioOf says what a process's first descriptors are that come from outside of the container: keys to inherit others by, and
// which of them CRIU is to leave out as files that no mount of the container has.
func stdioOf(c *state.Container, t *mountTable) (keys, how, external []string, err error) {
	list, err := recordedStdio(c)
	if err != nil {
		return nil, nil, nil, err
	}
	if list == nil {
		if list, err = presentStdio(c.Pid); err != nil {
			return nil, nil, nil, err
		}
	}
	keys, how = make([]string, len(list)), make([]string, len(list))
	for i, g := range list {
		if mount, ok := mountOfKey(g.key); ok {
			if t.byID[mount] != nil {
				continue // the container has the file itself
			}
			external = append(external, g.key)
		}
		keys[i], how[i] = g.key, g.access.String()
	}
	return keys, how, external, nil
}

// mountOfKey is the id of the mount that a file is on, as CRIU's name for it has it.
func mountOfKey(key string) (id int, ok bool) {
	file, ok := strings.CutPrefix(key, "file[")
	if !ok {
		return 0, false
	}
	hex, _, _ := strings.Cut(file, ":")
	n, err := strconv.ParseUint(hex, 16, 31)
	return int(n), err == nil
}

// presentStdio looks at what a process has now, for a container of an older rt, which recorded nothing.
func presentStdio(pid int) (list []given, err error) {
	list = make([]given, 3)
	for fd := range list {
		path := "/proc/" + strconv.Itoa(pid) + "/fd/" + strconv.Itoa(fd)
		var st unix.Stat_t
		link, err := os.Readlink(path)
		if err == nil {
			err = unix.Stat(path, &st)
		}
		if errors.Is(err, unix.ENOENT) {
			continue // it is not open
		}
		if err != nil {
			return nil, fmt.Errorf("look at descriptor %d of process %d: %w", fd, pid, err)
		}
		switch {
		case link == fmt.Sprintf("pipe:[%d]", st.Ino), link == fmt.Sprintf("socket:[%d]", st.Ino):
			list[fd] = given{link, defaultAccess(fd)}
		case st.Mode&unix.S_IFMT != unix.S_IFDIR: // a file, a device, a FIFO
			info, err := readFdInfo(pid, strconv.Itoa(fd))
			if err != nil {
				return nil, fmt.Errorf("look at descriptor %d of process %d: %w", fd, pid, err)
			}
			list[fd] = given{fmt.Sprintf("file[%x:%x]", info.mount, st.Ino), defaultAccess(fd)}
		}
	}
	return list, nil
}

// An fdInfo is what the kernel says of an open file of a process (proc_pid_fdinfo(5)).
type fdInfo struct {
	mount  int // the id of its mount
	access access
}

func readFdInfo(pid int, fd string) (info fdInfo, err error) {
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(pid)+"/fdinfo/"+fd, maxFile)
	if err != nil {
		return info, err
	}
	mount, flags := "", ""
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "mnt_id":
			mount = strings.TrimSpace(value)
		case "flags":
			flags = strings.TrimSpace(value)
		}
	}
	how, err := strconv.ParseUint(flags, 8, 32)
	if err != nil {
		return info, fmt.Errorf("read fdinfo of descriptor %s: flags %.64q are no octal number", fd, flags)
	}
	if info.mount, err = strconv.Atoi(mount); err != nil {
		return info, fmt.Errorf("read fdinfo of descriptor %s: mnt_id %.64q is no number", fd, mount)
	}
	info.access = accessOf(int(how))
	return info, nil
}
