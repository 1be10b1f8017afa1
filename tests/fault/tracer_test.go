package fault

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The injector is a process of its own (this test binary, started again), because a tracer waits for all its children, and
// what it traces goes on by itself when it ends. It stops rt, or what rt has started, at each system call, counts these, and
// does something at one of them.

// Whose system calls are counted.
const (
	inRt   = "rt"   // all threads of rt
	inStub = "stub" // rt's children up to the program that they become, and a process that was there before
)

// What is done at the call that is chosen.
const (
	doNothing = ""
	doKill    = "kill"  // SIGKILL before the call
	doFail    = "fail"  // the call is left out and returns an errno
	doShort   = "short" // a read or write gets one byte less than half of what it asked for
	doDelay   = "delay" // every call that names a path below Slow waits
	doSignal  = "signal"
	doOver    = "over" // a read says that it has read more than there is room for
)

// A job is one run of rt under the injector.
type job struct {
	Args   []string
	Dir    string
	Files  [3]string // stdin, stdout, stderr
	Who    string
	Do     string
	At     int           // which system call, from 1; 0: all of them
	Only   int           // only this system call's number counts; -1: all
	Errno  syscall.Errno // doFail
	Signal syscall.Signal
	Attach int    // a process that is traced as well, one of inStub
	Slow   string // doDelay
	Delay  time.Duration
	Limit  time.Duration // then rt is killed
}

// A report is what the injector says.
type report struct {
	Calls  int // how many there were, up to the end or the kill
	Hit    bool
	Nr     int    // the call at which something was done
	Path   string // its path or descriptor, if it has one
	Forked bool   // it was a copy of rt that called, on the way to its execve
	Status syscall.WaitStatus
	Late   bool
	Err    string
}

const jobVariable = "RT_FAULT_JOB"

// trace is the injector's main; its report goes to descriptor 3.
func trace(text string) int {
	runtime.LockOSThread() // a tracer is a thread
	var j job
	var r report
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		r.Err = err.Error()
	} else if err := (&tracer{job: j, report: &r, tasks: map[int]*task{}}).run(); err != nil {
		r.Err = err.Error()
	}
	data, _ := json.Marshal(r)
	if _, err := os.NewFile(3, "report").Write(data); err != nil {
		return 1
	}
	return 0
}

type task struct {
	tgid   int
	execed bool   // it is another program than rt by now
	failed bool   // the call that it is in is to return errno
	cut    bool   // its third argument was changed
	over   bool   // it is to return too much
	count  uint64 // and was this
}

type tracer struct {
	job
	report *report
	tasks  map[int]*task
	main   int
	done   bool // main has ended
	parked bool // a stub waits for its start: there is no more to come
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC

func (tr *tracer) options() int {
	if tr.Who == inStub {
		return options | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK
	}
	return options
}

func (tr *tracer) run() error {
	cmd := exec.Command(tr.Args[0], tr.Args[1:]...)
	cmd.Dir, cmd.Env = tr.Dir, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	for i, std := range []func(*os.File){
		func(f *os.File) { cmd.Stdin = f }, func(f *os.File) { cmd.Stdout = f }, func(f *os.File) { cmd.Stderr = f },
	} {
		f, err := os.OpenFile(tr.Files[i], os.O_RDWR|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		std(f)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	tr.main = cmd.Process.Pid
	tr.tasks[tr.main] = &task{tgid: tr.main}
	timer := time.AfterFunc(tr.Limit, func() { tr.report.Late = true; _ = syscall.Kill(tr.main, syscall.SIGKILL) })
	defer timer.Stop()
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(tr.main, &ws, unix.WALL, nil); err != nil {
		return fmt.Errorf("wait for the first stop: %w", err)
	}
	if err := syscall.PtraceSetOptions(tr.main, tr.options()); err != nil {
		return fmt.Errorf("set options: %w", err)
	}
	if tr.Attach != 0 {
		if err := tr.seize(tr.Attach); err != nil {
			return err
		}
	}
	if err := syscall.PtraceSyscall(tr.main, 0); err != nil {
		return fmt.Errorf("go on: %w", err)
	}
	return tr.loop()
}

func (tr *tracer) seize(pid int) error {
	if err := ptrace(unix.PTRACE_SEIZE, pid, 0, uintptr(tr.options())); err != nil {
		return fmt.Errorf("seize %d: %w", pid, err)
	}
	tr.tasks[pid] = &task{tgid: pid}
	return ptrace(unix.PTRACE_INTERRUPT, pid, 0, 0)
}

func ptrace(request, pid int, addr, data uintptr) error {
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PTRACE, uintptr(request), uintptr(pid), addr, data, 0, 0); e != 0 {
		return e
	}
	return nil
}

func (tr *tracer) loop() error {
	for !tr.over() {
		var ws syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.ECHILD:
			return nil
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		}
		if ws.Exited() || ws.Signaled() {
			delete(tr.tasks, tid)
			if tid == tr.main {
				tr.done, tr.report.Status = true, ws
			}
			continue
		}
		tr.stopped(tid, ws)
	}
	return nil
}

// over: rt has ended, and what it has started has, too, or waits, or is another program.
func (tr *tracer) over() bool {
	return tr.done && (tr.Who == inRt || tr.parked || len(tr.tasks) == 0)
}

func (tr *tracer) stopped(tid int, ws syscall.WaitStatus) {
	t := tr.tasks[tid]
	fresh := t == nil
	if fresh {
		t = &task{tgid: tgidOf(tid)}
		tr.tasks[tid] = t
	}
	sig, event := ws.StopSignal(), int(ws)>>16
	switch {
	case sig == syscall.SIGTRAP|0x80:
		tr.call(tid, t)
	case event == unix.PTRACE_EVENT_EXEC:
		if exe, _ := os.Readlink("/proc/" + strconv.Itoa(tid) + "/exe"); tid != tr.main && !strings.HasPrefix(exe, "/memfd:rt-") {
			delete(tr.tasks, tid)
			_ = syscall.PtraceDetach(tid)
			return
		}
		t.execed = true
		_ = syscall.PtraceSyscall(tid, 0)
	case event != 0, fresh && sig == syscall.SIGSTOP:
		_ = syscall.PtraceSyscall(tid, 0)
	default:
		_ = syscall.PtraceSyscall(tid, int(sig))
	}
}

func tgidOf(tid int) int {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	_, rest, _ := strings.Cut(string(data), "\nTgid:")
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.Atoi(strings.TrimSpace(line))
	return n
}

// A callInfo is struct ptrace_syscall_info of ptrace(2), at an entry.
type callInfo struct {
	Op   uint8
	_    [3]uint8
	Arch uint32
	IP   uint64
	SP   uint64
	Nr   uint64
	Args [6]uint64
	_    uint64
}

const ptraceGetSyscallInfo = 0x420e

// call is told of an entry of a system call or an exit.
func (tr *tracer) call(tid int, t *task) {
	var info callInfo
	if ptrace(ptraceGetSyscallInfo, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info))) == nil {
		switch info.Op {
		case 1:
			tr.entry(tid, t, &info)
		case 2:
			tr.exit(tid, t)
		}
	}
	_ = syscall.PtraceSyscall(tid, 0)
}

func (tr *tracer) entry(tid int, t *task, info *callInfo) {
	if (tr.Who == inRt) != (t.tgid == tr.main) {
		return
	}
	nr := int(info.Nr)
	if tr.Who == inStub && (nr == unix.SYS_PPOLL || nr == unix.SYS_ACCEPT4) { // waits for the start
		tr.parked = true
	}
	if tr.Only >= 0 && tr.Only != nr {
		return
	}
	if tr.Do == doOver && nr != unix.SYS_READ && nr != unix.SYS_GETDENTS64 {
		return
	}
	tr.report.Calls++
	if tr.Do == doDelay {
		if path := pathOf(tid, info); strings.HasPrefix(path, tr.Slow) {
			tr.report.Hit = true
			time.Sleep(tr.Delay)
		}
		return
	}
	if tr.Do == doNothing || tr.At != 0 && tr.At != tr.report.Calls {
		return
	}
	tr.report.Hit, tr.report.Nr, tr.report.Path = true, nr, pathOf(tid, info)
	tr.report.Forked = t.tgid != tr.main && !t.execed && t.tgid != tr.Attach
	var regs syscall.PtraceRegs
	switch tr.Do {
	case doOver:
		t.over = true
	case doKill:
		_ = syscall.Kill(t.tgid, syscall.SIGKILL)
	case doSignal:
		_ = syscall.Kill(t.tgid, tr.Signal)
	case doFail:
		if alwaysSucceeds(nr) {
			return
		}
		if nr == unix.SYS_CLOSE || nr == unix.SYS_CLOSE_RANGE { // which releases the descriptor whatever it returns (close(2))
			t.failed = true
		} else if syscall.PtraceGetRegs(tid, &regs) == nil {
			regs.Orig_rax = ^uint64(0)
			t.failed = syscall.PtraceSetRegs(tid, &regs) == nil
		}
	case doShort:
		// An eventfd takes and gives eight bytes, never less (eventfd(2)). Half of a pid is that of a process of the host's.
		if (nr == unix.SYS_READ || nr == unix.SYS_WRITE) && info.Args[2] > 1 && tr.report.Path != "anon_inode:[eventfd]" &&
			!strings.HasSuffix(tr.report.Path, "/cgroup.procs") && syscall.PtraceGetRegs(tid, &regs) == nil {
			t.count, regs.Rdx = regs.Rdx, regs.Rdx/2
			t.cut = syscall.PtraceSetRegs(tid, &regs) == nil
		}
	}
}

// alwaysSucceeds says whether a call has no error by its manual page: a negative result of it is no error to rt, but an id.
func alwaysSucceeds(nr int) bool {
	switch nr {
	case unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_UMASK:
		return true
	}
	return false
}

func (tr *tracer) exit(tid int, t *task) {
	if !t.failed && !t.cut && !t.over {
		return
	}
	var regs syscall.PtraceRegs
	if syscall.PtraceGetRegs(tid, &regs) == nil {
		if t.failed {
			regs.Rax = -uint64(tr.Errno)
		}
		if t.cut {
			regs.Rdx = t.count
		}
		if t.over && int64(regs.Rax) >= 0 {
			regs.Rax = 1 << 30
		}
		_ = syscall.PtraceSetRegs(tid, &regs)
	}
	t.failed, t.cut, t.over = false, false, false
}

// pathOf is the path that a call names, or what its first descriptor is.
func pathOf(tid int, info *callInfo) string {
	a := info.Args
	switch info.Nr {
	case unix.SYS_OPEN, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_UNLINK, unix.SYS_RENAME, unix.SYS_ACCESS,
		unix.SYS_READLINK, unix.SYS_EXECVE, unix.SYS_CHMOD, unix.SYS_CHDIR:
		return stringAt(tid, a[0])
	case unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_NEWFSTATAT, unix.SYS_READLINKAT, unix.SYS_FACCESSAT,
		unix.SYS_FACCESSAT2, unix.SYS_OPEN_TREE, unix.SYS_RENAMEAT, unix.SYS_FCHMODAT, unix.SYS_SYMLINKAT:
		return stringAt(tid, a[1])
	case unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_FCNTL, unix.SYS_FLOCK, unix.SYS_PREAD64, unix.SYS_SENDMSG,
		unix.SYS_RECVMSG, unix.SYS_GETDENTS64, unix.SYS_LSEEK, unix.SYS_FTRUNCATE, unix.SYS_FSETXATTR:
		link, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(tid), "fd", strconv.FormatUint(a[0], 10)))
		return link
	}
	return ""
}

func stringAt(tid int, addr uint64) string {
	var buf [256]byte
	n, _ := syscall.PtracePeekData(tid, uintptr(addr), buf[:])
	text, _, _ := strings.Cut(string(buf[:n]), "\x00")
	return text
}
