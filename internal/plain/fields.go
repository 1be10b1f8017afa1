package plain

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Field is a property of an object: its name and a pointer to its value. Values of the types string, int, uint64,
// bool, time.Time and map[string]string are written and read without reflection, others by encoding/json.
type Field struct {
	Name      string
	Value     any
	OmitEmpty bool // leave the zero value out
}

// Some is the Value of a field of the type map[string]string. Read checks the whole map, and keeps what it has of these keys.
type Some struct {
	Map  *map[string]string
	Keys []string
}

// Object writes an object of these fields, on one line if indent is empty, else a line each.
func Object(fields []Field, indent string) []byte {
	w := writer{indent: indent}
	w.open()
	for i := range fields {
		if f := &fields[i]; !f.OmitEmpty || !empty(f.Value) {
			w.key(f.Name)
			w.value(f.Value)
		}
	}
	w.close()
	return w.b
}

// Read reads an object of these fields; others are skipped. If ok is false the object is not plain, and some of the
// values may have been set.
func Read(document []byte, fields []Field) (ok bool) {
	p := New(document)
	var seen uint32
	i := -1
	for key, more := p.First(); more; key, more = p.Next() {
		if i = find(fields, key, i+1); i < 0 {
			p.Unknown(key, names(fields))
			continue
		}
		p.Once(&seen, uint(i))
		p.value(fields[i].Value)
	}
	return p.End() && len(fields) <= 32
}

// find is the index of the field with a name, -1 if there is none. Object writes the fields in their order: the search begins at next.
func find(fields []Field, name string, next int) int {
	for i := range fields {
		if at := (next + i) % len(fields); fields[at].Name == name {
			return at
		}
	}
	return -1
}

// names are those of the fields, as Unknown wants them.
func names(fields []Field) string {
	var b strings.Builder
	for i := range fields {
		b.WriteString(fields[i].Name + " ")
	}
	return b.String()
}

func (p *Scanner) value(v any) {
	switch v := v.(type) {
	case *string:
		Text(p, v)
	case *int:
		Int(p, v)
	case *uint64:
		Uint(p, v)
	case *bool:
		Bool(p, v)
	case *map[string]string:
		Map(p, v, Text)
	case Some:
		v.read(p)
	case *time.Time:
		var text string
		Text(p, &text)
		var err error
		if *v, err = time.Parse(time.RFC3339Nano, text); err != nil {
			p.Fail()
		}
	default:
		p.Fail()
	}
}

func (s Some) read(p *Scanner) {
	for key, more := p.First(); more; key, more = p.Next() {
		var text string
		if Text(p, &text); !slices.Contains(s.Keys, key) {
			continue
		}
		if *s.Map == nil {
			*s.Map = map[string]string{}
		}
		if _, twice := (*s.Map)[key]; twice {
			p.Fail()
		}
		(*s.Map)[key] = text
	}
}

func empty(v any) bool {
	switch v := v.(type) {
	case *string:
		return *v == ""
	case *int:
		return *v == 0
	case *uint64:
		return *v == 0
	case *bool:
		return !*v
	case *map[string]string:
		return len(*v) == 0
	}
	return false
}

// A writer writes one document.
type writer struct {
	b      []byte
	indent string
	depth  int
	inside bool // the object that was opened last has a property
}

func (w *writer) open() {
	w.b = append(w.b, '{')
	w.depth++
	w.inside = false
}

func (w *writer) close() {
	w.depth--
	if w.inside {
		w.line()
	}
	w.b = append(w.b, '}')
	w.inside = true
}

func (w *writer) line() {
	if w.indent == "" {
		return
	}
	w.b = append(w.b, '\n')
	for range w.depth {
		w.b = append(w.b, w.indent...)
	}
}

func (w *writer) key(name string) {
	if w.inside {
		w.b = append(w.b, ',')
	}
	w.inside = true
	w.line()
	w.text(name)
	w.b = append(w.b, ':')
	if w.indent != "" {
		w.b = append(w.b, ' ')
	}
}

func (w *writer) value(v any) {
	switch v := v.(type) {
	case *string:
		w.text(*v)
	case *int:
		w.b = strconv.AppendInt(w.b, int64(*v), 10)
	case *uint64:
		w.b = strconv.AppendUint(w.b, *v, 10)
	case *bool:
		w.b = strconv.AppendBool(w.b, *v)
	case *time.Time:
		w.text(v.Format(time.RFC3339Nano))
	case *map[string]string:
		w.open()
		for _, k := range slices.Sorted(maps.Keys(*v)) {
			w.key(k)
			w.text((*v)[k])
		}
		w.close()
	default:
		text, _ := json.Marshal(v)
		w.b = append(w.b, text...)
	}
}

// text quotes s as encoding/json does, but for the characters that only HTML wants escaped.
func (w *writer) text(s string) {
	const hex = "0123456789abcdef"
	const short, letters = "\"\\\b\f\n\r\t", `"\bfnrt`
	w.b = append(w.b, '"')
	for _, c := range []byte(strings.ToValidUTF8(s, "\ufffd")) {
		i := strings.IndexByte(short, c)
		switch {
		case i >= 0:
			w.b = append(w.b, '\\', letters[i])
		case c < ' ':
			w.b = append(w.b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			w.b = append(w.b, c)
		}
	}
	w.b = append(w.b, '"')
}
