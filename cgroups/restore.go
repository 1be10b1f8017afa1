package cgroups

import (
	"path"
	"strings"
)

// restored is what to write to a cgroup file to have the content old again after value was written. false: the file
// is not one with a state.
func restored(file, old, value string) (string, bool) {
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
