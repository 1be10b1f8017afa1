package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// cgroupsLockWait bounds the wait for the lock on all cgroups, which is held for some milliseconds.
const cgroupsLockWait = 4 * time.Second

// cgroupsLockLeast is how long a delete --force whose deadline has passed still waits for it: the holder removes thousands of cgroups and
// gives the lock away meanwhile.
const cgroupsLockLeast = time.Second

// LockCgroups keeps every other rt of this user from taking or removing a cgroup, whatever its --root is: two containers never get one
// cgroup, and none is removed that another rt has just taken. The lock is a file that containers and other users cannot open: any process
// that sees a cgroup's directory could lock that. LockCgroups implements cgroups.Claim.Lock.
func (r *Root) LockCgroups() (unlock func(), err error) {
	f, err := r.openCgroupsLock()
	if err != nil {
		return nil, fmt.Errorf("lock cgroups: %w", err)
	}
	if err := sys.Lock(f, max(r.Left(cgroupsLockWait), cgroupsLockLeast)); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock cgroups: %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// openCgroupsLock opens the lock in the first directory that this user can have, or else --root.
func (r *Root) openCgroupsLock() (*os.File, error) {
	for _, parent := range lockParents() {
		dir := parent + "/rt.lock"
		if !sys.MakeOwnDir(dir) {
			continue
		}
		f, err := sys.OpenLock(dir + "/cgroups")
		if err == nil || !sys.IsForbidden(err) {
			return f, err
		}
	}
	return sys.Open(r.Dir, unix.O_RDONLY|unix.O_DIRECTORY)
}

func lockParents() []string {
	if os.Geteuid() == 0 && sys.InFirstUserNamespace() {
		return []string{"/run"}
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return []string{dir}
	}
	return []string{"/run/user/" + strconv.Itoa(os.Geteuid())}
}
