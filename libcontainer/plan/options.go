package plan

import (
	"strings"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// What a mount option does. Plain ones change the mount's attributes; those in sb are words for the file system's
// superblock; the recursive ones change every mount of a bind mount's tree.
type optionKind uint8

const (
	attrOption        optionKind = iota // set, clear: MOUNT_ATTR_*
	recursiveOption                     // the same, for the whole tree
	superblockOption                    // a word for the superblock
	propagationOption                   // set: MS_*
	bindOption                          // set: MS_REC or 0
	remountOption
	copyUpOption
	idMapOption // set: MS_REC or 0
	noOption    // nothing to do
)

type mountOption struct {
	name       string
	kind       optionKind
	set, clear uint64
}

// The kernel wants all of the access time bits cleared when one of them changes (mount_setattr(2)).
const (
	attrAtime       = unix.MOUNT_ATTR__ATIME
	attrNoSymfollow = unix.MOUNT_ATTR_NOSYMFOLLOW
)

// mountOptions is sorted by name: config-linux.md, mount options; mount(8) for their meaning.
var mountOptions = [...]mountOption{
	{"async", superblockOption, 0, 0},
	{"atime", attrOption, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"bind", bindOption, 0, 0},
	{"defaults", noOption, 0, 0},
	{"dev", attrOption, 0, unix.MOUNT_ATTR_NODEV},
	{"diratime", attrOption, 0, unix.MOUNT_ATTR_NODIRATIME},
	{"dirsync", superblockOption, 0, 0},
	{"exec", attrOption, 0, unix.MOUNT_ATTR_NOEXEC},
	{"idmap", idMapOption, 0, 0},
	{"iversion", noOption, 0, 0}, // fsconfig(2) has no word for it; file systems that count always do
	{"lazytime", superblockOption, 0, 0},
	{"loud", noOption, 0, 0},
	{"mand", superblockOption, 0, 0},
	{"noatime", attrOption, unix.MOUNT_ATTR_NOATIME, attrAtime},
	{"nodev", attrOption, unix.MOUNT_ATTR_NODEV, 0},
	{"nodiratime", attrOption, unix.MOUNT_ATTR_NODIRATIME, 0},
	{"noexec", attrOption, unix.MOUNT_ATTR_NOEXEC, 0},
	{"noiversion", noOption, 0, 0},
	{"nolazytime", superblockOption, 0, 0},
	{"nomand", superblockOption, 0, 0},
	{"norelatime", noOption, 0, 0},
	{"nostrictatime", attrOption, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"nosuid", attrOption, unix.MOUNT_ATTR_NOSUID, 0},
	{"nosymfollow", attrOption, attrNoSymfollow, 0},
	{"private", propagationOption, unix.MS_PRIVATE, 0},
	{"ratime", recursiveOption, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"rbind", bindOption, unix.MS_REC, 0},
	{"rdev", recursiveOption, 0, unix.MOUNT_ATTR_NODEV},
	{"rdiratime", recursiveOption, 0, unix.MOUNT_ATTR_NODIRATIME},
	{"relatime", attrOption, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"remount", remountOption, 0, 0},
	{"rexec", recursiveOption, 0, unix.MOUNT_ATTR_NOEXEC},
	{"ridmap", idMapOption, unix.MS_REC, 0},
	{"rnoatime", recursiveOption, unix.MOUNT_ATTR_NOATIME, attrAtime},
	{"rnodev", recursiveOption, unix.MOUNT_ATTR_NODEV, 0},
	{"rnodiratime", recursiveOption, unix.MOUNT_ATTR_NODIRATIME, 0},
	{"rnoexec", recursiveOption, unix.MOUNT_ATTR_NOEXEC, 0},
	{"rnorelatime", recursiveOption, unix.MOUNT_ATTR_STRICTATIME, attrAtime},
	{"rnostrictatime", recursiveOption, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"rnosuid", recursiveOption, unix.MOUNT_ATTR_NOSUID, 0},
	{"rnosymfollow", recursiveOption, attrNoSymfollow, 0},
	{"ro", attrOption, unix.MOUNT_ATTR_RDONLY, 0},
	{"rprivate", propagationOption, unix.MS_PRIVATE | unix.MS_REC, 0},
	{"rrelatime", recursiveOption, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"rro", recursiveOption, unix.MOUNT_ATTR_RDONLY, 0},
	{"rrw", recursiveOption, 0, unix.MOUNT_ATTR_RDONLY},
	{"rshared", propagationOption, unix.MS_SHARED | unix.MS_REC, 0},
	{"rslave", propagationOption, unix.MS_SLAVE | unix.MS_REC, 0},
	{"rstrictatime", recursiveOption, unix.MOUNT_ATTR_STRICTATIME, attrAtime},
	{"rsuid", recursiveOption, 0, unix.MOUNT_ATTR_NOSUID},
	{"rsymfollow", recursiveOption, 0, attrNoSymfollow},
	{"runbindable", propagationOption, unix.MS_UNBINDABLE | unix.MS_REC, 0},
	{"rw", attrOption, 0, unix.MOUNT_ATTR_RDONLY},
	{"shared", propagationOption, unix.MS_SHARED, 0},
	{"silent", noOption, 0, 0},
	{"slave", propagationOption, unix.MS_SLAVE, 0},
	{"strictatime", attrOption, unix.MOUNT_ATTR_STRICTATIME, attrAtime},
	{"suid", attrOption, 0, unix.MOUNT_ATTR_NOSUID},
	{"symfollow", attrOption, 0, attrNoSymfollow},
	{"sync", superblockOption, 0, 0},
	{"tmpcopyup", copyUpOption, 0, 0},
	{"unbindable", propagationOption, unix.MS_UNBINDABLE, 0},
}

// MountOptions are the names that are not a file system's own, sorted.
func MountOptions() []string {
	names := make([]string, len(mountOptions))
	for i, o := range mountOptions {
		names[i] = o.name
	}
	return names
}

func findOption(name string) (mountOption, bool) {
	lo, hi := 0, len(mountOptions)
	for lo < hi {
		mid := (lo + hi) / 2
		if mountOptions[mid].name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(mountOptions) && mountOptions[lo].name == name {
		return mountOptions[lo], true
	}
	return mountOption{}, false
}

// flags are a mount's options, understood.
type flags struct {
	set, clear     uint64 // of the mount itself; a bit is in one of them at most, but for access times, which are cleared to be set
	setAll, clrAll uint64 // of the whole tree
	propagation    []uint64
	bind, rbind    bool
	remount        bool
	copyUp         bool
	idmap, ridmap  bool
	superblock     []nsenter.Option // words for the superblock
	data           []nsenter.Option // the file system's own
}

// attrs is what a new mount starts with: what was cleared later does not count.
func (f *flags) attrs() uint64 { return f.set }

// change applies an option to a pair of masks; a later one wins over an earlier one.
func change(set, clear *uint64, o mountOption) {
	*set = *set&^o.clear | o.set
	*clear = *clear&^o.set | o.clear
}

func parseOptions(options []string) flags {
	var f flags
	for _, word := range options {
		o, known := findOption(word)
		switch {
		case word == "":
		case !known:
			f.data = append(f.data, ownOption(word))
		case o.kind == attrOption:
			change(&f.set, &f.clear, o)
		case o.kind == recursiveOption:
			change(&f.setAll, &f.clrAll, o)
		case o.kind == superblockOption:
			f.superblock = append(f.superblock, nsenter.Option{Key: o.name})
		case o.kind == propagationOption:
			f.propagation = append(f.propagation, o.set)
		case o.kind == bindOption:
			f.bind = true
			f.rbind = f.rbind || o.set != 0
		case o.kind == remountOption:
			f.remount = true
		case o.kind == copyUpOption:
			f.copyUp = true
		case o.kind == idMapOption:
			f.idmap = true
			f.ridmap = f.ridmap || o.set != 0
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
