package libcontainer

import (
	"fmt"
	"strconv"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"
)

// A procStatus is what /proc/PID/status says of a process, by the names of its lines.
type procStatus map[string]string

func readStatus(pid int) (procStatus, error) {
	text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(pid)+"/status", maxFile)
	if err != nil {
		return nil, err
	}
	s := procStatus{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			s[name] = strings.TrimSpace(value)
		}
	}
	return s, nil
}

// checkNoNewPrivs: the flag is configured and init has it not. CRIU before 4 forgets it, and it cannot be set for another process.
func (r *restored) checkNoNewPrivs() error {
	status, err := readStatus(r.init)
	if err != nil {
		return err
	}
	if r.spec.Process.NoNewPrivileges && status["NoNewPrivs"] != "1" {
		return hint.With(fmt.Errorf("process %d has no no_new_privs (/process/noNewPrivileges)", r.init),
			"CRIU before 4.0 does not restore it: install a newer one, or do not ask for it")
	}
	return nil
}
