package sys

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// NewFS makes a detached mount of a new file system. options are pairs of a key and a value, nil for a flag; attrs
// are MOUNT_ATTR_*. What the file system itself has to say about a refusal is part of the error (fsopen(2)).
func NewFS(fstype string, options []FSOption, attrs int) (*os.File, error) {
	fd, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open file system %s: %w", fstype, err)
	}
	fs := os.NewFile(uintptr(fd), fstype)
	defer fs.Close()
	for _, o := range options {
		if o.Value == nil {
			err = unix.FsconfigSetFlag(fd, o.Key)
		} else {
			err = unix.FsconfigSetString(fd, o.Key, *o.Value)
		}
		if err != nil {
			return nil, fsError(fs, o.Key, err)
		}
	}
	if err := unix.FsconfigCreate(fd); err != nil {
		return nil, fsError(fs, "create", err)
	}
	mnt, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, fsError(fs, "mount", err)
	}
	return os.NewFile(uintptr(mnt), fstype), nil
}

// An FSOption is a mount option for the superblock; a nil Value is a flag.
type FSOption struct {
	Key   string
	Value *string
}

func fsError(fs *os.File, what string, err error) error {
	var text [256]byte
	if n, _ := unix.Read(int(fs.Fd()), text[:]); n > 2 {
		what += ": " + strings.TrimSpace(string(text[2:n])) // without "e "
	}
	return fmt.Errorf("make file system %s: %s: %w", fs.Name(), what, err)
}
