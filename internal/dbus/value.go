// Package dbus is a small D-Bus client: as much of the protocol (D-Bus Specification 0.41) as it takes to ask systemd
// for a unit. It runs outside the container, on plain blocking sockets and without reflection.
package dbus

import (
	"encoding/binary"
	"math"
)

// A Value is a value of one D-Bus type.
type Value interface {
	// Signature is its type in D-Bus notation.
	Signature() string
	encode(e *encoder)
}

// The types of D-Bus. A Variant is a value that brings its type along.
type (
	Bool       bool
	Byte       byte
	Int16      int16
	Uint16     uint16
	Int32      int32
	Uint32     uint32
	Int64      int64
	Uint64     uint64
	Double     float64
	String     string
	ObjectPath string
	Signature  string
	Variant    struct{ Value }
	Struct     []Value
	Array      struct {
		Of    string // type of an item: an array may be empty
		Items []Value
	}
)

// The signatures, one for each type.
func (Bool) Signature() string       { return "b" }
func (Byte) Signature() string       { return "y" }
func (Int16) Signature() string      { return "n" }
func (Uint16) Signature() string     { return "q" }
func (Int32) Signature() string      { return "i" }
func (Uint32) Signature() string     { return "u" }
func (Int64) Signature() string      { return "x" }
func (Uint64) Signature() string     { return "t" }
func (Double) Signature() string     { return "d" }
func (String) Signature() string     { return "s" }
func (ObjectPath) Signature() string { return "o" }
func (Signature) Signature() string  { return "g" }
func (Variant) Signature() string    { return "v" }
func (a Array) Signature() string    { return "a" + a.Of }

// Signature of a structure: its members in parentheses.
func (s Struct) Signature() string { return "(" + signatureOf(s) + ")" }

func signatureOf(values []Value) string {
	text := ""
	for _, v := range values {
		text += v.Signature()
	}
	return text
}

// Strings is an array of strings.
func Strings(items ...string) Array {
	a := Array{Of: "s", Items: make([]Value, len(items))}
	for i, s := range items {
		a.Items[i] = String(s)
	}
	return a
}

// Bytes is an array of bytes.
func Bytes(data []byte) Array {
	a := Array{Of: "y", Items: make([]Value, len(data))}
	for i, b := range data {
		a.Items[i] = Byte(b)
	}
	return a
}

// An encoder writes values in the machine's byte order. Alignment counts from the buffer's start.
type encoder struct{ buf []byte }

// alignment of the type that a signature begins with.
func alignment(signature string) int {
	switch signature[0] {
	case 'y', 'g', 'v':
		return 1
	case 'n', 'q':
		return 2
	case 'x', 't', 'd', '(', '{':
		return 8
	}
	return 4
}

func (e *encoder) align(n int) {
	for len(e.buf)%n != 0 {
		e.buf = append(e.buf, 0)
	}
}

func (e *encoder) u16(n uint16) { e.align(2); e.buf = binary.NativeEndian.AppendUint16(e.buf, n) }
func (e *encoder) u32(n uint32) { e.align(4); e.buf = binary.NativeEndian.AppendUint32(e.buf, n) }
func (e *encoder) u64(n uint64) { e.align(8); e.buf = binary.NativeEndian.AppendUint64(e.buf, n) }

func (e *encoder) text(s string) {
	e.u32(uint32(len(s)))
	e.buf = append(append(e.buf, s...), 0)
}

func (e *encoder) signature(s string) { e.buf = append(append(append(e.buf, byte(len(s))), s...), 0) }

func (v Bool) encode(e *encoder) {
	if v {
		e.u32(1)
	} else {
		e.u32(0)
	}
}
func (v Byte) encode(e *encoder)       { e.buf = append(e.buf, byte(v)) }
func (v Int16) encode(e *encoder)      { e.u16(uint16(v)) }
func (v Uint16) encode(e *encoder)     { e.u16(uint16(v)) }
func (v Int32) encode(e *encoder)      { e.u32(uint32(v)) }
func (v Uint32) encode(e *encoder)     { e.u32(uint32(v)) }
func (v Int64) encode(e *encoder)      { e.u64(uint64(v)) }
func (v Uint64) encode(e *encoder)     { e.u64(uint64(v)) }
func (v Double) encode(e *encoder)     { e.u64(math.Float64bits(float64(v))) }
func (v String) encode(e *encoder)     { e.text(string(v)) }
func (v ObjectPath) encode(e *encoder) { e.text(string(v)) }
func (v Signature) encode(e *encoder)  { e.signature(string(v)) }

func (v Variant) encode(e *encoder) {
	e.signature(v.Value.Signature())
	v.Value.encode(e)
}

func (s Struct) encode(e *encoder) {
	e.align(8)
	for _, v := range s {
		v.encode(e)
	}
}

// An array is the number of its bytes, without the padding before the first item, and the items.
func (a Array) encode(e *encoder) {
	e.u32(0)
	at := len(e.buf) - 4
	e.align(alignment(a.Of))
	start := len(e.buf)
	for _, v := range a.Items {
		v.encode(e)
	}
	binary.NativeEndian.PutUint32(e.buf[at:], uint32(len(e.buf)-start))
}
