package facts

import (
	"fmt"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// NewKeyringName makes a name for a session keyring that cannot be guessed: the kernel finds a keyring by its name, and another user can
// make one that others may join (keyctl_join_session_keyring(3)).
func NewKeyringName(id string) (string, error) {
	var random [16]byte
	if err := sys.Retry(func() error { _, err := unix.Getrandom(random[:], 0); return err }); err != nil {
		return "", fmt.Errorf("name the session keyring: getrandom: %w", err)
	}
	return fmt.Sprintf("%s%x", keyringPrefix(id), random), nil
}

// KeyringPlaceholder is what can be said of a keyring's name before the container is created.
func KeyringPlaceholder(id string) string { return keyringPrefix(id) + "RANDOM" }

func keyringPrefix(id string) string { return "_ses." + id + "." }
