package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// An object keeps the order of its properties, and may have one twice.
type object struct {
	keys   []string
	values []any
}

// parse reads JSON into objects, lists ([]any behind a pointer), strings, numbers, bools and nil.
func parse(raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := parseValue(d)
	if err != nil {
		panic(err)
	}
	return v
}

type list struct{ values []any }

func parseValue(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := &object{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			o.keys, o.values = append(o.keys, key.(string)), append(o.values, v)
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		l := &list{}
		for d.More() {
			v, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			l.values = append(l.values, v)
		}
		_, err = d.Token()
		return l, err
	}
	return t, nil
}

func write(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case *object:
		b.WriteByte('{')
		for i, key := range v.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, key)
			b.WriteByte(':')
			write(b, v.values[i])
		}
		b.WriteByte('}')
	case *list:
		b.WriteByte('[')
		for i, one := range v.values {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, one)
		}
		b.WriteByte(']')
	default:
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		b.Write(data)
	}
}

func text(v any) []byte {
	var b bytes.Buffer
	write(&b, v)
	return b.Bytes()
}

// copyOf is v with nothing in common.
func copyOf(v any) any { return parse(text(v)) }

// children are where the values below v are.
func children(v any) *[]any {
	switch v := v.(type) {
	case *object:
		return &v.values
	case *list:
		return &v.values
	}
	return nil
}

// A place is a value in a document: the at-th of its parent.
type place struct {
	parent any
	at     int
}

func (p place) get() any  { return (*children(p.parent))[p.at] }
func (p place) set(v any) { (*children(p.parent))[p.at] = v }

// anywhere goes down from the root, and stops by chance: so a property is as likely as a whole section, whatever has how many.
func anywhere(rnd *rand.Rand, root any) (p place, ok bool) {
	for v := root; ; {
		below := children(v)
		if below == nil || len(*below) == 0 {
			return p, ok
		}
		p, ok = place{v, rnd.IntN(len(*below))}, true
		if v = p.get(); rnd.IntN(4) == 0 {
			return p, true
		}
	}
}

// odd are values that few configurations have.
var odd = []any{
	nil, "", "/", "..", ".", "x", "a b", "\n", "\x00", "/proc/self/fd", "no\u202etext", strings.Repeat("a", 300), strings.Repeat("/a", 2500), true, false,
	json.Number("0"), json.Number("1"), json.Number("-1"), json.Number("4294967295"), json.Number("4294967296"), json.Number("9223372036854775807"),
	json.Number("-9223372036854775808"), json.Number("18446744073709551615"), json.Number("1.5"), json.Number("1e400"), &list{}, &object{},
	&list{[]any{nil}}, &list{[]any{""}}, &object{[]string{""}, []any{nil}},
}

// mutate changes a document in place, and says how. others are where properties may come from.
func mutate(rnd *rand.Rand, doc any, others []any) string {
	p, ok := anywhere(rnd, doc)
	if !ok {
		return "nothing"
	}
	switch rnd.IntN(7) {
	case 0, 1:
		return "delete " + p.remove()
	case 2:
		return "repeat " + p.repeat(rnd)
	case 3:
		if q, ok := anywhere(rnd, doc); ok && !inside(p.get(), q.parent) && !inside(q.get(), p.parent) {
			a, b := p.get(), q.get()
			p.set(b)
			q.set(a)
			return fmt.Sprintf("swap %.60s and %.60s", text(a), text(b))
		}
		return "swap nothing"
	case 4:
		v := odd[rnd.IntN(len(odd))]
		old := text(p.get())
		p.set(copyOf(v))
		return fmt.Sprintf("replace %.60s by %.60s", old, text(v))
	case 5:
		return "take over " + takeOver(rnd, doc, others[rnd.IntN(len(others))])
	default: // by one of the same kind
		for range 20 {
			q, ok := anywhere(rnd, doc)
			if ok && fmt.Sprintf("%T", q.get()) == fmt.Sprintf("%T", p.get()) && !inside(q.get(), p.parent) && !inside(p.get(), q.parent) {
				old := text(p.get())
				p.set(copyOf(q.get()))
				return fmt.Sprintf("replace %.60s by its like %.60s", old, text(q.get()))
			}
		}
		return "replace nothing"
	}
}

// inside says whether v is container, or below it.
func inside(container, v any) bool {
	if container == v && children(container) != nil {
		return true
	}
	if below := children(container); below != nil {
		for _, one := range *below {
			if inside(one, v) {
				return true
			}
		}
	}
	return false
}

func (p place) remove() string {
	what := fmt.Sprintf("%.60s", text(p.get()))
	switch v := p.parent.(type) {
	case *object:
		what = v.keys[p.at]
		v.keys = append(v.keys[:p.at:p.at], v.keys[p.at+1:]...)
		v.values = append(v.values[:p.at:p.at], v.values[p.at+1:]...)
	case *list:
		v.values = append(v.values[:p.at:p.at], v.values[p.at+1:]...)
	}
	return what
}

func (p place) repeat(rnd *rand.Rand) string {
	again := copyOf(p.get())
	if rnd.IntN(3) == 0 {
		again = copyOf(odd[rnd.IntN(len(odd))])
	}
	switch v := p.parent.(type) {
	case *object:
		key := v.keys[p.at]
		if rnd.IntN(4) == 0 {
			key = strings.ToUpper(key)
		}
		v.keys, v.values = append(v.keys, key), append(v.values, again)
		return key
	case *list:
		v.values = append(v.values, again)
	}
	return fmt.Sprintf("%.60s", text(again))
}

// takeOver gives a section a property of another configuration's.
func takeOver(rnd *rand.Rand, doc, from any) string {
	to, path := doc, ""
	for {
		a, ok := to.(*object)
		b, also := from.(*object)
		if !ok || !also || len(b.keys) == 0 {
			return path + " nothing"
		}
		key := b.keys[rnd.IntN(len(b.keys))]
		path += "/" + key
		mine, theirs := a.find(key), b.values[b.find(key)]
		if mine >= 0 && rnd.IntN(3) > 0 && children(theirs) != nil {
			to, from = a.values[mine], theirs
			continue
		}
		if mine >= 0 {
			a.values[mine] = copyOf(theirs)
		} else {
			a.keys, a.values = append(a.keys, key), append(a.values, copyOf(theirs))
		}
		return path
	}
}

func (o *object) find(key string) int {
	for i, k := range o.keys {
		if k == key {
			return i
		}
	}
	return -1
}
