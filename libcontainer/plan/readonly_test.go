package plan

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadonlyFS: with ro a file system that is made for the container is read-only itself; one that the host or a namespace has already, and
// one that the plan fills first, is not: its mount alone is.
func TestReadonlyFS(t *testing.T) {
	for fstype, want := range map[string]bool{
		"ext4": true, "overlay": true, "proc": true, "devpts": true,
		"tmpfs": false, "ramfs": false, "sysfs": false, "mqueue": false, "devtmpfs": false, "debugfs": false, "securityfs": false, "binfmt_misc": false,
	} {
		if got := readonlyFS(fstype, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID); got != want {
			t.Errorf("%s with ro: %v, want %v", fstype, got, want)
		}
		if readonlyFS(fstype, unix.MOUNT_ATTR_NOSUID) {
			t.Errorf("%s without ro is read-only", fstype)
		}
	}
}
