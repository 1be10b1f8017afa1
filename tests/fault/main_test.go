package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"rt/tests/reaper"

	"golang.org/x/sys/unix"
)

// machine is what TestMain found; set once, before any test runs.
var machine struct {
	rt   string // absolute path of the binary under test
	work string // directory of this run, /tmp/rt-fault-*
	self string // this test binary
}

func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		os.Exit(trace(job))
	}
	os.Exit(withMachine(m.Run))
}

func withMachine(run func() int) int {
	if os.Geteuid() != 0 {
		return complain("these tests start containers: run them as root")
	}
	unix.Umask(0o022) // a container's root may be an ordinary user, who reads what the tests make
	rt := os.Getenv("RT")
	if rt == "" {
		rt = "../../rt"
	}
	var err error
	if machine.rt, err = filepath.Abs(rt); err != nil {
		return complain("%v", err)
	}
	if _, err = os.Stat(machine.rt); err != nil {
		return complain("%v (run `make` first, or set RT)", err)
	}
	if machine.self, err = os.Executable(); err != nil {
		return complain("%v", err)
	}
	if machine.work, err = os.MkdirTemp("/tmp", "rt-fault-"); err != nil {
		return complain("%v", err)
	}
	defer os.RemoveAll(machine.work)
	if err := os.Chmod(machine.work, 0o755); err != nil { // a container's root may be an ordinary user of the host
		return complain("%v", err)
	}
	// What rt leaves behind when it is killed comes to this process, which reaps it.
	if err := orphans.Begin(); err != nil {
		return complain("%v", err)
	}
	return run()
}

func complain(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "fault: "+format+"\n", args...)
	return 1
}

// full says that there is all the time in the world: every point, not a sample.
func full() bool { return os.Getenv("RT_FAULT") == "full" }

// slow is how long d is on this machine; RT_SLOW says how many times slower than usual it is.
func slow(d time.Duration) time.Duration {
	if n, err := strconv.Atoi(os.Getenv("RT_SLOW")); err == nil && n > 1 {
		return d * time.Duration(n)
	}
	return d
}

var orphans = reaper.New()
