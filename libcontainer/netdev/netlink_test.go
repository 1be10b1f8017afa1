package netdev

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLink(t *testing.T) {
	c, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if l, err := c.link("lo"); err != nil || l.index != 1 {
		t.Errorf("lo: %+v, %v", l, err)
	}
	if has, err := c.has("rt-nosuch"); has || err != nil {
		t.Errorf("rt-nosuch: %v, %v", has, err)
	}
}

func TestOpenIn(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := openIn(f); !errors.Is(err, unix.EINVAL) {
		t.Errorf("%v", err)
	}
}

// TestMessages: what is cut off or has another number is no answer.
func TestMessages(t *testing.T) {
	message := func(size uint32, kind uint16, seq uint32, body ...byte) []byte {
		ne := binary.NativeEndian
		m := ne.AppendUint32(nil, size)
		m = ne.AppendUint16(m, kind)
		m = ne.AppendUint16(m, 0)
		m = ne.AppendUint32(m, seq)
		return append(ne.AppendUint32(m, 0), body...)
	}
	for name, c := range map[string]struct {
		data []byte
		done bool
		err  error
		took int
	}{
		"nothing":         {nil, false, nil, 0},
		"short":           {make([]byte, 15), false, nil, 0},
		"done":            {message(16, unix.NLMSG_DONE, 7), true, nil, 0},
		"another's done":  {message(16, unix.NLMSG_DONE, 6), false, nil, 0},
		"acknowledged":    {message(20, unix.NLMSG_ERROR, 7, 0, 0, 0, 0), true, nil, 0},
		"an error":        {message(20, unix.NLMSG_ERROR, 7, 0xff, 0xff, 0xff, 0xff), true, unix.EPERM, 0},
		"half an error":   {message(18, unix.NLMSG_ERROR, 7, 0xff, 0xff), true, unix.EBADMSG, 0},
		"size too small":  {message(15, 99, 7), true, unix.EBADMSG, 0},
		"size too large":  {message(17, 99, 7), true, unix.EBADMSG, 0},
		"data, then done": {append(message(17, 99, 7, 1, 0, 0, 0), message(16, unix.NLMSG_DONE, 7)...), true, nil, 1},
	} {
		took := 0
		done, err := (&conn{seq: 7}).messages(c.data, func([]byte) { took++ })
		if done != c.done || !errors.Is(err, c.err) || took != c.took {
			t.Errorf("%s: %v, %v, %d; wanted %v, %v, %d", name, done, err, took, c.done, c.err, c.took)
		}
	}
}

func TestAddressText(t *testing.T) {
	for want, a := range map[string]address{
		"10.0.0.200/8": {prefix: 8, local: []byte{10, 0, 0, 200}},
		"2001:0db8:0000:0000:0000:0000:0000:0001/64": {prefix: 64, local: []byte{0x20, 1, 0xd, 0xb8, 15: 1}},
		"/0": {},
	} {
		if a.String() != want {
			t.Errorf("%s, wanted %s", a, want)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(make([]byte, 40))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = new(conn).messages(data, func(msg []byte) {
			if len(msg) >= unix.SizeofIfAddrmsg {
				a, _ := parseAddress(msg)
				_ = a.String()
			}
		})
	})
}
