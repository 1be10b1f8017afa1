// Package nofiles is a part of tests: code runs while no file can be opened.
package nofiles

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Run runs f while every call that makes a descriptor fails with EMFILE, in the whole process: not for parallel tests.
func Run(t *testing.T, f func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}
