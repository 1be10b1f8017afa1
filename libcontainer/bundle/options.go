package bundle

// optionKind is what a word of mounts[].options is.
type optionKind uint8

const (
	optData       optionKind = iota // not known here: for the filesystem
	optFlag                         // a mount flag or attribute
	optBind                         // bind, rbind
	optRemount                      //
	optShared                       // [r]shared
	optSlave                        // [r]slave
	optPrivate                      // [r]private
	optUnbindable                   // [r]unbindable
	optIDMap                        // idmap, ridmap
	optCopyUp                       // tmpcopyup
)

func (k optionKind) propagation() bool { return k >= optShared && k <= optUnbindable }

// kindOfOption knows the words of config.md, "Linux mount options".
func kindOfOption(o string) optionKind {
	switch o {
	case "bind", "rbind":
		return optBind
	case "remount":
		return optRemount
	case "shared", "rshared":
		return optShared
	case "slave", "rslave":
		return optSlave
	case "private", "rprivate":
		return optPrivate
	case "unbindable", "runbindable":
		return optUnbindable
	case "idmap", "ridmap":
		return optIDMap
	case "tmpcopyup":
		return optCopyUp
	case "defaults",
		"async", "atime", "dev", "diratime", "dirsync", "exec", "iversion", "lazytime", "loud", "mand",
		"noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime",
		"nostrictatime", "nosuid", "nosymfollow", "relatime", "ro", "rw", "silent", "strictatime", "suid",
		"symfollow", "sync",
		"ratime", "rdev", "rdiratime", "rexec", "rnoatime", "rnodev", "rnodiratime", "rnoexec", "rnorelatime",
		"rnostrictatime", "rnosuid", "rnosymfollow", "rrelatime", "rro", "rrw", "rstrictatime", "rsuid",
		"rsymfollow":
		return optFlag
	}
	return optData
}
