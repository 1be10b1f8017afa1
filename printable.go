package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// harmful says whether a character does something to a terminal, or to the text around it: control characters other than newline
// and tab, those that change the direction of text or cannot be seen (Cf), and separators of lines that are no newline.
func harmful(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar)
}

// printable makes text from a configuration or a container harmless to a terminal: what is harmful is written as escapes.
func printable(s string) string {
	if strings.IndexFunc(s, harmful) < 0 {
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

// plainJSON is a document of JSON in which harmful characters, which are in strings only, are escapes.
func plainJSON(document []byte) []byte {
	if bytes.IndexFunc(document, harmful) < 0 {
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

// A jsonWriter writes documents, each by one call, as plainJSON has them.
type jsonWriter struct{ io.Writer }

func (w jsonWriter) Write(document []byte) (int, error) {
	if _, err := w.Writer.Write(plainJSON(document)); err != nil {
		return 0, err
	}
	return len(document), nil
}

func newEncoder(w io.Writer) *json.Encoder { return json.NewEncoder(jsonWriter{w}) }
