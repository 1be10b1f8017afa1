package intelrdt

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rt/internal/sys"
)

// A Change is an update of schemata that can be taken back.
type Change struct {
	Old []string `json:"old"` // what the group had of the resources that are changed
	New []string `json:"new"`
}

// errChanged says that the schemata are other ones than an update that was interrupted can have left.
var errChanged = errors.New("somebody else has changed it since")

// Change says what is to be changed of the group, for Write and Restore.
func (g Group) Change(lines []string) (Change, error) {
	text, err := sys.ReadKernelFile(g.schemataFile(), maxFile)
	if err != nil {
		return Change{}, fmt.Errorf("read schemata: %w", err)
	}
	c := Change{New: lines}
	for line := range strings.SplitSeq(string(text), "\n") {
		line = strings.TrimSpace(line)
		if slices.ContainsFunc(lines, func(l string) bool { return resource(l) == resource(line) }) {
			c.Old = append(c.Old, line)
		}
	}
	return c, nil
}

func resource(line string) string {
	name, _, _ := strings.Cut(line, ":")
	return strings.TrimSpace(name)
}

// Restore writes what the group had before a change that may have been made.
func (g Group) Restore(c Change) error {
	text, err := sys.ReadKernelFile(g.schemataFile(), maxFile)
	if err != nil {
		return fmt.Errorf("read schemata: %w", err)
	}
	has := func(lines []string) bool {
		return !slices.ContainsFunc(lines, func(l string) bool { return !holds(string(text), l) })
	}
	switch {
	case has(c.Old):
		return nil
	case !has(c.New):
		return fmt.Errorf("restore %s: %w", g.schemataFile(), errChanged)
	}
	return g.Write(c.Old)
}

func (g Group) schemataFile() string { return filepath.Join(g.Dir, "schemata") }

// holds is contains for a value that the kernel may have rounded: bandwidth goes up to the next step, of 10 percent at most.
func holds(schemata, want string) bool {
	name, values, _ := strings.Cut(want, ":")
	if strings.TrimSpace(name) != "MB" {
		return contains(schemata, want)
	}
	for line := range strings.SplitSeq(schemata, "\n") {
		if _, list, ok := strings.Cut(line, ":"); ok && resource(line) == "MB" {
			return holdsBandwidth(domains(list), domains(values))
		}
	}
	return false
}

func holdsBandwidth(have, want map[string]string) bool {
	for id, value := range want {
		a, err1 := strconv.Atoi(have[id])
		b, err2 := strconv.Atoi(value)
		if err1 != nil || err2 != nil || a < b || a-b >= 10 {
			return false
		}
	}
	return true
}
