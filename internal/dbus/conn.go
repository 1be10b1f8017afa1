package dbus

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A Conn is a connection to a bus, or to a program that speaks D-Bus without one. It is for one goroutine.
type Conn struct {
	fd      int
	serial  uint32
	in      []byte              // received, not parsed
	heard   []*message          // signals, the oldest first
	replies map[uint32]*message // of calls that wait for their reply: nil until it comes
	sender  string              // who has sent the last reply
}

// An Error is an error reply.
type Error struct{ Name, Text string }

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Name
	}
	return strings.TrimSuffix(e.Text, ".")
}

// Named says whether err is an error reply of this name.
func Named(err error, name string) bool {
	var e *Error
	return errors.As(err, &e) && e.Name == name
}

// maxHeard bounds the signals that are kept, each of maxKept bytes at most: the other side, and on a message bus any user,
// sends as many as it likes.
const maxHeard = 256

// Dial connects to the first address of a list ("unix:path=/run/a;unix:abstract=b") that answers, and says who we
// are. The other side learns that from the kernel (SO_PEERCRED): the protocol's EXTERNAL without an identity of
// our own, for in a user namespace we do not know by which uid we are known outside.
func Dial(addresses string, deadline time.Time) (*Conn, error) {
	err := fmt.Errorf("D-Bus address %q: no unix socket in it", addresses)
	for address := range strings.SplitSeq(addresses, ";") {
		name, ok := socketName(address)
		if !ok {
			continue
		}
		c, dialErr := dial(name, deadline)
		if dialErr == nil {
			return c, nil
		}
		err = fmt.Errorf("connect to %s: %w", strings.Replace(name, "\x00", "@", 1), dialErr)
	}
	return nil, err
}

// socketName is the name of the socket in "unix:path=NAME,..." or "unix:abstract=NAME,...", as connect(2) takes it.
func socketName(address string) (string, bool) {
	rest, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", false
	}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(part, "=")
		value, err := url.PathUnescape(value)
		if err != nil || value == "" {
			continue
		}
		switch key {
		case "path":
			return value, true
		case "abstract":
			return "\x00" + value, true
		}
	}
	return "", false
}

func dial(name string, deadline time.Time) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := &Conn{fd: fd, replies: map[uint32]*message{}}
	// A listener that accepts no connection would hold up connect(2).
	left := unix.NsecToTimeval(max(time.Until(deadline), time.Millisecond).Nanoseconds())
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &left); err == nil {
		if err = sys.Retry(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: name}) }); err == nil {
			err = c.authenticate(deadline)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

// authenticate writes everything at once; the answers are read after.
func (c *Conn) authenticate(deadline time.Time) error {
	if err := c.write([]byte("\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"), deadline); err != nil {
		return err
	}
	for _, want := range [...]string{"DATA", "OK"} {
		line, err := c.line(deadline)
		if err != nil {
			return err
		}
		if word, _, _ := strings.Cut(line, " "); word != want {
			return fmt.Errorf("authentication refused: %w", unix.EACCES)
		}
	}
	return nil
}

func (c *Conn) line(deadline time.Time) (string, error) {
	const most = 512
	for {
		if line, rest, ok := strings.Cut(string(c.in), "\r\n"); ok {
			c.in = []byte(rest)
			return line, nil
		}
		if len(c.in) > most {
			return "", errMalformed
		}
		if err := c.fill(deadline); err != nil {
			return "", err
		}
	}
}

func (c *Conn) write(data []byte, deadline time.Time) error {
	for len(data) > 0 {
		n, err := unix.SendmsgN(c.fd, data, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if err := c.poll(unix.POLLOUT, deadline); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		data = data[n:]
	}
	return nil
}

// poll waits until the socket can be read or written.
func (c *Conn) poll(events int16, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		ready := []unix.PollFd{{Fd: int32(c.fd), Events: events}}
		switch n, err := unix.Poll(ready, int(left.Milliseconds())+1); {
		case err == unix.EINTR || err == nil && n == 0:
		default:
			return err
		}
	}
}

// fill reads what there is, or waits for it.
func (c *Conn) fill(deadline time.Time) error {
	for {
		if err := c.poll(unix.POLLIN, deadline); err != nil {
			return err
		}
		var buf [4096]byte
		n, err := unix.Read(c.fd, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		c.in = append(c.in, buf[:n]...)
		return nil
	}
}

// next waits for one message. Those that are no replies, and are long or malformed, are left out: a message bus passes on what any
// user sends. Long ones are never in memory as a whole.
func (c *Conn) next(deadline time.Time) (*message, error) {
	for {
		size, err := messageSize(c.in)
		switch {
		case err != nil:
			return nil, err
		case size > maxKept && isReply(c.in[1]):
			return nil, errMalformed
		case size > maxKept:
			if err := c.skip(size, deadline); err != nil {
				return nil, err
			}
		case size > 0 && len(c.in) >= size:
			m, err := parseMessage(c.in[:size:size])
			reply := isReply(c.in[1])
			c.in = c.in[size:]
			if err == nil || reply {
				return m, err
			}
		default:
			if err := c.fill(deadline); err != nil {
				return nil, err
			}
		}
	}
}

// skip drops bytes as they come.
func (c *Conn) skip(n int, deadline time.Time) error {
	for n > len(c.in) {
		n -= len(c.in)
		c.in = c.in[:0]
		if err := c.fill(deadline); err != nil {
			return err
		}
	}
	c.in = c.in[n:]
	return nil
}

// Send sends a call; Reply waits for its answer. Several calls on their way cost one wait.
func (c *Conn) Send(call Call, deadline time.Time) (serial uint32, err error) {
	c.serial++
	c.replies[c.serial] = nil
	return c.serial, c.write(call.encode(c.serial), deadline)
}

// Reply waits for the answer to a call and returns its values; those of types that systemd's answers here do not
// have are an error.
func (c *Conn) Reply(serial uint32, deadline time.Time) ([]Value, error) {
	for c.replies[serial] == nil {
		m, err := c.next(deadline)
		if err != nil {
			return nil, err
		}
		c.keep(m)
	}
	m := c.replies[serial]
	delete(c.replies, serial)
	c.sender = m.sender
	if m.kind == kindError {
		return nil, m.error()
	}
	return m.values()
}

// keep keeps the replies that are waited for, and the newest signals, those of the program that was called last longer than others.
func (c *Conn) keep(m *message) {
	switch first, isOurs := c.replies[m.replyTo]; {
	case isReply(m.kind):
		if isOurs && first == nil {
			c.replies[m.replyTo] = m
		}
	case m.kind == kindSignal:
		if len(c.heard) == maxHeard {
			i := max(0, slices.IndexFunc(c.heard, func(h *message) bool { return h.sender != c.sender }))
			c.heard = slices.Delete(c.heard, i, i+1)
		}
		c.heard = append(c.heard, m)
	}
}

func (m *message) error() error {
	e := &Error{Name: m.errName}
	if strings.HasPrefix(m.signature, "s") {
		m.signature = "s"
		if list, err := m.values(); err == nil {
			e.Text = string(list[0].(String))
		}
	}
	return e
}

// Call sends a call and waits for its answer.
func (c *Conn) Call(call Call, deadline time.Time) ([]Value, error) {
	serial, err := c.Send(call, deadline)
	if err != nil {
		return nil, err
	}
	return c.Reply(serial, deadline)
}

// A Signal is what a signal must be to be heard.
type Signal struct{ Path, Interface, Member string }

// Signal waits for a signal whose values are accepted, of those that came since the connection was made and were not waited for
// before. It must be of the program that has sent the last reply: on a message bus any user may send any signal, and only the
// sender is the bus's word. If that program has connected to the bus anew meanwhile, it is known by the name in the bus.
func (c *Conn) Signal(s Signal, name string, accept func([]Value) bool, deadline time.Time) error {
	from := c.sender
	for {
		m, err := c.signal(deadline)
		if err != nil {
			return err
		}
		if m.kind != kindSignal || m.member != s.Member || m.iface != s.Interface || m.path != s.Path {
			continue
		}
		if list, err := m.values(); err != nil || !accept(list) {
			continue
		}
		if m.sender == from {
			return nil
		}
		owner, err := c.Call(bus("GetNameOwner", String(name)), deadline)
		c.sender = from
		switch _, isError := err.(*Error); {
		case err != nil && !isError:
			return err
		case err == nil && len(owner) == 1 && owner[0] == String(m.sender):
			return nil
		}
	}
}

// signal is the oldest signal that was kept, or the next message.
func (c *Conn) signal(deadline time.Time) (m *message, err error) {
	if len(c.heard) == 0 {
		return c.next(deadline)
	}
	m, c.heard = c.heard[0], c.heard[1:]
	return m, nil
}

// bus is a call of the message bus itself.
func bus(member string, args ...Value) Call {
	const name = "org.freedesktop.DBus"
	return Call{name, "/org/freedesktop/DBus", name, member, args}
}

// Join says hello to a message bus, which answers nothing else before, and subscribes to signals by a match rule.
func (c *Conn) Join(rule string, deadline time.Time) error {
	hello, err := c.Send(bus("Hello"), deadline)
	if err != nil {
		return err
	}
	match, err := c.Send(bus("AddMatch", String(rule)), deadline)
	if err != nil {
		return err
	}
	if _, err := c.Reply(hello, deadline); err != nil {
		return err
	}
	_, err = c.Reply(match, deadline)
	return err
}
