package netdev

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"rt/internal/bug"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A conn is a route netlink socket (rtnetlink(7)) of one network namespace, which it stays in.
type conn struct {
	fd  int
	seq uint32
	buf []byte
}

// open makes a conn of the namespace that the calling thread is in.
func open() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return &conn{fd: fd, buf: make([]byte, 64<<10)}, nil
}

// openIn makes a conn of another namespace. Only a thread of its own enters it.
func openIn(ns *os.File) (c *conn, err error) {
	sys.OnThread(func() {
		defer bug.Catch(&err)
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter network namespace: %w", err)
			return
		}
		c, err = open()
	})
	return c, err
}

func (c *conn) close() { unix.Close(c.fd) }

// A request is a netlink message on its way.
type request struct{ buf []byte }

func newRequest(kind uint16, flags uint16, fixed []byte) *request {
	r := &request{make([]byte, unix.NLMSG_HDRLEN, 128)}
	binary.NativeEndian.PutUint16(r.buf[4:], kind)
	binary.NativeEndian.PutUint16(r.buf[6:], unix.NLM_F_REQUEST|flags)
	r.buf = append(r.buf, fixed...)
	return r
}

func linkRequest(kind uint16, index int32, flags, change uint32) *request {
	m := unix.IfInfomsg{Index: index, Flags: flags, Change: change}
	return newRequest(kind, unix.NLM_F_ACK, (*[unix.SizeofIfInfomsg]byte)(unsafe.Pointer(&m))[:])
}

func (r *request) attr(kind uint16, data []byte) *request {
	r.buf = binary.NativeEndian.AppendUint16(r.buf, uint16(unix.SizeofRtAttr+len(data)))
	r.buf = binary.NativeEndian.AppendUint16(r.buf, kind)
	r.buf = append(r.buf, data...)
	for len(r.buf)%unix.NLMSG_ALIGNTO != 0 {
		r.buf = append(r.buf, 0)
	}
	return r
}

func (r *request) text(kind uint16, s string) *request { return r.attr(kind, append([]byte(s), 0)) }
func (r *request) fd(kind uint16, f *os.File) *request {
	return r.attr(kind, binary.NativeEndian.AppendUint32(nil, uint32(f.Fd())))
}

// do sends a request and hands each message of the answer, without its header, to take, until the kernel says that
// it has done it, or why not.
func (c *conn) do(r *request, take func(msg []byte)) error {
	c.seq++
	binary.NativeEndian.PutUint32(r.buf[0:], uint32(len(r.buf)))
	binary.NativeEndian.PutUint32(r.buf[8:], c.seq)
	if err := unix.Sendto(c.fd, r.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		n, from, err := unix.Recvfrom(c.fd, c.buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		// Who has CAP_NET_ADMIN in the namespace may send to the socket as well (netlink(7)); the kernel is port 0.
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
			continue
		}
		if done, err := c.messages(c.buf[:n], take); done || err != nil {
			return err
		}
	}
}

// messages goes through what one receive brought; done says that no more comes.
func (c *conn) messages(data []byte, take func([]byte)) (done bool, err error) {
	ne := binary.NativeEndian
	for len(data) >= unix.NLMSG_HDRLEN {
		size := int(ne.Uint32(data))
		if size < unix.NLMSG_HDRLEN || size > len(data) {
			return true, unix.EBADMSG
		}
		kind, seq, body := ne.Uint16(data[4:]), ne.Uint32(data[8:]), data[unix.NLMSG_HDRLEN:size]
		data = data[min(align(size), len(data)):]
		switch {
		case seq != c.seq:
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR:
			if len(body) < 4 {
				return true, unix.EBADMSG
			}
			if code := int32(ne.Uint32(body)); code != 0 {
				return true, unix.Errno(-code)
			}
			return true, nil
		case take != nil:
			take(body)
		}
	}
	return false, nil
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// attributes calls each for every attribute of data.
func attributes(data []byte, each func(kind uint16, value []byte)) {
	for len(data) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(data))
		if size < unix.SizeofRtAttr || size > len(data) {
			return
		}
		each(binary.NativeEndian.Uint16(data[2:]), data[unix.SizeofRtAttr:size])
		data = data[min(align(size), len(data)):]
	}
}
