package notify

import (
	"fmt"
	"strconv"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// tell sends READY=1, MAINPID=pid and BARRIER=1 to the service manager, and waits for the barrier until done is closed.
func tell(host string, pid int, limit time.Duration, done <-chan struct{}) error {
	sock, err := connect(host, limit)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	wake, err := wakeOn(done)
	if err != nil {
		return err
	}
	defer wake.close()
	if err := send(sock, "READY=1\n", nil); err != nil {
		return err
	}
	// After READY=1: from MAINPID on, a service with NotifyAccess=main no longer listens to rt.
	if err := send(sock, "MAINPID="+strconv.Itoa(pid)+"\n", nil); err != nil {
		return err
	}
	return barrier(sock, limit, wake.fd)
}

// connect connects to NOTIFY_SOCKET. Paths beyond 107 bytes do not fit, as with sd_notify itself (EINVAL).
func connect(host string, limit time.Duration) (sock int, err error) {
	sock, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	wait := unix.NsecToTimeval(int64(limit)) // for a queue that stays full
	if err = unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err == nil {
		err = unix.Connect(sock, &unix.SockaddrUnix{Name: host}) // x/sys makes @name abstract
	}
	if err != nil {
		unix.Close(sock)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return sock, nil
}

func send(sock int, message string, rights []byte) error {
	if err := sys.Retry(func() error { return unix.Sendmsg(sock, []byte(message), rights, nil, unix.MSG_NOSIGNAL) }); err != nil {
		return fmt.Errorf("send %q: %w", message, err)
	}
	return nil
}

// barrier sends the writing end of a pipe, which the service manager closes when it has handled all messages
// before it (sd_notify_barrier(3)). BARRIER=1 must be alone in its message, without a newline. The wait ends when wake can be read.
func barrier(sock int, limit time.Duration, wake int) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("pipe2: %w", err)
	}
	defer unix.Close(pipe[0])
	err := send(sock, "BARRIER=1", unix.UnixRights(pipe[1]))
	unix.Close(pipe[1])
	if err != nil {
		return err
	}
	end := time.Now().Add(limit)
	fds := []unix.PollFd{{Fd: int32(pipe[0])}, {Fd: int32(wake), Events: unix.POLLIN}} // of the pipe POLLHUP, which always counts
	for {
		left := unix.NsecToTimespec(int64(max(0, time.Until(end))))
		switch n, err := unix.Ppoll(fds, &left, nil); {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case n == 0:
			return fmt.Errorf("wait %v for BARRIER=1: %w", limit, unix.ETIMEDOUT)
		default:
			return nil
		}
	}
}
