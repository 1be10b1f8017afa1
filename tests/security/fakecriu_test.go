package security

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A fake CRIU: this test program, started by rt as `criu swrk FD`. It does what CRIU does that an attack is about, or what a CRIU
// that an attacker has got hold of would do.
type fakeCriu struct {
	Child  string         // restore: the shell command that the restored process is
	Flags  int            // by which it opens a pipe that stands for one of the image's (CRIU: the image's own)
	Told   map[string]int // notification -> what pid is told: 0 that of the restored process, -1 CRIU's own, else this one
	Chroot string         // restore: what the process calls chroot(2) with, or ""
	Freeze bool           // dump: it freezes the cgroup and is killed
	Script []string       // the notifications of a restore
}

const fakeCriuVariable = "RT_SECURITY_FAKE_CRIU"

// fake makes a program that is the fake, and gives its path.
func (v *victim) fake(f fakeCriu) string {
	v.t.Helper()
	data, err := json.Marshal(f)
	must(v.t, err)
	self, err := os.Executable()
	must(v.t, err)
	v.file("fake/scenario", string(data), 0o644)
	v.file("fake/criu", fmt.Sprintf("#!/bin/sh\n%s=%s/fake exec %s \"$@\"\n", fakeCriuVariable, v.dir, self), 0o755)
	return v.dir + "/fake/criu"
}

// asFakeCriu takes over where this program is started as the fake.
func asFakeCriu() {
	if data := os.Getenv(restoredVariable); data != "" {
		os.Unsetenv(restoredVariable)
		unix.CloseOnExec(3)
		fmt.Fprint(os.NewFile(3, "ready"), becomeRestored(data))
		os.Exit(1)
	}
	dir := os.Getenv(fakeCriuVariable)
	if dir == "" {
		return
	}
	os.Unsetenv(fakeCriuVariable)
	c := &criuSide{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, "scenario"))
	if err == nil {
		err = json.Unmarshal(data, &c.f)
	}
	if err == nil {
		c.fd, err = strconv.Atoi(os.Args[len(os.Args)-1])
	}
	if err == nil {
		err = c.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake criu:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A criuSide is CRIU's side of a conversation.
type criuSide struct {
	f     fakeCriu
	dir   string
	fd    int
	child int
	held  *os.File // a pipe's end
}

// A protobuf is a message of Protocol Buffers.
type protobuf []byte

func (m protobuf) number(field int, n uint64) protobuf {
	return binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3), n)
}

func (m protobuf) bytes(field int, b []byte) protobuf {
	return append(binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3|2), uint64(len(b))), b...)
}

func (m protobuf) each(f func(field int, n uint64, b []byte)) {
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

func (c *criuSide) receive() (kind uint64, opts protobuf, err error) {
	buf := make([]byte, 1<<16)
	n, err := unix.Read(c.fd, buf)
	protobuf(buf[:max(n, 0)]).each(func(field int, n uint64, b []byte) {
		switch field {
		case 1:
			kind = n
		case 2:
			opts = b
		}
	})
	return kind, opts, err
}

func (c *criuSide) serve() error {
	for {
		kind, opts, err := c.receive()
		if err != nil || kind == 0 {
			return err
		}
		answer := protobuf{}.number(1, kind).number(2, 1)
		switch kind {
		case 1: // dump
			if c.f.Freeze {
				return freezeAndDie(textOf(opts, 44))
			}
		case 2: // restore
			if err := c.restore(opts); err != nil {
				return err
			}
			answer = answer.bytes(4, protobuf{}.number(1, uint64(c.told("restored"))))
		case 9: // features
			answer = answer.bytes(8, protobuf{}.number(1, 1).number(2, 1))
		case 10: // version
			answer = answer.bytes(10, protobuf{}.number(1, 4).number(2, 2).number(4, 1))
		}
		if _, err := unix.Write(c.fd, answer); err != nil {
			return err
		}
		if kind < 9 {
			return nil
		}
	}
}

func textOf(opts protobuf, want int) (text string) {
	opts.each(func(field int, _ uint64, b []byte) {
		if field == want && b != nil {
			text = string(b)
		}
	})
	return text
}

// freezeAndDie is a CRIU that is killed in the middle of a dump.
func freezeAndDie(dir string) error {
	file, value, frozen := dir+"/freezer.state", "FROZEN", func(s string) bool { return s == "FROZEN\n" }
	if _, err := os.Stat(file); err != nil {
		file, value, frozen = dir+"/cgroup.freeze", "1", func(string) bool { return true }
	}
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		return err
	}
	for {
		state, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if frozen(string(state)) {
			return unix.Kill(os.Getpid(), unix.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

func (c *criuSide) restore(opts protobuf) error {
	given := map[string]int{}
	opts.each(func(field int, _ uint64, b []byte) {
		if field != 27 {
			return
		}
		key, number := "", 0
		protobuf(b).each(func(_ int, n uint64, b []byte) {
			if b != nil {
				key = string(b)
			} else {
				number = int(n)
			}
		})
		given[key] = number
	})
	if err := c.note(given); err != nil {
		return err
	}
	if err := c.spawn(opts, given); err != nil {
		return err
	}
	script := c.f.Script
	if script == nil {
		script = []string{"pre-restore", "setup-namespaces", "post-setup-namespaces", "post-restore", "pre-resume", "post-resume"}
	}
	for _, name := range script {
		told := protobuf{}.bytes(1, []byte(name)).number(2, uint64(c.told(name)))
		if _, err := unix.Write(c.fd, protobuf{}.number(1, 6).number(2, 1).bytes(5, told)); err != nil {
			return c.giveUp(err)
		}
		if kind, _, err := c.receive(); err != nil || kind != 6 {
			return c.giveUp(fmt.Errorf("the answer to %s is of type %d: %w", name, kind, err))
		}
	}
	return nil
}

func (c *criuSide) giveUp(err error) error {
	_ = unix.Kill(c.child, unix.SIGKILL)
	return err
}

// note writes down what was given.
func (c *criuSide) note(given map[string]int) error {
	data, err := json.Marshal(given)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, "given"), data, 0o644)
}

// spawn makes the restored process, a child of rt. Its stdin is the first pipe or file that was given, else /dev/null.
func (c *criuSide) spawn(opts protobuf, given map[string]int) error {
	stdin, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for key, fd := range given {
		switch {
		case strings.HasPrefix(key, "pipe:["):
			if stdin, err = unix.Open("/proc/self/fd/"+strconv.Itoa(fd), c.f.Flags|unix.O_CLOEXEC, 0); err != nil {
				return err
			}
		case strings.HasPrefix(key, "ile["):
			stdin = fd
		}
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p := restoredProcess{Root: textOf(opts, 13), Command: c.f.Child, Chroot: c.f.Chroot}
	if p.Command == "" {
		p.Command = "sleep 1000"
	}
	opts.each(func(field int, _ uint64, b []byte) {
		if field == 23 {
			var pair [2]string
			protobuf(b).each(func(field int, _ uint64, b []byte) { pair[field-1] = string(b) })
			p.Mounts = append(p.Mounts, pair)
		}
	})
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	resume, held, err := os.Pipe() // it runs when the fake has gone
	if err != nil {
		return err
	}
	defer resume.Close()
	c.held = held
	c.child, err = syscall.ForkExec(self, []string{"restored"}, &syscall.ProcAttr{
		Env: append(os.Environ(), restoredVariable+"="+string(data)), Files: []uintptr{uintptr(stdin), uintptr(null), uintptr(null), w.Fd(), resume.Fd()},
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS, Setsid: true},
	})
	w.Close()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(r) // it ends when the process has executed its program
	if err == nil && len(text) > 0 {
		err = fmt.Errorf("the restored process: %s", text)
	}
	return err
}

const restoredVariable = "RT_SECURITY_RESTORED"

// A restoredProcess is the process on the way to its program.
type restoredProcess struct {
	Root    string
	Mounts  [][2]string // mount point, path
	Command string
	Chroot  string
}

func becomeRestored(data string) error {
	var p restoredProcess
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		return err
	}
	for _, m := range p.Mounts {
		if err := unix.Mount(m[1], p.Root+m[0], "", unix.MS_BIND, ""); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return fmt.Errorf("mount %s at %s: %w", m[1], m[0], err)
		}
	}
	if err := unix.Chdir(p.Root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	if p.Chroot != "" {
		if err := unix.Chroot(p.Chroot); err != nil {
			return fmt.Errorf("chroot: %w", err)
		}
	}
	return unix.Exec("/bin/busybox", []string{"sh", "-c", "read x <&4; exec 4<&-; " + p.Command}, []string{"PATH=/bin"})
}

func (c *criuSide) told(name string) int {
	switch pid := c.f.Told[name]; pid {
	case 0:
		return c.child
	case -1:
		return os.Getpid()
	default:
		return pid
	}
}
