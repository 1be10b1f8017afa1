package nsenter

// #include "steps.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A Stub is a stub that was started and has not been left to itself yet.
type Stub struct {
	Pid  int // of the process that was started; the one that becomes the container's is reported with ReplyPid
	conv *os.File
	plan *os.File // sealed; what is sent for the slots that the stub fills itself. nil before SendPlan and after SendInputs
}

// ReplyType says what a Reply is about.
type ReplyType uint32

// The replies of the stub.
const (
	ReplyPid       ReplyType = iota + 1 // Value: pid of the container's process, a child of rt
	ReplySync                           // Value: a sync point
	ReplyFd                             // File: the terminal's master (Value 0) or the filter's listener (Value 1)
	ReplyError                          // Value: errno of the step, Text: what failed in it
	ReplyListener                       // Value: number of the filter's listener among the descriptors of the stub, which waits
	ReplyMounts                         // Text: the ids of mounts with Tell, in the order of the steps
	ReplyNoProgram                      // Value: errno of execve. The process ends as the program: see OwnEnd
)

// A Reply is one message of the stub.
type Reply struct {
	Type  ReplyType
	Left  int // steps to the end of the plan, the one that the reply is about included
	Value int
	Text  string
	File  *os.File
	From  int // pid of the sender, by the kernel; 0 where it is not asked for
}

// Connect is for a stub that has been waiting since another rt started it: conv is connected to its start socket.
func Connect(conv *os.File) *Stub { return &Stub{conv: conv} }

// Close ends the conversation. A stub that still waits for a word ends too.
func (s *Stub) Close() error {
	s.closePlan()
	return s.conv.Close()
}

// Interrupt ends the conversation for both sides, whichever waits for a message at this moment. Another goroutine may call it.
func (s *Stub) Interrupt() {
	conn, err := s.conv.SyscallConn()
	if err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // fails only if it is closed
	}
}

// mostFds is how many descriptors go with one message: SCM_MAX_FD is 253 (unix(7)).
const mostFds = 250

// SendPlan sends the steps, which refer to total descriptors, and the first of those; the step Inputs waits for the others.
// One that is -1 is for a step OpenTree to fill.
func (s *Stub) SendPlan(steps []Step, total int, early []int) error {
	data, err := Encode(steps, total)
	if err != nil {
		return err
	}
	if len(early) >= mostFds {
		return fmt.Errorf("send the plan: %d descriptors are too many for its first steps", len(early))
	}
	mem, err := unix.MemfdCreate("rt-plan", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("create memfd for the plan: %w", err)
	}
	s.plan = os.NewFile(uintptr(mem), "rt-plan")
	if _, err := s.plan.Write(data); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	// The stub refuses a plan that could still change after its check.
	if _, err := unix.FcntlInt(s.plan.Fd(), unix.F_ADD_SEALS, allSeals); err != nil {
		return fmt.Errorf("seal the plan: %w", err)
	}
	return s.sendFiles(append([]int{-1}, early...))
}

// SendInputs sends the descriptors that the step Inputs waits for.
func (s *Stub) SendInputs(late []int) error {
	defer s.closePlan()
	for chunk := range slices.Chunk(late, mostFds) {
		if err := s.sendFiles(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stub) closePlan() {
	s.plan.Close() // or nothing, of a nil one
	s.plan = nil
}

// sendFiles sends the plan in place of a descriptor -1. It must not be an end of the conversation: the stub, and each process that it forks
// meanwhile, would keep that open, and not see that rt has ended.
func (s *Stub) sendFiles(fds []int) error {
	sent := slices.Clone(fds)
	for i, fd := range sent {
		if fd < 0 {
			sent[i] = int(s.plan.Fd())
		}
	}
	if err := s.send(unix.UnixRights(sent...)); err != nil {
		return fmt.Errorf("send the plan: %w", err)
	}
	return nil
}

// Go lets the stub go on from a sync point.
func (s *Stub) Go() error {
	if err := s.send(nil); err != nil {
		return fmt.Errorf("tell the stub to go on: %w", err)
	}
	return nil
}

// SendListener lets a stub that has told the number of its listener send it.
func (s *Stub) SendListener() error {
	if err := s.word(planMagic+1, nil); err != nil {
		return fmt.Errorf("ask the stub for the listener: %w", err)
	}
	return nil
}

func (s *Stub) send(rights []byte) error { return s.word(planMagic, rights) }

func (s *Stub) word(n uint32, rights []byte) error {
	word := binary.NativeEndian.AppendUint32(nil, n)
	for {
		err := unix.Sendmsg(int(s.conv.Fd()), word, rights, nil, unix.MSG_NOSIGNAL)
		// ECONNRESET: it has died with something of ours unread, or before it accepted the connection; that is said once, and
		// then it is EPIPE (unix(7)).
		if err != unix.EINTR && err != unix.ECONNRESET {
			return err
		}
	}
}

// Limit bounds the wait of each Receive, which is then an error that is EAGAIN.
func (s *Stub) Limit(wait time.Duration) error {
	limit := unix.NsecToTimeval(int64(wait))
	if err := unix.SetsockoptTimeval(int(s.conv.Fd()), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return fmt.Errorf("hear from the stub: %w", err)
	}
	return nil
}

// Receive waits for the next reply. io.EOF: the stub has become the user's program, or is dead.
func (s *Stub) Receive() (*Reply, error) {
	var buf [replySize]byte
	var oob [64]byte
	for {
		n, oobn, _, _, err := unix.Recvmsg(int(s.conv.Fd()), buf[:], oob[:], unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECONNRESET): // dead with a message of ours unread; said once, and then comes what it has said
			continue
		case err != nil:
			return nil, fmt.Errorf("hear from the stub: %w", err)
		case n == 0:
			return nil, io.EOF
		case n != replySize:
			return nil, fmt.Errorf("hear from the stub: %d bytes are no message", n)
		}
		return parseReply(buf[:], oob[:oobn])
	}
}

// AwaitEither waits until there is something to receive, or another file has something. It reports the first if both do.
func (s *Stub) AwaitEither(other *os.File) (there bool, err error) {
	fds := []unix.PollFd{{Fd: int32(s.conv.Fd()), Events: unix.POLLIN}, {Fd: int32(other.Fd()), Events: unix.POLLIN}}
	err = sys.Retry(func() error { _, err := unix.Poll(fds, -1); return err })
	if err == nil && fds[0].Revents == 0 { // the stub may have sent it after the first look and before the second
		err = sys.Retry(func() error { _, err := unix.Poll(fds[:1], 0); return err })
	}
	if err != nil {
		return false, fmt.Errorf("hear from the stub: %w", err)
	}
	// Without POLLIN the other has ended, and only a message can come.
	return fds[0].Revents != 0 || fds[1].Revents&unix.POLLIN == 0, nil
}

// MountIDs are those that a ReplyMounts has.
func (r *Reply) MountIDs() (ids []uint64) {
	for text := []byte(r.Text); len(text) >= 8; text = text[8:] {
		ids = append(ids, binary.NativeEndian.Uint64(text))
	}
	return ids
}

// Drop takes a message that is not needed, if there is one.
func (s *Stub) Drop() {
	var buf [replySize]byte
	_, _, _, _, _ = unix.Recvmsg(int(s.conv.Fd()), buf[:], nil, unix.MSG_DONTWAIT)
}

func parseReply(buf, oob []byte) (*Reply, error) {
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(buf[at:]) }
	r := &Reply{
		Type: ReplyType(u32(0)), Left: int(u32(4)), Value: int(int32(u32(8))),
		Text: string(buf[16 : 16+min(u32(12), replySize-16)]),
	}
	if r.Type == ReplyError { // a file system's words are on lines of their own, after "e "
		if call, detail, _ := strings.Cut(r.Text, "\n"); len(detail) > 2 {
			r.Text = call + ": " + strings.TrimSuffix(detail[2:], "\n")
		} else {
			r.Text = call
		}
	}
	if len(oob) == 0 {
		return r, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("hear from the stub: bad control message")
	}
	for i := range msgs {
		if err := r.control(&msgs[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// control takes what the kernel or the stub has put beside a message: who sent it, or one descriptor.
func (r *Reply) control(m *unix.SocketControlMessage) error {
	if m.Header.Type == unix.SCM_CREDENTIALS {
		who, err := unix.ParseUnixCredentials(m)
		if err != nil {
			return fmt.Errorf("hear from the stub: bad credentials")
		}
		r.From = int(who.Pid)
		return nil
	}
	fds, err := unix.ParseUnixRights(m)
	if err != nil || len(fds) != 1 || r.File != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return fmt.Errorf("hear from the stub: bad descriptors")
	}
	r.File = os.NewFile(uintptr(fds[0]), r.Text)
	return nil
}

// ReceiveFiles takes the answer of a process that hands out its root and its namespaces: HandOut. io.EOF: it gives none.
func ReceiveFiles(socket int) ([]*os.File, error) {
	var word [4]byte
	var oob [512]byte
	var n, oobn int
	err := sys.Retry(func() (err error) {
		n, oobn, _, _, err = unix.Recvmsg(socket, word[:], oob[:], unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if errors.Is(err, unix.ECONNRESET) || err == nil && n == 0 {
		return nil, io.EOF
	}
	if err != nil {
		return nil, err
	}
	var files []*os.File
	msgs, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for i := range msgs {
		fds, _ := unix.ParseUnixRights(&msgs[i])
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "handed out"))
		}
	}
	if n != len(word) || binary.NativeEndian.Uint32(word[:]) != planMagic || len(files) == 0 {
		for _, f := range files {
			f.Close()
		}
		return nil, errors.New("bad answer")
	}
	return files, nil
}

// Sync points: what the stub has reached when it waits for rt's word.
const (
	SyncMapIDs     = iota + 1 // in a new user namespace without mappings
	SyncTime                  // a new time namespace for children is ready for its offsets
	SyncCgroup                // a process that must be moved into its cgroup v2 directory
	SyncHooks                 // the mounts are there, the root is not pivoted yet
	SyncReady                 // everything is set up: the container is created
	SyncAffinity              // in the cgroup, to be given its final CPU affinity
	SyncExec                  // the user's program comes next; the stub does not wait
	SyncGate                  // a Gate is next, then the program
	SyncNamespaces            // all namespaces are there, and rt may still look at them
	SyncFiltered              // a filter is loaded, and its listener closed; the stub does not wait
)

// ListenerClosed is the text of a ReplyListener that SyncFiltered follows. That of an older rt's stub has none.
const ListenerClosed = "SYNC_FILTERED follows"

// Inputs waits for the descriptors that did not come with the plan: those of the slots from Early on.
type Inputs struct {
	Early int
}

func (Inputs) Name() string     { return "inputs" }
func (Inputs) String() string   { return "wait for cgroups and trees of mounts" }
func (Inputs) encode(r *record) { r.kind = C.K_inputs }

// Sync tells rt that a point has been reached, and waits unless GoOn. With Heed a signal ends the process from then on, until
// AwaitStart is over.
type Sync struct {
	Point  int
	GoOn   bool
	Heed   bool
	Mounts bool `json:",omitempty"` // tell the ids of the mounts with Tell
}

func (Sync) Name() string     { return "sync" }
func (s Sync) String() string { return "let rt " + syncNames[s.Point] }

func (s Sync) encode(r *record) {
	set(r, C.K_sync, C.struct_args_sync{point: u32(s.Point), go_on: truth(s.GoOn), heed: truth(s.Heed), mounts: truth(s.Mounts)})
}

var syncNames = [...]string{"", "map ids", "set time offsets", "move it to its cgroup", "run hooks", "report that the container is created", "set the final CPU affinity", "announce the program", "hand over what is waited for", "note the namespaces"}
