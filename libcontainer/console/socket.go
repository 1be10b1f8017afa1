package console

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// limit bounds the wait for a listener whose backlog is full, and the wait for one that does not read.
const limit = 3 * time.Second

// maxName is what runc's and containerd's receivers accept as a name.
const maxName = 4096

// Send hands the terminal's master to whoever listens on the --console-socket (AF_UNIX, stream): one message,
// whose payload is the terminal's name and whose only descriptor is the master.
func Send(socketPath string, master *os.File, name string) error {
	if len(name) > maxName {
		return fmt.Errorf("send terminal to %s: name of %d bytes: %w", socketPath, len(name), unix.EINVAL)
	}
	return SendFd(socketPath, master, name)
}

// SendFd connects to the AF_UNIX stream socket at socketPath and sends payload (not empty) with fd in its first message.
// The path may be longer than the 107 bytes that a socket address holds.
func SendFd(socketPath string, fd *os.File, payload string) error {
	if len(payload) == 0 { // unix(7): a stream carries no descriptor without a byte
		return fmt.Errorf("send descriptor to %s: payload of %d bytes: %w", socketPath, len(payload), unix.EINVAL)
	}
	sock, err := connect(socketPath)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", socketPath, err)
	}
	defer unix.Close(sock)
	if err := sendAll(sock, fd, []byte(payload)); err != nil {
		return fmt.Errorf("send descriptor to %s: %w", socketPath, err)
	}
	return nil
}

// Look says why SendFd could not connect to a socket, as far as that can be told without a connection, which its listener would have
// to accept: a datagram socket connects to no other type (EPROTOTYPE), but looks for it, and for the right to write to it.
func Look(socketPath string) error {
	sock, err := connectAs(unix.SOCK_DGRAM, socketPath)
	if err == nil { // it is no stream
		unix.Close(sock)
		err = unix.EPROTOTYPE
	} else if err == unix.EPROTOTYPE {
		return nil
	}
	return fmt.Errorf("connect to %s: %w", socketPath, err)
}

func connect(path string) (sock int, err error) { return connectAs(unix.SOCK_STREAM, path) }

func connectAs(kind int, path string) (sock int, err error) {
	sock, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if len(path) < len(unix.RawSockaddrUnix{}.Path) {
		err = connectTo(sock, path)
	} else {
		err = connectLong(sock, path)
	}
	if err != nil {
		unix.Close(sock)
		return -1, err
	}
	return sock, nil
}

// connectLong goes through a magic link: unlike the path itself it always fits into an address.
func connectLong(sock int, path string) error {
	target, err := sys.Open(path, unix.O_PATH)
	if err != nil {
		return err
	}
	defer target.Close()
	return connectTo(sock, "/proc/self/fd/"+strconv.Itoa(int(target.Fd())))
}

// connectTo gives a listener that is busy some time. connect(2) itself would wait for as long as its backlog is full, and poll(2) tells
// nothing of that.
func connectTo(sock int, path string) error {
	deadline := time.Now().Add(limit)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		switch err := unix.Connect(sock, &unix.SockaddrUnix{Name: path}); err {
		case unix.EINTR:
		case unix.EISCONN:
			return nil
		case unix.EAGAIN:
			if time.Now().After(deadline) {
				return fmt.Errorf("nobody accepts connections there for %v: %w", limit, err)
			}
			time.Sleep(wait)
		default:
			return err
		}
	}
}

// awaitRoom waits until the other end has read something.
func awaitRoom(sock int, deadline time.Time) error {
	left := time.Until(deadline).Milliseconds()
	if left <= 0 {
		return fmt.Errorf("nobody reads there for %v: %w", limit, unix.EAGAIN)
	}
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(sock), Events: unix.POLLOUT}}, int(left))
	if err == unix.EINTR {
		err = nil
	}
	return err
}

func sendAll(sock int, fd *os.File, payload []byte) error {
	deadline := time.Now().Add(limit)
	rights := unix.UnixRights(int(fd.Fd()))
	for len(payload) > 0 {
		n, err := unix.SendmsgN(sock, payload, rights, nil, unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if err = awaitRoom(sock, deadline); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		payload, rights = payload[n:], nil // the descriptor went with the first byte
	}
	return nil
}
