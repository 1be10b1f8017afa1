package nsenter_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	unix.Umask(0o022) // programs with other ids read what the tests make
	os.Exit(m.Run())
}
