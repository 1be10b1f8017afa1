package dbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// A Call is a method call.
type Call struct {
	Destination, Path, Interface, Member string
	Args                                 []Value
}

// A message is one that was received.
type message struct {
	kind                         byte
	replyTo                      uint32
	path, iface, member, errName string
	sender                       string // as the message bus says; "" without one
	signature                    string
	order                        binary.ByteOrder
	body                         []byte
}

// The kinds of messages, and the fields of a header, that matter here.
const (
	kindCall, kindReturn, kindError, kindSignal = 1, 2, 3, 4

	fieldPath, fieldInterface, fieldMember, fieldError, fieldReplyTo, fieldDestination, fieldSender, fieldSignature = 1, 2, 3, 4, 5, 6, 7, 8
)

// maxMessage is the protocol's bound; maxKept is far above anything that systemd answers here.
const (
	maxMessage = 128 << 20
	maxKept    = 64 << 10
)

var errMalformed = errors.New("malformed D-Bus message")

func isReply(kind byte) bool { return kind == kindReturn || kind == kindError }

func nativeMark() byte {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return 'l'
	}
	return 'B'
}

// encode makes a method call's message.
func (c *Call) encode(serial uint32) []byte {
	var body encoder
	for _, v := range c.Args {
		v.encode(&body)
	}
	e := encoder{buf: []byte{nativeMark(), kindCall, 0, 1}}
	e.u32(uint32(len(body.buf)))
	e.u32(serial)
	field := func(code byte, v Value) Value { return Struct{Byte(code), Variant{v}} }
	fields := Array{Of: "(yv)", Items: []Value{
		field(fieldPath, ObjectPath(c.Path)), field(fieldInterface, String(c.Interface)),
		field(fieldMember, String(c.Member)), field(fieldDestination, String(c.Destination)),
	}}
	if len(c.Args) > 0 {
		fields.Items = append(fields.Items, field(fieldSignature, Signature(signatureOf(c.Args))))
	}
	fields.encode(&e)
	e.align(8)
	return append(e.buf, body.buf...)
}

// messageSize is the size of the message that data begins with; 0 if that takes more bytes to know.
func messageSize(data []byte) (int, error) {
	if len(data) < 16 {
		return 0, nil
	}
	order, err := byteOrder(data[0])
	if err != nil {
		return 0, err
	}
	body, fields := uint64(order.Uint32(data[4:])), uint64(order.Uint32(data[12:]))
	size := (16+fields+7)/8*8 + body
	if data[3] != 1 || size > maxMessage {
		return 0, errMalformed
	}
	return int(size), nil
}

func byteOrder(mark byte) (binary.ByteOrder, error) {
	switch mark {
	case 'l':
		return binary.LittleEndian, nil
	case 'B':
		return binary.BigEndian, nil
	}
	return nil, errMalformed
}

// parseMessage parses a message of which data has all bytes and no other.
func parseMessage(data []byte) (*message, error) {
	size, err := messageSize(data)
	if err != nil || size != len(data) {
		return nil, errMalformed
	}
	order, _ := byteOrder(data[0])
	m := &message{kind: data[1], order: order}
	d := decoder{data: data, at: 16, order: order}
	end := 16 + int(order.Uint32(data[12:]))
	for d.at < end && d.err == nil {
		d.align(8)
		code := d.u8()
		m.field(code, d.value("v", 0))
	}
	if d.err != nil || d.at > end {
		return nil, errMalformed
	}
	m.body = data[len(data)-int(order.Uint32(data[4:])):]
	return m, nil
}

// field takes a header field. Unknown ones, and known ones of a wrong type, are as if they were not there.
func (m *message) field(code byte, v Value) {
	switch v := v.(type) {
	case ObjectPath:
		if code == fieldPath {
			m.path = string(v)
		}
	case String:
		switch code {
		case fieldInterface:
			m.iface = string(v)
		case fieldMember:
			m.member = string(v)
		case fieldError:
			m.errName = string(v)
		case fieldSender:
			m.sender = string(v)
		}
	case Uint32:
		if code == fieldReplyTo {
			m.replyTo = uint32(v)
		}
	case Signature:
		if code == fieldSignature {
			m.signature = string(v)
		}
	}
}

// values decodes the body.
func (m *message) values() ([]Value, error) {
	d := decoder{data: m.body, order: m.order}
	var list []Value
	for i := range len(m.signature) {
		list = append(list, d.value(m.signature[i:i+1], 0))
		if d.err != nil {
			return nil, fmt.Errorf("%w (%s)", d.err, m.signature)
		}
	}
	return list, nil
}

// A decoder reads basic types and variants of them, which is all that is asked for here.
type decoder struct {
	data  []byte
	at    int
	order binary.ByteOrder
	err   error
}

// take returns the next n bytes, zeros after an error.
func (d *decoder) take(n int) []byte {
	if d.err == nil && (n < 0 || n > len(d.data)-d.at) {
		d.err = errMalformed
	}
	if d.err != nil {
		return make([]byte, min(max(n, 0), 8))
	}
	d.at += n
	return d.data[d.at-n : d.at]
}

func (d *decoder) align(n int) { d.take((n - d.at%n) % n) }

func (d *decoder) u8() byte    { return d.take(1)[0] }
func (d *decoder) u16() uint16 { d.align(2); return d.order.Uint16(d.take(2)) }
func (d *decoder) u32() uint32 { d.align(4); return d.order.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { d.align(8); return d.order.Uint64(d.take(8)) }

// text reads n bytes and the NUL that ends them.
func (d *decoder) text(n uint32) string {
	if n > maxMessage {
		d.err = errMalformed
		return ""
	}
	s := string(d.take(int(n)))
	if d.u8() != 0 || strings.Contains(s, "\x00") {
		d.err = errMalformed
	}
	if d.err != nil {
		return ""
	}
	return s
}

func (d *decoder) value(signature string, depth int) Value {
	if signature == "" || depth > 8 {
		d.err = errMalformed
		return nil
	}
	switch signature[0] {
	case 'b':
		return Bool(d.u32() != 0)
	case 'y':
		return Byte(d.u8())
	case 'n':
		return Int16(d.u16())
	case 'q':
		return Uint16(d.u16())
	case 'i':
		return Int32(d.u32())
	case 'u':
		return Uint32(d.u32())
	case 'x':
		return Int64(d.u64())
	case 't':
		return Uint64(d.u64())
	case 'd':
		return Double(math.Float64frombits(d.u64()))
	case 's':
		return String(d.text(d.u32()))
	case 'o':
		return ObjectPath(d.text(d.u32()))
	case 'g':
		return Signature(d.text(uint32(d.u8())))
	case 'v':
		inner := d.text(uint32(d.u8()))
		if len(inner) != 1 { // of one basic type
			d.err = errMalformed
			return nil
		}
		return d.value(inner, depth+1)
	}
	d.err = errMalformed
	return nil
}
