package cgroups

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"rt/cgroups/translate"
	"rt/internal/hint"
	"rt/internal/names"

	"golang.org/x/sys/unix"
)

// write writes a translation. What undo is told, it can take back; nil when that is not wanted.
func (c *Cgroup) write(t *translation, undo *undo) error {
	w := writer{c: c, enabling: t.enabling, undo: undo}
	defer w.done()
	if err := c.each(t, w.next); err != nil {
		return err
	}
	return w.retry()
}

// each calls f for every setting of a translation, with the part of the cgroup that it is for.
func (c *Cgroup) each(t *translation, f func(*member, translate.Setting) error) error {
	for _, s := range t.v1 {
		m := c.memberOf(s.Controller)
		if m == nil && s.Optional {
			continue
		}
		if m == nil {
			return fmt.Errorf("controller %s is not available: %s cannot be applied", s.Controller, s.Pointer)
		}
		if err := f(m, s); err != nil {
			return err
		}
	}
	for _, s := range t.v2 {
		if err := f(c.memberOf(""), s); err != nil {
			return err
		}
	}
	return nil
}

// A writer writes settings in order. Consecutive settings of one file share its descriptor.
type writer struct {
	c        *Cgroup
	enabling error
	undo     *undo
	open     file // when path is not ""
	group    string
	waiting  []waiting // of the group, refused with EINVAL
}

type waiting struct {
	m   *member
	s   translate.Setting
	err error
}

// next writes one setting. One whose group may still make it valid waits.
func (w *writer) next(m *member, s translate.Setting) error {
	if s.Group != w.group {
		if err := w.retry(); err != nil {
			return err
		}
		w.group = s.Group
	}
	err := w.setting(m, s)
	if s.Group != "" && isErrno(err, unix.EINVAL) {
		w.waiting = append(w.waiting, waiting{m, s, err})
		return nil
	}
	return err
}

// retry writes what waits, in rounds, until a round changes nothing.
func (w *writer) retry() error {
	for len(w.waiting) > 0 {
		list := w.waiting
		w.waiting = nil
		for _, x := range list {
			if err := w.setting(x.m, x.s); isErrno(err, unix.EINVAL) {
				w.waiting = append(w.waiting, x)
			} else if err != nil {
				return err
			}
		}
		if len(w.waiting) == len(list) {
			return list[0].err
		}
	}
	return nil
}

func (w *writer) setting(m *member, s translate.Setting) error {
	value, err := complete(&s, m.dir)
	if err == nil {
		err = w.put(m.dir+"/"+s.File, value)
	}
	if s.Alt != "" && isErrno(err, unix.ENOENT) {
		s.File, value = s.Alt, s.AltValue
		err = w.put(m.dir+"/"+s.File, value)
	}
	if err == nil || s.Optional && isErrno(err, unix.ENOENT) {
		return nil
	}
	if value == "a" && s.Controller == "devices" && isErrno(err, unix.EINVAL) {
		if err = resetDevices(m.dir, s.File == "devices.allow"); err == nil {
			return nil
		}
	}
	return w.explain(m, s, value, err)
}

// put writes a value to a file, which stays open for the next.
func (w *writer) put(path, value string) error {
	if w.open.path != path {
		w.done()
		f, err := openFile(path, unix.O_WRONLY)
		if err != nil {
			return err
		}
		w.open = f
	}
	if w.undo == nil {
		return w.open.write(value)
	}
	old, err := w.undo.read(path)
	if err != nil {
		return err
	}
	w.undo.idle(path, old)
	if err = w.open.write(value); err == nil || isErrno(err, unix.EIO) { // which is also half of a value
		w.undo.wrote(path, old, value)
	}
	return err
}

func (w *writer) done() {
	if w.open.path != "" {
		w.open.close()
		w.open = file{}
	}
}

// complete is the value to write, with what only the file itself can tell.
func complete(s *translate.Setting, dir string) (string, error) {
	if s.Memory > 0 || s.MemorySwap > 0 {
		if err := aboveUsed(s, dir); err != nil {
			return s.Value, err
		}
	}
	if s.KeepFirst {
		text, err := readShort(dir + "/" + s.File)
		if err != nil {
			return s.Value, err
		}
		first, _, _ := strings.Cut(text, " ")
		return first + " " + s.Value, nil
	}
	return s.Value, nil
}

// aboveUsed checks the limits that must be above what is in use. The words are runc's.
func aboveUsed(s *translate.Setting, dir string) error {
	text, err := readShort(dir + "/memory.current")
	if err != nil {
		return err
	}
	used, err := names.Signed(text, 64)
	switch {
	case err != nil:
		return err
	case s.MemorySwap > 0 && s.MemorySwap <= used:
		return fmt.Errorf("rejecting memory+swap limit %d <= usage %d", s.MemorySwap, used)
	case s.Memory > 0 && s.Memory <= used:
		return fmt.Errorf("rejecting memory limit %d <= usage %d", s.Memory, used)
	}
	return nil
}

// explain is the error for a setting: file, value, pointer, cause.
func (w *writer) explain(m *member, s translate.Setting, value string, err error) error {
	if m.v2 && isErrno(err, unix.ENOENT) && m.lacks(s.Controller) {
		if w.enabling != nil {
			err := fmt.Errorf("controller %s is not available: %s cannot be applied: %w", s.Controller, s.Pointer, w.enabling)
			return hint.With(err, enableHint(w.enabling))
		}
		return fmt.Errorf("controller %s is not available: %s cannot be applied", s.Controller, s.Pointer)
	}
	cause := err
	var pe *os.PathError
	if errors.As(err, &pe) && strings.HasPrefix(pe.Path, m.dir) {
		cause = pe.Err // the file is named already
	}
	if isErrno(err, unix.EBUSY) && s.Controller == "memory" && !m.v2 {
		used, _ := readShort(m.dir + "/" + strings.Replace(s.File, "limit", "usage", 1))
		peak, _ := readShort(m.dir + "/" + strings.Replace(s.File, "limit", "max_usage", 1))
		cause = fmt.Errorf("unable to set memory limit to %s (current usage: %s, peak usage: %s): %w", value, used, peak, cause)
	}
	return fmt.Errorf("write %s %q (%s): %w", s.File, value, s.Pointer, cause)
}
