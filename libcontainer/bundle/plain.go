package bundle

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

//go:generate go run ./internal/gen

// plainSpec decodes a config.json that is plainly valid, to exactly what encoding/json makes of it. It costs
// a tenth of that in a process that decodes one document: encoding/json first prepares every type by
// reflection, at each start. Of anything unusual it says not ok, and leaves it to encoding/json, whose
// answers and errors count: broken JSON, a value of a wrong type or out of its range, a known property given
// twice or in the wrong case, text that is not UTF-8, deep nesting, a section of another platform.
func plainSpec(raw []byte) (s *specs.Spec, ok bool) {
	p := &plain{src: string(raw)}
	s = new(specs.Spec)
	if p.peek() != '{' {
		return nil, false
	}
	p.decodeSpec(s)
	return s, p.end()
}

// plainProcess does the same for a process.json.
func plainProcess(raw []byte) (v *specs.Process, ok bool) {
	p := &plain{src: string(raw)}
	v = new(specs.Process)
	if p.peek() != '{' {
		return nil, false
	}
	p.decodeProcess(v)
	return v, p.end()
}

// plain is a scanner that gives up at the first thing it does not expect: then it is at the end of an empty
// document, where every loop ends. All text is sliced out of src, which stays in memory. What the generated
// functions call at every property is not inlined: that would make rt 30 KB larger and no faster at its start.
type plain struct {
	src  string
	at   int // the next byte
	bad  bool
	room []string // shared for lists of strings: see takeStrings
}

//go:noinline
func (p *plain) fail() { p.src, p.at, p.bad = "", 0, true }

// end says whether the whole document was read and was plain.
func (p *plain) end() bool { return p.peek() == 0 && p.at == len(p.src) && !p.bad }

// peek returns the first byte of the next token, 0 at the end.
func (p *plain) peek() byte {
	for p.at < len(p.src) {
		switch c := p.src[p.at]; c {
		case ' ', '\n', '\t', '\r':
			p.at++
		default:
			return c
		}
	}
	return 0
}

// take reads the next token if it is the punctuation c.
//
//go:noinline
func (p *plain) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

// literal reads true, false or null. What follows it is checked by who reads that.
//
//go:noinline
func (p *plain) literal(word string) {
	if !strings.HasPrefix(p.src[p.at:], word) {
		p.fail()
		return
	}
	p.at += len(word)
}

// null reads a null if one is next: encoding/json leaves the zero value then, whatever the type.
//
//go:noinline
func (p *plain) null() bool {
	if p.peek() != 'n' {
		return false
	}
	p.literal("null")
	return true
}

// first enters an object and returns its first key, with more false if there is none.
func (p *plain) first() (key string, more bool) {
	switch {
	case p.null():
		return "", false
	case !p.take('{'):
		p.fail()
		return "", false
	case p.take('}'):
		return "", false
	}
	return p.key()
}

// next goes on to the next key of an object, or leaves it.
func (p *plain) next() (key string, more bool) {
	switch {
	case p.take(','):
		return p.key()
	case p.take('}'):
	default:
		p.fail()
	}
	return "", false
}

func (p *plain) key() (key string, more bool) {
	key = p.text()
	if !p.take(':') {
		p.fail()
	}
	return key, !p.bad
}

// enter goes into an array, more says whether there is a first element.
func (p *plain) enter() (more bool) {
	if !p.take('[') {
		p.fail()
		return false
	}
	return !p.take(']') && !p.bad
}

// another says whether there is a further element of an array, or leaves it.
func (p *plain) another() bool {
	switch {
	case p.take(','):
		return true
	case p.take(']'):
	default:
		p.fail()
	}
	return false
}

// text reads a string.
func (p *plain) text() string {
	if !p.take('"') {
		p.fail()
		return ""
	}
	for i := p.at; i < len(p.src); i++ {
		switch c := p.src[i]; {
		case c == '"':
			s := p.src[p.at:i]
			p.at = i + 1
			return s
		case c == '\\' || c >= utf8.RuneSelf:
			return p.oddText(i)
		case c < ' ':
			p.fail()
			return ""
		}
	}
	p.fail()
	return ""
}

// oddText reads the rest of a string, from i on, that has an escape or a character beyond ASCII.
func (p *plain) oddText(i int) string {
	s := append(make([]byte, 0, i-p.at+64), p.src[p.at:i]...)
	p.at = i
	for p.at < len(p.src) {
		c := p.src[p.at]
		p.at++
		switch {
		case c == '"':
			if !utf8.Valid(s) {
				p.fail()
			}
			return string(s)
		case c == '\\':
			s = p.escape(s)
		case c < ' ':
			p.fail()
		default:
			s = append(s, c)
		}
	}
	p.fail()
	return ""
}

// escape reads what follows a backslash. An unpaired surrogate is not plain.
func (p *plain) escape(s []byte) []byte {
	if p.at >= len(p.src) {
		p.fail()
		return s
	}
	c := p.src[p.at]
	p.at++
	switch c {
	case '"', '\\', '/':
		return append(s, c)
	case 'b':
		return append(s, '\b')
	case 'f':
		return append(s, '\f')
	case 'n':
		return append(s, '\n')
	case 'r':
		return append(s, '\r')
	case 't':
		return append(s, '\t')
	case 'u':
		r := p.hex()
		if utf16.IsSurrogate(r) {
			p.literal(`\u`)
			if r = utf16.DecodeRune(r, p.hex()); r == utf8.RuneError {
				p.fail()
			}
		}
		return utf8.AppendRune(s, r)
	}
	p.fail()
	return s
}

// hex reads the four digits of \u.
func (p *plain) hex() (r rune) {
	if len(p.src)-p.at < 4 {
		p.fail()
		return 0
	}
	for _, c := range []byte(p.src[p.at : p.at+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			p.fail()
			return 0
		}
		r = r<<4 | rune(c)
	}
	p.at += 4
	return r
}
