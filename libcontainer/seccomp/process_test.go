package seccomp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// childEnv names what a re-execution of the test binary has to do instead of testing.
const childEnv = "RT_SECCOMP_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// nobody is a pid that no process has: it is above the kernel's largest pid_max.
const nobody = 0x7ffffffe

// load installs a program for the calling thread and returns the listener's fd, if there is one.
func load(p *Program) (fd int, err error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	text := p.Bytes()
	prog := unix.SockFprog{Len: uint16(len(p.Insns)), Filter: (*unix.SockFilter)(unsafe.Pointer(&text[0]))}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, 1 /* SECCOMP_SET_MODE_FILTER */, uintptr(p.Flags), uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}

// child loads a filter with one action for getpgid(nobody), or with a profile of testdata, and makes the call.
func child(what string) error {
	runtime.LockOSThread()
	c := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
		Names: []string{"getpgid"}, Action: specs.LinuxSeccompAction(what), Args: []specs.LinuxSeccompArg{{Value: nobody, Op: specs.OpEqualTo}}}}}
	switch {
	case what == "cold":
		return cold()
	case strings.HasSuffix(what, ".json"):
		return underProfile(what)
	case what == string(specs.ActErrno), what == string(specs.ActTrace):
		c.Syscalls[0].ErrnoRet = new(uint)
		*c.Syscalls[0].ErrnoRet = 42
	case what == string(specs.ActKill), what == string(specs.ActKillThread):
		return killedThread(c)
	}
	p, err := Compile(c)
	if err != nil {
		return err
	}
	fd, err := load(p)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if p.Notify {
		return notified(fd)
	}
	_, _, other := unix.RawSyscall(unix.SYS_GETPGID, 0, 0, 0)
	_, _, errno := unix.RawSyscall(unix.SYS_GETPGID, nobody, 0, 0)
	fmt.Printf("%d %d\n", other, errno)
	return nil
}

// cold compiles once, as every rt does: nothing of it has been executed before.
func cold() error {
	c := readProfile(fatal{}, "docker.json")
	began := time.Now()
	if _, err := Compile(c); err != nil {
		return err
	}
	fmt.Println(time.Since(began).Nanoseconds())
	return nil
}

// TestColdCompile tells what it costs in a fresh process, and bounds what it allocates.
func TestColdCompile(t *testing.T) {
	var all []int
	for range 20 {
		out, _, _ := runChild(t, "cold")
		ns, err := strconv.Atoi(out)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ns)
	}
	slices.Sort(all)
	t.Logf("Docker's profile in a fresh process: best %d us, median %d us", all[0]/1000, all[len(all)/2]/1000)
	const maxAllocs = 250 // 193 were counted
	c := readProfile(t, "docker.json")
	n := testing.AllocsPerRun(10, func() {
		if _, err := Compile(c); err != nil {
			t.Error(err)
		}
	})
	if n > maxAllocs {
		t.Errorf("%v allocations, at most %v", n, maxAllocs)
	}
}

// killedThread makes the call from a thread of its own and waits until the kernel has no such thread any more.
func killedThread(c *specs.LinuxSeccomp) error {
	p, err := Compile(c)
	if err != nil {
		return err
	}
	started := make(chan any)
	go func() {
		runtime.LockOSThread()
		if _, err := load(p); err != nil {
			started <- err
			return
		}
		started <- unix.Gettid()
		unix.RawSyscall(unix.SYS_GETPGID, nobody, 0, 0)
		fmt.Println("the thread lives")
		os.Exit(1)
	}()
	tid, ok := (<-started).(int)
	if !ok {
		return errors.New("load failed")
	}
	for range 24000 {
		if err := unix.Tgkill(os.Getpid(), tid, 0); errors.Is(err, unix.ESRCH) {
			fmt.Println("killed thread")
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("the thread is still there after two minutes")
}

// notified answers the call of one thread from another.
func notified(fd int) error {
	done := make(chan syscall.Errno)
	go func() {
		var req [80]byte  // struct seccomp_notif
		var resp [24]byte // struct seccomp_notif_resp
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0xc0502100 /* SECCOMP_IOCTL_NOTIF_RECV */, uintptr(unsafe.Pointer(&req)))
		if errno == 0 {
			copy(resp[:8], req[:8])                   // id
			*(*int64)(unsafe.Pointer(&resp[8])) = 123 // val
			_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0xc0182101 /* SECCOMP_IOCTL_NOTIF_SEND */, uintptr(unsafe.Pointer(&resp)))
		}
		done <- errno
	}()
	r, _, errno := unix.Syscall(unix.SYS_GETPGID, nobody, 0, 0)
	if e := <-done; e != 0 {
		return fmt.Errorf("ioctl: %w", e)
	}
	fmt.Printf("%d %d\n", r, errno)
	return nil
}

// underProfile loads a profile and makes calls that it refuses, and one that is newer than all.
func underProfile(name string) error {
	p, err := Compile(readProfile(fatal{}, name))
	if err != nil {
		return err
	}
	if _, err := load(p); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	for _, c := range []struct {
		name       string
		nr         uintptr
		a0, a1, a2 uintptr
	}{
		{"getpid", unix.SYS_GETPID, 0, 0, 0},
		{"swapon", unix.SYS_SWAPON, 0, 0, 0},
		{"vsock", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		{"audit", unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
		{"newuser", unix.SYS_CLONE, unix.CLONE_NEWUSER, 0, 0},
		{"clone3", unix.SYS_CLONE3, 0, 0, 0},
		{"compat", unix.SYS_PERSONALITY, 0x0400000, 0, 0},
		{"persona", unix.SYS_PERSONALITY, 0xffffffff, 0, 0},
		{"future", 9999, 0, 0, 0},
	} {
		_, _, errno := unix.RawSyscall(c.nr, c.a0, c.a1, c.a2)
		fmt.Printf("%s=%d ", c.name, int(errno))
	}
	return nil
}

// fatal is a testing.TB for the child.
type fatal struct{ testing.TB }

func (fatal) Helper()           {}
func (fatal) Fatal(args ...any) { fmt.Println(args...); os.Exit(1) }

// runChild re-executes the test binary.
func runChild(t *testing.T, what string) (stdout, stderr string, ws syscall.WaitStatus) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String()), errs.String(), cmd.ProcessState.Sys().(syscall.WaitStatus)
}

func TestKernelActions(t *testing.T) {
	for _, tc := range []struct {
		action specs.LinuxSeccompAction
		out    string
		sig    syscall.Signal // -1: exits
	}{
		{specs.ActErrno, "0 42", -1},
		{specs.ActTrace, "0 38", -1}, // no tracer: ENOSYS
		{specs.ActLog, "0 3", -1},    // ESRCH: the call is made
		{specs.ActAllow, "0 3", -1},
		{specs.ActNotify, "123 0", -1},
		{specs.ActKill, "killed thread", -1},
		{specs.ActKillThread, "killed thread", -1},
		{specs.ActKillProcess, "", unix.SIGSYS},
	} {
		out, _, ws := runChild(t, string(tc.action))
		if out != tc.out || ws.Signal() != tc.sig {
			t.Errorf("%s: %q, status %#x; want %q, signal %d", tc.action, out, int(ws), tc.out, tc.sig)
		}
	}
	// Go's handler reports the signal; its code is SYS_SECCOMP (1).
	out, errs, _ := runChild(t, string(specs.ActTrap))
	if out != "" || !strings.Contains(errs, "SIGSYS: bad system call") || !strings.Contains(errs, "sigcode=1") {
		t.Errorf("SCMP_ACT_TRAP: %q, %.200q", out, errs)
	}
}

func TestKernelProfiles(t *testing.T) {
	for name, want := range map[string][]string{
		"docker.json": {"getpid=0", "swapon=1", "vsock=1", "newuser=1", "clone3=38", "compat=1", "persona=0", "future=38"},
		"podman.json": {"getpid=0", "swapon=1", "audit=22", "newuser=38", "clone3=38", "compat=38", "persona=0", "future=38"},
	} {
		out, _, ws := runChild(t, name)
		got := strings.Fields(out)
		for _, w := range want {
			if !slices.Contains(got, w) || ws != 0 {
				t.Errorf("%s: %q, status %#x; want %s", name, out, int(ws), w)
			}
		}
	}
}
