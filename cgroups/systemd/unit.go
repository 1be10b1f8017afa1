// Package systemd asks systemd for the cgroups of a container: a transient scope with the limits as properties. It
// runs outside the container. Names, properties and annotations are pure; a Manager is the conversation.
package systemd

import (
	"fmt"
	"path"
	"strings"

	"rt/internal/hint"
)

// A Unit is the unit of a container.
type Unit struct {
	Name  string // "prefix-name.scope", or a slice's name
	Slice string // the slice that it lies in, "-.slice" for the root
}

const (
	rootSlice = "-.slice"
	maxName   = 255 // UNIT_NAME_MAX with the NUL
)

// UnitOf reads linux.cgroupsPath as `slice:prefix:name` (the form that engines use with --systemd-cgroup). An empty
// slice is system.slice, or user.slice of a user's manager; "-" is the root. The unit is prefix-name.scope, or name
// itself if that ends in ".slice". "" stands for ":rt:" and the container's id.
func UnitOf(cgroupsPath, id string, user bool) (Unit, error) {
	const pointer = "/linux/cgroupsPath"
	if cgroupsPath == "" {
		cgroupsPath = ":rt:" + escapeID(id)
	}
	parts := strings.Split(cgroupsPath, ":")
	if len(parts) != 3 {
		err := fmt.Errorf(`expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got %q instead (%s)`, cgroupsPath, pointer)
		return Unit{}, hint.With(err, "a path such as /a/b is for rt without --systemd-cgroup")
	}
	u, err := unitOf(parts[0], parts[1], parts[2], user)
	if err != nil {
		return Unit{}, fmt.Errorf("cgroupsPath %q: %w (%s)", cgroupsPath, err, pointer)
	}
	return u, nil
}

func unitOf(slice, prefix, name string, user bool) (Unit, error) {
	u := Unit{Name: prefix + "-" + name + ".scope", Slice: slice}
	switch {
	case slice == "-":
		u.Slice = rootSlice
	case slice == "" && user:
		u.Slice = "user.slice"
	case slice == "":
		u.Slice = "system.slice"
	}
	if err := checkSlice(u.Slice); err != nil {
		return Unit{}, err
	}
	if name == "" {
		return Unit{}, fmt.Errorf("the name is empty")
	}
	if strings.HasSuffix(name, ".slice") {
		u.Name = name
		if err := checkSlice(name); err != nil {
			return Unit{}, err
		}
		// A slice lies where its own name says.
		in := parentSlice(name)
		if slice != "" && u.Slice != in {
			return Unit{}, fmt.Errorf("slice %s lies in %s, not in %s", name, in, u.Slice)
		}
		u.Slice = in
	}
	return u, checkName(u.Name)
}

// IsSlice says that processes cannot be given to the unit when it is started.
func (u Unit) IsSlice() bool { return strings.HasSuffix(u.Name, ".slice") }

// Path is the unit's cgroup below the manager's own.
func (u Unit) Path() string {
	if u.IsSlice() {
		return slicePath(u.Name)
	}
	return path.Join(slicePath(u.Slice), u.Name)
}

// slicePath: the dashes of a slice's name are levels, a-b.slice is /a.slice/a-b.slice (systemd.slice(5)).
func slicePath(slice string) string {
	if slice == rootSlice {
		return "/"
	}
	dir, name := "/", strings.TrimSuffix(slice, ".slice")
	for i := range len(name) {
		if name[i] == '-' {
			dir = path.Join(dir, name[:i]+".slice")
		}
	}
	return path.Join(dir, slice)
}

func parentSlice(slice string) string {
	name := strings.TrimSuffix(slice, ".slice")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		return name[:i] + ".slice"
	}
	return rootSlice
}

func checkSlice(slice string) error {
	if slice == rootSlice {
		return nil
	}
	name, ok := strings.CutSuffix(slice, ".slice")
	switch {
	case !ok:
		return fmt.Errorf("slice %q does not end in .slice", slice)
	case name == "" || strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") || strings.Contains(name, "--"):
		return fmt.Errorf("invalid slice %q: it has an empty part", slice)
	}
	return checkName(slice)
}

// checkName: systemd.unit(5), "valid unit names".
func checkName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("unit name of %d bytes: more than %d", len(name), maxName)
	}
	if strings.Contains(name, "@") {
		return fmt.Errorf("invalid unit name %q: with an @ it is an instance of a template, which systemd does not start for a container", name)
	}
	for i := range len(name) {
		if !inName(name[i]) {
			return fmt.Errorf("invalid unit name %q: %q is not one of a-z A-Z 0-9 : - _ . \\", name, name[i])
		}
	}
	return nil
}

func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(`:-_.\`, c) >= 0
}

// escapeID: a container's id may have a +, which a unit's name cannot have; systemd-escape(1) writes it so.
func escapeID(id string) string { return strings.ReplaceAll(id, "+", `\x2b`) }

// objectPath is the unit's D-Bus object: all but letters and digits is escaped, a digit at the beginning, too.
func objectPath(unit string) string {
	const hex = "0123456789abcdef"
	b := []byte("/org/freedesktop/systemd1/unit/")
	for i := range len(unit) {
		c := unit[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9' {
			b = append(b, c)
		} else {
			b = append(b, '_', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}
