package sys

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestOnThread: the first thread has nothing to do, and would be taken.
func TestOnThread(t *testing.T) {
	for range 1000 {
		OnThread(func() {
			if unix.Gettid() == unix.Getpid() {
				t.Error("on the first thread")
			}
		})
	}
}
