// Package intelrdt puts processes into groups of the resctrl file system: linux.intelRdt of config-linux.md, and
// Documentation/filesystems/resctrl.rst of the kernel.
package intelrdt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of the kernel's files: tasks may be a list of all threads of the host.
const maxFile = 64 << 20

// Root is where resctrl is mounted. Only a configuration that has intelRdt makes anybody look.
func Root() (string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("resctrl"))
	if err != nil {
		return "", fmt.Errorf("look for resctrl: %w", err)
	}
	if len(mounts) == 0 {
		return "", hint.With(errors.New("/linux/intelRdt: no resctrl file system is mounted: intelRdt is specified in config, but Intel RDT is not enabled"),
			"mount -t resctrl resctrl /sys/fs/resctrl, if processor and kernel have resource control")
	}
	return mounts[0].Mountpoint, nil
}

// A Group is where a container's processes belong; the zero value is nowhere.
type Group struct {
	Dir string // class of service
	Mon string // monitoring group below it, or ""
	Own bool   // Dir is the container's and ends with it

	// Taken says of each directory that the container has for itself how far it is the container's: Missing or Existed
	// before it is made, then its inode. nil: an older rt has made the group, and all of it counts as the container's.
	Taken map[string]string
}

// Before a directory is made:
const (
	Missing = "missing" // it was not there
	Existed = "existed" // it was, or that could not be told
)

// own are the directories that end with the container, the inner one first.
func (g Group) own() (dirs []string) {
	if g.Mon != "" {
		dirs = append(dirs, g.Mon)
	}
	if g.Own {
		dirs = append(dirs, g.Dir)
	}
	return dirs
}

// Intend notes which directories are there before Create.
func (g *Group) Intend() {
	g.Taken = map[string]string{}
	for _, dir := range g.own() {
		g.Taken[dir] = Existed
		if unix.Access(dir, unix.F_OK) == unix.ENOENT {
			g.Taken[dir] = Missing
		}
	}
}

// Take notes the inodes of what Create has made.
func (g *Group) Take(made Group) error {
	for _, dir := range made.own() {
		is, err := inode(dir)
		if err != nil {
			return err
		}
		g.Taken[dir] = is
	}
	return nil
}

func inode(dir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return "", &os.PathError{Op: "look at", Path: dir, Err: err}
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

// For says which group a configuration asks for; nothing is made.
func For(root, id string, c *specs.LinuxIntelRdt) Group {
	g := Group{Dir: filepath.Join(root, id), Own: true}
	if c.ClosID != "" {
		g = Group{Dir: filepath.Join(root, c.ClosID)} // "/" is the root
	}
	if c.EnableMonitoring {
		g.Mon = filepath.Join(g.Dir, "mon_groups", id)
	}
	return g
}

// Create makes what there is to make of the group, by the rules of the specification. made is what Remove may take
// away again, also with an error.
func (g Group) Create(c *specs.LinuxIntelRdt) (made Group, err error) {
	return g.create(c, func(dir string) error { return sys.MakeDir(dir, 0o755) })
}

// create is Create with its own mkdir: in resctrl a new directory has files.
func (g Group) create(c *specs.LinuxIntelRdt, mkdir func(dir string) error) (made Group, err error) {
	fresh, err := g.makeDir(c, mkdir)
	if err != nil {
		return Group{}, err
	}
	if fresh && g.Own {
		made.Dir, made.Own = g.Dir, true
	}
	defer func() {
		if err != nil && fresh && !g.Own {
			_ = os.Remove(g.Dir) // it was made a moment ago, and is nobody's yet
		}
	}()
	if err := g.configure(c, fresh); err != nil {
		return made, err
	}
	if g.Mon == "" {
		return made, nil
	}
	if err := mkdir(g.Mon); err != nil {
		return made, fmt.Errorf("make monitoring group (/linux/intelRdt/enableMonitoring): %w", withReason(err, g.Dir))
	}
	made.Mon = g.Mon
	return made, nil
}

// makeDir makes the group's directory unless it is one that has to be there; fresh says that it was not.
func (g Group) makeDir(c *specs.LinuxIntelRdt, mkdir func(dir string) error) (fresh bool, err error) {
	if !g.Own {
		var st unix.Stat_t
		err := unix.Stat(g.Dir, &st)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return false, nil
		}
		if len(schemata(c)) == 0 || err == nil {
			return false, fmt.Errorf("/linux/intelRdt/closID: there is no class of service %s", g.Dir)
		}
	}
	if err = mkdir(g.Dir); err != nil {
		return false, fmt.Errorf("make class of service (/linux/intelRdt): %w", withReason(err, filepath.Dir(g.Dir)))
	}
	return true, nil
}

// configure writes the schemata of a new group; of one that was there it compares the older fields and writes the newer.
func (g Group) configure(c *specs.LinuxIntelRdt, fresh bool) error {
	lines := schemata(c)
	if !fresh {
		if err := g.compare(c); err != nil {
			return err
		}
		lines = c.Schemata
	}
	if len(lines) == 0 {
		return nil
	}
	return g.Write(lines)
}

// schemata are all lines that a configuration has, in the order in which they must be written.
func schemata(c *specs.LinuxIntelRdt) (lines []string) {
	for _, s := range []string{c.L3CacheSchema, c.MemBwSchema} {
		if s != "" {
			lines = append(lines, s)
		}
	}
	return append(lines, c.Schemata...)
}

// Write changes the group's schemata.
func (g Group) Write(lines []string) error {
	text := strings.Join(lines, "\n") + "\n"
	if err := sys.WriteFile(g.schemataFile(), text); err != nil {
		return fmt.Errorf("set %s (/linux/intelRdt): %w", strings.Join(lines, ", "), withReason(err, filepath.Dir(g.Dir)))
	}
	return nil
}

func (g Group) compare(c *specs.LinuxIntelRdt) error {
	for field, want := range map[string]string{"l3CacheSchema": c.L3CacheSchema, "memBwSchema": c.MemBwSchema} {
		if want == "" {
			continue
		}
		have, err := sys.ReadKernelFile(g.schemataFile(), maxFile)
		if err != nil {
			return fmt.Errorf("/linux/intelRdt/%s: %w", field, err)
		}
		if !contains(string(have), want) {
			return fmt.Errorf("/linux/intelRdt/%s: class of service %s exists and has other schemata than %s", field, g.Dir, want)
		}
	}
	return nil
}

// contains says whether each of the values in a line such as "L3:0=f;1=f0" is among the schemata of a group.
func contains(schemata, want string) bool {
	resource, values, _ := strings.Cut(want, ":")
	for _, line := range strings.Split(schemata, "\n") {
		name, list, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) != strings.TrimSpace(resource) {
			continue
		}
		have := domains(list)
		for id, value := range domains(values) {
			if have[id] != value {
				return false
			}
		}
		return true
	}
	return false
}

// domains reads "0=f;1=f0" without what makes no difference.
func domains(list string) map[string]string {
	all := map[string]string{}
	for _, d := range strings.Split(list, ";") {
		id, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		all[strings.TrimSpace(id)] = strings.TrimLeft(strings.ToLower(strings.TrimSpace(value)), "0")
	}
	return all
}

// withReason adds what the kernel has to say about the last command that failed.
func withReason(err error, dir string) error {
	for ; len(dir) > 1; dir = filepath.Dir(dir) {
		text, readErr := sys.ReadKernelFile(filepath.Join(dir, "info/last_cmd_status"), maxFile)
		if readErr == nil {
			if reason := strings.TrimSpace(string(text)); reason != "" && reason != "ok" {
				return hint.With(err, "resctrl says: "+reason)
			}
			return err
		}
	}
	return err
}

// Join puts a process, with all that it will start, into the group.
func (g Group) Join(pid int) error {
	for _, dir := range []string{g.Dir, g.Mon} {
		if dir == "" {
			continue
		}
		if err := sys.WriteFile(filepath.Join(dir, "tasks"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("join resctrl group (/linux/intelRdt): %w", err)
		}
	}
	return nil
}

// Exists says whether the class of service may be there: only one that surely was not is the container's to remove.
func (g Group) Exists() bool { return unix.Access(g.Dir, unix.F_OK) != unix.ENOENT }

// RemoveUnused removes a class of service that nobody is in: a create that was killed has made it. The kernel would let a
// class be removed that is in use.
func RemoveUnused(dir string) error {
	used, err := isUsed(dir)
	if err != nil || used {
		return err
	}
	return rmdir(dir)
}

// isUsed says whether a class of service has tasks or monitoring groups. One that is gone has none.
func isUsed(dir string) (bool, error) {
	tasks, err := sys.ReadKernelFile(filepath.Join(dir, "tasks"), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove class of service: %w", err)
	}
	groups, err := sys.ReadDir(filepath.Join(dir, "mon_groups"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // where there is no monitoring
		return false, fmt.Errorf("remove class of service: %w", err)
	}
	return strings.TrimSpace(string(tasks)) != "" || len(groups) > 0, nil
}

// Remove takes away the group as far as it is the container's. others says of a directory that it carries another container's
// mark.
func (g Group) Remove(others func(dir string) (bool, error)) error {
	for _, dir := range g.own() {
		if others != nil {
			if is, err := others(dir); err != nil {
				return fmt.Errorf("remove resctrl group %s: %w", dir, err)
			} else if is {
				continue
			}
		}
		if err := g.remove(dir); err != nil {
			return err
		}
	}
	return nil
}

func (g Group) remove(dir string) error {
	taken := g.Taken[dir]
	switch {
	case g.Taken == nil:
	case taken == Missing:
		return RemoveUnused(dir)
	case taken == Existed || taken == "":
		return nil
	default:
		is, err := inode(dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && is != taken { // another one has its name
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove resctrl group: %w", err)
		}
	}
	if dir == g.Dir {
		return RemoveUnused(dir) // another container may have joined it: its closID can be any class of service
	}
	return rmdir(dir)
}

func rmdir(dir string) error {
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove resctrl group %s: %w", dir, err)
	}
	return nil
}
