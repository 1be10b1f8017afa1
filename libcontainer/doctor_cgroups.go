package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rt/cgroups"
	"rt/cgroups/systemd"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// oldCgroups are cgroups that carry rt's mark and whose container is not there.
func (r *Runtime) oldCgroups(o DoctorOptions) (found []Finding, err error) {
	host, err := cgroups.Probe()
	if sys.Unseen(err) {
		return nil, fmt.Errorf("look at the cgroups: %w", err)
	}
	if err != nil {
		return nil, nil // none are mounted: there is none
	}
	marked, err := host.FindMarked()
	if err != nil {
		return nil, fmt.Errorf("look at the cgroups: %w", err)
	}
	// One mark may be on several cgroups: those of containers of one ID after another, at different paths.
	type cgroup struct {
		mark
		name string
	}
	dirs := map[cgroup][]string{}
	var order []cgroup
	for _, m := range marked {
		k, ok := parseMark(m.Text, m.Trusted)
		if !ok || !m.Trusted && os.Geteuid() == 0 {
			continue // somebody else may have written it
		}
		cg := cgroup{k, m.Name}
		if dirs[cg] == nil {
			order = append(order, cg)
		}
		dirs[cg] = append(dirs[cg], m.Dir)
	}
	for _, cg := range order {
		if cg.lives(r, dirs[cg]) {
			continue
		}
		found = append(found, r.oldCgroup(host, cg.mark, dirs[cg], o))
	}
	return found, nil
}

// lives: the container that has marked these cgroups is there, or it cannot be told. Without cgroups it is enough that it is
// there.
func (m mark) lives(r *Runtime, dirs []string) bool {
	if !ourPids(m.pids) {
		return true
	}
	if m.foreign() {
		// Its directory may be in sight of others, who are to look, or here all the same.
		return inUse(m.mounts()) || m.named(r, m.dir, dirs) || m.named(r, r.dir(filepath.Base(m.dir)), dirs)
	}
	return m.named(r, m.dir, dirs)
}

// foreign: the mark was made where other files are seen.
func (m mark) foreign() bool { return viewOf("self") != m.view }

// named says whether the container in this directory has these cgroups.
func (m mark) named(r *Runtime, at string, dirs []string) bool {
	c := &container{dir: at, rt: r, state: state{ID: filepath.Base(at)}}
	if c.held() {
		return true
	}
	err := c.load()
	if err != nil && !sys.Unseen(err) {
		err = c.readJournal()
	}
	if err != nil {
		return true // it cannot be told
	}
	if len(c.Cgroups) == 0 || dirs == nil {
		_, err := os.Lstat(at)
		return !errors.Is(err, fs.ErrNotExist) && !c.gone
	}
	return slices.ContainsFunc(dirs, func(dir string) bool {
		for _, own := range c.Cgroups {
			if own == dir || sameFile(own, dir) { // a hierarchy may be mounted twice
				return true
			}
		}
		return false
	})
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// inUse says whether a process is in a mount namespace; true where that cannot be seen of every process.
func inUse(mounts uint64) bool {
	entries, err := sys.ReadDir("/proc")
	if err != nil || unix.Access("/proc/1", unix.F_OK) != nil { // processes are hidden (hidepid)
		return true
	}
	for _, e := range entries {
		if n := e.Name(); n[0] < '0' || n[0] > '9' {
			continue
		}
		var st unix.Stat_t
		err := unix.Stat("/proc/"+e.Name()+"/ns/mnt", &st)
		if err == nil && st.Ino == mounts || err != nil && err != unix.ENOENT && err != unix.ESRCH { // it has ended
			return true
		}
	}
	return false
}

func (m mark) why() string {
	return "it is marked as that of the container " + m.dir + ", which does not exist"
}

func (r *Runtime) oldCgroup(host *cgroups.Host, k mark, dirs []string, o DoctorOptions) Finding {
	f := Finding{Kind: "cgroup", Paths: dirs, Why: k.why(), Fix: "remove it"}
	cg := cgroups.LoadDirs(host, dirs)
	c := &container{rt: r, dir: k.dir, state: state{Unit: k.scope(host, dirs)}, cg: cg}
	cg.SetClaim(cgroups.Claim{Other: c.other, Lock: r.lockCgroups, IsOwn: func(text string) bool {
		m, ok := parseMark(text, k.trusted)
		return ok && m == k
	}})
	unit := c.Unit
	f.fix = func() error {
		if k.lives(r, dirs) {
			return errors.New("it has come to life")
		}
		remove := func() error { return cg.Remove(c.killPatiently()) }
		now := Finding{fix: remove}
		own, err := cg.Own()
		if k.spare(&now, own, err, o); now.fix == nil {
			return errors.New(now.Fix)
		}
		if err := c.stopUnit(false); err != nil {
			return err
		}
		return remove()
	}
	if unit != "" {
		f.Fix = "stop the unit " + unit + " and remove it"
	}
	own, err := cg.Own()
	k.spare(&f, own, err, o)
	return f
}

// spare: where it is in doubt whose a cgroup is, only an empty one is removed.
func (m mark) spare(f *Finding, cg *cgroups.Cgroup, err error, o DoctorOptions) {
	spare(f, cg, err, o)
	if len(f.Pids) > 0 && (m.foreign() || !m.trusted && !allStubs(f.Pids)) {
		f.Fix, f.fix = "do nothing, as processes run there and it is not certain whose they are", nil
	}
}

func allStubs(pids []int) bool {
	return !slices.ContainsFunc(pids, func(pid int) bool { return !isOwnStub(pid) })
}

// scope is the systemd unit that rt has made for the container, if its cgroup is this still; "" if there is none.
func (m mark) scope(host *cgroups.Host, dirs []string) string {
	name := filepath.Base(dirs[0])
	if !m.trusted || m.unit != name || !strings.HasSuffix(name, ".scope") {
		return ""
	}
	manager, err := systemd.Connect(usersManager())
	if err != nil {
		return ""
	}
	defer manager.Close()
	at, err := manager.ControlGroup(name)
	if err != nil || at == "" || at == "/" || !isCgroup(host, dirs[0], at) {
		return ""
	}
	return name
}

// isCgroup says whether a directory is a cgroup by its path in the hierarchy, as systemd and /proc/PID/cgroup have it.
func isCgroup(host *cgroups.Host, dir, path string) bool {
	if host.Unified != "" && dir == filepath.Join(host.Unified, path) {
		return true
	}
	for _, mount := range host.V1 {
		if dir == filepath.Join(mount, path) {
			return true
		}
	}
	return false
}
