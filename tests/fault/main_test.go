package fault

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

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
	// What rt leaves behind when it is killed comes to this process, which reaps it.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return complain("become subreaper: %v", err)
	}
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
	go orphans.loop()
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

// A reaper takes the exit status of the orphans that come to this process. It must: a dead process of a container that nobody
// waits for keeps the container's init from ending. What the tests start themselves is left to os/exec.
type reaper struct {
	mu   sync.Mutex
	ours map[int]bool
}

var orphans = reaper{ours: map[int]bool{}}

func (r *reaper) start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	r.ours[cmd.Process.Pid] = true
	return nil
}

func (r *reaper) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ours, cmd.Process.Pid)
	return err
}

func (r *reaper) loop() {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil || !r.takeOne() {
			time.Sleep(time.Millisecond) // nothing to wait for yet, or os/exec is about to reap its own
		}
	}
}

func (r *reaper) takeOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	// si_pid is the first field after three ints and padding (sigaction(2)); x/sys has no name for it.
	pid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
	if err != nil || pid == 0 || r.ours[pid] {
		return false
	}
	got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	return err == nil && got == pid
}
