package cgroups

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"rt/internal/cpulist"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// errChanged says that a file has another value than an update that was interrupted can have left in it.
var errChanged = errors.New("somebody else has changed it since")

// Restore takes back what an Apply that came to no end may have written, as far as it can be taken back. A file whose
// value is neither that of before nor the new one is somebody else's by now and stays as it is. done are the changes
// whose file has its old value, problems tell of every other.
func (c *Cgroup) Restore(changes []Change) (done []Change, problems []error) {
	left := slices.Clone(changes)
	slices.Reverse(left)
	for again := true; again; {
		again, problems = false, nil
		var next []Change
		for _, x := range left { // as with undo: what is refused may need another file to be restored first
			wrote, err := c.takeBack(x)
			again = again || wrote
			if err == nil {
				done = append(done, x)
				continue
			}
			problems = append(problems, fmt.Errorf("restore %s: %w", x.Path, err))
			next = append(next, x)
		}
		left = next
	}
	return done, problems
}

// takeBack restores one file, if that is to be done.
func (c *Cgroup) takeBack(x Change) (wrote bool, err error) {
	if !c.holds(x.Path) {
		return false, errors.New("it is no file of the container's cgroup")
	}
	have, err := readFile(x.Path)
	if isErrno(err, unix.EACCES, unix.EINVAL) {
		return false, nil // it has no value, as memory.reclaim
	}
	value, ok := restored(x.Path, x.Old, x.New)
	if err != nil || !ok {
		return false, sys.Cause(err)
	}
	name := path.Base(x.Path)
	switch now, _ := restored(x.Path, have, x.New); {
	case now == value:
		return false, nil
	case x.Old == x.New && !weightOfIdle(name, firstLine(have)), x.Old != x.New && !holdsValue(name, have, x.New):
		return false, errChanged
	}
	err = writeFile(x.Path, value)
	return err == nil, sys.Cause(err)
}

// weightOfIdle says whether a weight is what the kernel makes of it when cpu.idle is set, and when it is no longer.
func weightOfIdle(name, have string) bool {
	switch name {
	case "cpu.shares":
		return have == "3" || have == "1024"
	case "cpu.weight":
		return have == "0" || have == "1" || have == "100"
	}
	return false
}

// holdsValue says whether a file's content is what the kernel makes of a value that is written to it.
func holdsValue(name, have, value string) bool {
	key, rest, _ := strings.Cut(value, " ")
	if name == "memory.oom_control" {
		now, _ := restored(name, have, value)
		return now == value
	}
	if !keyed(key, rest) {
		return holdsWords(name, strings.Fields(firstLine(have)), strings.Fields(value))
	}
	for line := range strings.SplitSeq(have, "\n") {
		if words, ok := strings.CutPrefix(line, key+" "); ok {
			return holdsPairs(strings.Fields(words), strings.Fields(rest))
		}
	}
	none, ok := noValue(name)
	return ok && holdsPairs(strings.Fields(none), strings.Fields(rest)) // such a line is not shown
}

// holdsPairs: "rbps=1000" leaves the other words of a line.
func holdsPairs(have, value []string) bool {
	for _, word := range value {
		if !slices.Contains(have, word) {
			return false
		}
	}
	return true
}

// holdsWords: a second word that is not written stays, as the period in cpu.max.
func holdsWords(name string, have, value []string) bool {
	if len(value) > len(have) {
		return false
	}
	for i := range value {
		if !sameWord(name, have[i], value[i]) {
			return false
		}
	}
	return len(value) > 0 || len(have) == 0
}

// sameWord knows what the kernel, or systemd, rounds.
func sameWord(name, have, value string) bool {
	if have == value {
		return true
	}
	if strings.HasPrefix(name, "cpuset.") {
		a, _, err1 := cpulist.Parse(have, cpulist.Numbers)
		b, _, err2 := cpulist.Parse(value, cpulist.Numbers)
		return err1 == nil && err2 == nil && slices.Equal(a, b)
	}
	a, ok1 := amount(have)
	b, ok2 := amount(value)
	if !ok1 || !ok2 {
		return false
	}
	switch {
	case a == b:
		return true
	case name == "cpu.shares":
		return a == min(max(b, 2), 262144)
	case name == "cpu.max", name == "cpu.cfs_quota_us":
		return b >= 0 && a > b && a-b < 10000 // systemd rounds up to a hundredth of a cpu
	case strings.HasPrefix(name, "memory."):
		return b-a > 0 && b-a < 4096<<4 // to a page, which has up to 64 KiB
	case strings.HasPrefix(name, "hugetlb."):
		return a < b && b-a < hugePage(name)
	}
	return false
}

// amount reads what cgroup files take: "100M" where they are sizes, no limit as the largest there is.
func amount(word string) (int64, bool) {
	if word == "max" || word == "-1" {
		return math.MaxInt64, true
	}
	word, shift := strings.TrimSuffix(word, ".00"), 0 // a percentage, cpu.uclamp.max
	if i := len(word) - 1; i > 0 && !strings.HasPrefix(word, "0x") {
		shift = 10 * (1 + strings.IndexByte("kmgtpe", word[i]|0x20))
		if shift > 0 {
			word = word[:i]
		}
	}
	n, err := strconv.ParseInt(word, 0, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}

// hugePage is the size of the pages in a name such as hugetlb.2MB.max.
func hugePage(name string) int64 {
	size, _, _ := strings.Cut(strings.TrimPrefix(name, "hugetlb."), ".")
	n, _ := amount(strings.TrimSuffix(size, "B"))
	return n
}
