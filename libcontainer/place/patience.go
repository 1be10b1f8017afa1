package place

import (
	"time"

	"rt/cgroups"
	"rt/libcontainer/state"
)

// endTimeout bounds a wait for processes that were killed, since the moment when there were last seen to be fewer of them, or less
// memory; endAtMost bounds it in all. To free memory takes time, and a container that is left behind is no use to anyone.
const (
	endTimeout = 4 * time.Second
	endAtMost  = time.Minute
)

// A patience is such a wait.
type patience struct {
	root        *state.Root
	until, last time.Time
	least       cgroups.Remains
	looked      bool
}

// newPatience begins a wait, whose end the root's deadline bounds, too.
func newPatience(root *state.Root) *patience {
	now := time.Now()
	return &patience{root: root, until: now.Add(root.Left(endTimeout)), last: now.Add(endAtMost)}
}

// lasts says whether to wait on, for what remains of a cgroup. What delete --force does afterwards has its time again.
func (p *patience) lasts(remains cgroups.Remains) bool {
	now := time.Now()
	if p.looked && remains.Fewer(p.least) && now.Before(p.last) {
		if !p.root.Deadline.IsZero() {
			p.root.SetDeadline()
		}
		p.until = now.Add(p.root.Left(endTimeout))
	}
	if !p.looked || remains.Fewer(p.least) {
		p.least, p.looked = remains, true
	}
	return now.Before(p.until)
}
