// Package criu is the conversation with CRIU, the program that saves a tree of processes into files and brings it back.
// It runs outside of the container. rt starts `criu swrk FD` and speaks its RPC protocol over a SOCK_SEQPACKET socket; the
// command line would do for neither terminals, whose masters CRIU hands over in this conversation only, nor hooks.
package criu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// firstExtra is the number in CRIU's process of the first of the descriptors that it is given, after stdio and the conversation.
const firstExtra = 4

// A Session is a running CRIU.
type Session struct {
	Pid    int // a child of this process; 0 when it has been reaped
	conv   *os.File
	end    *os.File // pidfd
	stderr *os.File // what it says before it has a log file
}

// Find looks for the program: a path, or a name in $PATH; "" is criu.
func Find(program string) (string, error) {
	if program == "" {
		program = "criu"
	}
	path, err := exec.LookPath(program) // exec.ErrDot: an element of PATH is relative, and whoever can write to the working directory says what runs
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", hint.With(fmt.Errorf("find %s, which saves and restores processes: %w", program, reason(err)),
			"install CRIU (the package criu), 3.0 or later")
	}
	return path, nil
}

func reason(err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Start starts CRIU from the calling thread, whose namespaces it gets. stdin and stdout become its own; extra are further
// descriptors, whose numbers there are NumberOf(0), NumberOf(1) ...
func Start(path string, stdin, stdout *os.File, extra []*os.File) (*Session, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket for criu: %w", err)
	}
	defer unix.Close(pair[1])
	s := &Session{conv: os.NewFile(uintptr(pair[0]), "criu")}
	fd, err := unix.MemfdCreate("criu-stderr", unix.MFD_CLOEXEC)
	if err != nil {
		s.conv.Close()
		return nil, fmt.Errorf("make a file for what criu says: %w", err)
	}
	s.stderr = os.NewFile(uintptr(fd), "criu-stderr")
	files := []uintptr{stdin.Fd(), stdout.Fd(), s.stderr.Fd(), uintptr(pair[1])}
	for _, f := range extra {
		files = append(files, f.Fd())
	}
	s.Pid, err = syscall.ForkExec(path, []string{"criu", "swrk", strconv.Itoa(firstExtra - 1)}, &syscall.ProcAttr{Env: os.Environ(), Files: files})
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	pidfd, err := unix.PidfdOpen(s.Pid, 0)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open pidfd of criu: %w", err)
	}
	s.end = os.NewFile(uintptr(pidfd), "pidfd")
	return s, nil
}

// NumberOf is the number of a descriptor of extra in CRIU's process.
func NumberOf(extra int) int { return firstExtra + extra }

// Close ends the conversation; CRIU, if it is still at work, gives up and undoes what it has begun.
func (s *Session) Close() {
	s.conv.Close()
	_, _ = s.reap()
	s.stderr.Close()
	if s.end != nil {
		s.end.Close()
	}
}

func (s *Session) reap() (ws unix.WaitStatus, err error) {
	if s.Pid != 0 {
		ws, err = sys.Wait(s.Pid)
		s.Pid = 0
	}
	return ws, err
}

// Version asks for CRIU's own.
func (s *Session) Version() (Version, error) {
	r, err := s.ask(&request{kind: versionCheck, keepOpen: true}, nil)
	if err != nil {
		return 0, err
	}
	return r.version, nil
}

// Features asks which of some features there are.
func (s *Session) Features(wanted Features) (Features, error) {
	r, err := s.ask(&request{kind: featureCheck, keepOpen: true, features: wanted}, nil)
	if err != nil {
		return Features{}, err
	}
	return r.features, nil
}

// Do has CRIU dump or restore. serve is called at each point that CRIU waits at; its error ends all. The result is the pid of a
// restored init. CRIU has ended when Do returns without an error.
func (s *Session) Do(kind RequestType, o *Options, serve func(Notification) error) (pid int, err error) {
	r, err := s.ask(&request{kind: kind, opts: o}, serve)
	if err != nil {
		return 0, err
	}
	s.conv.Close() // after a pre-dump it would wait for the next one
	ws, err := s.reap()
	if err == nil && kind != PreDump && (!ws.Exited() || ws.ExitStatus() != 0) {
		err = &Error{Type: kind, Message: "it has ended with " + ending(ws) + " after it had reported success"}
	}
	return r.pid, err
}

func ending(ws unix.WaitStatus) string {
	if ws.Signaled() {
		return "signal " + strconv.Itoa(int(ws.Signal()))
	}
	return "exit status " + strconv.Itoa(ws.ExitStatus())
}

// ask sends a request and waits for its answer; on the way it lets serve serve notifications.
func (s *Session) ask(q *request, serve func(Notification) error) (*response, error) {
	if err := s.send(q); err != nil {
		return nil, s.gone(q.kind, err)
	}
	for {
		r, fd, err := s.receive()
		if err != nil {
			return nil, s.gone(q.kind, err)
		}
		if r.kind == notify && r.success && serve != nil {
			r.notify.Fd = fd
			if err := serve(r.notify); err != nil {
				return nil, err
			}
			if err := s.send(&request{kind: notify, done: true}); err != nil {
				return nil, s.gone(q.kind, err)
			}
			continue
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		if !r.success {
			return nil, &Error{Type: r.kind, Errno: r.errno, Message: s.explain(r.message)}
		}
		if r.kind != q.kind {
			return nil, &Error{Type: q.kind, Message: "its answer is about " + r.kind.String()}
		}
		return r, nil
	}
}

func (s *Session) send(q *request) error {
	data := q.encode()
	return sys.Retry(func() error { return unix.Sendmsg(int(s.conv.Fd()), data, nil, nil, unix.MSG_NOSIGNAL) })
}

// errEnded: the other end of the conversation is closed.
var errEnded = errors.New("it has ended without an answer")

// await waits for a message, or the end of CRIU: what it has restored may have the other end of the conversation open for longer.
func (s *Session) await() error {
	fds := []unix.PollFd{{Fd: int32(s.conv.Fd()), Events: unix.POLLIN}, {Fd: int32(s.end.Fd()), Events: unix.POLLIN}}
	err := sys.Retry(func() error { _, err := unix.Ppoll(fds, nil, nil); return err })
	if err != nil || fds[0].Revents != 0 {
		return err
	}
	fds = fds[:1] // it may have said something and ended at the same time
	err = sys.Retry(func() error { _, err := unix.Poll(fds, 0); return err })
	if err == nil && fds[0].Revents == 0 {
		err = errEnded
	}
	return err
}

// receive waits for a message. The descriptor that came with it, or -1, is the caller's.
func (s *Session) receive() (r *response, fd int, err error) {
	buf, oob := make([]byte, 64<<10), make([]byte, 256)
	var n, oobn, flags int
	if err := s.await(); err != nil {
		return &response{}, -1, err
	}
	err = sys.Retry(func() (err error) {
		n, oobn, flags, _, err = unix.Recvmsg(int(s.conv.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	fd = oneFd(oob[:oobn])
	r = &response{}
	switch {
	case err == nil && n == 0, errors.Is(err, unix.ECONNRESET):
		err = errEnded
	case err == nil && flags&unix.MSG_TRUNC != 0:
		err = errBadMessage
	case err == nil:
		err = r.decode(buf[:n])
	}
	if err != nil && fd >= 0 {
		unix.Close(fd)
		fd = -1
	}
	return r, fd, err
}

// oneFd is the first descriptor of control messages, -1 if there is none. Others are closed.
func oneFd(oob []byte) int {
	first := -1
	msgs, _ := unix.ParseSocketControlMessage(oob)
	for i := range msgs {
		fds, _ := unix.ParseUnixRights(&msgs[i])
		for _, fd := range fds {
			if first < 0 {
				first = fd
			} else {
				unix.Close(fd)
			}
		}
	}
	return first
}

// gone explains a conversation that broke off by how CRIU has ended.
func (s *Session) gone(kind RequestType, err error) error {
	if !errors.Is(err, errEnded) && !errors.Is(err, unix.EPIPE) {
		return err
	}
	message := errEnded.Error()
	if ws, err := s.reap(); err == nil {
		message = "it has ended with " + ending(ws) + " and without an answer"
	}
	return &Error{Type: kind, Message: s.explain(message)}
}

// explain adds what CRIU has said on its standard error.
func (s *Session) explain(message string) string {
	said := strings.Join(excerpt(s.stderr), "; ")
	switch {
	case message == "":
		return said
	case said == "":
		return message
	}
	return message + ": " + said
}

// An Error is a request that CRIU did not carry out. Its text begins with words that callers of runc know.
type Error struct {
	Type    RequestType
	Errno   int
	Message string // CRIU's own, or ""
	Log     string // path of the log file, or ""
	Excerpt []string
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "criu failed: type %s errno %d", e.Type, e.Errno)
	if e.Message != "" {
		b.WriteString(": " + strings.TrimSpace(e.Message))
	}
	if e.Log != "" {
		b.WriteString("; log file: " + e.Log)
	}
	for _, line := range e.Excerpt {
		b.WriteString("; " + line)
	}
	return b.String()
}
