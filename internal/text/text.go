// Package text prepares words of others, as of a configuration or a container, for messages and documents.
package text

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Short returns s, or its beginning and end if it is long: a hostile path must not fill the terminal and the log.
func Short(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most/2] + " ... " + s[len(s)-most/4:]
}

// Head returns s, or its first bytes and "..." if it has more of them than most.
func Head(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// Quoted returns s as it is, or as between the quotes of a Go string if it has a character of which bad is true.
func Quoted(s string, bad func(rune) bool) string {
	if !strings.ContainsFunc(s, bad) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// PointerToken returns a key as a token of a JSON pointer (RFC 6901).
func PointerToken(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// harmful says whether a character does something to a terminal, or to the text around it: control characters other than newline
// and tab, those that change the direction of text or cannot be seen (Cf), and separators of lines that are no newline.
func harmful(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar)
}

// Printable returns lines that do no harm to a terminal: harmful characters are written as escapes.
func Printable(s string) string {
	if !strings.ContainsFunc(s, harmful) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if harmful(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// PrintableJSON returns a document of JSON in which harmful characters, which are in strings only, are escapes.
func PrintableJSON(document []byte) []byte {
	if !bytes.ContainsFunc(document, harmful) {
		return document
	}
	var out []byte
	for _, r := range string(document) {
		switch {
		case !harmful(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
