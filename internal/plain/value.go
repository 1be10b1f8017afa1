package plain

import (
	"math"
	"strings"
)

// maxDepth is how deep a value that is skipped may nest.
const maxDepth = 32

// Once marks a property of an object as seen; seeing it again is not plain: encoding/json would merge both.
//
//go:noinline
func (p *Scanner) Once(seen *uint32, property uint) {
	if *seen&(1<<property) != 0 {
		p.Fail()
	}
	*seen |= 1 << property
}

// Unknown skips the value of a key that is none of names, which are separated by spaces. encoding/json takes
// a key in the wrong case for the property, so that is not plain.
func (p *Scanner) Unknown(key, names string) {
	for more := true; more; {
		var name string
		name, names, more = strings.Cut(names, " ")
		if strings.EqualFold(name, key) {
			p.Fail()
			return
		}
	}
	p.skip(maxDepth)
}

// Skip reads a value of any type. Numbers with a fraction or an exponent are not plain.
func (p *Scanner) skip(depth int) {
	switch c := p.peek(); {
	case depth == 0:
		p.Fail()
	case c == '"':
		p.text()
	case c == '{':
		for _, more := p.First(); more; _, more = p.Next() {
			p.skip(depth - 1)
		}
	case c == '[':
		for more := p.enter(); more; more = p.another() {
			p.skip(depth - 1)
		}
	case c == 't':
		p.literal("true")
	case c == 'f':
		p.literal("false")
	case c == 'n':
		p.literal("null")
	default:
		p.number()
	}
}

// number reads a whole number: its absolute value and its sign. Behind a leading zero, and at a fraction or
// an exponent, it stops; whoever reads on finds that this is neither a comma nor a bracket.
func (p *Scanner) number() (n uint64, negative bool) {
	negative = p.take('-')
	start := p.at
	for ; p.at < len(p.src); p.at++ {
		digit := uint64(p.src[p.at] - '0')
		if digit > 9 || n == 0 && p.at > start {
			break
		}
		if n > (math.MaxUint64-digit)/10 {
			p.Fail()
			return 0, false
		}
		n = n*10 + digit
	}
	if p.at == start {
		p.Fail()
	}
	return n, negative
}

// Text reads a string. A null leaves *v as it is.
func Text[T ~string](p *Scanner, v *T) {
	if !p.null() {
		*v = T(p.text())
	}
}

// Bool reads true or false. A null leaves *v as it is.
func Bool(p *Scanner, v *bool) {
	switch p.peek() {
	case 't':
		p.literal("true")
		*v = true
	case 'f':
		p.literal("false")
	default:
		if !p.null() {
			p.Fail()
		}
	}
}

// Int reads a whole number that fits. A null leaves *v as it is.
func Int[T ~int | ~int8 | ~int16 | ~int32 | ~int64](p *Scanner, v *T) {
	if p.null() {
		return
	}
	n, negative := p.number()
	i := int64(n)
	if negative {
		i = -i
	}
	*v = T(i)
	if int64(*v) != i || i != 0 && (i < 0) != negative {
		p.Fail()
	}
}

// Uint reads a whole number that fits and is not negative. A null leaves *v as it is.
func Uint[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](p *Scanner, v *T) {
	if p.null() {
		return
	}
	n, negative := p.number()
	*v = T(n)
	if negative || uint64(*v) != n {
		p.Fail()
	}
}

// Pointer reads a value into a new variable. A null leaves *v as it is.
func Pointer[T any](p *Scanner, v **T, value func(*Scanner, *T)) {
	if !p.null() {
		*v = new(T)
		value(p, *v)
	}
}

// List reads an array; value reads an element. A null leaves *v as it is.
func List[T any](p *Scanner, v *[]T, value func(*Scanner, *T)) {
	if p.null() {
		return
	}
	list := []T{}
	for more := p.enter(); more; more = p.another() {
		var zero T
		list = append(list, zero)
		value(p, &list[len(list)-1])
	}
	*v = list
}

// Strings is List for strings, of which a config.json has the most: they share one allocation.
func Strings(p *Scanner, v *[]string) {
	if p.null() {
		return
	}
	start := len(p.room)
	for more := p.enter(); more; more = p.another() {
		if len(p.room) == cap(p.room) { // the lists before this one keep the old room
			p.room = append(make([]string, 0, 64+2*(len(p.room)-start)), p.room[start:]...)
			start = 0
		}
		var s string
		Text(p, &s)
		p.room = append(p.room, s)
	}
	if end := len(p.room); end > start {
		*v = p.room[start:end:end] // appending to it does not touch the next list
	} else {
		*v = []string{}
	}
}

// Map reads an object; value reads a member. A null leaves *v as it is.
func Map[T any](p *Scanner, v *map[string]T, value func(*Scanner, *T)) {
	if p.null() {
		return
	}
	m := map[string]T{}
	for key, more := p.First(); more; key, more = p.Next() {
		if _, twice := m[key]; twice {
			p.Fail()
		}
		var t T
		value(p, &t)
		m[key] = t
	}
	*v = m
}
