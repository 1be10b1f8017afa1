// Package plain decodes JSON that is plainly valid, to exactly what encoding/json makes of it. It costs a tenth of
// that in a process that decodes one document: encoding/json first prepares every type by reflection, at each
// start. Anything unusual makes it give up, and the caller leaves the document to encoding/json, whose answers and
// errors count: broken JSON, a value of a wrong type or out of its range, a known property given twice or in the
// wrong case, text that is not UTF-8, deep nesting.
package plain

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// A Scanner reads one document; it gives up at the first thing it does not expect: then it is at the end of an empty
// document, where every loop ends. All text is sliced out of src, which is the document itself and stays in memory. What the generated
// functions call at every property is not inlined: that would make rt 30 KB larger and no faster at its start.
type Scanner struct {
	src  string
	at   int // the next byte
	bad  bool
	room []string // shared for lists of strings: see Strings
}

// New is a scanner at the beginning of a document, which has to be an object. The document must not change any more.
func New(document []byte) *Scanner {
	p := &Scanner{src: unsafe.String(unsafe.SliceData(document), len(document))}
	if p.peek() != '{' {
		p.Fail()
	}
	return p
}

// Fail gives up: End will say that the document is not plain.
//
//go:noinline
func (p *Scanner) Fail() { p.src, p.at, p.bad = "", 0, true }

// End says whether the whole document was read and was plain.
func (p *Scanner) End() bool { return p.peek() == 0 && p.at == len(p.src) && !p.bad }

// peek returns the first byte of the next token, 0 at the end.
func (p *Scanner) peek() byte {
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
func (p *Scanner) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

// literal reads true, false or null. What follows it is checked by who reads that.
//
//go:noinline
func (p *Scanner) literal(word string) {
	if !strings.HasPrefix(p.src[p.at:], word) {
		p.Fail()
		return
	}
	p.at += len(word)
}

// null reads a null if one is next: encoding/json leaves the zero value then, whatever the type.
//
//go:noinline
func (p *Scanner) null() bool {
	if p.peek() != 'n' {
		return false
	}
	p.literal("null")
	return true
}

// First enters an object and returns its first key, with more false if there is none.
func (p *Scanner) First() (key string, more bool) {
	switch {
	case p.null():
		return "", false
	case !p.take('{'):
		p.Fail()
		return "", false
	case p.take('}'):
		return "", false
	}
	return p.key()
}

// Next goes on to the next key of an object, or leaves it.
func (p *Scanner) Next() (key string, more bool) {
	switch {
	case p.take(','):
		return p.key()
	case p.take('}'):
	default:
		p.Fail()
	}
	return "", false
}

func (p *Scanner) key() (key string, more bool) {
	key = p.text()
	if !p.take(':') {
		p.Fail()
	}
	return key, !p.bad
}

// enter goes into an array, more says whether there is a first element.
func (p *Scanner) enter() (more bool) {
	if !p.take('[') {
		p.Fail()
		return false
	}
	return !p.take(']') && !p.bad
}

// another says whether there is a further element of an array, or leaves it.
func (p *Scanner) another() bool {
	switch {
	case p.take(','):
		return true
	case p.take(']'):
	default:
		p.Fail()
	}
	return false
}

// text reads a string.
func (p *Scanner) text() string {
	if !p.take('"') {
		p.Fail()
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
			p.Fail()
			return ""
		}
	}
	p.Fail()
	return ""
}

// oddText reads the rest of a string, from i on, that has an escape or a character beyond ASCII.
func (p *Scanner) oddText(i int) string {
	s := append(make([]byte, 0, i-p.at+64), p.src[p.at:i]...)
	p.at = i
	for p.at < len(p.src) {
		c := p.src[p.at]
		p.at++
		switch {
		case c == '"':
			if !utf8.Valid(s) {
				p.Fail()
			}
			return string(s)
		case c == '\\':
			s = p.escape(s)
		case c < ' ':
			p.Fail()
		default:
			s = append(s, c)
		}
	}
	p.Fail()
	return ""
}

// escape reads what follows a backslash. An unpaired surrogate is not plain.
func (p *Scanner) escape(s []byte) []byte {
	if p.at >= len(p.src) {
		p.Fail()
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
				p.Fail()
			}
		}
		return utf8.AppendRune(s, r)
	}
	p.Fail()
	return s
}

// hex reads the four digits of \u.
func (p *Scanner) hex() (r rune) {
	if len(p.src)-p.at < 4 {
		p.Fail()
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
			p.Fail()
			return 0
		}
		r = r<<4 | rune(c)
	}
	p.at += 4
	return r
}
