package dbus

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn is a connection to a bus, or to a program that speaks D-Bus without one. It is for one goroutine.
type Conn struct {
	fd      int
	serial  uint32
	in      []byte // received, not parsed
	heard   []*message
	replies map[uint32]*message // to calls whose reply is not what was waited for
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

// maxHeard bounds the signals that are kept.
const maxHeard = 4096

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
	// A listener that accepts nobody would hold up connect(2) and write(2).
	left := unix.NsecToTimeval(max(time.Until(deadline), time.Millisecond).Nanoseconds())
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &left); err == nil {
		if err = retry(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: name}) }); err == nil {
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
	if err := c.write([]byte("\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")); err != nil {
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

func (c *Conn) write(data []byte) error {
	for len(data) > 0 {
		n, err := unix.SendmsgN(c.fd, data, nil, nil, unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return unix.ETIMEDOUT
		case err != nil:
			return err
		}
		data = data[n:]
	}
	return nil
}

// fill reads what there is, or waits for it.
func (c *Conn) fill(deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		ready := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, int(left.Milliseconds())+1)
		if err == unix.EINTR || err == nil && n == 0 {
			continue
		}
		if err != nil {
			return err
		}
		var buf [4096]byte
		n, err = unix.Read(c.fd, buf[:])
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

// next waits for one message.
func (c *Conn) next(deadline time.Time) (*message, error) {
	for {
		size, err := messageSize(c.in)
		if err != nil {
			return nil, err
		}
		if size > 0 && len(c.in) >= size {
			m, err := parseMessage(c.in[:size:size])
			c.in = c.in[size:]
			return m, err
		}
		if err := c.fill(deadline); err != nil {
			return nil, err
		}
	}
}

// Send sends a call; Reply waits for its answer. Several calls on their way cost one wait.
func (c *Conn) Send(call Call) (serial uint32, err error) {
	c.serial++
	return c.serial, c.write(call.encode(c.serial))
}

// Reply waits for the answer to a call and returns its values; those of types that systemd's answers here do not
// have are an error.
func (c *Conn) Reply(serial uint32, deadline time.Time) ([]Value, error) {
	m := c.replies[serial]
	delete(c.replies, serial)
	for m == nil {
		got, err := c.next(deadline)
		if err != nil {
			return nil, err
		}
		switch {
		case got.kind == kindSignal && len(c.heard) < maxHeard:
			c.heard = append(c.heard, got)
		case got.kind != kindReturn && got.kind != kindError:
		case got.replyTo == serial:
			m = got
		default:
			c.replies[got.replyTo] = got
		}
	}
	if m.kind == kindError {
		return nil, m.error()
	}
	return m.values()
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
	serial, err := c.Send(call)
	if err != nil {
		return nil, err
	}
	return c.Reply(serial, deadline)
}

// Signal waits for a signal of this name whose values are accepted, heard since the connection was made.
func (c *Conn) Signal(member string, accept func([]Value) bool, deadline time.Time) error {
	matches := func(m *message) bool {
		if m.kind != kindSignal || m.member != member {
			return false
		}
		list, err := m.values()
		return err == nil && accept(list)
	}
	for _, m := range c.heard {
		if matches(m) {
			return nil
		}
	}
	for {
		m, err := c.next(deadline)
		if err != nil {
			return err
		}
		if matches(m) {
			return nil
		}
	}
}

// Join says hello to a message bus, which answers nothing else before, and subscribes to signals by a match rule.
func (c *Conn) Join(rule string, deadline time.Time) error {
	bus := func(member string, args ...Value) Call {
		const name = "org.freedesktop.DBus"
		return Call{name, "/org/freedesktop/DBus", name, member, args}
	}
	hello, err := c.Send(bus("Hello"))
	if err != nil {
		return err
	}
	match, err := c.Send(bus("AddMatch", String(rule)))
	if err != nil {
		return err
	}
	if _, err := c.Reply(hello, deadline); err != nil {
		return err
	}
	_, err = c.Reply(match, deadline)
	return err
}

func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
