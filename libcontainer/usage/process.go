package usage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"rt/cgroups"
	"rt/internal/names"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A Process is one of a container's, as the host sees it (proc_pid_stat(5)).
type Process struct {
	Pid     int
	Parent  int
	UID     int           // effective
	CPUTime time.Duration // user and system
	Age     time.Duration // since it was started
	RSS     uint64        // bytes
	Cgroup  string        // below the container's, "/" for its own
	Command []string      // as it was started, MaxCommand bytes of it; [name] in brackets for one without arguments
	Cut     bool          // there is more of the command
}

// MaxCommand is how much of a command is shown. Processes can share megabytes of arguments, which would be rt's once for each.
const MaxCommand = 4096

// maxFile bounds what is read of a file of the kernel's, in bytes.
const maxFile = 64 << 20

// EachProcess tells about processes of a cgroup, one after the other. One that ends meanwhile is left out.
func EachProcess(cg *cgroups.Cgroup, pids []int, tell func(*Process) error) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	for _, pid := range pids {
		p, err := readProcess(pid, time.Duration(now.Nano()))
		if err == nil {
			p.Cgroup, err = cg.Below(pid)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err == nil {
			err = tell(p)
		}
		if err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return nil
}

// perTick is USER_HZ, which is 100 on every architecture Go has.
const perTick = time.Second / 100

func readProcess(pid int, now time.Duration) (*Process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := sys.ReadKernelFile(dir+"/stat", maxFile)
	if err != nil {
		return nil, err
	}
	p, name, err := parseProcess(string(stat), now)
	if err != nil {
		return nil, err
	}
	// statm, because the kernel adds all processors' counters up for it (Linux 6.17), and not for stat.
	statm, err := sys.ReadKernelFile(dir+"/statm", maxFile)
	if err != nil {
		return nil, err
	}
	if f := strings.Fields(string(statm)); len(f) > 1 {
		pages, _ := strconv.ParseUint(f[1], 10, 63)
		p.RSS = pages * uint64(os.Getpagesize())
	}
	cmdline, more, err := sys.ReadKernelHead(dir+"/cmdline", MaxCommand)
	if err != nil {
		return nil, err
	}
	p.Command = []string{"[" + name + "]"} // a zombie, or one that has wiped its arguments out
	if text := strings.TrimRight(string(cmdline), "\x00"); text != "" {
		p.Command, p.Cut = strings.Split(text, "\x00"), more
	}
	var st unix.Stat_t // the directory belongs to the effective user (proc_pid(5))
	if err := unix.Stat(dir, &st); err != nil {
		return nil, err
	}
	p.UID = int(st.Uid)
	return p, nil
}

// parseProcess reads the text of /proc/PID/stat. The name may hold anything, also parentheses and newlines.
func parseProcess(stat string, now time.Duration) (p *Process, name string, err error) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return nil, "", fmt.Errorf("read /proc/PID/stat: no name in %q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return nil, "", fmt.Errorf("read /proc/PID/stat: %d fields are too few", len(fields)+2)
	}
	var n [4]uint64
	for i, at := range []int{1, 11, 12, 19} { // ppid, utime, stime, starttime
		if n[i], err = names.Unsigned(fields[at], 63); err != nil {
			return nil, "", fmt.Errorf("read /proc/PID/stat: %w", err)
		}
	}
	pid, err := names.Unsigned(strings.TrimSpace(stat[:open]), 31)
	if err != nil {
		return nil, "", fmt.Errorf("read /proc/PID/stat: %w", err)
	}
	return &Process{
		Pid: int(pid), Parent: int(n[0]), CPUTime: time.Duration(n[1]+n[2]) * perTick,
		Age: max(now-time.Duration(n[3])*perTick, 0),
	}, stat[open+1 : end], nil
}
