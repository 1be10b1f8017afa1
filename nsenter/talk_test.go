package nsenter

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// message is a reply as the stub would write it.
func message(kind ReplyType, left uint32, value int32, length uint32, text string) []byte {
	b := make([]byte, replySize)
	for i, v := range []uint32{uint32(kind), left, uint32(value), length} {
		binary.NativeEndian.PutUint32(b[4*i:], v)
	}
	copy(b[16:], text)
	return b
}

func TestParseReply(t *testing.T) {
	full := strings.Repeat("x", replySize-16)
	for _, c := range []struct {
		buf  []byte
		want Reply
	}{
		{message(ReplyPid, 3, 1234, 0, ""), Reply{Type: ReplyPid, Left: 3, Value: 1234}},
		{message(ReplyError, 1, 2, 4, "open and more"), Reply{Type: ReplyError, Left: 1, Value: 2, Text: "open"}},
		{message(ReplyError, 1, -1, 240, full), Reply{Type: ReplyError, Left: 1, Value: -1, Text: full}},
		{message(ReplyError, 1, 2, 241, full), Reply{Type: ReplyError, Left: 1, Value: 2, Text: full}},
		{message(99, 0, 0, 0xffffffff, full), Reply{Type: 99, Text: full}},
	} {
		got, err := parseReply(c.buf, nil)
		if err != nil || *got != c.want {
			t.Errorf("parseReply = %+v, %v, wanted %+v", got, err, c.want)
		}
	}
}

// pair is a stub that is not one: the test speaks for it on the second end.
func pair(t *testing.T) (*Stub, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := Connect(os.NewFile(uintptr(fds[0]), "stub"))
	t.Cleanup(func() { s.Close() })
	return s, fds[1]
}

func TestReceive(t *testing.T) {
	s, peer := pair(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd := int(null.Fd())
	say := func(buf []byte, fds ...int) {
		t.Helper()
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		if err := unix.Sendmsg(peer, buf, oob, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	say(message(ReplyFd, 1, 0, 3, "tty"), fd)
	r, err := s.Receive()
	if err != nil || r.File == nil || r.File.Name() != "tty" {
		t.Fatalf("a reply with a descriptor: %+v, %v", r, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(r.File.Fd()), &st); err != nil || st.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("the descriptor is not /dev/null: %v", err)
	}
	if flags, err := unix.FcntlInt(r.File.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Error("the descriptor is not close-on-exec")
	}
	r.File.Close()
	for name, send := range map[string]func(){
		"two descriptors":  func() { say(message(ReplyFd, 1, 0, 0, ""), fd, fd) },
		"many descriptors": func() { say(message(ReplyFd, 1, 0, 0, ""), make([]int, 40)...) },
		"too short":        func() { say(make([]byte, 12)) },
		"one byte short":   func() { say(make([]byte, replySize-1)) },
	} {
		before := openFiles(t)
		send()
		if r, err := s.Receive(); err == nil {
			t.Errorf("%s: taken for %+v", name, r)
		}
		if after := openFiles(t); after != before {
			t.Errorf("%s: %d descriptors became %d", name, before, after)
		}
	}
	unix.Close(peer)
	if _, err := s.Receive(); err != io.EOF {
		t.Errorf("a closed conversation: %v", err)
	}
	if err := s.Go(); err == nil || !strings.HasPrefix(err.Error(), "tell the stub to go on: ") {
		t.Errorf("Go to nobody: %v", err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestSlotsAreNoConversation: what stands for the descriptors that the stub opens itself does not keep rt's end of the conversation
// open, or a stub whose rt was killed would wait for ever.
func TestSlotsAreNoConversation(t *testing.T) {
	s, peer := pair(t)
	defer unix.Close(peer)
	if err := s.SendPlan([]Step{Setsid{}}, 4, []int{-1, 0}); err != nil {
		t.Fatal(err)
	}
	if err := s.SendInputs([]int{-1, -1}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	for range 2 {
		word, oob := make([]byte, 16), make([]byte, 4096)
		_, oobn, _, _, err := unix.Recvmsg(peer, word, oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(msgs) != 1 {
			t.Fatalf("%d control messages, %v", len(msgs), err)
		}
		fds, err := unix.ParseUnixRights(&msgs[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			defer unix.Close(fd)
		}
	}
	if n, _, err := unix.Recvfrom(peer, make([]byte, 1), unix.MSG_DONTWAIT); n != 0 || err != nil {
		t.Errorf("after rt has closed its end: read %d, %v, want the end", n, err)
	}
	if s.plan != nil {
		t.Errorf("the plan is still open")
	}
}

// As many descriptors as can go with a plan take several messages; one more is refused before anything is sent.
func TestSendPlan(t *testing.T) {
	for _, n := range []int{0, 1, 249, 250, 251, MaxFds} {
		s, peer := pair(t)
		files := make([]int, n) // stdin, each time
		early := min(n, 7)
		if err := s.SendPlan([]Step{Setsid{}}, n, files[:early]); err != nil {
			t.Fatal(err)
		}
		if err := s.SendInputs(files[early:]); err != nil {
			t.Fatal(err)
		}
		s.Close()
		got := 0
		for {
			word, oob := make([]byte, 16), make([]byte, 4096)
			n, oobn, _, _, err := unix.Recvmsg(peer, word, oob, unix.MSG_CMSG_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
			if err != nil || n != 4 || len(msgs) != 1 {
				t.Fatalf("%d bytes, %d control messages, %v", n, len(msgs), err)
			}
			fds, err := unix.ParseUnixRights(&msgs[0])
			if err != nil {
				t.Fatal(err)
			}
			if got == 0 { // the plan: nobody who has it can change it
				if _, err := unix.Pwrite(fds[0], word, 0); err != unix.EPERM {
					t.Errorf("write to the plan: %v, want EPERM", err)
				}
				if err := unix.Ftruncate(fds[0], 0); err != unix.EPERM {
					t.Errorf("truncate the plan: %v, want EPERM", err)
				}
			}
			got += len(fds)
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
		unix.Close(peer)
		if got != n+1 {
			t.Errorf("%d descriptors and the plan: %d were sent", n, got)
		}
	}
	s, peer := pair(t)
	defer unix.Close(peer)
	if err := s.SendPlan([]Step{Setsid{}}, MaxFds+1, nil); err == nil {
		t.Error("too many descriptors were announced")
	}
	if err := s.SendPlan([]Step{Setsid{}}, MaxFds, make([]int, 250)); err == nil {
		t.Error("more descriptors were sent than go with one message")
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add(message(ReplyError, 1, 2, 240, "open"))
	f.Add(message(ReplyPid, 1, 2, 0xffffffff, ""))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if len(buf) < replySize { // Receive sees to that
			return
		}
		if r, err := parseReply(buf[:replySize], nil); err != nil || len(r.Text) > replySize-16 || r.File != nil {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestGoToTheDead: who has died is told by EPIPE, also if it has never accepted the connection, or left a word unread.
func TestGoToTheDead(t *testing.T) {
	t.Run("unread", func(t *testing.T) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		s := Connect(os.NewFile(uintptr(pair[0]), "conv"))
		defer s.Close()
		if err := s.Go(); err != nil {
			t.Fatal(err)
		}
		unix.Close(pair[1])
		if err := s.Go(); !errors.Is(err, unix.EPIPE) {
			t.Errorf("got %v, want %v", err, unix.EPIPE)
		}
	})
	t.Run("not accepted", func(t *testing.T) {
		listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		name := &unix.SockaddrUnix{Name: filepath.Join(t.TempDir(), "s")}
		conv, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil || unix.Bind(listener, name) != nil || unix.Listen(listener, 1) != nil || unix.Connect(conv, name) != nil {
			t.Fatal("cannot connect: ", err)
		}
		s := Connect(os.NewFile(uintptr(conv), "conv"))
		defer s.Close()
		unix.Close(listener)
		if err := s.Go(); !errors.Is(err, unix.EPIPE) {
			t.Errorf("got %v, want %v", err, unix.EPIPE)
		}
	})
}
