// Package names is what the words of a configuration are to the kernel: mount options, capabilities, resource limits.
// It is pure, and the only place that has them.
package names

import (
	"cmp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Kind says what a mount option does. Attributes are the mount's own; words for the superblock are the file system's.
type Kind uint8

// The kinds of mount options.
const (
	Data        Kind = iota // not known here: for the file system
	Attr                    // Set, Clear: MOUNT_ATTR_*
	TakeBack                // Set: the access time that it takes back, as AccessTime has it
	Recursive               // the same, for every mount of a tree
	Superblock              // a word for the superblock
	Propagation             // Set: MS_*
	Bind                    // Set: MS_REC or 0
	Remount
	CopyUp   // tmpcopyup
	IDMap    // Set: MS_REC or 0
	CopyLink // copy-symlink
	Nothing  // there is nothing to do
)

// An Option is a mount option.
type Option struct {
	Name       string
	Kind       Kind
	Set, Clear uint64
}

// Relatime stands for MOUNT_ATTR_RELATIME, which is 0, where that must be told from nothing; K_RELATIME in nsenter/kernel.h.
const Relatime = 0x40

// AccessTimes are the attributes that say which access times a mount keeps.
const AccessTimes = unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME

// The kernel wants all of the access time bits cleared when one of them changes (mount_setattr(2)).
const (
	attrAtime       = unix.MOUNT_ATTR__ATIME
	attrNoSymfollow = unix.MOUNT_ATTR_NOSYMFOLLOW
)

// mountOptions is sorted by name: config-linux.md, mount options; mount(8) for their meaning.
var mountOptions = [...]Option{
	{"async", Superblock, 0, 0},
	{"atime", TakeBack, unix.MOUNT_ATTR_NOATIME, 0},
	{"bind", Bind, 0, 0},
	{"copy-symlink", CopyLink, 0, 0}, // crun's, which Podman asks for
	{"defaults", Nothing, 0, 0},
	{"dev", Attr, 0, unix.MOUNT_ATTR_NODEV},
	{"diratime", Attr, 0, unix.MOUNT_ATTR_NODIRATIME},
	{"dirsync", Superblock, 0, 0},
	{"exec", Attr, 0, unix.MOUNT_ATTR_NOEXEC},
	{"idmap", IDMap, 0, 0},
	{"iversion", Nothing, 0, 0}, // fsconfig(2) has no word for it; file systems that count always do
	{"lazytime", Superblock, 0, 0},
	{"loud", Nothing, 0, 0},
	{"mand", Superblock, 0, 0},
	{"noatime", Attr, unix.MOUNT_ATTR_NOATIME, attrAtime},
	{"nodev", Attr, unix.MOUNT_ATTR_NODEV, 0},
	{"nodiratime", Attr, unix.MOUNT_ATTR_NODIRATIME, 0},
	{"noexec", Attr, unix.MOUNT_ATTR_NOEXEC, 0},
	{"noiversion", Nothing, 0, 0},
	{"nolazytime", Superblock, 0, 0},
	{"nomand", Superblock, 0, 0},
	{"norelatime", TakeBack, Relatime, 0},
	{"nostrictatime", TakeBack, unix.MOUNT_ATTR_STRICTATIME, 0},
	{"nosuid", Attr, unix.MOUNT_ATTR_NOSUID, 0},
	{"nosymfollow", Attr, attrNoSymfollow, 0},
	{"private", Propagation, unix.MS_PRIVATE, 0},
	{"ratime", Recursive, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"rbind", Bind, unix.MS_REC, 0},
	{"rdev", Recursive, 0, unix.MOUNT_ATTR_NODEV},
	{"rdiratime", Recursive, 0, unix.MOUNT_ATTR_NODIRATIME},
	{"relatime", Attr, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"remount", Remount, 0, 0},
	{"rexec", Recursive, 0, unix.MOUNT_ATTR_NOEXEC},
	{"ridmap", IDMap, unix.MS_REC, 0},
	{"rnoatime", Recursive, unix.MOUNT_ATTR_NOATIME, attrAtime},
	{"rnodev", Recursive, unix.MOUNT_ATTR_NODEV, 0},
	{"rnodiratime", Recursive, unix.MOUNT_ATTR_NODIRATIME, 0},
	{"rnoexec", Recursive, unix.MOUNT_ATTR_NOEXEC, 0},
	{"rnorelatime", Recursive, unix.MOUNT_ATTR_RELATIME, attrAtime}, // the kernel has no flag to turn off,
	{"rnostrictatime", Recursive, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"rnosuid", Recursive, unix.MOUNT_ATTR_NOSUID, 0},
	{"rnosymfollow", Recursive, attrNoSymfollow, 0},
	{"ro", Attr, unix.MOUNT_ATTR_RDONLY, 0},
	{"rprivate", Propagation, unix.MS_PRIVATE | unix.MS_REC, 0},
	{"rrelatime", Recursive, unix.MOUNT_ATTR_RELATIME, attrAtime},
	{"rro", Recursive, unix.MOUNT_ATTR_RDONLY, 0},
	{"rrw", Recursive, 0, unix.MOUNT_ATTR_RDONLY},
	{"rshared", Propagation, unix.MS_SHARED | unix.MS_REC, 0},
	{"rslave", Propagation, unix.MS_SLAVE | unix.MS_REC, 0},
	{"rstrictatime", Recursive, unix.MOUNT_ATTR_STRICTATIME, attrAtime},
	{"rsuid", Recursive, 0, unix.MOUNT_ATTR_NOSUID},
	{"rsymfollow", Recursive, 0, attrNoSymfollow},
	{"runbindable", Propagation, unix.MS_UNBINDABLE | unix.MS_REC, 0},
	{"rw", Attr, 0, unix.MOUNT_ATTR_RDONLY},
	{"shared", Propagation, unix.MS_SHARED, 0},
	{"silent", Nothing, 0, 0},
	{"slave", Propagation, unix.MS_SLAVE, 0},
	{"strictatime", Attr, unix.MOUNT_ATTR_STRICTATIME, attrAtime},
	{"suid", Attr, 0, unix.MOUNT_ATTR_NOSUID},
	{"symfollow", Attr, 0, attrNoSymfollow},
	{"sync", Superblock, 0, 0},
	{"tmpcopyup", CopyUp, 0, 0},
	{"unbindable", Propagation, unix.MS_UNBINDABLE, 0},
}

// AccessTime is the access time that an option of kind Attr sets: MOUNT_ATTR_* or Relatime, 0 for none.
func (o Option) AccessTime() uint64 {
	if o.Clear == attrAtime && o.Set == unix.MOUNT_ATTR_RELATIME {
		return Relatime
	}
	return o.Set & AccessTimes
}

// Restricting are the attributes that restrict what a mount may be used for: all that an option sets, but for access times.
func Restricting() (attrs uint64) {
	for _, o := range mountOptions {
		if o.Kind == Attr {
			attrs |= o.Set &^ AccessTimes
		}
	}
	return attrs
}

// MountOptions are the names that are not a file system's own, sorted.
func MountOptions() []string {
	list := make([]string, len(mountOptions))
	for i, o := range mountOptions {
		list[i] = o.Name
	}
	return list
}

// MountOption finds an option; of kind Data if it is none of these. idmap=MAPPING, as in crun, is idmap (see MapOf).
func MountOption(name string) Option {
	if word, _, ok := strings.Cut(name, "=uids="); ok && (word == "idmap" || word == "ridmap") {
		o := MountOption(word)
		o.Name = name
		return o
	}
	i, ok := slices.BinarySearchFunc(mountOptions[:], name, func(o Option, name string) int { return cmp.Compare(o.Name, name) })
	if !ok {
		return Option{Name: name}
	}
	return mountOptions[i]
}
