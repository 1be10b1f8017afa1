package sys

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Wait reaps a child and returns how it ended. A child that makes this process its tracer (PTRACE_TRACEME) has stops reported to
// whoever waits for its end.
func Wait(pid int) (unix.WaitStatus, error) { return WaitUsage(pid, nil) }

// WaitUsage is Wait, and fills in what the child has used (getrusage(2)), if usage is not nil.
func WaitUsage(pid int, usage *unix.Rusage) (unix.WaitStatus, error) {
	for {
		var ws unix.WaitStatus
		err := Retry(func() error {
			_, err := unix.Wait4(pid, &ws, 0, usage)
			return err
		})
		if err != nil {
			return ws, fmt.Errorf("wait for process %d: %w", pid, err)
		}
		if ws.Exited() || ws.Signaled() {
			return ws, nil
		}
	}
}

// ReapUntil reaps children, whoever ends, until it has been pid's turn.
func ReapUntil(pid int) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		if got == pid && !ws.Stopped() || err != nil && err != unix.EINTR {
			return
		}
	}
}

// OwnChild says whether a process is a child of this one that has not been reaped.
func OwnChild(pid int) bool {
	return pid > 0 && Retry(func() error { return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) }) == nil
}

// A Process names a process for good, which its pid does not: another one may have that later.
type Process struct {
	Pid   int
	Start uint64 // clock ticks since boot, in one of which the kernel can use a pid twice: see proc_pid_stat(5)
	Inode uint64 // of its pidfds, which no other process of this boot has (pidfs, Linux 6.9); 0 if it is not known
}

// Identify names a process that cannot be reaped meanwhile, as a child.
func Identify(pid int) (Process, error) {
	p := Process{Pid: pid}
	var err error
	if p.Start, _, err = StartTime(pid); err != nil {
		return p, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return p, fmt.Errorf("open pidfd of process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PID_FS_MAGIC {
		return p, nil // an older kernel: all pidfds are one inode
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return p, fmt.Errorf("look at pidfd of process %d: %w", pid, err)
	}
	p.Inode = st.Ino
	return p, nil
}

// Alive says whether the process runs: it has not ended, be it reaped or not.
func (p Process) Alive() (bool, error) {
	fd, err := p.open()
	if err == unix.ESRCH {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for process %d: %w", p.Pid, err)
	}
	if fd >= 0 {
		unix.Close(fd)
	}
	return true, nil
}

// Open returns a pidfd; ESRCH if the process has ended.
func (p Process) Open() (*os.File, error) {
	fd, err := p.open()
	if err != nil {
		return nil, fmt.Errorf("open pidfd of process %d: %w", p.Pid, err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// Dir opens the process's directory in /proc; ESRCH if it has ended. What is opened below is the process's: when it has ended, and
// another has its pid, there is nothing below any more.
func (p Process) Dir() (*os.File, error) {
	fd, err := p.open()
	if err != nil {
		return nil, fmt.Errorf("open pidfd of process %d: %w", p.Pid, err)
	}
	defer unix.Close(fd)
	dir, err := Open("/proc/"+strconv.Itoa(p.Pid), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	// It has the pid until it is reaped, and so had it when the directory was opened.
	if n, err := poll(fd, 0); err != nil || n > 0 {
		dir.Close()
		if err == nil {
			err = unix.ESRCH
		}
		return nil, fmt.Errorf("open /proc/%d: %w", p.Pid, err)
	}
	return dir, nil
}

// open looks at the process after the pidfd is open: if it is the right one now, the pidfd is of the right one.
func (p Process) open() (fd int, err error) {
	if p.Pid <= 0 { // of a container of an earlier boot
		return -1, unix.ESRCH
	}
	fd, err = unix.PidfdOpen(p.Pid, 0)
	if err == unix.EINVAL || err == unix.ENOENT { // it is the number of a thread by now
		err = unix.ESRCH
	}
	if err != nil {
		return -1, err
	}
	same := false
	if p.Inode != 0 {
		same, err = p.isInode(fd)
	} else {
		same, err = p.hasStarted()
	}
	if err == nil && !same {
		err = unix.ESRCH
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// isInode says whether a pidfd is of this process, which has not ended.
func (p Process) isInode(pidfd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(pidfd, &st); err != nil || st.Ino != p.Inode {
		return false, err
	}
	n, err := poll(pidfd, 0)
	return n == 0, err
}

// hasStarted says whether who has the pid has started when this process did, and has not ended.
func (p Process) hasStarted() (bool, error) {
	start, dead, err := StartTime(p.Pid)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	return !dead && start == p.Start, err
}

// StartTime is when a process started, in clock ticks since boot. dead says that it has ended and nobody has reaped it.
// See proc_pid_stat(5).
func StartTime(pid int) (start uint64, dead bool, err error) {
	state, rest, err := stat(pid)
	if err != nil {
		return 0, true, err
	}
	fields := strings.SplitN(rest, " ", 20) // from the 4th on
	if len(fields) < 19 {
		return 0, true, fmt.Errorf("read /proc/%d/stat: no start time in it", pid)
	}
	if start, err = strconv.ParseUint(fields[18], 10, 64); err != nil {
		return 0, true, fmt.Errorf("read /proc/%d/stat: no start time in it", pid)
	}
	// A first thread that has ended before the others is shown as a zombie, and the process lives. One that is being reaped
	// has no thread.
	return start, state == "X" || state == "Z" && (fields[16] == "1" || fields[16] == "0"), nil
}

// EndOf is how a process that another one has to reap has ended; 0 where this process may not know, and false if it has not ended within
// ms milliseconds, or has been reaped.
func (p Process) EndOf(ms int) (unix.WaitStatus, bool) {
	pidfd, err := p.Open()
	if err != nil {
		return 0, false
	}
	defer pidfd.Close()
	if ended, err := AwaitExit(pidfd, ms); err != nil || !ended {
		return 0, false
	}
	_, rest, err := stat(p.Pid)
	fields := strings.Fields(rest) // from the 4th on, and the 52nd is the status
	if err != nil || len(fields) < 49 {
		return 0, false
	}
	status, err := strconv.ParseUint(fields[48], 10, 32)
	return unix.WaitStatus(status), err == nil
}

// EndedAs says whether a process has ended, or is ending, under a name. It has no memory then; and execve gives it other memory
// before its descriptors are closed, and another name before it can end.
func EndedAs(pid int, name string) (bool, error) {
	own, _, rest, err := named(pid)
	if err != nil {
		return false, err
	}
	fields := strings.Fields(rest) // from the 4th on, and the 23rd is the size of the memory
	if len(fields) < 20 {
		return false, fmt.Errorf("read /proc/%d/stat: no size in it", pid)
	}
	return own == name && fields[19] == "0", nil
}

// Uninterruptible says whether a thread of a process is in an uninterruptible sleep (state D): it ends only when that does.
func Uninterruptible(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, _ := os.ReadDir(dir)
	for _, t := range threads {
		data, err := ReadFile(dir+"/"+t.Name()+"/stat", 4096)
		if err != nil {
			continue
		}
		if text := string(data); strings.HasPrefix(text[strings.LastIndexByte(text, ')')+1:], " D") {
			return true
		}
	}
	return false
}

// Command is the command line of a process, for an error text.
func Command(pid int) string {
	text, _ := ReadKernelFile("/proc/"+strconv.Itoa(pid)+"/cmdline", 256)
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, string(text)))
}

// Forks are pidfds of a process's children that still run its own program: on their way to another one.
func Forks(pid int) (pidfds []*os.File) {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return nil
	}
	children, _ := allPids()
	for _, child := range children {
		fd, err := unix.PidfdOpen(child, 0)
		if err != nil {
			continue
		}
		its, err := os.Readlink("/proc/" + strconv.Itoa(child) + "/exe")
		if err != nil || its != exe || !isChild(child, pid) {
			unix.Close(fd)
			continue
		}
		pidfds = append(pidfds, os.NewFile(uintptr(fd), "pidfd"))
	}
	return pidfds
}

func isChild(pid, parent int) bool {
	_, its, err := parentOf(pid)
	return err == nil && its == parent
}

// allPids are the processes that /proc lists.
func allPids() (pids []int, err error) {
	procs, err := os.ReadDir("/proc")
	for _, p := range procs {
		if pid, err := strconv.Atoi(p.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// parentOf reads the state and the parent of a process.
func parentOf(pid int) (state string, parent int, err error) {
	state, rest, err := stat(pid)
	if err != nil {
		return "", 0, err
	}
	first, _, _ := strings.Cut(rest, " ")
	if parent, err = strconv.Atoi(first); err != nil {
		return "", 0, fmt.Errorf("read /proc/%d/stat: no parent in it", pid)
	}
	return state, parent, nil
}

// Unreaped are the parents of the processes that have ended and were not reaped.
func Unreaped() (parents map[int]int) {
	parents = map[int]int{}
	pids, _ := allPids()
	for _, pid := range pids {
		if state, parent, err := parentOf(pid); err == nil && state == "Z" {
			parents[pid] = parent
		}
	}
	return parents
}

// SameProgram says whether a process executes the file that this one does, in this pid namespace.
func SameProgram(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	for _, name := range []string{"/exe", "/ns/pid"} {
		var its, own unix.Stat_t
		if unix.Stat(dir+name, &its) != nil || unix.Stat("/proc/self"+name, &own) != nil || its.Ino != own.Ino || its.Dev != own.Dev {
			return false
		}
	}
	return true
}

// Halted says whether a signal (SIGSTOP for one) has stopped a process. A debugger's stop is another.
func Halted(pid int) bool {
	state, _, err := stat(pid)
	return err == nil && state == "T"
}

// stat reads /proc/PID/stat from the third field on, the state.
func stat(pid int) (state, rest string, err error) {
	_, state, rest, err = named(pid)
	return state, rest, err
}

// named is stat with the process's name.
func named(pid int) (name, state, rest string, err error) {
	text, err := ReadKernelLine("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", "", "", err
	}
	// The second field is the name in parentheses, and may hold anything.
	first, last := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if first < 0 || last < first {
		return "", "", "", fmt.Errorf("read /proc/%d/stat: no name in it", pid)
	}
	state, rest, _ = strings.Cut(strings.TrimPrefix(text[last+1:], " "), " ")
	return text[first+1 : last], state, rest, nil
}

// Signal sends a signal to a pidfd's process.
func Signal(pidfd *os.File, sig unix.Signal) error {
	return unix.PidfdSendSignal(int(pidfd.Fd()), sig, nil, 0)
}

// SignalGroup sends a signal to a process, and to its process group if it leads one.
func SignalGroup(pidfd *os.File, sig unix.Signal) error {
	const group = 1 << 2 // PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9
	if pid := PidOf(pidfd); pid > 1 {
		if pgid, err := unix.Getpgid(pid); err == nil && pgid == pid {
			if err := unix.PidfdSendSignal(int(pidfd.Fd()), sig, nil, group); err == unix.EINVAL {
				if over, err := AwaitExit(pidfd, 0); !over && err == nil { // the pid is still its own
					_ = unix.Kill(-pid, sig)
				}
			}
		}
	}
	return Signal(pidfd, sig)
}

// PidOf is the pid of a pidfd's process, 0 if it has ended.
func PidOf(pidfd *os.File) int {
	text, err := ReadKernelFile("/proc/self/fdinfo/"+strconv.Itoa(int(pidfd.Fd())), 4096)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(value))
			return max(pid, 0)
		}
	}
	return 0
}

// AwaitExit waits until a pidfd's process has ended, in milliseconds at most; -1 is for ever.
func AwaitExit(pidfd *os.File, ms int) (ended bool, err error) {
	n, err := poll(int(pidfd.Fd()), ms)
	return n > 0, err
}

func poll(fd, ms int) (n int, err error) {
	err = Retry(func() (err error) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, ms)
		return err
	})
	return n, err
}

// Descendants lists a process and those that descend from it, sorted. It is exact while none of them runs.
func Descendants(pid int) (pids []int, err error) {
	all, err := allPids()
	if err != nil {
		return nil, err
	}
	parents := map[int]int{}
	for _, child := range all {
		_, parent, err := parentOf(child)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		parents[child] = parent
	}
	for child := range parents {
		for up, n := child, 0; up > 0 && n <= len(parents); up, n = parents[up], n+1 {
			if up == pid {
				pids = append(pids, child)
				break
			}
		}
	}
	slices.Sort(pids)
	return pids, nil
}
