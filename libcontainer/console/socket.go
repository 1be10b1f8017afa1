package console

import (
	"fmt"
	"os"
	"strconv"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

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

func connect(path string) (sock int, err error) {
	sock, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
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

func connectTo(sock int, path string) error {
	for {
		switch err := unix.Connect(sock, &unix.SockaddrUnix{Name: path}); err {
		case unix.EINTR: // the listener's backlog is full and a signal came
		case unix.EISCONN:
			return nil
		default:
			return err
		}
	}
}

func sendAll(sock int, fd *os.File, payload []byte) error {
	rights := unix.UnixRights(int(fd.Fd()))
	for len(payload) > 0 {
		n, err := unix.SendmsgN(sock, payload, rights, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		payload, rights = payload[n:], nil // the descriptor went with the first byte
	}
	return nil
}
