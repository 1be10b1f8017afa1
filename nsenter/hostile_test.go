package nsenter_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// What arrives at the stub is rt's, but a stub that trusts it would make every mistake of rt's a worse one.

const magic = 0x6e706c72

type message struct {
	data []byte
	fds  []int
}

func word(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// A target is a stub without anything of package nsenter between it and the test. It is root of a user namespace
// only: whatever steps it may be talked into, it has no power over the host.
type target struct {
	t    *testing.T
	cmd  *exec.Cmd
	conv int
}

func launch(t *testing.T) *target {
	t.Helper()
	needRoot(t)
	img, err := nsenter.Image()
	must(t, err)
	defer img.Close()
	exe, err := unix.FcntlInt(img.Fd(), unix.F_DUPFD_CLOEXEC, 100)
	must(t, err)
	defer unix.Close(exe)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	peer := os.NewFile(uintptr(pair[1]), "peer")
	defer peer.Close()
	cmd := &exec.Cmd{Path: "/proc/self/fd/" + strconv.Itoa(exe), Args: []string{"rt"}, Env: []string{"_RT_STUB=3"}, ExtraFiles: []*os.File{peer}}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{UidMappings: ids, GidMappings: ids, Credential: &syscall.Credential{NoSetGroups: true},
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	must(t, cmd.Start())
	return &target{t, cmd, pair[0]}
}

// hears sends messages and then nothing any more, and returns the errors that came back. A stub that crashes or does
// not end fails the test.
func (s *target) hears(what string, messages ...message) (replies []nsenter.Reply) {
	s.t.Helper()
	for _, m := range messages {
		var rights []byte
		if m.fds != nil {
			rights = unix.UnixRights(m.fds...)
		}
		// It may have ended at an earlier one.
		if err := unix.Sendmsg(s.conv, m.data, rights, nil, unix.MSG_NOSIGNAL); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			s.t.Fatalf("%s: %v", what, err)
		}
	}
	must(s.t, unix.Shutdown(s.conv, unix.SHUT_WR))
	must(s.t, unix.SetsockoptTimeval(s.conv, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 120}))
	stub := nsenter.Connect(os.NewFile(uintptr(s.conv), "conv"))
	defer stub.Close()
	pids := []int{s.cmd.Process.Pid}
	for {
		r, err := stub.Receive()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.t.Errorf("%s: %v", what, err)
			_ = s.cmd.Process.Kill()
			break
		}
		if r.Type == nsenter.ReplyPid {
			pids = append(pids, r.Value)
		} else if r.Type == nsenter.ReplyError {
			replies = append(replies, *r)
		}
	}
	for _, pid := range pids {
		var ws unix.WaitStatus
		if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || !ws.Exited() {
			s.t.Errorf("%s: ended with %#x, %v", what, ws, err)
		}
	}
	return replies
}

const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// memfd is a sealed file of its own for every plan, closed when the test ends.
func memfd(t *testing.T, data []byte) int {
	t.Helper()
	return sealed(t, unsealed(t, data), allSeals)
}

func sealed(t *testing.T, fd, seals int) int {
	t.Helper()
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	must(t, err)
	return fd
}

func unsealed(t *testing.T, data []byte) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test-plan", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		must(t, err)
		data = data[n:]
	}
	return fd
}

// harmless is a plan that wants nothing but, as it renames the host, a jail.
func harmless(t *testing.T) []byte {
	t.Helper()
	data, err := nsenter.Encode(steps{nsenter.Inputs{}, nsenter.Umask{Mask: 0o22}, nsenter.Rlimit{Number: unix.RLIMIT_CORE, Soft: 1 << 30, Hard: 1 << 30},
		nsenter.NoNewPrivs{}, nsenter.Hostname{Value: "rt-test"}, nsenter.Sync{Point: nsenter.SyncReady, GoOn: true}}, 0)
	must(t, err)
	return data
}

func TestMalformedMessages(t *testing.T) {
	needRoot(t)
	with := func(nfds uint32) int {
		data := harmless(t)
		binary.NativeEndian.PutUint32(data[16:], nfds)
		return memfd(t, data)
	}
	good := with(0)
	many := make([]int, 253)
	for i := range many {
		many[i] = good
	}
	null, dir := open(t, os.DevNull, os.O_RDWR), open(t, "/", os.O_RDONLY)
	huge := unsealed(t, nil)
	must(t, unix.Ftruncate(huge, 64<<20+1))
	sealed(t, huge, allSeals)
	holes := unsealed(t, nil)
	must(t, unix.Ftruncate(holes, 64<<20))
	sealed(t, holes, allSeals)
	without := func(seal int) int { return sealed(t, unsealed(t, harmless(t)), allSeals&^seal) }
	file := t.TempDir() + "/plan"
	must(t, os.WriteFile(file, harmless(t), 0o600))
	ok := word(magic)
	for name, c := range map[string]struct {
		messages []message
		silent   bool // it ends without a word: rt is gone, or mad
		runs     bool
	}{
		"a plan":                      {messages: []message{{ok, []int{good}}}, runs: true},
		"a plan in a file":            {messages: []message{{ok, []int{int(open(t, file, os.O_RDONLY).Fd())}}}},
		"a plan without seals":        {messages: []message{{ok, []int{unsealed(t, harmless(t))}}}},
		"one that can be written":     {messages: []message{{ok, []int{without(unix.F_SEAL_WRITE)}}}},
		"one that can grow":           {messages: []message{{ok, []int{without(unix.F_SEAL_GROW)}}}},
		"one that can shrink":         {messages: []message{{ok, []int{without(unix.F_SEAL_SHRINK)}}}},
		"one without F_SEAL_SEAL":     {messages: []message{{ok, []int{without(unix.F_SEAL_SEAL)}}}},
		"nothing":                     {silent: true},
		"an empty message":            {messages: []message{{nil, nil}}, silent: true},
		"no descriptor":               {messages: []message{{ok, nil}}, silent: true},
		"too short":                   {messages: []message{{ok[:3], []int{good}}}, silent: true},
		"too long":                    {messages: []message{{append(word(magic), 0), []int{good}}}, silent: true},
		"much too long":               {messages: []message{{bytes.Repeat(ok, 1000), []int{good}}}, silent: true},
		"other magic":                 {messages: []message{{word(magic + 1), []int{good}}}, silent: true},
		"251 descriptors at once":     {messages: []message{{ok, many[:251]}}, silent: true},
		"253 descriptors at once":     {messages: []message{{ok, many}}, silent: true},
		"250 where none is wanted":    {messages: []message{{ok, many[:250]}}},
		"one where none is wanted":    {messages: []message{{ok, many[:2]}}},
		"two of three":                {messages: []message{{ok, []int{with(3), good, good}}}},
		"two and two of three":        {messages: []message{{ok, []int{with(3), good, good}}, {ok, many[:2]}}},
		"the rest is too short":       {messages: []message{{ok, []int{with(2)}}, {ok[:2], many[:2]}}},
		"the rest has other magic":    {messages: []message{{ok, []int{with(2)}}, {word(1), many[:2]}}},
		"the rest has no descriptor":  {messages: []message{{ok, []int{with(2)}}, {ok, nil}}},
		"the rest comes in two":       {messages: []message{{ok, []int{with(2)}}, {ok, many[:1]}, {ok, many[:1]}}, runs: true},
		"a device":                    {messages: []message{{ok, []int{int(null.Fd())}}}},
		"a directory":                 {messages: []message{{ok, []int{int(dir.Fd())}}}},
		"what cannot be read":         {messages: []message{{ok, []int{int(open(t, file, os.O_WRONLY).Fd())}}}},
		"an empty file":               {messages: []message{{ok, []int{memfd(t, nil)}}}},
		"a file of more than 64 MiB":  {messages: []message{{ok, []int{huge}}}},
		"a file of 64 MiB of nothing": {messages: []message{{ok, []int{holes}}}},
		"text":                        {messages: []message{{ok, []int{memfd(t, bytes.Repeat([]byte("x"), 5000))}}}},
		"a device as a descriptor":    {messages: []message{{ok, []int{with(1), int(null.Fd())}}}, runs: true},
	} {
		replies := launch(t).hears(name, c.messages...)
		switch {
		case c.silent || c.runs:
			if len(replies) != 0 {
				t.Errorf("%s: got %+v", name, replies)
			}
		case len(replies) != 1 || unix.Errno(replies[0].Value) != unix.EBADMSG || replies[0].Text != "receive plan" && replies[0].Text != "receive descriptors":
			t.Errorf("%s: got %+v", name, replies)
		}
	}
}

// TestInputsNeverSent: a slot that was announced and not filled is no descriptor, in particular not number 0.
func TestInputsNeverSent(t *testing.T) {
	needRoot(t)
	data, err := nsenter.Encode(steps{nsenter.CgroupJoin{Tasks: 0, Path: "/p"}}, 1)
	must(t, err)
	replies := launch(t).hears("no descriptor for slot 0", message{word(magic), []int{memfd(t, data)}})
	if len(replies) != 1 || unix.Errno(replies[0].Value) != unix.EBADF {
		t.Errorf("got %+v", replies)
	}
}

func TestTruncatedPlans(t *testing.T) {
	plan := harmless(t)
	for n := 1; n < len(plan); n++ {
		if n > 110 && n%8 != 0 { // every one of them is tried on the decoder alone, which is faster
			continue
		}
		replies := launch(t).hears(fmt.Sprintf("%d bytes", n), message{word(magic), []int{memfd(t, plan[:n])}})
		if len(replies) != 1 || unix.Errno(replies[0].Value) != unix.EBADMSG {
			t.Errorf("%d of %d bytes: got %+v", n, len(plan), replies)
		}
	}
}

func TestFlippedBits(t *testing.T) {
	plan := harmless(t)
	for at := range plan {
		bits := []int{at * 3 % 8}
		if at >= 24 && (at-24)%80 == 0 { // kinds and, after the step with a string, what lies there
			bits = []int{0, 1, 2, 3, 4, 5, 6, 7}
		}
		for _, bit := range bits {
			damaged := bytes.Clone(plan)
			damaged[at] ^= 1 << bit
			what := fmt.Sprintf("byte %d bit %d", at, bit)
			if replies := launch(t).hears(what, message{word(magic), []int{memfd(t, damaged)}}); len(replies) > 1 {
				t.Errorf("%s: got %+v", what, replies)
			}
		}
	}
}

// What is no number of a socket does not make a stub of it; what is none at all ends at once.
func TestEnvironment(t *testing.T) {
	needRoot(t)
	for _, value := range []string{"", "-1", "x", "3x", "99999999999999999999", "1000000", "77"} {
		img, err := nsenter.Image()
		must(t, err)
		exe, err := unix.FcntlInt(img.Fd(), unix.F_DUPFD_CLOEXEC, 100)
		must(t, err)
		img.Close()
		cmd := &exec.Cmd{Path: "/proc/self/fd/" + strconv.Itoa(exe), Args: []string{"rt"}, Env: []string{"_RT_STUB=" + value}}
		err = cmd.Run()
		unix.Close(exe)
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("_RT_STUB=%s: %v", value, err)
		}
	}
}
