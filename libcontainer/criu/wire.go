package criu

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The encoding of Protocol Buffers, as much of it as CRIU's messages need: fields of the wire types varint and length-delimited.
// Others are skipped.

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// A message is one that is being written.
type message []byte

func (m *message) key(field, wire int) { *m = binary.AppendUvarint(*m, uint64(field)<<3|uint64(wire)) }

func (m *message) uint(field int, v uint64) {
	m.key(field, wireVarint)
	*m = binary.AppendUvarint(*m, v)
}

// int writes a number that may be negative: with the sign in all 64 bits.
func (m *message) int(field, v int) { m.uint(field, uint64(int64(v))) }

// flag writes true; what is not there is false.
func (m *message) flag(field int, v bool) {
	if v {
		m.uint(field, 1)
	}
}

func (m *message) bytes(field int, v []byte) {
	m.key(field, wireBytes)
	*m = append(binary.AppendUvarint(*m, uint64(len(v))), v...)
}

// text writes a string that is not empty.
func (m *message) text(field int, v string) {
	if v != "" {
		m.bytes(field, []byte(v))
	}
}

var errBadMessage = errors.New("hear from criu: it is no message of CRIU's protocol")

// fields calls f for each field of a message: with the number, or the bytes, that it holds.
func fields(data []byte, f func(field int, number uint64, bytes []byte) error) error {
	for len(data) > 0 {
		key, ok := uvarint(&data)
		if !ok || key>>3 == 0 || key>>3 >= 1<<29 {
			return errBadMessage
		}
		var number uint64
		var bytes []byte
		switch key & 7 {
		case wireVarint:
			number, ok = uvarint(&data)
		case wireFixed64:
			bytes, ok = take(&data, 8)
		case wireFixed32:
			bytes, ok = take(&data, 4)
		case wireBytes:
			var n uint64
			if n, ok = uvarint(&data); ok {
				bytes, ok = take(&data, n)
			}
		default:
			ok = false
		}
		if !ok {
			return errBadMessage
		}
		if err := f(int(key>>3), number, bytes); err != nil {
			return err
		}
	}
	return nil
}

func uvarint(data *[]byte) (uint64, bool) {
	v, n := binary.Uvarint(*data)
	if n <= 0 {
		return 0, false
	}
	*data = (*data)[n:]
	return v, true
}

func take(data *[]byte, n uint64) ([]byte, bool) {
	if n > uint64(len(*data)) {
		return nil, false
	}
	taken := slices.Clip((*data)[:n])
	*data = (*data)[n:]
	return taken, true
}
