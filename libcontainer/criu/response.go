package criu

import "fmt"

// A response is one message of CRIU's (criu_resp).
type response struct {
	kind     RequestType
	success  bool
	pid      int // restore: of the restored init
	notify   Notification
	errno    int
	message  string
	features Features
	version  Version
}

// A Notification is a point that CRIU has reached, and waits at.
type Notification struct {
	Script string // its name, as for CRIU's action scripts
	Pid    int    // of the container's init, where it is known
	Fd     int    // that came with it, or -1
}

// A Version is major, minor and sublevel in one number: 31701 is 3.17.1.
type Version int

func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)
}

// most bounds what is decoded of a message's text.
const most = 4096

func (r *response) decode(data []byte) error {
	var major, minor, sublevel int
	known, succeeds := false, false
	err := fields(data, func(field int, n uint64, b []byte) error {
		if isNumber := b == nil; isNumber != (field <= 2 || field == 7) {
			return nil // of another type than in the schema
		}
		switch field {
		case 1:
			r.kind, known = RequestType(int32(n)), true
		case 2:
			r.success, succeeds = n != 0, true
		case 4:
			return numbers(b, &r.pid)
		case 5:
			return fields(b, func(field int, n uint64, b []byte) error {
				switch {
				case field == 1:
					r.notify.Script = text(b)
				case field == 2 && b == nil:
					r.notify.Pid = int(int32(n))
				}
				return nil
			})
		case 7:
			r.errno = int(int32(n))
		case 8:
			var track, lazy int
			err := numbers(b, &track, &lazy)
			r.features = Features{MemTrack: track != 0, LazyPages: lazy != 0}
			return err
		case 9:
			r.message = text(b)
		case 10:
			var git, extra int
			return numbers(b, &major, &minor, &git, &sublevel, &extra)
		}
		return nil
	})
	if err == nil && !(known && succeeds) {
		err = errBadMessage
	}
	r.version = Version(major*10000 + minor*100 + sublevel)
	return err
}

// numbers reads the fields 1, 2 ... of a message that are numbers.
func numbers(data []byte, to ...*int) error {
	return fields(data, func(field int, n uint64, b []byte) error {
		if field <= len(to) && b == nil {
			*to[field-1] = int(int32(n))
		}
		return nil
	})
}

func text(b []byte) string { return string(b[:min(len(b), most)]) }
