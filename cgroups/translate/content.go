package translate

import (
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"rt/internal/cpulist"
)

// Restored is what to write to a cgroup file to have the content old again after value was written. false: the file
// is not one with a state.
func Restored(file, old, value string) (string, bool) {
	name := path.Base(file)
	key, rest, _ := strings.Cut(value, " ")
	switch {
	case name == "memory.oom_control":
		_, flag, _ := strings.Cut(firstLine(old), " ") // oom_kill_disable 0
		return flag, true
	case !keyed(key, rest):
		// Writing nothing at all would not reach the kernel's handler for every file; a newline is stripped.
		return firstLine(old) + "\n", true
	}
	for line := range strings.SplitSeq(old, "\n") {
		if strings.HasPrefix(line, key+" ") {
			return line, true
		}
	}
	none, ok := noValue(name)
	return key + " " + none, ok
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// keyed says that a value is "key value": the key is a device's number, an interface, "default". The words of
// cpu.max are numbers or "max".
func keyed(key, rest string) bool {
	return rest != "" && key != "max" && strings.Trim(key, "-0123456789") != ""
}

// noValue is how a key is taken out of a file again.
func noValue(name string) (string, bool) {
	switch name {
	case "io.max":
		return "rbps=max wbps=max riops=max wiops=max", true
	case "rdma.max":
		return "hca_handle=max hca_object=max", true
	case "misc.max":
		return "max", true
	case "io.weight", "io.bfq.weight":
		return "default", true
	case "io.latency":
		return "target=0", true
	}
	return "0", strings.HasPrefix(name, "blkio.") || name == "net_prio.ifpriomap"
}

// WeightOfIdle says whether a weight is what the kernel makes of it when cpu.idle is set, and when it is no longer.
func WeightOfIdle(name, have string) bool {
	have = firstLine(have)
	switch name {
	case "cpu.shares":
		return have == "3" || have == "1024"
	case "cpu.weight":
		return have == "0" || have == "1" || have == "100"
	}
	return false
}

// HoldsValue says whether a file's content is what the kernel makes of a value that is written to it.
func HoldsValue(name, have, value string) bool {
	key, rest, _ := strings.Cut(value, " ")
	if name == "memory.oom_control" {
		now, _ := Restored(name, have, value)
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
