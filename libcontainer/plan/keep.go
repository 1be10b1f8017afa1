package plan

import (
	"fmt"

	"rt/nsenter"
)

// keepMounts marks the mounts after which a step has a path: it may lead into any of them, by a link of the image as well. The
// stub keeps those by descriptor and walks from there, for a neighbour who shares the rootfs can rename a directory in spite of
// another namespace's mount on it.
func (b *builder) keepMounts() error {
	later, kept := false, 0 // a step with a path comes later
	keep := func() bool {
		if later {
			kept++
		}
		before := later
		later = true
		return before
	}
	for i := len(b.Items) - 1; i >= 0; i-- {
		switch s := b.Items[i].Step.(type) {
		case nsenter.MountFS:
			s.Keep = keep()
			b.Items[i].Step = s
		case nsenter.MountTree:
			s.Keep = keep()
			b.Items[i].Step = s
		case nsenter.ReadonlyPath:
			s.Keep = keep()
			b.Items[i].Step = s
		case nsenter.MaskPath, nsenter.Remount, nsenter.ReadonlyMount, nsenter.Mknod, nsenter.Symlink, nsenter.Mkdir, nsenter.Console:
			later = true
		case nsenter.OpenTree:
			later = later || s.Below
		}
	}
	if kept > nsenter.MaxMade {
		return fmt.Errorf("%d mounts and read-only paths are more than the %d that rt can make (/mounts)", kept, nsenter.MaxMade)
	}
	return nil
}

// tellMounts has the stub tell the ids of the mounts that it makes, at SyncReady and in the order of Made. mounts remove
// compares them: what lies at a path may have been swapped.
func (b *builder) tellMounts() {
	for i := range b.Items {
		switch s := b.Items[i].Step.(type) {
		case nsenter.MountFS:
			s.Tell = true
			b.Items[i].Step = s
		case nsenter.MountTree:
			s.Tell = true
			b.Items[i].Step = s
		case nsenter.Sync:
			s.Mounts = s.Point == nsenter.SyncReady
			b.Items[i].Step = s
		}
	}
}

// Made are the targets of the mounts whose ids the stub tells.
func (p *Plan) Made() (targets []string) {
	for i := range p.Items {
		switch s := p.Items[i].Step.(type) {
		case nsenter.MountFS:
			if s.Tell {
				targets = append(targets, s.Target)
			}
		case nsenter.MountTree:
			if s.Tell {
				targets = append(targets, s.Target)
			}
		}
	}
	return targets
}
