package cgroups

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"rt/cgroups/stats"
	"rt/cgroups/translate"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Change is one file of a cgroup that an update writes.
type Change struct {
	Path string `json:"path"`
	Old  string `json:"old"` // what the file held before
	New  string `json:"new"` // what is written
}

// Apply writes the settings that are given in r, and nothing else: `update`. Device rules are left alone when r has
// none. It is all or nothing: what can be known to be refused is found before anything is written, and when the
// kernel refuses a value, what was written before it is restored.
func (c *Cgroup) Apply(r *specs.LinuxResources) (warnings []string, err error) {
	return c.ApplyNoted(r, nil)
}

// ApplyNoted is Apply that is whole also when this process is killed: note is told before the first write what Restore
// then needs, which may be nothing; its error is Apply's.
func (c *Cgroup) ApplyNoted(r *specs.LinuxResources, note func([]Change) error) (warnings []string, err error) {
	if r == nil {
		return nil, nil
	}
	if r, err = c.WithMemoryLimit(r); err != nil {
		return nil, err
	}
	t, err := c.translate(r, false)
	if err != nil {
		return t.warnings, err
	}
	defer t.filter.close()
	if m := c.memberOf(""); m != nil {
		// On a hybrid host Create has enabled only what was asked for then.
		t.enabling = m.enable(t.wanted(false))
	}
	if err := c.check(t); err != nil {
		return t.warnings, err
	}
	if note != nil {
		before, err := c.before(t)
		if err == nil {
			err = note(before)
		}
		if err != nil {
			return t.warnings, err
		}
	}
	u := &undo{}
	if err := c.apply(t, u); err != nil {
		if undoErr := u.restore(); undoErr != nil {
			err = fmt.Errorf("%w; restore what was there before: %w", err, undoErr)
		}
		return t.warnings, err
	}
	return t.warnings, nil
}

// before is what all the files hold that a translation writes.
func (c *Cgroup) before(t *translation) ([]Change, error) {
	u := &undo{}
	err := c.each(t, func(m *member, s translate.Setting) error {
		file := m.dir + "/" + s.File
		old, err := u.read(file)
		if s.Alt != "" && isErrno(err, unix.ENOENT) {
			file, s.Value = m.dir+"/"+s.Alt, s.AltValue
			old, err = u.read(file)
		}
		if s.Optional && isErrno(err, unix.ENOENT) {
			return nil
		}
		if err == nil {
			u.idle(file, old)
			u.wrote(file, old, s.Value)
		}
		return err
	})
	changes := make([]Change, len(u.list))
	for i, w := range u.list {
		changes[i] = Change{w.path, w.old, w.value}
	}
	return changes, err
}

// holds says whether a path is that of a file of one of the cgroup's directories.
func (c *Cgroup) holds(file string) bool {
	dir, name := path.Split(file)
	return name != "" && name != ".." && slices.ContainsFunc(c.members, func(m member) bool { return m.dir+"/" == dir })
}

func (c *Cgroup) apply(t *translation, u *undo) error {
	if err := c.write(t, u); err != nil {
		return err
	}
	if t.devices != nil {
		if err := c.updateDevices(t.devices); err != nil {
			return err
		}
	}
	return t.filter.attach(c.dirOf(""), false)
}

// check finds, without writing, controllers and files that are not there and limits below what is in use.
func (c *Cgroup) check(t *translation) error {
	if t.devices != nil && c.memberOf("devices") == nil {
		return fmt.Errorf("controller devices is not available: %s/devices cannot be applied", translate.Resources)
	}
	w := writer{c: c, enabling: t.enabling}
	return c.each(t, func(m *member, s translate.Setting) error {
		if _, err := complete(&s, m.dir); err != nil {
			return w.explain(m, s, s.Value, err)
		}
		if s.Optional || exists(m.dir+"/"+s.File) || s.Alt != "" && exists(m.dir+"/"+s.Alt) {
			return nil
		}
		return w.explain(m, s, s.Value, unix.ENOENT)
	})
}

// WithMemoryLimit adds the limit in force to an update of memory+swap alone: v2 limits swap by itself, which is the difference
// of the two. Where there is no limit r stays, and Apply says that it is needed.
func (c *Cgroup) WithMemoryLimit(r *specs.LinuxResources) (*specs.LinuxResources, error) {
	m := r.Memory
	if m == nil || m.Swap == nil || *m.Swap <= 0 || m.Limit != nil && *m.Limit != 0 {
		return r, nil
	}
	limit, err := stats.MemoryLimitV2(c.dirOf, readFile)
	if err != nil || limit == nil {
		return r, err
	}
	full, memory := *r, *m
	memory.Limit = limit
	full.Memory = &memory
	return &full, nil
}

// An undo is what must be written to have a cgroup's files as they were.
type undo struct{ list []written }

type written struct{ path, old, value string }

// read is the content of a file before it is written, "" if it cannot be read: such a file, like memory.reclaim,
// has no value.
func (u *undo) read(path string) (string, error) {
	text, err := readFile(path)
	if isErrno(err, unix.EACCES, unix.EINVAL) {
		return "", nil
	}
	return text, err
}

func (u *undo) wrote(path, old, value string) {
	u.list = append(u.list, written{path, old, value})
}

// idle notes the weight before cpu.idle is set, which makes the kernel forget it.
func (u *undo) idle(file, old string) {
	dir, ok := strings.CutSuffix(file, "/cpu.idle")
	if !ok || old != "0" {
		return
	}
	for _, name := range []string{"/cpu.shares", "/cpu.weight"} {
		if weight, err := readShort(dir + name); err == nil {
			u.wrote(dir+name, weight, weight)
		}
	}
}

// restore writes the old values, the last first. Files that the kernel checks against each other may need another
// order, so what it refuses is tried again as long as something else succeeds.
func (u *undo) restore() error {
	left := slices.Clone(u.list)
	slices.Reverse(left)
	for len(left) > 0 {
		var first error
		var refused []written
		for _, x := range left {
			value, ok := translate.Restored(x.path, x.old, x.value)
			if !ok {
				continue
			}
			if err := writeFile(x.path, value); err != nil {
				refused = append(refused, x)
				if first == nil {
					first = err
				}
			}
		}
		if len(refused) == len(left) {
			return first
		}
		left = refused
	}
	return nil
}
