// Package notify stands between a container and the service manager that started rt: it takes the READY=1 of
// sd_notify(3) from the container's socket and passes it on, with the container's pid. It runs outside the container.
package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// What the container sees: Dir is bind-mounted at ContainerDir (read-only is enough to send), and its process
// has NOTIFY_SOCKET=ContainerSocket.
const (
	ContainerDir    = "/run/notify"
	ContainerSocket = ContainerDir + "/" + socketName

	socketName = "notify.sock"
)

// barrierLimit is how long the service manager has to take the messages in.
const barrierLimit = 30 * time.Second

// A Proxy is the container's socket and where its message goes.
type Proxy struct {
	dir   string
	host  string        // NOTIFY_SOCKET of rt
	at    *os.File      // dir, which another container may have made again when this one is closed
	sock  int           // bound to dir/notify.sock; -1 once closed
	watch int           // pidfd of the process; -1 if it had been reaped, or before Watch
	known bool          // by Watch
	limit time.Duration // of the barrier
}

// MakeDir makes the directory that is bind-mounted, mode 0755. create needs no more than that: the socket may
// come later, with start.
func MakeDir(dir string) error {
	if err := sys.MakeDir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make notify directory: %w", err)
	}
	if err := sys.ChmodDir(dir, 0o755); err != nil { // whatever the umask is, the container's user must get through
		return fmt.Errorf("make notify directory: %w", err)
	}
	return nil
}

// New makes dir, if it is not there, and in it the datagram socket notify.sock, in place of one that an earlier
// rt left. hostSocket is the NOTIFY_SOCKET that rt was given: an absolute path, or @ and an abstract name.
// Anything else (vsock) is an error that is EAFNOSUPPORT.
func New(dir, hostSocket string) (*Proxy, error) {
	if hostSocket == "" || hostSocket[0] != '/' && hostSocket[0] != '@' {
		return nil, fmt.Errorf("use NOTIFY_SOCKET %q: %w\nhint: it must be an absolute path or @name", hostSocket, unix.EAFNOSUPPORT)
	}
	if err := MakeDir(dir); err != nil {
		return nil, err
	}
	// Through a descriptor, because dir may be longer than an address can be (107 bytes).
	at, err := sys.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, fmt.Errorf("make notify socket: %w", err)
	}
	sock, err := bind(int(at.Fd()))
	if err != nil {
		at.Close()
		return nil, fmt.Errorf("make notify socket %s: %w", filepath.Join(dir, socketName), err)
	}
	return &Proxy{dir: dir, host: hostSocket, at: at, sock: sock, watch: -1, limit: barrierLimit}, nil
}

func bind(d int) (sock int, err error) {
	sock, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	unix.Unlinkat(d, socketName, 0) // if it matters that this fails, bind will say so
	err = unix.Bind(sock, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(d) + "/" + socketName})
	if err == nil {
		err = sys.ChmodSocket(d, socketName, 0o777) // any user of the container may send (unix(7))
	}
	if err != nil {
		unix.Close(sock)
		return -1, err
	}
	return sock, nil
}

// Dir is the directory to bind-mount into the container.
func (p *Proxy) Dir() string { return p.dir }

// Forward waits until the container says READY=1 and then tells the service manager READY=1 and MAINPID=pid, and
// waits until it has taken that in (BARRIER=1, up to 30 s; an error that is ETIMEDOUT if it does not), or done is closed. It returns
// nil without telling anything when done is closed or the process pid has ended before the container was ready.
//
// Nothing else that the container sends is passed on: its MAINPID would be a pid of another namespace, or an
// attempt to have the host supervise (and kill) somebody else's process.
// Close the Proxy afterwards: a socket that nobody reads would block the container's next sd_notify for ever.
func (p *Proxy) Forward(pid int, done <-chan struct{}) error {
	if !p.known {
		if err := p.Watch(pid); err != nil {
			return err
		}
	}
	ready, err := p.await(done)
	if err != nil {
		return fmt.Errorf("wait for the container's READY=1: %w", err)
	}
	if !ready {
		return nil
	}
	if err := tell(p.host, pid, p.limit, done); err != nil {
		return fmt.Errorf("notify %s: %w", p.host, err)
	}
	return nil
}

// Close ends the container's socket; not while Forward runs (close its done instead). A second Close does nothing.
func (p *Proxy) Close() error {
	if p == nil || p.sock < 0 {
		return nil
	}
	if p.watch >= 0 {
		unix.Close(p.watch)
	}
	err := errors.Join(unix.Close(p.sock), unix.Unlinkat(int(p.at.Fd()), socketName, 0))
	p.at.Close()
	p.sock, p.watch = -1, -1
	if err != nil && !errors.Is(err, os.ErrNotExist) { // the state directory may be gone already
		return fmt.Errorf("close notify socket: %w", err)
	}
	return nil
}

// Watch says which process the proxy is for: later its pid may be another's.
func (p *Proxy) Watch(pid int) (err error) {
	p.watch, err = unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH { // it has been reaped; what it said is still in the socket
		p.watch, err = -1, nil
	}
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	p.known = true
	return nil
}
