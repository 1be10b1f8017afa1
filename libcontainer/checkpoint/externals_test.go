package checkpoint

import (
	"errors"
	"os"
	"testing"

	"rt/libcontainer/state"
	"rt/tests/nofiles"

	"golang.org/x/sys/unix"
)

// TestMountUnknown: that a path or a descriptor cannot be looked at does not mean that nothing of the host's is there.
func TestMountUnknown(t *testing.T) {
	table, err := readMounts(os.Getpid(), "/")
	if err != nil {
		t.Fatal(err)
	}
	defer table.close()
	for path, there := range map[string]bool{"/proc": true, "/no/such": false, "/proc/version/x": false} {
		if m, err := table.at(path); err != nil || (m != nil) != there {
			t.Errorf("%s: %v, %v", path, m, err)
		}
	}
	nofiles.Run(t, func() {
		if m, err := table.at("/proc"); !errors.Is(err, unix.EMFILE) {
			t.Errorf("%v, %v", m, err)
		}
	})
	stdin, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(stdin)
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Dup2(stdin, 0)
	c := &state.Container{State: state.State{Pid: os.Getpid()}}
	if _, _, _, err := stdioOf(c, table); err != nil {
		t.Error(err)
	}
	nofiles.Run(t, func() {
		if keys, _, _, err := stdioOf(c, table); !errors.Is(err, unix.EMFILE) {
			t.Errorf("%q, %v", keys, err)
		}
	})
}
