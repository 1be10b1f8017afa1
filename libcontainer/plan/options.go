package plan

import (
	"strings"

	"rt/internal/names"
	"rt/nsenter"
)

// flags are a mount's options, understood.
type flags struct {
	set, clear     uint64 // of the mount itself; a bit is in one of them at most, but for access times, which are cleared to be set
	setAll, clrAll uint64 // of the whole tree
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

func parseOptions(options []string) flags {
	var f flags
	for _, word := range options {
		o := names.MountOption(word)
		switch {
		case word == "":
		case o.Kind == names.Data:
			f.data = append(f.data, ownOption(word))
		case o.Kind == names.Attr:
			change(&f.set, &f.clear, o)
		case o.Kind == names.Recursive:
			change(&f.setAll, &f.clrAll, o)
		case o.Kind == names.Superblock:
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
