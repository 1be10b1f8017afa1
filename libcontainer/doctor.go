package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/intelrdt"
	"rt/nsenter"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// A Finding is something that is left on the host by a container that is gone.
type Finding struct {
	Kind  string   `json:"kind"`  // container, cgroup, resctrl or mount
	Paths []string `json:"paths"` // directories, or the mount point
	Pids  []int    `json:"pids,omitempty"`
	Why   string   `json:"why"` // it is thought to be left over
	Fix   string   `json:"fix"` // what --fix does, or what keeps it from that
	Fixed bool     `json:"fixed"`
	Error string   `json:"error,omitempty"` // why it could not be fixed

	fix func() error // nil: it is left alone
}

// DoctorOptions are the flags of doctor.
type DoctorOptions struct {
	Fix     bool
	Kill    bool // with Fix: programs that still run in a container that nobody can reach any more
	Stopped bool // also containers that have ended and were not deleted, as is their owner's right
}

// Doctor looks for what containers that are gone have left: among the mounts, below the root, in the hierarchies of cgroups
// and in resctrl. It touches only what is provably rt's: directories with nothing but rt's files in them, and cgroups with rt's mark,
// which on the host nobody writes but who has CAP_SYS_ADMIN.
func (r *Runtime) Doctor(o DoctorOptions) (found []Finding, err error) {
	r.reading = !o.Fix
	for _, look := range []func(DoctorOptions) ([]Finding, error){r.oldMounts, r.oldDirectories, r.oldCgroups, r.oldRdtGroups} {
		list, err := look(o)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	for i := range found {
		if f := &found[i]; o.Fix && f.fix != nil {
			if err := f.fix(); err != nil {
				f.Error = err.Error()
			} else {
				f.Fixed = true
			}
		}
	}
	return found, nil
}

// rtsFiles are all the names that rt gives to what it makes in a container's directory.
func rtsFiles() []string {
	return []string{stateFile, configFile, journalFile, startSocket, askSocket, holderFile, notifyDir, updateFile, devicesFile, criuRoot, criuMounts,
		"." + stateFile, "." + journalFile, "." + updateFile, "." + devicesFile}
}

// oldDirectories are containers below the root that cannot be used any more.
func (r *Runtime) oldDirectories(o DoctorOptions) (found []Finding, err error) {
	_, err = r.checkRoot(r.Root, 0)
	if distrusted(err) {
		r.Warn("%v", err)
		return nil, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look at the containers: %w", err)
	}
	entries, err := sys.ReadDir(r.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the containers: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && bundle.CheckID(e.Name()) == nil && onlyRts(r.dir(e.Name())) {
			if f := r.oldDirectory(e.Name(), o); f != nil {
				found = append(found, *f)
			}
		}
	}
	return found, nil
}

// onlyRts says whether a directory holds only what rt has made. One that somebody else has put there may not be removed.
func onlyRts(dir string) bool {
	entries, err := sys.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		return emptyRts(dir)
	}
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !slices.Contains(rtsFiles(), e.Name()) })
}

// emptyRts says whether an empty directory is that of a create which was killed: below a mistyped --root there are others.
// One that is new may get its first file yet.
func emptyRts(dir string) bool {
	var st unix.Stat_t
	err := unix.Lstat(dir, &st)
	ours := st.Mode == unix.S_IFDIR|dirMode || st.Mode == unix.S_IFDIR|olderDirMode
	return err == nil && ours && int(st.Uid) == os.Geteuid() && time.Since(time.Unix(st.Mtim.Unix())) > emptyFor
}

const emptyFor = 5 * time.Second

func (r *Runtime) oldDirectory(id string, o DoctorOptions) *Finding {
	c := &container{dir: r.dir(id), rt: r, state: state{ID: id}}
	if err := c.check(); distrusted(err) {
		r.Warn("%v", err)
		return nil
	}
	if c.held() {
		return nil // another rt is at work
	}
	why := c.whyOld(o.Stopped)
	if why == "" {
		return nil
	}
	f := c.finding(why, o)
	if f.fix != nil {
		f.fix = func() error { return r.deleteOld(id, o) }
	}
	return f
}

func (c *container) finding(why string, o DoctorOptions) *Finding {
	f := &Finding{Kind: "container", Paths: []string{c.dir}, Why: why, Fix: "delete the container, and what its journal names"}
	f.fix = func() error { return c.rt.remove(c) }
	cg, err := c.cgroup()
	if err == nil {
		cg, err = cg.Own()
	}
	spare(f, cg, err, o)
	if int(c.owner) != os.Geteuid() {
		f.Fix, f.fix = "do nothing, as it is another user's", nil
	}
	return f
}

// deleteOld looks again under the lock: another container may have taken the name.
func (r *Runtime) deleteOld(id string, o DoctorOptions) error {
	c := &container{dir: r.dir(id), rt: r, state: state{ID: id}}
	if c.held() {
		return errors.New("another rt is at work there")
	}
	if err := c.acquire(); err != nil {
		if errors.Is(err, ErrNotExist) {
			return nil
		}
		return err
	}
	defer c.release()
	why := c.whyOld(o.Stopped)
	if why == "" || !onlyRts(c.dir) {
		return errors.New("it has come to life")
	}
	f := c.finding(why, o)
	if f.fix == nil {
		return errors.New(f.Fix)
	}
	return f.fix()
}

// whyOld says why a container cannot be used any more, "" if it can.
func (c *container) whyOld(stopped bool) string {
	err := c.load()
	switch {
	case errors.Is(err, ErrNotExist):
		if c.readJournal() != nil || len(c.Cgroups) > 0 && !ourPids(c.PidNamespace) {
			return ""
		}
		return "it has no state: create was killed"
	case sys.Unseen(err):
		return ""
	case distrusted(err):
		c.rt.Warn("%v", err)
		return ""
	case err != nil:
		c.PidNamespace = 0
		if c.readJournal() != nil || !c.gone && !ourPids(c.PidNamespace) {
			return ""
		}
		return err.Error()
	case !c.gone && !ourPids(c.PidNamespace):
		return "" // whether it lives can be seen only there
	case c.gone:
		return "it was made before the machine was started again"
	case !errors.Is(c.mustRun(), ErrNotRunning):
		return ""
	case c.Unit == "" && len(c.Cgroups) > 0 && !c.recorded().Exists():
		return "its process and its cgroup are gone"
	case stopped:
		return "it has stopped, and nobody has deleted it"
	}
	return ""
}

// spare keeps a fix from ending somebody's program, unless that is asked for. The stub is nobody's program: what it waits
// for can come no more.
func spare(f *Finding, cg *cgroups.Cgroup, err error, o DoctorOptions) {
	others := false
	if err == nil {
		f.Pids, others, err = cg.Everybody()
	}
	if err != nil || others {
		f.Fix, f.fix = "do nothing, as processes may run there that cannot be seen from here", nil
		return
	}
	programs := slices.DeleteFunc(slices.Clone(f.Pids), isOwnStub)
	switch {
	case len(programs) == 0:
	case o.Kill:
		f.Fix += fmt.Sprintf(", and kill %d process(es)", len(programs))
	default:
		f.Fix = fmt.Sprintf("do nothing, as %d process(es) run there, which --kill ends", len(programs))
		f.fix = nil
	}
}

// isStub goes by the name of what the process executes, which any program can give itself.
func isStub(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(exe, "/memfd:rt-stub")
}

// isOwnStub: it executes the stub of this rt, byte for byte.
func isOwnStub(pid int) bool {
	if !isStub(pid) {
		return false
	}
	exe, err := sys.Open(fmt.Sprintf("/proc/%d/exe", pid), unix.O_PATH)
	if err != nil {
		return false
	}
	defer exe.Close()
	return nsenter.IsImage(exe)
}

// oldRdtGroups are groups of resctrl with rt's mark and without a container.
func (r *Runtime) oldRdtGroups(DoctorOptions) (found []Finding, err error) {
	root, err := intelrdt.Root()
	if sys.Unseen(err) {
		return nil, err
	}
	if err != nil {
		return nil, nil // it is not mounted
	}
	for _, pattern := range []string{"mon_groups/*", "*/mon_groups/*", "*"} { // what lies inside goes first
		dirs, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, dir := range dirs {
			text, trusted, err := sys.Mark(dir)
			if err != nil {
				return nil, err
			}
			if k, ok := parseMark(text, trusted); ok && !k.foreign() && trusted && !k.lives(r, nil) {
				found = append(found, Finding{Kind: "resctrl", Paths: []string{dir}, Why: k.why(), Fix: "remove it",
					fix: func() error {
						if k.lives(r, nil) {
							return errors.New("it has come to life")
						}
						return intelrdt.Group{Dir: dir, Own: true}.Remove(nil)
					}})
			}
		}
	}
	return found, nil
}

// oldMounts are mounts in the directories of containers that do not exist: rt makes none there, its containers' are in
// their own mount namespaces.
func (r *Runtime) oldMounts(DoctorOptions) (found []Finding, err error) {
	root, err := filepath.EvalSymlinks(r.Root) // as the kernel names mount points
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var mounts []*mountinfo.Info
	if err == nil {
		mounts, err = mountinfo.GetMounts(mountinfo.PrefixFilter(root))
	}
	if err != nil {
		return nil, fmt.Errorf("look at the mounts below %s: %w", r.Root, err)
	}
	for _, m := range mounts {
		rest := strings.TrimPrefix(m.Mountpoint, root+"/")
		id, inside, deeper := strings.Cut(rest, "/")
		if rest == m.Mountpoint || !deeper || !slices.Contains(rtsFiles(), strings.Split(inside, "/")[0]) {
			continue
		}
		if _, err := r.open(id, false); !errors.Is(err, ErrNotExist) {
			continue
		}
		point := m.Mountpoint
		found = append(found, Finding{Kind: "mount", Paths: []string{point}, Why: "it is in the directory of a container that does not exist",
			Fix: "unmount it", fix: func() error { return unmount(point) }})
	}
	return found, nil
}

func unmount(point string) error {
	if err := sys.Retry(func() error { return unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) }); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return nil
}
