package checkpoint

import (
	"fmt"
	"strconv"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// keyringPermissions are those of a container's session keyring: all for who possesses it; view, read, search and link for its
// user (keyctl_setperm(3)).
const keyringPermissions = 0x3f1b0000

// newKeyring gives the calling thread, and CRIU, which it starts, a new session keyring: what CRIU restores has CRIU's, and would
// possess all keys of rt's caller. The thread must end: it cannot leave the keyring.
func (r *Restoration) newKeyring() error {
	if label := r.Spec.Process.SelinuxLabel; label != "" {
		if err := sys.WriteFile("/proc/thread-self/attr/keycreate", label); err != nil {
			return fmt.Errorf("label the session keyring: %w (/process/selinuxLabel)", err)
		}
	}
	before, err := sessionKeyring()
	if err == unix.ENOSYS { // a kernel without keys has none to protect
		return nil
	}
	key, err := unix.KeyctlJoinSessionKeyring(r.Keyring)
	if err != nil {
		return fmt.Errorf("make a session keyring: %w", err)
	}
	if key == before {
		return fmt.Errorf("make a session keyring: keyring %d is that of rt's caller", key)
	}
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, key)
	if err != nil {
		return fmt.Errorf("look at the session keyring: %w", err)
	}
	// type;uid;gid;permissions;description
	if parts := strings.SplitN(text, ";", 5); len(parts) != 5 || parts[1] != strconv.Itoa(unix.Geteuid()) || parts[4] != r.Keyring {
		return fmt.Errorf("make a session keyring: it is %q", text)
	}
	if err := unix.KeyctlSetperm(key, keyringPermissions); err != nil {
		return fmt.Errorf("set the permissions of the session keyring: %w", err)
	}
	return nil
}

// sessionKeyring is the serial number of the calling thread's.
func sessionKeyring() (int, error) {
	id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err == unix.ENOSYS {
		return 0, err
	}
	return id, nil // 0: it has none that is to be found
}
