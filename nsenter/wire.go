package nsenter

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Keep in step with stub.h.
const (
	planMagic   = 0x6e706c72
	planVersion = 2
	headerSize  = 24
	recordSize  = 80
	replySize   = 256
	// MaxFds is how many descriptors can go with one plan.
	MaxFds  = 1000
	maxPlan = 64 << 20
)

// A record is a step on its way into bytes: numbers, then strings, of which a nil one is NULL.
type record struct {
	kind uint32
	args [argsSize / 8]uint64 // the struct of the kind, by set
	strs []*string
	data bool   // strs[0] is data, not text: NULs are fine
	wide uint64 // flags that C has no room for
}

func (r *record) str(s ...string) {
	for i := range s {
		r.strs = append(r.strs, &s[i])
	}
}

func (r *record) null() { r.strs = append(r.strs, nil) }

// low are flags of 32 bits, as the kernel has them so far; an error if there are more.
func (r *record) low(flags uint64) u32 {
	if flags>>32 != 0 {
		r.wide = flags
	}
	return u32(flags)
}

var errNUL = errors.New("string holds a NUL byte")

// append encodes the record at the end of buf: fixed part, offsets, bytes, padded to 8.
func (r *record) append(buf []byte) ([]byte, error) {
	if r.wide != 0 {
		return nil, fmt.Errorf("encode flags %#x: more than 32 bits", r.wide)
	}
	le := binary.NativeEndian
	start := len(buf)
	buf = le.AppendUint32(buf, r.kind)
	buf = le.AppendUint32(buf, 0) // size, below
	for _, v := range r.args {
		buf = le.AppendUint64(buf, v)
	}
	buf = le.AppendUint32(buf, uint32(len(r.strs)))
	buf = le.AppendUint32(buf, 0)
	off := recordSize + 8*len(r.strs)
	for _, s := range r.strs {
		if s == nil {
			buf = le.AppendUint64(buf, 0)
			continue
		}
		buf = le.AppendUint64(buf, uint64(off))
		off += len(*s) + 1
	}
	for i, s := range r.strs {
		if s == nil {
			continue
		}
		if !(r.data && i == 0) {
			for j := 0; j < len(*s); j++ {
				if (*s)[j] == 0 {
					return nil, fmt.Errorf("encode %q: %w", *s, errNUL)
				}
			}
		}
		buf = append(buf, *s...)
		buf = append(buf, 0)
	}
	for len(buf)%8 != 0 {
		buf = append(buf, 0)
	}
	// The last byte must be a NUL even if no string needs it, which padding or the string's own gives.
	le.PutUint32(buf[start+4:], uint32(len(buf)-start))
	return buf, nil
}

// Encode turns steps into the bytes that the stub reads; nfds descriptors go with them.
func Encode(steps []Step, nfds int) ([]byte, error) {
	if nfds > MaxFds {
		return nil, fmt.Errorf("encode plan: %d descriptors are more than the %d that can go with it", nfds, MaxFds)
	}
	buf := make([]byte, headerSize, 16<<10)
	for i, s := range steps {
		var r record
		s.encode(&r)
		var err error
		if buf, err = r.append(buf); err != nil {
			return nil, fmt.Errorf("step %d, %s: %w", i, s.Name(), err)
		}
	}
	if len(buf) > maxPlan {
		return nil, fmt.Errorf("encode plan: %d bytes are more than %d", len(buf), maxPlan)
	}
	le := binary.NativeEndian
	for i, v := range []uint32{planMagic, planVersion, uint32(len(buf)), uint32(len(steps)), uint32(nfds), 0} {
		le.PutUint32(buf[4*i:], v)
	}
	return buf, nil
}
