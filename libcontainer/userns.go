package libcontainer

import (
	"fmt"
	"strconv"
	"strings"

	"rt/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mapIDs gives a process in a new user namespace its ids (user_namespaces(7)).
func mapIDs(pid int, l *specs.Linux) error {
	proc := "/proc/" + strconv.Itoa(pid)
	for _, m := range []struct {
		file, pointer string
		maps          []specs.LinuxIDMapping
	}{
		{"/uid_map", "/linux/uidMappings", l.UIDMappings},
		{"/gid_map", "/linux/gidMappings", l.GIDMappings},
	} {
		var b strings.Builder
		for _, e := range m.maps {
			fmt.Fprintf(&b, "%d %d %d\n", e.ContainerID, e.HostID, e.Size)
		}
		if err := sys.WriteFile(proc+m.file, b.String()); err != nil {
			return fmt.Errorf("map ids (%s): %w", m.pointer, err)
		}
	}
	return nil
}

// setTimeOffsets writes the offsets of the time namespace that the process's children will be in.
func setTimeOffsets(pid int, offsets map[string]specs.LinuxTimeOffset) error {
	var b strings.Builder
	for clock, o := range offsets {
		fmt.Fprintf(&b, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
	}
	if err := sys.WriteFile("/proc/"+strconv.Itoa(pid)+"/timens_offsets", b.String()); err != nil {
		return fmt.Errorf("set time offsets (/linux/timeOffsets): %w", err)
	}
	return nil
}
