package facts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/internal/text"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// An idMap is one of the two maps of a user namespace.
type idMap struct {
	file, pointer string
	helper        string // the set-user-ID program for who may not write it
	sub           string // the file that says what the helper may do
	list          []specs.LinuxIDMapping
}

func idMapsOf(l *specs.Linux) [2]idMap {
	return [...]idMap{
		{"uid_map", "/linux/uidMappings", "newuidmap", "/etc/subuid", l.UIDMappings},
		{"gid_map", "/linux/gidMappings", "newgidmap", "/etc/subgid", l.GIDMappings},
	}
}

// MapIDs gives a process in a new user namespace its ids (user_namespaces(7)). Who has CAP_SETUID and CAP_SETGID
// writes any map; any user may map the own id; newuidmap(1) and newgidmap(1) write the others. note writes down that rt
// waits for such a helper; it may be nil.
func (p Privileges) MapIDs(pid int, l *specs.Linux, note func(pid int)) error {
	for _, m := range idMapsOf(l) {
		var err error
		switch p.mapper(&m) {
		case byOwnID:
			// Or a process could leave a group that denies it something (CVE-2014-8989).
			if m.file == "gid_map" {
				err = sys.WriteFile("/proc/"+strconv.Itoa(pid)+"/setgroups", "deny")
			}
			if err == nil {
				err = m.write(pid)
			}
		case byPrivilege:
			err = m.write(pid)
		case byHelper:
			err = m.runHelper(pid, note)
		}
		if err != nil {
			return fmt.Errorf("map ids (%s): %w", m.pointer, err)
		}
	}
	return nil
}

// ReadIDMap reads the text of a uid_map or gid_map (user_namespaces(7)).
func ReadIDMap(text string) (list []specs.LinuxIDMapping) {
	for line := range strings.Lines(text) {
		var m specs.LinuxIDMapping
		if _, err := fmt.Sscan(line, &m.ContainerID, &m.HostID, &m.Size); err == nil {
			list = append(list, m)
		}
	}
	return list
}

// OuterID is what an ID of a user namespace with these mappings is outside of it; false if it is not mapped.
func OuterID(list []specs.LinuxIDMapping, id uint32) (outside uint32, ok bool) {
	for _, m := range list {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), true
		}
	}
	return 0, false
}

// MapIDs is Privileges.MapIDs with those of rt, for the user namespaces of id-mapped mounts.
func MapIDs(pid int, l *specs.Linux) error { return OwnPrivileges().MapIDs(pid, l, nil) }

// A mapper is what lets rt have an id map written.
type mapper int

const (
	byPrivilege mapper = iota
	byOwnID            // the one mapping is of the one id that needs nobody's permission
	byHelper
)

func (p Privileges) mapper(m *idMap) mapper {
	switch {
	case p.Has(unix.CAP_SETUID) && p.Has(unix.CAP_SETGID):
		return byPrivilege
	case m.file == "uid_map" && isOwn(m.list, os.Geteuid()), m.file == "gid_map" && isOwn(m.list, os.Getegid()):
		return byOwnID
	}
	return byHelper
}

func isOwn(list []specs.LinuxIDMapping, id int) bool {
	return len(list) == 1 && list[0].Size == 1 && list[0].HostID == uint32(id)
}

// mapsOwnGID says whether MapIDs will have to deny setgroups(2).
func (p Privileges) mapsOwnGID(l *specs.Linux) bool {
	maps := idMapsOf(l)
	return p.mapper(&maps[1]) == byOwnID
}

func (m *idMap) write(pid int) error {
	var b strings.Builder
	for _, e := range m.list {
		fmt.Fprintf(&b, "%d %d %d\n", e.ContainerID, e.HostID, e.Size)
	}
	err := sys.WriteFile("/proc/"+strconv.Itoa(pid)+"/"+m.file, b.String())
	if errors.Is(err, unix.EPERM) {
		return hint.With(err, m.refused())
	}
	return err
}

// refused explains the kernel's EPERM.
func (m *idMap) refused() string {
	for _, e := range m.list {
		if e.HostID == 0 && m.file == "uid_map" {
			return "mapping uid 0 of the outer user namespace needs CAP_SETFCAP there (Linux 5.12)"
		}
	}
	return "every id must be mapped in the user namespace that rt is in: see /proc/self/" + m.file
}

func (m *idMap) helperPath() (string, error) {
	path, err := exec.LookPath(m.helper)
	if err != nil {
		err = hint.With(fmt.Errorf("%s, which maps more than the user's own id, is not in PATH", m.helper),
			"install the package uidmap (or shadow-utils), and give the user a range in "+m.sub)
	}
	return path, err
}

// helperDelay is how long what a helper has left behind may keep its output open.
const helperDelay = time.Second

// A beginning keeps the first of what is written to it.
type beginning []byte

func (b *beginning) Write(text []byte) (int, error) {
	*b = append(*b, text[:min(len(text), maxHelperText-len(*b))]...)
	return len(text), nil
}

const maxHelperText = 4096

func (m *idMap) runHelper(pid int, note func(pid int)) error {
	path, err := m.helperPath()
	if err != nil {
		return err
	}
	args := []string{strconv.Itoa(pid)}
	for _, e := range m.list {
		for _, n := range [...]uint32{e.ContainerID, e.HostID, e.Size} {
			args = append(args, strconv.FormatUint(uint64(n), 10))
		}
	}
	var out beginning
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = helperDelay
	if err = cmd.Start(); err == nil {
		if note != nil {
			note(cmd.Process.Pid)
		}
		err = cmd.Wait()
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // it has ended well, and left a process that has its output open
		return nil
	}
	err = fmt.Errorf("run %s: %w", path, err)
	if said := bytes.TrimSpace(out); len(said) > 0 {
		err = fmt.Errorf("%w: %s", err, text.Short(string(said)))
	}
	return hint.With(err, m.sub+" must give this user the ids; "+m.helper+" must be set-user-ID root or have the file capability")
}
