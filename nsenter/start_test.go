package nsenter

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStartNoProgram: what cannot be executed is an error with the kernel's reason, and its process is reaped.
func TestStartNoProgram(t *testing.T) {
	fd, err := unix.MemfdCreate("no-program", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	img := os.NewFile(uintptr(fd), "no-program")
	defer img.Close()
	if _, err := img.WriteString("not a program"); err != nil {
		t.Fatal(err)
	}
	soon, err := beginImage(img, Stdio{os.Stdin, os.Stdout, os.Stderr}, 0)
	if err != nil {
		t.Fatal(err)
	}
	pid := soon.stub.Pid
	if _, err := soon.Stub(); !errors.Is(err, unix.ENOEXEC) {
		t.Errorf("the stub is an empty file: %v", err)
	}
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != unix.ECHILD {
		t.Errorf("its process is still a child: %v", err)
	}
	soon.Abandon() // does nothing, twice
}

// TestStartTwice: two may be on their way at once, each with descriptors of its own.
func TestStartTwice(t *testing.T) {
	stdio := Stdio{os.Stdin, os.Stdout, os.Stderr}
	first, second := StartSoon(stdio, 0), StartSoon(stdio, 0)
	for _, soon := range []*Soon{second, first} {
		stub, err := soon.Stub()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := soon.Stub(); again != stub || err != nil {
			t.Errorf("asked again: %v, %v", again, err)
		}
		stub.Abandon()
	}
}
