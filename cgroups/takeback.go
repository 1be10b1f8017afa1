package cgroups

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"rt/cgroups/translate"
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
	value, ok := translate.Restored(x.Path, x.Old, x.New)
	if err != nil || !ok {
		return false, sys.Cause(err)
	}
	name := path.Base(x.Path)
	switch now, _ := translate.Restored(x.Path, have, x.New); {
	case now == value:
		return false, nil
	case x.Old == x.New && !translate.WeightOfIdle(name, have), x.Old != x.New && !translate.HoldsValue(name, have, x.New):
		return false, errChanged
	}
	err = writeFile(x.Path, value)
	return err == nil, sys.Cause(err)
}
