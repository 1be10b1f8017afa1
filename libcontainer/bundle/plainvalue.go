package bundle

import (
	"math"
	"strings"
)

// plainDepth is how deep a value that is skipped may nest.
const plainDepth = 32

// once marks a property of an object as seen; seeing it again is not plain: encoding/json would merge both.
//
//go:noinline
func (p *plain) once(seen *uint32, property uint) {
	if *seen&(1<<property) != 0 {
		p.fail()
	}
	*seen |= 1 << property
}

// unknown skips the value of a key that is none of names, which are separated by spaces. encoding/json takes
// a key in the wrong case for the property, so that is not plain.
func (p *plain) unknown(key, names string) {
	for more := true; more; {
		var name string
		name, names, more = strings.Cut(names, " ")
		if strings.EqualFold(name, key) {
			p.fail()
			return
		}
	}
	p.skip(plainDepth)
}

// skip reads a value of any type. Numbers with a fraction or an exponent are not plain.
func (p *plain) skip(depth int) {
	switch c := p.peek(); {
	case depth == 0:
		p.fail()
	case c == '"':
		p.text()
	case c == '{':
		for _, more := p.first(); more; _, more = p.next() {
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
func (p *plain) number() (n uint64, negative bool) {
	negative = p.take('-')
	start := p.at
	for ; p.at < len(p.src); p.at++ {
		digit := uint64(p.src[p.at] - '0')
		if digit > 9 || n == 0 && p.at > start {
			break
		}
		if n > (math.MaxUint64-digit)/10 {
			p.fail()
			return 0, false
		}
		n = n*10 + digit
	}
	if p.at == start {
		p.fail()
	}
	return n, negative
}

func takeText[T ~string](p *plain, v *T) {
	if !p.null() {
		*v = T(p.text())
	}
}

func takeBool(p *plain, v *bool) {
	switch p.peek() {
	case 't':
		p.literal("true")
		*v = true
	case 'f':
		p.literal("false")
	default:
		if !p.null() {
			p.fail()
		}
	}
}

func takeInt[T ~int | ~int8 | ~int16 | ~int32 | ~int64](p *plain, v *T) {
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
		p.fail()
	}
}

func takeUint[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](p *plain, v *T) {
	if p.null() {
		return
	}
	n, negative := p.number()
	*v = T(n)
	if negative || uint64(*v) != n {
		p.fail()
	}
}

func takePointer[T any](p *plain, v **T, value func(*plain, *T)) {
	if !p.null() {
		*v = new(T)
		value(p, *v)
	}
}

func takeList[T any](p *plain, v *[]T, value func(*plain, *T)) {
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

// takeStrings is takeList for strings, of which a config.json has the most: they share one allocation.
func takeStrings(p *plain, v *[]string) {
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
		takeText(p, &s)
		p.room = append(p.room, s)
	}
	if end := len(p.room); end > start {
		*v = p.room[start:end:end] // appending to it does not touch the next list
	} else {
		*v = []string{}
	}
}

func takeMap[T any](p *plain, v *map[string]T, value func(*plain, *T)) {
	if p.null() {
		return
	}
	m := map[string]T{}
	for key, more := p.first(); more; key, more = p.next() {
		if _, twice := m[key]; twice {
			p.fail()
		}
		var t T
		value(p, &t)
		m[key] = t
	}
	*v = m
}
