package plan

import (
	"path"

	"rt/nsenter"
)

// keepMounts marks the mounts that later steps refer to: to change them, or by paths that lead into them. The stub keeps those by
// descriptor, for a neighbour who shares the rootfs can rename a directory in spite of another namespace's mount on it.
func (b *builder) keepMounts() {
	needed := map[string]bool{}
	below := func(p string) {
		for p = path.Dir(p); p != "/" && p != "." && !needed[p]; p = path.Dir(p) {
			needed[p] = true
		}
	}
	at := func(p string) {
		below(p)
		needed[p] = true
	}
	for i := len(b.Items) - 1; i >= 0; i-- {
		switch s := b.Items[i].Step.(type) {
		case nsenter.MountFS:
			s.Keep = needed[s.Target]
			b.Items[i].Step = s
			below(s.Target)
		case nsenter.MountTree:
			s.Keep = needed[s.Target]
			b.Items[i].Step = s
			below(s.Target)
		case nsenter.ReadonlyPath:
			s.Keep = needed[path.Clean(s.Path)]
			b.Items[i].Step = s
			at(path.Clean(s.Path))
		case nsenter.MaskPath:
			at(path.Clean(s.Path))
			below("/dev/null")
		case nsenter.Remount:
			at(s.Target)
		case nsenter.Mknod:
			below(s.Path)
		case nsenter.Symlink:
			below(s.Path)
		case nsenter.Mkdir:
			below(s.Path)
		case nsenter.Console:
			below("/dev/pts/ptmx")
		}
	}
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
