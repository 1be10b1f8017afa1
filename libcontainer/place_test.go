package libcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestClaim: two creates may lock one directory, if a delete has removed the first one's before it was locked. The second
// to get the lock takes nothing from the first.
func TestClaim(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	first := &container{dir: dir}
	if err := first.claim(); err != nil {
		t.Fatal("a fresh directory: ", err)
	}
	if err := os.WriteFile(filepath.Join(dir, journalFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second := &container{dir: dir}
	result := make(chan error)
	go func() { result <- second.claim() }()
	select {
	case err := <-result:
		t.Fatal("the lock was not awaited: ", err)
	default:
	}
	first.release()
	if err := <-result; err != ErrExists {
		t.Errorf("another's directory: %v, want %v", err, ErrExists)
	}
	if second.lock != nil {
		t.Error("it is locked")
	}
	if d, err := os.Open(dir); err != nil || unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		t.Error("it is not free: ", err)
	}
	gone := &container{dir: dir + "x"}
	if err := gone.claim(); !errors.Is(err, ErrNotExist) {
		t.Errorf("no directory: %v, want %v", err, ErrNotExist)
	}
}
