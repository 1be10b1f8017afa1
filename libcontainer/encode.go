package libcontainer

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// What create writes is encoded by hand: encoding/json would first spend 0.2 ms, in each process anew, on learning the
// types. It reads what is written here (TestStateRoundTrip).

// An object is a JSON object that is being written.
type object []byte

func (o *object) key(name string) {
	if len(*o) == 0 {
		*o = append(*o, '{')
	} else {
		*o = append(*o, ',')
	}
	*o = append(appendString(*o, name), ':')
}

func (o *object) text(name, value string) { o.key(name); *o = appendString(*o, value) }

func (o *object) number(name string, value uint64) {
	o.key(name)
	*o = strconv.AppendUint(*o, value, 10)
}

func (o *object) flag(name string, value bool) {
	if value {
		o.key(name)
		*o = append(*o, "true"...)
	}
}

func (o *object) texts(name string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	o.key(name)
	inner := object("{")[:0]
	for _, k := range slices.Sorted(maps.Keys(values)) {
		inner.text(k, values[k])
	}
	*o = append(append(*o, inner...), '}')
}

// appendString quotes s; what is not UTF-8 is replaced by who reads it, as encoding/json would on writing.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func (s *state) encode() []byte {
	var o object
	o.text("ociVersion", s.OCIVersion)
	o.text("id", s.ID)
	o.number("pid", uint64(s.Pid))
	o.number("startTime", s.StartTime)
	o.text("bundle", s.Bundle)
	o.text("rootfs", s.Rootfs)
	o.text("created", s.Created.Format(time.RFC3339Nano))
	o.texts("annotations", s.Annotations)
	o.texts("cgroups", s.Cgroups)
	o.flag("systemdCgroup", s.SystemdCgroup)
	o.flag("privatePid", s.PrivatePid)
	o.flag("noKeyring", s.NoKeyring)
	return append(o, '}')
}

func (j *journal) encode() []byte {
	o := object("{")
	if len(j.Cgroups) == 0 {
		return append(o, '}')
	}
	o = o[:0]
	o.texts("cgroups", j.Cgroups)
	return append(o, '}')
}
