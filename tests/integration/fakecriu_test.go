package integration

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A fake CRIU: this test program, started by the runtime as `criu swrk FD`. It speaks CRIU's protocol, does what the scenario
// says, and writes down what it was asked for. So the runtime's part is tested where CRIU does not run.

// A scenario is what the fake does. The zero value dumps, or restores a process that sleeps.
type scenario struct {
	Version []uint64 // default 3.17.1
	Missing bool     // features are not there
	Fail    string   // the notification instead of which it says that it has failed; "-" is the answer to the request itself
	Errno   int
	Message string
	Log     string // is written to the log file
	Die     string // is written to standard error before it exits, instead of any answer
	Garbage bool   // the answer is no message
	Status  int    // its exit status
	Scripts []string
	Command []string // the restored process, default: sleep
	Pty     bool     // restore: a terminal's master is sent
	Join    []string // restore: namespaces of the process that are not new
	Pid     int      // restore: the pid that is told, instead of the process's
	At      string   // the point at which it stops: version, request, the name of a notification, answer
	Hang    bool     // there it waits for the end of rt; else it is killed
	Fuzz    uint64   // it says anything, and what that is, this number says
}

// An asked is what the fake was asked for.
type asked struct {
	Kind int
	Opts map[string][]string // by field number; numbers in decimal
	Fds  map[string]string   // what the inherited descriptors are
	Cgroup,
	Root string // what of its file system is mounted at the root
	Mounts map[string]string // restore: what there is for an external mount, device:inode
	Config string            // the contents of the configuration file
}

const (
	fakeVariable     = "RT_TEST_FAKE_CRIU"
	restoredVariable = "RT_TEST_FAKE_RESTORED" // the restored process, before it is in its root
)

// fakeCriu makes a program that is the fake, and gives its path.
func (c *container) fakeCriu(s scenario) string {
	c.t.Helper()
	data, err := json.Marshal(s)
	c.must(err)
	self, err := os.Executable()
	c.must(err)
	dir := filepath.Join(c.dir, "fake")
	_ = os.RemoveAll(dir)
	c.must(os.Mkdir(dir, 0o755))
	c.must(os.WriteFile(filepath.Join(dir, "scenario"), data, 0o644))
	return c.file("fake/criu", fmt.Sprintf("#!/bin/sh\n%s=%s exec %s \"$@\"\n", fakeVariable, dir, self), 0o755)
}

// asked gives the last request for a dump or restore.
func (c *container) asked() (a asked) {
	c.t.Helper()
	c.must(json.Unmarshal([]byte(c.read("fake/asked")), &a))
	return a
}

// one is the only value of a field, "" if it is not there.
func (a asked) one(t *testing.T, field int) string {
	t.Helper()
	values := a.Opts[strconv.Itoa(field)]
	if len(values) > 1 {
		t.Errorf("field %d: %q", field, values)
	}
	return strings.Join(values, "")
}

// inodeOf is the device and inode number of what is at a path, or an error.
func inodeOf(path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// isFakeCriu takes over where this program is started as the fake.
func isFakeCriu() bool {
	dir := os.Getenv(fakeVariable)
	if dir == "" {
		return false
	}
	os.Unsetenv(fakeVariable)
	f := &fake{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, "scenario"))
	if err == nil {
		err = json.Unmarshal(data, &f.scenario)
	}
	if err == nil && (len(os.Args) != 3 || os.Args[1] != "swrk") {
		err = fmt.Errorf("arguments %q", os.Args)
	}
	if err == nil {
		f.fd, err = strconv.Atoi(os.Args[2])
	}
	if err == nil {
		err = f.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake criu:", err)
		os.Exit(1)
	}
	os.Exit(f.scenario.Status)
	return true
}

type fake struct {
	scenario scenario
	dir      string
	fd       int
	child    int
	resume   int // a pipe's end: when it is closed, the child goes on
}

// Protocol Buffers, as much as the fake needs.

type proto []byte

func (m proto) number(field int, n uint64) proto {
	return binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3), n)
}

func (m proto) bytes(field int, b []byte) proto {
	return append(binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3|2), uint64(len(b))), b...)
}

func (m proto) each(f func(field int, n uint64, b []byte)) {
	for len(m) > 0 {
		key, k := binary.Uvarint(m)
		n, l := binary.Uvarint(m[k:])
		m = m[k+l:]
		if key&7 == 2 {
			f(int(key>>3), 0, m[:n])
			m = m[n:]
		} else {
			f(int(key>>3), n, nil)
		}
	}
}

func (f *fake) serve() error {
	for {
		kind, opts, more, err := f.receive()
		if err != nil || kind < 0 {
			return err
		}
		if f.scenario.Die != "" {
			fmt.Fprintln(os.Stderr, f.scenario.Die)
			os.Exit(1)
		}
		if f.scenario.Garbage {
			_, err := unix.Write(f.fd, []byte("garbage"))
			return err
		}
		if f.scenario.Fuzz != 0 {
			return f.babble(kind, opts)
		}
		answer := proto{}.number(1, uint64(kind)).number(2, 1)
		switch kind {
		case 10:
			f.at("version")
			v := f.scenario.Version
			if v == nil {
				v = []uint64{3, 17, 1}
			}
			answer = answer.bytes(10, proto{}.number(1, v[0]).number(2, v[1]).number(4, v[2]))
		case 9:
			has := uint64(1)
			if f.scenario.Missing {
				has = 0
			}
			answer = answer.bytes(8, proto{}.number(1, has).number(2, has))
		default:
			if answer, err = f.work(kind, opts, answer); err != nil {
				return err
			}
		}
		if _, err := unix.Write(f.fd, answer); err != nil || !more {
			return err
		}
	}
}

// receive takes a request; kind -1 is the end.
func (f *fake) receive() (kind int, opts proto, more bool, err error) {
	buf := make([]byte, 1<<16)
	n, err := unix.Read(f.fd, buf)
	if err != nil || n == 0 {
		return -1, nil, false, err
	}
	proto(buf[:n]).each(func(field int, n uint64, b []byte) {
		switch field {
		case 1:
			kind = int(n)
		case 2:
			opts = b
		case 4:
			more = n != 0
		}
	})
	return kind, opts, more, nil
}

func (f *fake) failure(kind int) proto {
	return proto{}.number(1, uint64(kind)).number(2, 0).number(7, uint64(f.scenario.Errno)).bytes(9, []byte(f.scenario.Message))
}

// work is a dump, a pre-dump or a restore.
func (f *fake) work(kind int, opts, answer proto) (proto, error) {
	if err := f.note(kind, opts); err != nil {
		return nil, err
	}
	f.at("request")
	if f.scenario.Log != "" {
		work := f.number(opts, 1)
		if n := f.number(opts, 17); n != 0 {
			work = n
		}
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getppid(), work, f.text(opts, 10)), []byte(f.scenario.Log), 0o600); err != nil {
			return nil, err
		}
	}
	if f.scenario.Fail == "-" {
		return f.failure(kind), nil
	}
	scripts := f.scenario.Scripts
	if kind == 2 {
		if err := f.spawn(opts); err != nil {
			return nil, err
		}
		answer = answer.bytes(4, proto{}.number(1, uint64(f.told())))
		if scripts == nil {
			scripts = []string{"pre-restore", "setup-namespaces", "post-setup-namespaces", "post-restore", "pre-resume", "post-resume"}
		}
	}
	if f.scenario.Pty {
		scripts = append([]string{"orphan-pts-master"}, scripts...)
	}
	for _, script := range scripts {
		f.at(script)
		if script == f.scenario.Fail {
			f.kill()
			return f.failure(6), nil
		}
		if err := f.notify(script); err != nil {
			f.kill()
			return nil, err
		}
	}
	f.at("answer")
	if kind == 1 && f.number(opts, 3) == 0 {
		end(int(f.number(opts, 2)))
	}
	return answer, nil
}

// end kills a process and waits for its end, as CRIU does, which traces it.
func end(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
}

func (f *fake) told() int {
	if f.scenario.Pid != 0 {
		return f.scenario.Pid
	}
	return f.child
}

func (f *fake) kill() {
	if f.child != 0 {
		_ = unix.Kill(f.child, unix.SIGKILL)
	}
}

func (f *fake) notify(script string) error {
	n := proto{}.number(1, 6).number(2, 1).bytes(5, proto{}.bytes(1, []byte(script)).number(2, uint64(f.told())))
	var rights []byte
	if script == "orphan-pts-master" {
		master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			return err
		}
		defer master.Close()
		rights = unix.UnixRights(int(master.Fd()))
	}
	if err := unix.Sendmsg(f.fd, n, rights, nil, 0); err != nil {
		return err
	}
	kind, _, _, err := f.receive()
	if err == nil && kind != 6 {
		err = fmt.Errorf("the answer to the notification %s is of type %d", script, kind)
	}
	return err
}

// A restored is where the restored process is: the root and the external mounts that the runtime has told, as CRIU would have them.
type restored struct {
	Root    string
	Mounts  [][2]string // mount point, path
	Command []string
}

// spawn makes the restored process: a child of the runtime, in namespaces of its own, as CRIU does with rst_sibling. Its
// standard input ends when the fake does.
func (f *fake) spawn(opts proto) (err error) {
	r := restored{Root: f.text(opts, 13), Command: f.scenario.Command}
	if r.Command == nil {
		r.Command = []string{"/bin/busybox", "sleep", "1000"}
	}
	opts.each(func(field int, _ uint64, b []byte) {
		if field == 23 {
			var pair [2]string
			proto(b).each(func(field int, _ uint64, b []byte) { pair[field-1] = string(b) })
			r.Mounts = append(r.Mounts, pair)
		}
	})
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var pipe, ready [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	if err := unix.Pipe2(ready[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	f.resume = pipe[1] // ends with the fake
	flags := uintptr(unix.CLONE_PARENT | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	runtime.LockOSThread() // the child gets the thread's namespaces; the fake is about to end
	for _, path := range f.scenario.Join {
		ns, err := os.Open(path)
		if err != nil {
			return err
		}
		kind, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_NSTYPE)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), kind)
		}
		ns.Close()
		if err != nil {
			return err
		}
		flags &^= uintptr(kind)
	}
	stdout := f.stdout(opts)
	f.child, err = syscall.ForkExec(self, []string{"restored"}, &syscall.ProcAttr{
		Env: append(os.Environ(), restoredVariable+"="+string(data)), Files: []uintptr{uintptr(pipe[0]), stdout, stdout, uintptr(ready[1])},
		Sys: &syscall.SysProcAttr{Cloneflags: flags, Setsid: true},
	})
	unix.Close(pipe[0])
	unix.Close(ready[1])
	if err == nil { // it is in its root when it has executed its program
		var text [256]byte
		if n, readErr := unix.Read(ready[0], text[:]); readErr != nil || n > 0 {
			err = fmt.Errorf("the restored process: %s %v", text[:max(n, 0)], readErr)
		}
	}
	unix.Close(ready[0])
	return err
}

// isRestored takes over where this program is started as the restored process.
func isRestored() bool {
	data := os.Getenv(restoredVariable)
	if data == "" {
		return false
	}
	os.Unsetenv(restoredVariable)
	unix.CloseOnExec(3)
	var r restored
	err := json.Unmarshal([]byte(data), &r)
	if err == nil {
		err = r.become()
	}
	_, _ = unix.Write(3, []byte(err.Error()))
	os.Exit(1)
	return true
}

func (r *restored) become() error {
	for _, m := range r.Mounts {
		// What a mask is for need not be there.
		if err := unix.Mount(m[1], r.Root+m[0], "", unix.MS_BIND, ""); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return fmt.Errorf("mount %s at %s: %w", m[1], m[0], err)
		}
	}
	if err := unix.Chdir(r.Root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Exec(r.Command[0], r.Command, os.Environ())
}

// stdout is the first descriptor that the fake is given for one of the image's, or its own.
func (f *fake) stdout(opts proto) uintptr {
	first := uintptr(0)
	opts.each(func(field int, _ uint64, b []byte) {
		if field != 27 || first != 0 {
			return
		}
		key, fd := "", uintptr(0)
		proto(b).each(func(_ int, n uint64, b []byte) {
			if b != nil {
				key = string(b)
			} else {
				fd = uintptr(n)
			}
		})
		if strings.HasPrefix(key, "ile[") || strings.HasPrefix(key, "pipe:") {
			first = fd
		}
	})
	return max(first, 1)
}

func (f *fake) number(opts proto, want int) (value uint64) {
	opts.each(func(field int, n uint64, b []byte) {
		if field == want && b == nil {
			value = n
		}
	})
	return value
}

func (f *fake) text(opts proto, want int) (value string) {
	opts.each(func(field int, _ uint64, b []byte) {
		if field == want {
			value = string(b)
		}
	})
	return value
}

// note writes down the request and what the fake sees. Messages of two fields become "a b".
func (f *fake) note(kind int, opts proto) error {
	a := asked{Kind: kind, Opts: map[string][]string{}, Fds: map[string]string{}, Mounts: map[string]string{}}
	opts.each(func(field int, n uint64, b []byte) {
		value := strconv.FormatUint(n, 10)
		switch field {
		case 11, 23, 25, 27, 39:
			var parts []string
			proto(b).each(func(_ int, n uint64, b []byte) {
				if b != nil {
					parts = append(parts, string(b))
				} else {
					parts = append(parts, strconv.FormatUint(n, 10))
				}
			})
			value = strings.Join(parts, " ")
			if field == 23 && kind == 2 {
				a.Mounts[parts[0]] = inodeOf(parts[1])
			}
			if field == 27 {
				a.Fds[parts[0]], _ = os.Readlink("/proc/self/fd/" + parts[1])
			}
		default:
			if b != nil {
				value = string(b)
			}
		}
		a.Opts[strconv.Itoa(field)] = append(a.Opts[strconv.Itoa(field)], value)
	})
	config, _ := os.ReadFile(strings.Join(a.Opts["51"], ""))
	a.Config = string(config)
	cgroup, _ := os.ReadFile("/proc/self/cgroup")
	a.Cgroup = string(cgroup)
	if root := f.text(opts, 13); kind == 2 {
		data, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); fields[4] == root {
				a.Root = fields[3]
			}
		}
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.dir, "asked"), data, 0o644)
}
