package sys

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLock: a lock that is held is not waited for longer than is said, and the error names the holder.
func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first, second := open(), open()
	if err := Lock(first, 0); err != nil {
		t.Fatal(err)
	}
	err := Lock(second, 10*time.Millisecond)
	if !errors.Is(err, unix.ETIMEDOUT) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())+" (") {
		t.Errorf("got %v, want a timeout that names process %d", err, os.Getpid())
	}
	first.Close()
	if err := Lock(second, time.Minute); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}
