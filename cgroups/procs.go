package cgroups

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// Procs are the processes in the cgroup and below it, sorted. All hierarchies are read: a process that was
// interrupted while it joined is in some of them only, and one in any of them keeps the cgroup from being
// removed. A cgroup that is gone has none.
func (c *Cgroup) Procs() ([]int, error) { return c.procs(true, func(*member) bool { return true }) }

// OwnProcs are the processes in the cgroup itself, sorted.
func (c *Cgroup) OwnProcs() ([]int, error) { return c.procs(false, func(*member) bool { return true }) }

// Everybody is Procs, and whether there are also processes that have no number here, as they are outside our pid namespace.
func (c *Cgroup) Everybody() (pids []int, others bool, err error) {
	pids, err = c.numbers(true, func(*member) bool { return true })
	if len(pids) > 0 && pids[0] == 0 {
		pids, others = pids[1:], true
	}
	for _, m := range c.members {
		if len(pids) == 0 && err == nil {
			var events string
			events, err = (*Root)(nil).readOnce(m.dir + "/cgroup.events") // only v2 has it
			err = notGone(err)
			others = others || strings.Contains("\n"+events, "\npopulated 1")
		}
	}
	return pids, others, err
}

// Remains are what is left of a cgroup whose processes have been killed.
type Remains struct {
	Tasks  uint64 // 0 where there is no controller that counts them
	Memory uint64 // bytes, 0 likewise
}

// Remains are read from the cgroup's counters, which include what is below.
func (c *Cgroup) Remains() (r Remains) {
	r.Tasks = c.counter("pids", "pids.current", "pids.current")
	r.Memory = c.counter("memory", "memory.usage_in_bytes", "memory.current")
	return r
}

// counter reads a number of a controller, in v1 or else in v2; 0 if there is none.
func (c *Cgroup) counter(controller, v1, v2 string) uint64 {
	dir, file := c.dirOf(controller), v1
	if dir == "" {
		dir, file = c.dirOf(""), v2
	}
	text, err := readFile(dir + "/" + file)
	if dir == "" || err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	return n
}

// Fewer says whether there is less than before: fewer tasks, or so much less memory that it is not by chance.
func (r Remains) Fewer(before Remains) bool {
	const much = 1 << 20
	return r.Tasks < before.Tasks || r.Memory+much <= before.Memory
}

func (c *Cgroup) procs(tree bool, from func(*member) bool) ([]int, error) {
	pids, err := c.numbers(tree, from)
	return numbered(pids), err
}

// numbered leaves out what stands for processes outside our pid namespace.
func numbered(pids []int) []int {
	return slices.DeleteFunc(pids, func(pid int) bool { return pid == 0 })
}

// numbers are pids, sorted, with a 0 if there are processes outside our pid namespace.
func (c *Cgroup) numbers(tree bool, from func(*member) bool) ([]int, error) {
	var pids []int
	for i := range c.members {
		m := &c.members[i]
		if !from(m) {
			continue
		}
		var err error
		if pids, err = readNumbers(pids, m.dir, true); err == nil && tree {
			err = eachChild(m.dir, c.isOthers, func(dir string) error {
				if pids, err = readNumbers(pids, dir, false); err != nil {
					return err
				}
				return c.next(m)
			}, nil)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(pids)
	pids = slices.Compact(pids)
	if c.only != nil {
		pids = slices.DeleteFunc(pids, func(pid int) bool { return !c.only(pid) })
	}
	return pids, nil
}

// readProcs appends the processes of dir that have a number here.
func readProcs(pids []int, dir string, top bool) ([]int, error) {
	all, err := readNumbers(pids, dir, top)
	return numbered(all), err
}

// readNumbers appends the content of dir's cgroup.procs. In a threaded v2 cgroup it cannot be read
// (EOPNOTSUPP): its processes are those of the domain above, which lists them. Only when that is not ours
// (top) the threads stand for them.
func readNumbers(pids []int, dir string, top bool) ([]int, error) {
	text, err := readFile(dir + "/cgroup.procs")
	if isErrno(err, unix.EOPNOTSUPP) {
		if !top {
			return pids, nil
		}
		text, err = readFile(dir + "/cgroup.threads")
	}
	if gone(err) {
		return pids, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(text, "\n") {
		// 0 stands for a process outside our pid namespace: it has no number here.
		if pid, err := strconv.Atoi(line); err == nil && pid >= 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// childDirs are the names of the directories in a cgroup. A cgroup's link count tells when there is none: two, and one
// for each child; the three dozen files need not be listed then.
func childDirs(dir string) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err == nil && st.Nlink == 2 {
		return nil, nil
	}
	entries, err := sys.ReadDir(dir)
	if gone(err) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
		}
	}
	return dirs, nil
}
