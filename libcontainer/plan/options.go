package plan

import (
	"strings"

	"rt/internal/names"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// flags are a mount's options, understood.
type flags struct {
	set, clear     uint64 // of the mount itself; a bit is in one of them at most, but for access times, which are cleared to be set
	setAll, clrAll uint64 // of the whole tree
	named          bool   // an option says what a flag of the mount is to be
	back           uint64 // access times that options take back: MOUNT_ATTR_*, names.Relatime
	propagation    []uint64
	bind, rbind    bool
	remount        bool
	copyUp         bool
	idmap, ridmap  bool
	idmapping      string // the last option with a mapping, or ""
	copyLink       bool
	superblock     []nsenter.Option // words for the superblock
	data           []nsenter.Option // the file system's own
}

// attrs is what a new mount starts with: what was cleared later does not count.
func (f *flags) attrs() uint64 { return f.set }

// change applies an option to a pair of masks; a later one wins over an earlier one.
func change(set, clear *uint64, o names.Option) {
	*set = *set&^o.Clear | o.Set
	*clear = *clear&^o.Set | o.Clear
}

// apply changes flags by an option of the mount itself.
func (f *flags) apply(o names.Option) {
	f.back = f.back&^o.AccessTime() | o.Clear&unix.MOUNT_ATTR_NODIRATIME
	change(&f.set, &f.clear, o)
}

// takeBack takes back the access time of o: another one that was set before it stays.
func (f *flags) takeBack(o names.Option) {
	f.back |= o.Set
	if f.set&unix.MOUNT_ATTR__ATIME == o.Set&^names.Relatime {
		f.set &^= unix.MOUNT_ATTR__ATIME
		f.clear &^= unix.MOUNT_ATTR__ATIME
	}
}

// ofBind are the attributes of a bind mount: what its source has if no option names one, else what the options name and nothing else, as
// mount(2) with MS_REMOUNT and MS_BIND does it. implied is cleared for that only, and stays where the kernel has locked it. An access
// time that is not named is the source's.
func (f *flags) ofBind() (set, clear, implied uint64) {
	if !f.named {
		return 0, 0, 0
	}
	each := names.Restricting()
	set, clear = f.set, f.clear&each
	if f.clear&unix.MOUNT_ATTR__ATIME != 0 || f.set&unix.MOUNT_ATTR_NODIRATIME != 0 {
		clear |= names.AccessTimes &^ (set & unix.MOUNT_ATTR_NODIRATIME)
	}
	return set, clear, each &^ (set | clear)
}

func parseOptions(options []string) flags {
	var f flags
	for _, word := range options {
		o := names.MountOption(word)
		switch {
		case word == "":
		case o.Kind == names.Data:
			f.data = append(f.data, ownOption(word))
		case o.Kind == names.Attr:
			f.named = true
			f.apply(o)
		case o.Kind == names.TakeBack:
			f.named = true
			f.takeBack(o)
		case o.Kind == names.Nothing:
			f.named = f.named || word != "defaults"
		case o.Kind == names.Recursive:
			change(&f.setAll, &f.clrAll, o)
		case o.Kind == names.Superblock:
			f.named = true // as mount(2) has it
			f.superblock = append(f.superblock, nsenter.Option{Key: o.Name})
		case o.Kind == names.Propagation:
			f.propagation = append(f.propagation, o.Set)
		case o.Kind == names.Bind:
			f.bind = true
			f.rbind = f.rbind || o.Set != 0
		case o.Kind == names.Remount:
			f.remount = true
		case o.Kind == names.CopyUp:
			f.copyUp = true
		case o.Kind == names.IDMap:
			f.idmap = true
			f.ridmap = f.ridmap || o.Set != 0
			if strings.Contains(word, "=") {
				f.idmapping = word
			}
		case o.Kind == names.CopyLink:
			f.copyLink = true
		}
	}
	return f
}

func ownOption(word string) nsenter.Option {
	key, value, ok := strings.Cut(word, "=")
	if !ok {
		return nsenter.Option{Key: word}
	}
	return nsenter.Option{Key: key, Value: &value}
}
