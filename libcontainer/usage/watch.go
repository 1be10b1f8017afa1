package usage

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"rt/cgroups"
	"rt/cgroups/stats"
	"rt/internal/sys"
	"rt/libcontainer/state"

	"golang.org/x/sys/unix"
)

// A Container is what a container uses.
type Container struct {
	ID         string
	At         time.Time
	Measured   bool    // this is not the first look at the container
	CPUPercent float64 // of one cpu, since the look before
	stats.Usage
}

// Watch returns a function that looks at the named containers, or at all of the root, once a call. Those that
// are not running are passed over, except that a container that was named must run at the first call.
// What a look costs grows with the containers that run: a dozen small files each.
func Watch(root *state.Root, ids []string) func() ([]Container, error) {
	w := &watch{root: root, ids: slices.Compact(slices.Sorted(slices.Values(ids)))}
	return w.look
}

type watch struct {
	root *state.Root
	ids  []string // sorted; none: all of the root
	host *cgroups.Host
	seen map[string]*lookedAt // at the last look
}

// A lookedAt is a container as it was at the last look: its state is read from disk once.
type lookedAt struct {
	*state.Container
	cg       *cgroups.Cgroup
	cpu      uint64
	at       time.Time // when cpu was read
	percent  float64
	measured bool
}

// leastMeasure: over less time a share of the cpu is chance; the last one holds on.
const leastMeasure = 50 * time.Millisecond

func (w *watch) look() (all []Container, err error) {
	if w.host == nil {
		if w.host, err = cgroups.Probe(); err != nil {
			return nil, err
		}
	}
	ids := w.ids
	if len(ids) == 0 {
		if ids, err = w.all(); err != nil {
			return nil, err
		}
	}
	now := make(map[string]*lookedAt, len(ids))
	for _, id := range ids {
		u, l, err := w.one(id)
		if err != nil {
			if w.seen != nil || len(w.ids) == 0 && (errors.Is(err, state.ErrNotRunning) || errors.Is(err, state.ErrNotExist)) {
				continue
			}
			if len(w.ids) > 0 {
				return nil, fmt.Errorf("container %s: %w", id, err)
			}
			w.root.Warn("container %s: %v", id, err)
			continue
		}
		now[id] = l
		all = append(all, *u)
	}
	w.seen = now
	return all, nil
}

func (w *watch) one(id string) (*Container, *lookedAt, error) {
	l := w.seen[id]
	if l == nil || l.MustRun() != nil { // another may have taken its name
		c, err := w.root.OpenContainer(id, false)
		if err != nil {
			return nil, nil, err
		}
		if err := c.MustRun(); err != nil {
			return nil, nil, err
		}
		l = &lookedAt{Container: c, cg: cgroups.Load(w.host, c.Cgroups)}
	}
	u := &Container{ID: id, At: time.Now()}
	usage, err := l.cg.Usage()
	if err != nil {
		return nil, nil, err
	}
	if usage.Pids == 0 { // it may have ended meanwhile, and the rest be zero, too
		if err := l.MustRun(); err != nil {
			return nil, nil, err
		}
	}
	u.Usage = *usage
	switch passed := u.At.Sub(l.at); {
	case l.at.IsZero():
		l.cpu, l.at = u.CPU, u.At
	case passed >= leastMeasure && u.CPU >= l.cpu:
		l.percent, l.measured = percent(u.CPU-l.cpu, passed), true
		l.cpu, l.at = u.CPU, u.At
	}
	u.Measured, u.CPUPercent = l.measured, l.percent
	return u, l, nil
}

// percent is how much of one cpu so many nanoseconds are in the time that has passed.
func percent(used uint64, passed time.Duration) float64 { return float64(used) / float64(passed) * 100 }

// all are the names in the root's directory, sorted.
func (w *watch) all() ([]string, error) {
	if err := w.root.Check(); err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	d, err := sys.Open(w.root.Dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	slices.Sort(names)
	return names, nil
}
