package checkpoint

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"rt/internal/sys"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// A mountTable is the mounts below a directory in the mount namespace of a process.
type mountTable struct {
	root   *os.File // the directory
	prefix string   // its path there, without a final slash
	byID   map[int]*mountinfo.Info
	list   []*mountinfo.Info
}

func readMounts(pid int, dir string) (*mountTable, error) {
	proc := "/proc/" + strconv.Itoa(pid)
	text, err := sys.ReadKernelFile(proc+"/mountinfo", maxFile)
	if err != nil {
		return nil, err
	}
	t := &mountTable{prefix: strings.TrimSuffix(dir, "/"), byID: map[int]*mountinfo.Info{}}
	if t.list, err = mountinfo.GetMountsFromReader(strings.NewReader(string(text)), nil); err != nil {
		return nil, fmt.Errorf("read %s/mountinfo: %w", proc, err)
	}
	for _, m := range t.list {
		t.byID[m.ID] = m
	}
	t.root, err = sys.Open(proc+"/root"+t.prefix, unix.O_PATH|unix.O_DIRECTORY)
	return t, err
}

func (t *mountTable) close() { t.root.Close() }

// at is the mount whose root is at a path of the container, links followed as the container would; nil if there is none.
func (t *mountTable) at(target string) (*mountinfo.Info, error) {
	st, err := t.look(target, unix.STATX_MNT_ID)
	if st == nil || err != nil {
		return nil, err
	}
	return t.byID[int(st.Mnt_id)], nil
}

// look is what statx(2) says of the root of a mount that is at a path of the container; nil if there is none.
func (t *mountTable) look(target string, mask int) (*unix.Statx_t, error) {
	f, err := sys.OpenAt(int(t.root.Fd()), target, unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil && !sys.Unseen(err) {
		return nil, nil
	}
	var st unix.Statx_t
	if err == nil {
		defer f.Close()
		err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, mask, &st)
	}
	if err != nil {
		return nil, fmt.Errorf("look for a mount at %s: %w", target, err)
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil, nil
	}
	return &st, nil
}

// name is a mount's point as the container sees it.
func (t *mountTable) name(m *mountinfo.Info) string {
	return path.Join("/", strings.TrimPrefix(m.Mountpoint, t.prefix))
}

// hasRootOf says whether the whole file system of a mount is mounted, too.
func (t *mountTable) hasRootOf(m *mountinfo.Info) bool {
	return slices.ContainsFunc(t.list, func(e *mountinfo.Info) bool { return e.Major == m.Major && e.Minor == m.Minor && e.Root == "/" })
}

// within lists the mounts that were mounted on top of m as part of its tree: not those that taken knows, nor what is on them.
func (t *mountTable) within(m *mountinfo.Info, taken map[int]bool) (list []*mountinfo.Info) {
	for _, e := range t.list {
		for up := e; up != nil && !(taken[up.ID] && up != m); up = t.byID[up.Parent] {
			if up == m {
				if e != m {
					list = append(list, e)
				}
				break
			}
			if up.Parent == up.ID {
				break
			}
		}
	}
	return list
}

// allAt is at for each of a list of paths.
func (t *mountTable) allAt(targets []string) (list []*mountinfo.Info, err error) {
	list = make([]*mountinfo.Info, len(targets))
	for i := range targets {
		if list[i], err = t.at(targets[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// shows says whether what is at a path of the container is what is at a path of the host.
func (t *mountTable) shows(target, source string) (bool, error) {
	f, err := sys.OpenAt(int(t.root.Fd()), target, unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var there, want unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &there); err != nil {
		return false, &os.PathError{Op: "stat", Path: target, Err: err}
	}
	if err := unix.Stat(source, &want); err != nil {
		return false, &os.PathError{Op: "stat", Path: source, Err: err}
	}
	return there.Dev == want.Dev && there.Ino == want.Ino, nil
}
