package facts

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenFds(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		pid, fds string
		want     int
	}{
		{me, "2", 2}, {me, "0", 0}, {me, "", 0}, {me, "-1", 0}, {me, "x", 0}, {me, "2 ", 0},
		{"1", "2", 0}, {"", "2", 0}, {"x", "2", 0}, {me + " ", "2", 0},
	} {
		t.Setenv("LISTEN_PID", c.pid)
		t.Setenv("LISTEN_FDS", c.fds)
		if got := listenFds(); got != c.want {
			t.Errorf("LISTEN_PID=%q LISTEN_FDS=%q: %d", c.pid, c.fds, got)
		}
	}
}

func TestExtraFds(t *testing.T) {
	t.Setenv("LISTEN_PID", "")
	t.Setenv("LISTEN_FDS", "")
	if n, err := ExtraFds(0); n != 0 || err != nil {
		t.Errorf("none: %d, %v", n, err)
	}
	if _, err := ExtraFds(-1); err == nil || err.Error() != "--preserve-fds -1: it cannot be negative" {
		t.Errorf("negative: %v", err)
	}
	// The first free descriptor is the first one that is missed.
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	free := int(f.Fd())
	for f.Close(); fdOpen(free); free++ {
	}
	// What is close-on-exec is the process's own, and not passed on by its caller.
	if free > 3 {
		if _, err := ExtraFds(1); err == nil {
			t.Error("an own descriptor was taken for one of the caller's")
		}
	}
	for fd := 3; fd < free; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC != 0 {
			t.Cleanup(func() { unix.CloseOnExec(fd) })
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := ExtraFds(free - 3); err != nil || n != free-3 {
		t.Errorf("%d open descriptors: %d, %v", free-3, n, err)
	}
	want := fmt.Sprintf("unable to stat preserved-fd %d (of %d): bad file descriptor", free-3, free-1)
	if _, err := ExtraFds(free - 1); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func fdOpen(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil
}
